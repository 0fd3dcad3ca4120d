"""Compiled sum over pairs of tabulated curves.

Any smooth pair curve V(r) becomes polynomials in s = r^2 (see `asennp.electrostatics.table`): one table, in
place of square roots, exponentials and error functions, gives the energy and, exactly, its derivative.
"""

import numpy as np
from numba import njit

from asennp.electrostatics.kernels import add_virials

#: Bins begin at s = 0.25 Å^2, each octave of s has 2^6 of them, told apart by the leading bits of s.
BIN_SHIFT = 52 - 6
FIRST_BIN = int(np.float64(0.25).view(np.int64)) >> BIN_SHIFT
_MIDDLE = 1 << (BIN_SHIFT - 1)


@njit(cache=True, nogil=True, fastmath={"reassoc"})
def row_sums(
    m: int, g: np.ndarray, v: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray
) -> tuple[float, float, float, float, float, float, float, float, float, float]:
    """Sum v, g d and g d d over a row; as for `asennp.electrostatics.kernels.dot`, nothing is stored here."""
    e, fx, fy, fz = 0.0, 0.0, 0.0, 0.0
    xx, yy, zz, yz, xz, xy = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(m):
        gx, gy, gz = g[k] * x[k], g[k] * y[k], g[k] * z[k]
        e += v[k]
        fx += gx
        fy += gy
        fz += gz
        xx += gx * x[k]
        yy += gy * y[k]
        zz += gz * z[k]
        yz += gy * z[k]
        xz += gx * z[k]
        xy += gx * y[k]
    return e, fx, fy, fz, xx, yy, zz, yz, xz, xy


@njit(cache=True, nogil=True, error_model="numpy")
def tabulated_rows(
    bounds: np.ndarray,
    first_block: int,
    last_block: int,
    positions: np.ndarray,
    start: np.ndarray,
    j: np.ndarray,
    code: np.ndarray,
    offsets: np.ndarray,
    weights: np.ndarray,
    kinds: np.ndarray,
    first: np.ndarray,
    nearest: np.ndarray,
    table: np.ndarray,
    border: float,
    beyond: int,
    reach: float,
    sums: np.ndarray,
    virials: np.ndarray,
) -> int:
    """Sum w_i w_j V(r) over the pairs closer than `reach` of some blocks of rows.

    Block k holds the rows bounds[k] ... bounds[k + 1]. Row i of the list, start[i] ... start[i + 1], holds
    atoms `j` at offsets[code]; first[kind_i, kind_j] is the row of `table` where the pair's curve begins, and
    beyond the distance `border` it is the curve `beyond` rows further on.

    sums[k], (N, 4) and zero at first, takes the forces and the sums of V of block k, virials[k] the upper
    triangle xx yy zz yz xz xy of its virial. A block's sums never depend on who makes them. Pairs in reach
    are packed before anything is summed, so they do not depend on the list's age either.

    Returns
    -------
    The number of pairs closer than nearest[kind_i, kind_j], for which the table does not hold.
    """
    longest = 0
    for a in range(bounds[first_block], bounds[last_block]):
        longest = max(longest, start[a + 1] - start[a])
    work = np.empty((7, longest + 1))
    x, y, z, s, middle, v, g = work
    bits, middle_bits = s.view(np.int64), middle.view(np.int64)
    near, row = np.empty(longest + 1, np.uint32), np.empty(longest + 1, np.int64)
    reach2, border2, n_close = reach * reach, border * border, 0
    for block in range(first_block, last_block):
        own = sums[block]
        xx, yy, zz, yz, xz, xy = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for a in range(bounds[block], bounds[block + 1]):
            x0, y0, z0 = positions[a, 0], positions[a, 1], positions[a, 2]
            m = 0
            for p in range(start[a], start[a + 1]):
                # unsigned numbers cannot count from the end: no check for it
                b, c = np.uint32(j[p]), np.uint32(code[p])
                dx = positions[b, 0] + offsets[c, 0] - x0
                dy = positions[b, 1] + offsets[c, 1] - y0
                dz = positions[b, 2] + offsets[c, 2] - z0
                d2 = dx * dx + dy * dy + dz * dz
                x[m], y[m], z[m], s[m], near[m] = dx, dy, dz, d2, b
                m += d2 < reach2
            for k in range(m):
                bin_ = bits[k] >> BIN_SHIFT
                middle_bits[k] = (bin_ << BIN_SHIFT) | _MIDDLE
                row[k] = max(bin_ - FIRST_BIN, 0) + (beyond if s[k] >= border2 else 0)
            first_a, nearest_a, weight = first[kinds[a]], nearest[kinds[a]], weights[a]
            for k in range(m):
                kind = np.uint32(kinds[near[k]])
                n_close += s[k] < nearest_a[kind] * nearest_a[kind]
                row[k] += first_a[kind]
            for k in range(m):
                q = np.uint64(row[k])
                t = s[k] - middle[k]
                c0, c1, c2, c3, c4, c5 = (
                    table[q, 0], table[q, 1], table[q, 2], table[q, 3], table[q, 4], table[q, 5],
                )  # fmt: skip
                w = weight * weights[near[k]]
                v[k] = w * (c0 + t * (c1 + t * (c2 + t * (c3 + t * (c4 + t * c5)))))
                # (dV/dr)/r = 2 dV/ds
                slope = c1 + t * (2.0 * c2 + t * (3.0 * c3 + t * (4.0 * c4 + t * (5.0 * c5))))
                g[k] = 2.0 * w * slope
            e, fx, fy, fz, sxx, syy, szz, syz, sxz, sxy = row_sums(m, g, v, x, y, z)
            for k in range(m):
                b = near[k]
                own[b, 0] -= g[k] * x[k]
                own[b, 1] -= g[k] * y[k]
                own[b, 2] -= g[k] * z[k]
                own[b, 3] += v[k]
            own[a, 0] += fx
            own[a, 1] += fy
            own[a, 2] += fz
            own[a, 3] += e
            xx, yy, zz, yz, xz, xy = xx + sxx, yy + syy, zz + szz, yz + syz, xz + sxz, xy + sxy
        total = virials[block]
        total[0], total[1], total[2], total[3], total[4], total[5] = xx, yy, zz, yz, xz, xy
    return n_close


@njit(cache=True, nogil=True, error_model="numpy")
def add_blocks(
    bounds: np.ndarray,
    sums: np.ndarray,
    virials: np.ndarray,
    energies: np.ndarray,
    forces: np.ndarray,
    virial: np.ndarray,
) -> None:
    """Add the blocks of `tabulated_rows` in their order: half of each V to each atom.

    Rows of a half list hold later atoms, so a block adds to none before its own.
    """
    for block in range(sums.shape[0]):
        for a in range(bounds[block], sums.shape[1]):
            forces[a, 0] += sums[block, a, 0]
            forces[a, 1] += sums[block, a, 1]
            forces[a, 2] += sums[block, a, 2]
            energies[a] += 0.5 * sums[block, a, 3]
    add_virials(virials, virial)
