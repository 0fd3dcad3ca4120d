"""Slabs cut from a crystal, and whether they are polar."""

from collections.abc import Mapping

import numpy as np
from ase import Atoms
from ase.build import surface
from ase.spacegroup.symmetrize import check_symmetry

from asennp.electrostatics.charges import assign_charges, check_charges
from asennp.errors import InputError
from asennp.evaluate.capability import require_periodic

#: Atoms whose heights differ by less (Å) are one plane.
_PLANE = 0.1
#: A dipole (see `slab_dipole`) below this is none.
_POLAR = 1e-3


def conventional_cell(crystal: Atoms, symprec: float = 0.01) -> Atoms:
    """Return the standard conventional cell (spglib), whose Miller indices are those of handbooks."""
    data = check_symmetry(crystal, symprec)
    return Atoms(numbers=data.std_types, scaled_positions=data.std_positions, cell=data.std_lattice, pbc=True)


def slab_dipole(slab: Atoms, charges: Mapping[str, float]) -> float:
    """Return the dipole along the normal per ion and unit charge, over the thickness: 0 for a nonpolar slab.

    Of a slab as cut, whole in the third cell vector's direction; +-1/2 at most.
    """
    q = assign_charges(slab.numbers, charges, where="charges")
    normal = np.cross(slab.cell[0], slab.cell[1])
    heights = slab.positions @ (normal / np.linalg.norm(normal))
    scale = float(np.abs(q).sum() * np.ptp(heights))
    return float(q @ (heights - heights.mean())) / scale if scale > 0.0 else 0.0


def build_slab(
    crystal: Atoms,
    miller: tuple[int, int, int],
    thickness_A: float = 15.0,
    vacuum_A: float = 12.0,
    charges: Mapping[str, float] | None = None,
) -> Atoms:
    """Cut a stoichiometric slab with two equal, nonpolar faces.

    All terminations between two planes of atoms are tried; those whose planes carry a dipole (Tasker's
    third kind) are dropped where `charges` are given, and of the rest the one whose cut runs through the
    widest gap is taken. The slab is periodic in three directions, with vacuum along the normal.

    Parameters
    ----------
    crystal
        Relaxed crystal in any cell.
    miller
        Indices in the standard conventional cell.
    thickness_A, vacuum_A
        Least thickness of the slab and width of the vacuum, Å.
    charges
        {symbol: e}, formal charges will do; None for crystals that are not ionic.

    Raises
    ------
    InputError
        Not a crystal, indices that name no plane, or a surface that is polar at every termination.

    References
    ----------
    Tasker, J. Phys. C 12 (1979) 4977, doi:10.1088/0022-3719/12/22/036.
    """
    require_periodic(crystal, "a slab")
    if len(miller) != 3 or not any(miller) or any(int(i) != i for i in miller):
        raise InputError(
            "not Miller indices", where="miller", expected="three integers, not all 0", got=miller
        )
    if charges is not None:
        charges = check_charges(charges)
    indices, cell = tuple(int(i) for i in miller), conventional_cell(crystal)
    period = float(surface(cell, indices, 1, periodic=True).cell[2, 2])
    layers = max(1, int(np.ceil(thickness_A / period - 1e-9)))
    # one period more than wanted: every cut finds its whole slab in it
    tall = surface(cell, indices, layers + 1, periodic=True)
    best, widest, polarity = None, 0.0, np.inf
    for bottom, gap in _cuts(tall.positions[:, 2], period):
        heights = tall.positions[:, 2] - bottom
        slab = tall[(heights >= 0.0) & (heights < layers * period)]
        dipole = 0.0 if charges is None else abs(slab_dipole(slab, charges))
        polarity = min(polarity, dipole)
        if dipole < _POLAR and gap > widest + 1e-6:
            best, widest = slab, gap
    if best is None:
        raise InputError(
            "the surface is polar at every termination: its energy diverges with the thickness",
            where="miller", got=f"{miller}, a dipole of at least {polarity:.3f} of the largest",
            do="take a nonpolar face, or reconstruct it and use compute_defect",
        )  # fmt: skip
    best.center(vacuum=0.5 * vacuum_A, axis=2)
    best.pbc = True
    return best


def _cuts(heights: np.ndarray, period: float) -> list[tuple[float, float]]:
    """Return (height just below a plane, gap it lies in) of every gap between planes of atoms."""
    levels = np.sort(heights % period)
    gaps = np.diff(np.append(levels, levels[0] + period))
    return [
        (float(levels[(k + 1) % len(levels)]) - 0.5 * min(gap, _PLANE), float(gap))
        for k, gap in enumerate(gaps)
        if gap > _PLANE
    ]
