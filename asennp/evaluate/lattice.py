"""Relaxed lattice parameters of a crystal."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.spacegroup.symmetrize import check_symmetry

from asennp.evaluate.precision import in_double
from asennp.evaluate.relax import relax
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
) -> LatticeResult:
    """Relax ions and cell within the space group and return the conventional lattice parameters.

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
    """
    relaxed = relax(
        atoms,
        in_double(calculator),
        pressure_GPa=pressure_GPa,
        fmax=fmax,
        smax_GPa=smax_GPa,
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
    )
