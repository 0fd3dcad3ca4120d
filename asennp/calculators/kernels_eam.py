"""Compiled pair loops of the embedded-atom method."""

import math

import numpy as np
from numba import njit


@njit(inline="always")
def cubic(table: np.ndarray, step: float, x: float) -> tuple[float, float]:
    """Value and slope at x of a piecewise cubic; the end pieces go on beyond the ends.

    Row p holds the powers of x - p step on the p-th interval.
    """
    p = min(max(int(x / step), 0), table.shape[0] - 1)
    t = x - p * step
    c0, c1, c2, c3 = table[p, 0], table[p, 1], table[p, 2], table[p, 3]
    return c0 + t * (c1 + t * (c2 + t * c3)), c1 + t * (2.0 * c2 + t * (3.0 * c3))


@njit(cache=True, nogil=True, error_model="numpy")
def embedded_atoms(
    positions: np.ndarray,
    cell: np.ndarray,
    kinds: np.ndarray,
    i: np.ndarray,
    j: np.ndarray,
    shifts: np.ndarray,
    cutoff: float,
    radial_step: float,
    phi: np.ndarray,
    density: np.ndarray,
    density_step: float,
    embedding: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Sum pair and embedding terms over a half list.

    `phi[a, b]` and `density[a, b]` (density of an atom of kind a at one of kind b) are functions of the
    distance, `embedding[a]` of the density; see `cubic`. Pairs are taken in the list's order and those
    out of reach are skipped, so sums do not depend on the list's age.

    Returns
    -------
    energies, forces, virial (upper triangle), shortest distance.
    """
    n, n_pairs = positions.shape[0], i.shape[0]
    energies, forces, virial = np.zeros(n), np.zeros((n, 3)), np.zeros((3, 3))
    near, work = np.empty(n_pairs, np.int32), np.empty((n_pairs, 7))
    total, slope = np.zeros(n), np.empty(n)
    reach2, shortest = cutoff * cutoff, np.inf
    m = 0
    for p in range(n_pairs):
        a, b = i[p], j[p]
        s0, s1, s2 = float(shifts[p, 0]), float(shifts[p, 1]), float(shifts[p, 2])
        x = positions[b, 0] + (s0 * cell[0, 0] + s1 * cell[1, 0] + s2 * cell[2, 0]) - positions[a, 0]
        y = positions[b, 1] + (s0 * cell[0, 1] + s1 * cell[1, 1] + s2 * cell[2, 1]) - positions[a, 1]
        z = positions[b, 2] + (s0 * cell[0, 2] + s1 * cell[1, 2] + s2 * cell[2, 2]) - positions[a, 2]
        d2 = x * x + y * y + z * z
        if d2 >= reach2:
            continue
        r = math.sqrt(d2)
        shortest = min(shortest, r)
        ka, kb = kinds[a], kinds[b]
        v, dv = cubic(phi[ka, kb], radial_step, r)
        at_a, dat_a = cubic(density[kb, ka], radial_step, r)
        at_b, dat_b = at_a, dat_a
        if ka != kb:
            at_b, dat_b = cubic(density[ka, kb], radial_step, r)
        v *= 0.5
        energies[a] += v
        energies[b] += v
        total[a] += at_a
        total[b] += at_b
        row = work[m]
        row[0], row[1], row[2], row[3], row[4], row[5], row[6] = x, y, z, r, dv, dat_a, dat_b
        near[m] = p
        m += 1
    for a in range(n):
        f, slope[a] = cubic(embedding[kinds[a]], density_step, total[a])
        energies[a] += f
    vxx, vyy, vzz, vyz, vxz, vxy = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(m):
        a, b = i[near[k]], j[near[k]]
        row = work[k]
        x, y, z = row[0], row[1], row[2]
        g = (row[4] + slope[a] * row[5] + slope[b] * row[6]) / row[3]
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
    return energies, forces, virial, shortest
