"""Compiled pair loops of the empirical calculators."""

import math

import numpy as np
from numba import njit

from asennp.electrostatics.kernels import screened, taper

#: Columns of the pair table: A, 1/rho, C, inner radius r_g, and there energy (with bare Coulomb) and
#: curvature of the guard's parabola.
TABLE_COLUMNS = 6


@njit(cache=True, nogil=True)
def buckingham(
    positions: np.ndarray,
    cell: np.ndarray,
    kinds: np.ndarray,
    table: np.ndarray,
    i: np.ndarray,
    j: np.ndarray,
    shifts: np.ndarray,
    cutoff: float,
    onset: float,
    guard: bool,
    coulomb: bool,
    charges: np.ndarray,
    alpha: float,
    real_cutoff: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int, int, float]:
    """Sum Buckingham and screened Coulomb terms in one pass over the pairs.

    `charges` carry the prefactor's root, so that q_i q_j/r is an energy in eV. `coulomb` false leaves
    the screened terms out, but the guard still refers to the whole pair curve.

    Returns
    -------
    energies, forces, virial (upper triangle), number of pairs inside their inner radius, the last of
    them (index or -1), shortest distance.
    """
    n = positions.shape[0]
    energies, forces, virial = np.zeros(n), np.zeros((n, 3)), np.zeros((3, 3))
    n_guarded, worst, shortest = 0, -1, np.inf
    reach = max(cutoff, real_cutoff) if coulomb else cutoff
    reach2 = reach * reach
    vxx, vyy, vzz, vyz, vxz, vxy = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for p in range(i.shape[0]):
        a, b = i[p], j[p]
        s0, s1, s2 = float(shifts[p, 0]), float(shifts[p, 1]), float(shifts[p, 2])
        x = positions[b, 0] + s0 * cell[0, 0] + s1 * cell[1, 0] + s2 * cell[2, 0] - positions[a, 0]
        y = positions[b, 1] + s0 * cell[0, 1] + s1 * cell[1, 1] + s2 * cell[2, 1] - positions[a, 1]
        z = positions[b, 2] + s0 * cell[0, 2] + s1 * cell[1, 2] + s2 * cell[2, 2] - positions[a, 2]
        r2 = x * x + y * y + z * z
        if r2 >= reach2:
            continue
        r = math.sqrt(r2)
        row = table[kinds[a], kinds[b]]
        value, slope = 0.0, 0.0
        if r < row[3]:
            n_guarded += 1
            worst = p
        if r < shortest:
            shortest = r
            if r < 1e-6:
                continue
        if guard and r < row[3]:
            bare = charges[a] * charges[b] / r
            depth = row[3] - r
            value = row[4] + 0.5 * row[5] * depth * depth - bare
            slope = -row[5] * depth + bare / r
        elif r < cutoff:
            if row[0] != 0.0:
                value = row[0] * math.exp(-r * row[1])
                slope = -value * row[1]
            if row[2] != 0.0:
                dispersion = row[2] / (r2 * r2 * r2)
                value -= dispersion
                slope += 6.0 * dispersion / r
            if r > onset:
                t, dt = taper((r - onset) / (cutoff - onset))
                slope = slope * t + value * dt / (cutoff - onset)
                value *= t
        if coulomb and r < real_cutoff:
            v, dv = screened(r, alpha, real_cutoff)
            qq = charges[a] * charges[b]
            value += qq * v
            slope += qq * dv
        energies[a] += 0.5 * value
        energies[b] += 0.5 * value
        g = slope / r
        gx, gy, gz = g * x, g * y, g * z
        forces[a, 0] += gx
        forces[a, 1] += gy
        forces[a, 2] += gz
        forces[b, 0] -= gx
        forces[b, 1] -= gy
        forces[b, 2] -= gz
        vxx += gx * x
        vyy += gy * y
        vzz += gz * z
        vyz += gy * z
        vxz += gx * z
        vxy += gx * y
    virial[0, 0], virial[1, 1], virial[2, 2] = vxx, vyy, vzz
    virial[1, 2], virial[0, 2], virial[0, 1] = vyz, vxz, vxy
    return energies, forces, virial, n_guarded, worst, shortest
