"""Energies of phases above the ground state."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from ase import Atoms

from asennp.errors import InputError
from asennp.evaluate.lattice import LatticeResult, compute_lattice
from asennp.results import Result


@dataclass(frozen=True, eq=False)
class FormationResult(Result):
    """Energies of phases relative to the lowest one.

    Attributes
    ----------
    ground_state
        Name of the phase of lowest energy.
    energies_meV
        {phase: energy above the ground state, meV/atom}, in rising order.
    resolution_meV
        Differences below it mean nothing (meV/atom); 0 where none was stated.
    unresolved
        Pairs of phases whose difference is below the resolution; never quote these.
    lattices
        {phase: LatticeResult}.
    """

    ground_state: str
    energies_meV: dict[str, float]
    resolution_meV: float
    unresolved: tuple[tuple[str, str], ...]
    lattices: dict[str, LatticeResult]

    def energy_meV(self, phase: str) -> float:
        """Return a phase's energy above the ground state (meV/atom), refusing an unresolved one.

        Raises
        ------
        InputError
            The phase is unknown, or its difference to the ground state is below the resolution.
        """
        if phase not in self.energies_meV:
            raise InputError("unknown phase", where=phase, expected=", ".join(self.energies_meV))
        value = self.energies_meV[phase]
        if phase != self.ground_state and value < self.resolution_meV:
            raise InputError(
                "difference to the ground state is below the calculator's resolution",
                where=phase,
                expected=f"at least {self.resolution_meV:.2f} meV/atom",
                got=f"{value:.2f} meV/atom",
                do="use a calculator whose energy does not depend on the choice of cell this much",
            )
        return value


def _require_one_composition(phases: Mapping[str, Atoms]) -> None:
    formulas = {name: atoms.symbols.formula.reduce()[0] for name, atoms in phases.items()}
    if len({str(formula.convert("hill")) for formula in formulas.values()}) != 1:
        raise InputError(
            "phases must have one composition",
            where="phases",
            got={name: str(formula) for name, formula in formulas.items()},
        )


def compute_formation(
    phases: Mapping[str, Atoms],
    calculator: Any,
    resolution_meV: float = 0.0,
    **relaxation: Any,
) -> FormationResult:
    """Relax every phase and return energies per atom relative to the lowest one.

    Parameters
    ----------
    phases
        {name: atoms}; one composition.
    resolution_meV
        Spread (meV/atom) of the calculator over equivalent cells of one crystal; pairs closer than it
        are listed as unresolved and refused by `FormationResult.energy_meV`.
    relaxation
        Passed to `compute_lattice`.

    Raises
    ------
    InputError
        No phases, or phases of different composition.
    """
    if not phases:
        raise InputError("no phases", where="phases", expected="{name: atoms}")
    _require_one_composition(phases)
    lattices = {name: compute_lattice(atoms, calculator, **relaxation) for name, atoms in phases.items()}
    order = sorted(lattices, key=lambda name: lattices[name].energy_per_atom)
    lowest = lattices[order[0]].energy_per_atom
    energies = {name: 1000.0 * (lattices[name].energy_per_atom - lowest) for name in order}
    unresolved = tuple(
        (a, b) for a, b in combinations(order, 2) if abs(energies[b] - energies[a]) < resolution_meV
    )
    return FormationResult(order[0], energies, resolution_meV, unresolved, lattices)
