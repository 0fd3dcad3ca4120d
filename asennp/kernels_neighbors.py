"""Compiled care of a pair list: does it still hold, and which pairs of a wide list are near."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def list_holds(
    positions: np.ndarray,
    then: np.ndarray,
    inverse_then: np.ndarray,
    cell: np.ndarray,
    listed: float,
    wanted: float,
) -> bool:
    """Tell whether every pair closer than `wanted` is still among those once closer than `listed`.

    With F = h0^-1 h and u = r - r0 F, its mean taken out: |F - 1| listed + 2 max|u| < listed - wanted.

    Parameters
    ----------
    positions, cell
        Now, (N, 3) and (3, 3).
    then, inverse_then
        Positions and inverse cell when the list was made.
    """
    F = np.zeros((3, 3))
    strain = 0.0
    for a in range(3):
        for b in range(3):
            for c in range(3):
                F[a, b] += inverse_then[a, c] * cell[c, b]
            off = F[a, b] - (1.0 if a == b else 0.0)
            strain += off * off
    slack = listed - wanted - np.sqrt(strain) * listed
    if not slack > 0.0:
        return False
    n = len(positions)
    moved = np.empty((n, 3))
    mean = np.zeros(3)
    for i in range(n):
        for a in range(3):
            moved[i, a] = positions[i, a] - (
                then[i, 0] * F[0, a] + then[i, 1] * F[1, a] + then[i, 2] * F[2, a]
            )
            mean[a] += moved[i, a]
    mean /= n
    limit = 0.25 * slack * slack
    for i in range(n):
        x, y, z = moved[i, 0] - mean[0], moved[i, 1] - mean[1], moved[i, 2] - mean[2]
        if not x * x + y * y + z * z < limit:
            return False
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def near_pairs(
    positions: np.ndarray,
    start: np.ndarray,
    j: np.ndarray,
    code: np.ndarray,
    offsets: np.ndarray,
    reach: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return start, j and code of the listed pairs closer than `reach`, in the order of the list."""
    n = len(start) - 1
    first = np.zeros(n + 1, dtype=start.dtype)
    other, shift = np.empty(len(j), dtype=j.dtype), np.empty(len(j), dtype=code.dtype)
    limit, count = reach * reach, 0
    for i in range(n):
        for p in range(start[i], start[i + 1]):
            x = positions[j[p], 0] + offsets[code[p], 0] - positions[i, 0]
            y = positions[j[p], 1] + offsets[code[p], 1] - positions[i, 1]
            z = positions[j[p], 2] + offsets[code[p], 2] - positions[i, 2]
            # written in any case, counted only if near: no branch to mispredict
            other[count], shift[count] = j[p], code[p]
            count += x * x + y * y + z * z < limit
        first[i + 1] = count
    return first, other[:count].copy(), shift[:count].copy()
