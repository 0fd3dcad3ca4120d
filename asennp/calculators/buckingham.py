"""Rigid ions: Buckingham pairs and full Coulomb sums, as an ASE calculator."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols

from asennp.calculators.base import OnePassCalculator, pack_results
from asennp.calculators.kernels import TABLE_COLUMNS, buckingham
from asennp.calculators.potential import Potential, inner_maximum, load_potential
from asennp.electrostatics.charges import assign_charges
from asennp.electrostatics.ewald import Ewald
from asennp.electrostatics.pme import PME, prefer_mesh
from asennp.electrostatics.screened import Settings, all_pairs, mirror, refuse_overlap
from asennp.electrostatics.slab import add_dipole_term, is_slab, pad_slab
from asennp.errors import InputError
from asennp.neighbors import VerletPairs, check_geometry
from asennp.units import COULOMB_EV_A


class BuckinghamCoulomb(OnePassCalculator):
    """Buckingham pairs and point charges in one pass.

    E = sum over pairs of [A exp(-r/rho) - C/r^6] + Coulomb. The short-range terms end plainly
    (unshifted) at the cut-off unless a switch is asked for; the Coulomb sum is complete (tin-foil).
    Atomic energies hold half of each pair term, and q_i phi_i/2. The Coulomb sum is Ewald's or, where a
    cost model of the cell and the number of atoms finds that cheaper, by a particle mesh; `electrostatics`
    shows which, with its settings.

    Parameters
    ----------
    potential
        A shipped name, a YAML file, or a `Potential`.
    coulomb
        False leaves the Coulomb sum out.
    cutoff
        Of the short-range terms, Å; default: the potential's.
    accuracy
        Relative force error of the Coulomb sum.
    switch
        Width, Å, over which the short-range terms go smoothly (C2) to zero before the cut-off; default none.
    guard
        At short distance the curve of a pair, bare Coulomb included, turns down without bound. With the
        guard it goes on from its inner maximum as the upward parabola of the same height and curvature
        (C1); `guard_count` counts the pairs it acted on. Without, such a frame is refused.

    Raises
    ------
    InputError
        Unknown species, a cell that is not neutral or periodic in one direction only, atoms on top of
        each other or (without the guard) inside an inner maximum.
    """

    implemented_properties = ["energy", "free_energy", "energies", "forces", "stress", "charges"]  # noqa: RUF012
    default_parameters = {  # noqa: RUF012
        "potential": "zno-lewis-catlow",
        "coulomb": True,
        "cutoff": None,
        "accuracy": 1e-6,
        "switch": None,
        "guard": False,
    }

    def __init__(
        self,
        potential: str | Path | Potential | Mapping[str, Any] = "zno-lewis-catlow",
        coulomb: bool = True,
        cutoff: float | None = None,
        accuracy: float = 1e-6,
        switch: float | None = None,
        guard: bool = False,
        **kwargs: Any,
    ) -> None:
        #: Pair evaluations on which the guard has acted, since the calculator was made.
        self.guard_count = 0
        super().__init__(
            potential=potential,
            coulomb=coulomb,
            cutoff=cutoff,
            accuracy=accuracy,
            switch=switch,
            guard=guard,
            **kwargs,
        )

    def set(self, **kwargs: Any) -> dict[str, Any]:
        """Change parameters, as given to the constructor; results are dropped."""
        if "potential" in kwargs:
            given = kwargs["potential"]
            self.potential = load_potential(given)
            kwargs["potential"] = str(given) if isinstance(given, (str, Path)) else self.potential.todict()
        changed = super().set(**kwargs)
        self._prepare()
        return changed

    def _prepare(self) -> None:
        """Derive what depends on the parameters alone."""
        p = self.parameters
        self.cutoff = self.potential.cutoff if p["cutoff"] is None else float(p["cutoff"])
        if not 0 < self.cutoff < math.inf:
            raise InputError(
                "not a cut-off", where="cutoff", expected="a positive length, Å", got=self.cutoff
            )
        width = 0.0 if p["switch"] is None else float(p["switch"])
        if not 0 <= width < self.cutoff:
            raise InputError(
                "not a width", where="switch", expected=f"0 ... {self.cutoff} Å or None", got=width
            )
        self._onset = self.cutoff - width
        self.electrostatics: Ewald | PME = Ewald(p["accuracy"], self.cutoff)
        self._pairs = VerletPairs(self.cutoff)
        species = self.potential.species
        #: Row of the pair table for each atomic number; -1 for species the potential does not know.
        self._kinds = np.full(len(chemical_symbols), -1, np.int32)
        self._table = np.zeros((len(species), len(species), TABLE_COLUMNS))
        for a, first in enumerate(species):
            self._kinds[atomic_numbers[first]] = a
            for b, second in enumerate(species):
                pair = self.potential.pair(first, second)
                A, rho, C = pair if pair is not None else (0.0, 1.0, 0.0)
                product = self.potential.charges[first] * self.potential.charges[second]
                self._table[a, b] = [A, 1.0 / rho, C, *inner_maximum(pair, product)]

    def compute(self, atoms: Atoms) -> dict[str, Any]:
        """Return energies, forces, stress and charges."""
        positions, cell, pbc, numbers = atoms.positions, atoms.cell.array, atoms.pbc, atoms.numbers
        volume = check_geometry(positions, cell, pbc)
        kinds = self._kinds[numbers]
        if kinds.min() < 0:
            unknown = chemical_symbols[int(numbers[kinds < 0][0])]
            raise InputError(
                f"the potential {self.potential.name} has no {unknown}",
                where="atoms",
                expected=", ".join(self.potential.species),
                got=str(atoms.symbols),
            )
        coulomb = bool(self.parameters["coulomb"])
        charges = assign_charges(
            numbers, self.potential.charges, background=not coulomb, where=self.potential.name
        )
        # in root(eV Å), so that products over distances are energies in eV
        strengths = math.sqrt(COULOMB_EV_A) * charges
        active = coulomb and bool(charges.any())
        slab = active and is_slab(pbc)
        if slab:
            cell = pad_slab(positions, cell, charges, pbc, self.parameters["accuracy"], self.cutoff)
            pbc = np.ones(3, bool)
        inside = abs(float(np.linalg.det(cell))) if slab else volume
        settings = self._choose(cell, len(positions), inside, pbc) if active else None
        pairs = self._find_pairs(positions, cell, pbc, active, settings)
        alpha, reach = (0.0, math.inf) if settings is None else (settings.alpha, settings.real_cutoff)
        energies, forces, virial, guarded, worst, shortest = buckingham(
            positions, cell, kinds, self._table, *pairs, self.cutoff, self._onset,
            bool(self.parameters["guard"]), active, strengths, alpha, reach,
        )  # fmt: skip
        refuse_overlap(shortest)
        if guarded and not self.parameters["guard"]:
            raise self._catastrophe(guarded, shortest, int(pairs[0][worst]), int(pairs[1][worst]), atoms)
        self.guard_count += guarded
        if settings is not None:
            self.electrostatics.add_rest(positions, cell, inside, strengths, energies, forces, virial)
        mirror(virial)
        if slab:
            add_dipole_term(positions, cell, strengths, atoms.pbc, energies, forces, virial)
        results = pack_results(energies, forces, virial, volume)
        results["charges"] = charges
        return results

    def _choose(self, cell: np.ndarray, n_atoms: int, volume: float, pbc: np.ndarray) -> Settings | None:
        """Choose the Coulomb sum and its settings for a cell (None: sum directly)."""
        accuracy = self.parameters["accuracy"]
        mesh = np.all(pbc) and prefer_mesh(cell, n_atoms, volume, accuracy, self.cutoff)
        if mesh != isinstance(self.electrostatics, PME):
            self.electrostatics = (PME if mesh else Ewald)(accuracy, self.cutoff)
        return self.electrostatics.choose(cell, n_atoms, volume, pbc)

    def _find_pairs(
        self,
        positions: np.ndarray,
        cell: np.ndarray,
        pbc: np.ndarray,
        active: bool,
        settings: Settings | None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the pairs that short-range and Coulomb terms share."""
        if active and settings is None:
            return all_pairs(len(positions))
        reach = self.cutoff if settings is None else max(self.cutoff, settings.real_cutoff)
        if reach != self._pairs.cutoff:
            self._pairs = VerletPairs(reach)
        return self._pairs.update(positions, cell, pbc)

    def _catastrophe(self, count: int, shortest: float, a: int, b: int, atoms: Atoms) -> InputError:
        radius = self._table[self._kinds[atoms.numbers[a]], self._kinds[atoms.numbers[b]], 3]
        return InputError(
            f"{atoms.symbols[a]}-{atoms.symbols[b]} pairs are inside the inner maximum of their curve",
            where=f"atoms {a} and {b}",
            expected=f"farther apart than {radius:.3f} Å",
            got=f"{count} such pairs, the shortest distance of all is {shortest:.3f} Å",
            do="start from a sensible structure, or use guard=True",
        )
