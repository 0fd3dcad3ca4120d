"""Coulomb sums of slabs, periodic in two directions: a three-dimensional sum with vacuum, corrected.

The exact potential of a charge and its images in the plane and that of a three-dimensional sum over
copies a height L apart differ, for neutral slabs, by
  - the waves across the plane of order zero: -(2 pi/V) z^2 for each charge at the distance z along the
    normal, V = area L (Yeh and Berkowitz; a shift L/6 drops out by neutrality), and
  - those of a reciprocal vector G of the plane: exp(-G gap) of the interaction, gap the vacuum between
    copies. The vacuum is chosen so wide that these stay below the accuracy.
"""

import math
from collections.abc import Callable

import numpy as np

from asennp.electrostatics.charges import NEUTRALITY
from asennp.errors import InputError
from asennp.units import COULOMB_EV_A

#: positions, cell, charges, pbc -> energies, forces, virial
Solver = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]
#: ln of how much stronger than a neighbour's force the images' may be before they decay.
_MARGIN = 3.0
#: The height grows in steps of this part of the vacuum, so that it rarely changes as atoms move.
_STEP = 0.1


def is_slab(pbc: np.ndarray) -> bool:
    """Tell whether exactly two directions are periodic.

    Raises
    ------
    InputError
        If exactly one is.
    """
    n_periodic = sum(bool(periodic) for periodic in pbc)
    if n_periodic == 1:
        raise InputError(
            "Coulomb sums are there for 3, 2 or no periodic directions, not for one",
            where="atoms.pbc",
            got=np.asarray(pbc, bool).tolist(),
            do="set pbc=True in a cell with wide vacuum across the wire (atoms.center(vacuum=...))",
        )
    return n_periodic == 2


def sum_slab(
    solve: Solver,
    positions: np.ndarray,
    cell: np.ndarray,
    charges: np.ndarray,
    pbc: np.ndarray,
    accuracy: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return atomic energies q_i phi_i/2 (N,) eV, forces (N, 3) eV/Å and the virial dE/deps (3, 3) eV.

    Parameters
    ----------
    solve
        Sum for cells periodic in three directions, with tin-foil boundaries.
    positions, cell
        Å. The cell vector of the open direction is not used: it may be zero, or any.
    charges
        (N,), e.
    pbc
        Two directions True.
    accuracy
        Relative force error, as of `solve`.

    Raises
    ------
    InputError
        See `pad_slab`.

    References
    ----------
    I.-C. Yeh, M. L. Berkowitz, J. Chem. Phys. 111, 3155 (1999), doi:10.1063/1.479595; A. Arnold,
    J. de Joannis, C. Holm, J. Chem. Phys. 117, 2496 (2002), doi:10.1063/1.1491955.
    """
    padded = pad_slab(positions, cell, charges, pbc, accuracy)
    energies, forces, virial = solve(positions, padded, charges, np.ones(3, bool))
    strengths = math.sqrt(COULOMB_EV_A) * charges
    add_dipole_term(positions, padded, strengths, pbc, energies, forces, virial)
    return energies, forces, virial


def pad_slab(
    positions: np.ndarray,
    cell: np.ndarray,
    charges: np.ndarray,
    pbc: np.ndarray,
    accuracy: float,
    least_vacuum: float = 0.0,
) -> np.ndarray:
    """Return the cell with a vector along the normal for the open direction, leaving vacuum between copies.

    Parameters
    ----------
    least_vacuum
        Vacuum, Å, that other terms need.

    Raises
    ------
    InputError
        A slab that is not neutral: its energy grows with the height without bound.
    """
    total = float(charges.sum())
    if abs(total) > NEUTRALITY:
        raise InputError(
            "a slab must be neutral",
            where="charges",
            expected="charges that sum to zero",
            got=f"{total:+.6g} e",
            do="correct the charges, or use a cell periodic in three directions with a background",
        )
    open_axis = _open_axis(pbc)
    first, second = np.delete(cell, open_axis, axis=0)
    normal = np.cross(first, second)
    area = float(np.linalg.norm(normal))
    normal = normal / area
    # the reciprocal lattice of the plane is the lattice itself, turned, times 2 pi/area
    shortest_wave = 2.0 * math.pi / area * _shortest(first, second)
    vacuum = max((math.log(1.0 / accuracy) + _MARGIN) / shortest_wave, least_vacuum)
    step = _STEP * vacuum
    padded = np.array(cell, float)
    padded[open_axis] = step * math.ceil((float(np.ptp(positions @ normal)) + vacuum) / step) * normal
    return padded


def add_dipole_term(
    positions: np.ndarray,
    padded: np.ndarray,
    charges: np.ndarray,
    pbc: np.ndarray,
    energies: np.ndarray,
    forces: np.ndarray,
    virial: np.ndarray,
) -> None:
    """Add what the sum over the padded cell lacks, (2 pi/V) M^2 with M the dipole along the normal.

    Energies are in the units of the squared charges over Å; `pbc` is that of the slab.
    """
    axis = padded[_open_axis(pbc)]
    height = math.sqrt(float(axis @ axis))
    normal = axis / height
    scale = 2.0 * math.pi / abs(float(np.linalg.det(padded)))
    z = positions @ normal
    z = z - z.mean()
    dipole = float(charges @ z)
    # q_i/2 times -scale sum_j q_j (z_i - z_j)^2
    energies += scale * charges * (z * dipole - 0.5 * float(charges @ (z * z)))
    forces -= 2.0 * scale * dipole * np.outer(charges, normal)
    # scale dipole^2 goes as (height^2/volume) times the square of a scaled coordinate
    virial += scale * dipole**2 * (2.0 * np.outer(normal, normal) - np.eye(3))


def _open_axis(pbc: np.ndarray) -> int:
    return [bool(periodic) for periodic in pbc].index(False)


def _shortest(a: np.ndarray, b: np.ndarray) -> float:
    """Return the length of the shortest vector of a lattice in the plane (Lagrange's reduction)."""
    while True:
        if a @ a > b @ b:
            a, b = b, a
        steps = round(float(a @ b) / float(a @ a))
        if steps == 0:
            return math.sqrt(float(a @ a))
        b = b - steps * a
