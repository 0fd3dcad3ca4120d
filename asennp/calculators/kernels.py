"""Compiled pair loops of the empirical calculators."""

import math

import numpy as np
from numba import njit

from asennp.electrostatics.kernels import exp_minus, screened, taper

#: Columns of the pair table: A, 1/rho, C, inner radius r_g, and there energy (with bare Coulomb) and
#: curvature of the guard's parabola.
TABLE_COLUMNS = 6


@njit(cache=True, nogil=True, error_model="numpy")
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

    The pairs of each atom are taken in two sweeps: distances of all, then terms of those in reach.
    Sums run in the list's order whatever lies out of reach, so they do not depend on the list's age.

    Returns
    -------
    energies, forces, virial (upper triangle), number of pairs inside their inner radius, the last of
    them (index or -1), shortest distance.
    """
    n, n_pairs = positions.shape[0], i.shape[0]
    energies, forces, virial = np.zeros(n), np.zeros((n, 3)), np.zeros((3, 3))
    n_guarded, worst, shortest = 0, -1, np.inf
    if not coulomb:
        real_cutoff = 0.0
    reach2 = max(cutoff, real_cutoff) ** 2
    vxx, vyy, vzz, vyz, vxz, vxy = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    work, near = np.empty((8, 1024)), np.empty(1024, np.int64)
    start = 0
    while start < n_pairs:
        a = i[start]
        stop = start + 1
        while stop < n_pairs and i[stop] == a:
            stop += 1
        m = stop - start
        if m > near.shape[0]:
            work, near = np.empty((8, 2 * m)), np.empty(2 * m, np.int64)
        dx, dy, dz, d2, radius, inv, value, slope = work
        x0, y0, z0 = positions[a, 0], positions[a, 1], positions[a, 2]
        for p in range(m):
            b = j[start + p]
            s0, s1, s2 = float(shifts[start + p, 0]), float(shifts[start + p, 1]), float(shifts[start + p, 2])
            x = positions[b, 0] + (s0 * cell[0, 0] + s1 * cell[1, 0] + s2 * cell[2, 0]) - x0
            y = positions[b, 1] + (s0 * cell[0, 1] + s1 * cell[1, 1] + s2 * cell[2, 1]) - y0
            z = positions[b, 2] + (s0 * cell[0, 2] + s1 * cell[1, 2] + s2 * cell[2, 2]) - z0
            dx[p], dy[p], dz[p], d2[p] = x, y, z, x * x + y * y + z * z
        n_near = 0
        for p in range(m):
            near[n_near] = p
            n_near += d2[p] < reach2
        ka = kinds[a]
        for k in range(n_near):
            p = near[k]
            r = math.sqrt(d2[p])
            kb = kinds[j[start + p]]
            inverse = 1.0 / r
            inverse2 = inverse * inverse
            dispersion = table[ka, kb, 2] * (inverse2 * inverse2 * inverse2)
            repulsion = table[ka, kb, 0] * exp_minus(r * table[ka, kb, 1])
            radius[k] = r
            inv[k] = inverse
            value[k] = repulsion - dispersion
            slope[k] = 6.0 * dispersion * inverse - repulsion * table[ka, kb, 1]
        ea, fx, fy, fz = 0.0, 0.0, 0.0, 0.0
        for k in range(n_near):
            p = near[k]
            b = j[start + p]
            r, inverse, v, dv = radius[k], inv[k], value[k], slope[k]
            shortest = min(shortest, r)
            inner = table[ka, kinds[b], 3]
            if r < inner:
                n_guarded += 1
                worst = start + p
                if guard:
                    bare = charges[a] * charges[b] * inverse
                    curvature, depth = table[ka, kinds[b], 5], inner - r
                    v = table[ka, kinds[b], 4] + 0.5 * curvature * depth * depth - bare
                    dv = -curvature * depth + bare * inverse
            elif r > onset:
                if r < cutoff:
                    t, dt = taper((r - onset) / (cutoff - onset))
                    dv = dv * t + v * dt / (cutoff - onset)
                    v *= t
                else:
                    v, dv = 0.0, 0.0
            if r < real_cutoff:
                c, dc = screened(r, alpha, real_cutoff)
                qq = charges[a] * charges[b]
                v += qq * c
                dv += qq * dc
            v *= 0.5
            ea += v
            energies[b] += v
            g = dv * inverse
            x, y, z = dx[p], dy[p], dz[p]
            gx, gy, gz = g * x, g * y, g * z
            fx += gx
            fy += gy
            fz += gz
            forces[b, 0] -= gx
            forces[b, 1] -= gy
            forces[b, 2] -= gz
            vxx += gx * x
            vyy += gy * y
            vzz += gz * z
            vyz += gy * z
            vxz += gx * z
            vxy += gx * y
        energies[a] += ea
        forces[a, 0] += fx
        forces[a, 1] += fy
        forces[a, 2] += fz
        start = stop
    virial[0, 0], virial[1, 1], virial[2, 2] = vxx, vyy, vzz
    virial[1, 2], virial[0, 2], virial[0, 1] = vyz, vxz, vxy
    return energies, forces, virial, n_guarded, worst, shortest
