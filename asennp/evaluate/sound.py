"""Speeds of sound, from the slopes of the acoustic branches and from elastic constants."""

from typing import Any

import numpy as np
from ase import units

#: Cartesian directions looked along: axes, face diagonal, space diagonal.
DIRECTIONS = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (1.0, 1.0, 0.0), (1.0, 1.0, 1.0))
#: Wave number (1/Å, without 2 pi) the slopes are taken at; twice it serves the extrapolation to zero.
_WAVE_NUMBER = 0.005
#: 1 Å THz in km/s.
_KM_S = 0.1
_VOIGT = np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]])


def compute_sound_velocities(ph: Any, directions: Any = DIRECTIONS) -> tuple[np.ndarray, np.ndarray]:
    """Return unit vectors (d, 3) and the acoustic branches' speeds (d, 3) along them, km/s, rising.

    From (frequency / wave number)^2 at two small wave numbers, extrapolated to zero; an unstable branch has
    a negative speed. Piezoelectric stiffening is in it where the non-analytical term is.
    """
    unit = np.asarray(directions, float)
    unit = unit / np.linalg.norm(unit, axis=1)[:, None]
    cell = np.asarray(ph.primitive.cell)
    squares = []
    for k in (_WAVE_NUMBER, 2.0 * _WAVE_NUMBER):
        frequencies = np.array(ph.run_qpoints((k * unit) @ cell.T).frequencies)
        order = np.argsort(np.abs(frequencies), axis=1)[:, :3]
        acoustic = np.sort(np.take_along_axis(frequencies, order, axis=1), axis=1)
        squares.append(np.sign(acoustic) * (acoustic / k) ** 2)
    square = (4.0 * squares[0] - squares[1]) / 3.0
    return unit, np.asarray(np.sign(square) * np.sqrt(np.abs(square)) * _KM_S)


def christoffel_velocities(
    tensor_GPa: np.ndarray, density_amu_A3: float, directions: Any = DIRECTIONS
) -> np.ndarray:
    """Return speeds of sound (d, 3), km/s, rising: rho v^2 are the eigenvalues of n_j C_ijkl n_l.

    Parameters
    ----------
    tensor_GPa
        (6, 6) elastic constants, Voigt order xx yy zz yz xz xy.
    density_amu_A3
        Mass density, amu/Å^3.
    """
    unit = np.asarray(directions, float)
    unit = unit / np.linalg.norm(unit, axis=1)[:, None]
    full = np.asarray(tensor_GPa)[_VOIGT[:, :, None, None], _VOIGT[None, None, :, :]] * units.GPa
    acoustic = np.einsum("dj,ijkl,dl->dik", unit, full, unit)
    square = np.linalg.eigvalsh(acoustic) / density_amu_A3
    # sqrt(eV/amu) in ASE's Å per unit of time, then km/s
    return np.asarray(np.sign(square) * np.sqrt(np.abs(square)) * units.second / 1e13)
