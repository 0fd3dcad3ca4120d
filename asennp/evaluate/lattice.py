"""Relaxed lattice parameters of a crystal."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.neighborlist import neighbor_list
from ase.spacegroup.symmetrize import check_symmetry

from asennp.errors import InputError
from asennp.evaluate.capability import require_periodic, require_properties
from asennp.evaluate.precision import in_double
from asennp.evaluate.relax import relax
from asennp.phases import classify
from asennp.results import Result


@dataclass(frozen=True, eq=False)
class LatticeResult(Result):
    """A relaxed crystal; lattice parameters are those of spglib's conventional cell.

    Attributes
    ----------
    atoms
        Relaxed structure, in the cell setting it came in.
    energy_per_atom, enthalpy_per_atom
        eV/atom; the enthalpy is E + P V at `pressure_GPa`.
    a, b, c
        Conventional lattice parameters, Å.
    alpha, beta, gamma
        Conventional angles, degrees.
    u
        Internal parameter of wurtzite (anion height in units of c); None for other structures.
    spacegroup, spacegroup_number
        Hermann-Mauguin symbol and number.
    volume_per_atom
        Å^3/atom.
    pressure_GPa
        Outer pressure of the relaxation.
    converged, n_steps, max_force, max_stress_GPa
        Whether the tolerances were reached, and the residuals (eV/Å, GPa).
    initial_spacegroup_number
        Number of the space group before the relaxation (0: not known, in files of earlier versions).
    warnings
        What the relaxation did to the crystal: a change of space group, another coordination.
    """

    atoms: Atoms
    energy_per_atom: float
    enthalpy_per_atom: float
    a: float
    b: float
    c: float
    alpha: float
    beta: float
    gamma: float
    u: float | None
    spacegroup: str
    spacegroup_number: int
    volume_per_atom: float
    pressure_GPa: float
    converged: bool
    n_steps: int
    max_force: float
    max_stress_GPa: float
    initial_spacegroup_number: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def kept_phase(self) -> bool:
        """Whether the relaxed crystal is still the one that was given."""
        return not self.warnings


def _wurtzite_u(dataset: Any) -> float | None:
    """Return u of a two-species P6_3mc crystal with four atoms a cell, from spglib's standard cell."""
    kinds = np.unique(dataset.std_types)
    if dataset.number != 186 or len(dataset.std_types) != 4 or len(kinds) != 2:
        return None
    heights = [dataset.std_positions[dataset.std_types == kind][0, 2] for kind in kinds]
    # two layers a cell, either polarity: u and 1/2 - u are the same crystal, u is the larger
    offset = (heights[1] - heights[0]) % 0.5
    return float(max(offset, 0.5 - offset))


def compute_lattice(
    atoms: Atoms,
    calculator: Any,
    pressure_GPa: float = 0.0,
    fmax: float = 5e-4,
    smax_GPa: float = 0.01,
    symprec: float = 0.01,
    steps: int = 300,
    symmetry: bool = True,
    spacegroup: int | str | None = None,
) -> LatticeResult:
    """Relax ions and cell within the space group and return the conventional lattice parameters.

    A crystal may leave its phase all the same: by gaining symmetry (wurtzite that flattens into layers), by
    losing it (``symmetry=False``), or by changing neighbours within it. The result says so in `warnings`.

    Parameters
    ----------
    atoms
        Any cell of the crystal; the space group found at `symprec` (Å) is kept.
    calculator
        Any ASE calculator with forces and stress.
    pressure_GPa
        Outer pressure.
    fmax, smax_GPa
        Tolerances (eV/Å, GPa). Where the calculator's noise comes first, the best frame is returned
        with ``converged=False``.
    symmetry
        False relaxes without any symmetry.
    spacegroup
        Number or symbol that the given structure must have.

    Raises
    ------
    InputError
        Not a crystal, a calculator without stress, or a structure not at the asked symmetry.
    """
    require_periodic(atoms, "a lattice relaxation")
    require_properties(calculator, "forces", "stress", purpose="a lattice relaxation")
    before = check_symmetry(atoms, symprec)
    if spacegroup is not None and str(spacegroup) not in (str(before.number), str(before.international)):
        raise InputError(
            "the structure does not have the asked symmetry",
            where="spacegroup",
            expected=spacegroup,
            got=f"{before.international} ({before.number}) within {symprec} Å",
            do="correct the structure, or give a larger symprec",
        )
    relaxed = relax(
        atoms,
        in_double(calculator),
        pressure_GPa=pressure_GPa,
        fmax=fmax,
        smax_GPa=smax_GPa,
        symmetry=symmetry,
        symprec=symprec,
        steps=steps,
    )
    crystal = relaxed.atoms
    dataset = check_symmetry(crystal, symprec)
    lengths = np.linalg.norm(dataset.std_lattice, axis=1)
    unit = dataset.std_lattice / lengths[:, None]
    angles = [float(np.degrees(np.arccos(unit[i] @ unit[j]))) for i, j in ((1, 2), (0, 2), (0, 1))]
    energy = relaxed.energy / len(crystal)
    volume = float(crystal.cell.volume) / len(crystal)
    return LatticeResult(
        atoms=crystal,
        energy_per_atom=energy,
        enthalpy_per_atom=energy + pressure_GPa * units.GPa * volume,
        a=float(lengths[0]),
        b=float(lengths[1]),
        c=float(lengths[2]),
        alpha=angles[0],
        beta=angles[1],
        gamma=angles[2],
        u=_wurtzite_u(dataset),
        spacegroup=str(dataset.international),
        spacegroup_number=int(dataset.number),
        volume_per_atom=volume,
        pressure_GPa=pressure_GPa,
        converged=relaxed.converged,
        n_steps=relaxed.n_steps,
        max_force=relaxed.max_force,
        max_stress_GPa=relaxed.max_stress_GPa,
        initial_spacegroup_number=int(before.number),
        warnings=_changes(atoms, crystal, before, dataset),
    )


def _reach(atoms: Atoms) -> float:
    """Return the end of the first shell: the widest gap between distances."""
    levels = np.sort(neighbor_list("d", atoms, 2.0 * _shortest(atoms)))
    gaps = np.diff(levels)
    return float(levels[int(np.argmax(gaps))] + 0.5 * gaps.max()) if len(gaps) else 1.01 * float(levels[0])


def _neighbours(atoms: Atoms, reach: float) -> dict[str, float]:
    """Return the mean number of neighbours by species."""
    counts = np.bincount(neighbor_list("i", atoms, reach), minlength=len(atoms))
    symbols = np.array(atoms.get_chemical_symbols())
    return {str(s): float(counts[symbols == s].mean()) for s in np.unique(symbols)}


def _shortest(atoms: Atoms) -> float:
    """Return the shortest distance between two atoms, images included."""
    reach = 3.0
    while not len(found := neighbor_list("d", atoms, reach)):
        reach *= 1.5
    return float(found.min())


def _changes(start: Atoms, end: Atoms, before: Any, after: Any) -> tuple[str, ...]:
    """Say how a relaxed crystal differs in kind from the one that was given."""
    words = []
    if before.number != after.number:
        words.append(
            f"the space group changed from {before.international} ({before.number}) "
            f"to {after.international} ({after.number})"
        )
    # one shell for both, scaled with the crystal: after a small distortion the widest gap may be another one
    reach = _reach(start)
    scale = (end.cell.volume / len(end) / (start.cell.volume / len(start))) ** (1 / 3)
    old, new = _neighbours(start, reach), _neighbours(end, scale * reach)
    moved = [f"{s} {old[s]:g} to {new[s]:g}" for s in old if abs(old[s] - new[s]) > 0.5]
    if moved:
        words.append(f"the number of neighbours changed: {', '.join(moved)}")
    if len(set(start.numbers.tolist())) <= 2:
        was, became = classify(start).phase, classify(end).phase
        if was not in (became, "mixed", "disordered"):  # else the classifier does not know the crystal
            words.append(f"the phase changed from {was} to {became}")
    return tuple(words)
