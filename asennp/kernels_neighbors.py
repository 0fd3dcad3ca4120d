"""Compiled search for neighbours: cells of a grid, pairs straight in canonical order."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def find_pairs(
    cell: np.ndarray,
    wraps: np.ndarray,
    scaled: np.ndarray,
    pbc: np.ndarray,
    bins: np.ndarray,
    reach: np.ndarray,
    low: np.ndarray,
    width: np.ndarray,
    cutoff: float,
    full: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return row starts (N + 1,), second atoms (P,) and keys of shifts (P,) of all pairs within the cut-off.

    `scaled` (N, 3) are coordinates inside [0, 1), where `wraps` (N, 3) cell vectors have been taken off; the
    grid has `bins` of which `reach` to either side may hold neighbours. Keys number the shifts
    low ... low + width - 1 in lexicographic order.

    The outer loop runs over the second atom, upwards, and appends it to the rows of the first ones;
    grid cells are visited backwards, so that the shifts of a pair of atoms come in order as well.
    """
    n = scaled.shape[0]
    home = np.empty((n, 3), np.int64)
    n_bins = bins[0] * bins[1] * bins[2]
    edges = np.zeros(n_bins + 1, np.int64)
    for a in range(n):
        for c in range(3):
            home[a, c] = min(int(scaled[a, c] * bins[c]), bins[c] - 1)
        edges[(home[a, 0] * bins[1] + home[a, 1]) * bins[2] + home[a, 2] + 1] += 1
    for b in range(n_bins):
        edges[b + 1] += edges[b]
    fill, sorted_ = edges[:-1].copy(), np.empty(n, np.int64)
    inside = np.empty((n, 3))
    for a in range(n):
        b = (home[a, 0] * bins[1] + home[a, 1]) * bins[2] + home[a, 2]
        sorted_[fill[b]] = a
        for c in range(3):
            inside[fill[b], c] = (
                scaled[a, 0] * cell[0, c] + scaled[a, 1] * cell[1, c] + scaled[a, 2] * cell[2, c]
            )
        fill[b] += 1
    where = np.empty(n, np.int64)
    for p in range(n):
        where[sorted_[p]] = p
    cutoff2 = cutoff * cutoff
    start, end = np.zeros(n + 1, np.int64), np.zeros(n, np.int64)
    j, key = np.empty(0, np.int32), np.empty(0, np.int64)
    for writing in (False, True):
        for b in range(n):
            x0, y0, z0 = inside[where[b], 0], inside[where[b], 1], inside[where[b], 2]
            for dx in range(reach[0], -reach[0] - 1, -1):
                gx = home[b, 0] + dx
                sx = gx // bins[0]
                if sx != 0 and not pbc[0]:
                    continue
                for dy in range(reach[1], -reach[1] - 1, -1):
                    gy = home[b, 1] + dy
                    sy = gy // bins[1]
                    if sy != 0 and not pbc[1]:
                        continue
                    for dz in range(reach[2], -reach[2] - 1, -1):
                        gz = home[b, 2] + dz
                        sz = gz // bins[2]
                        if sz != 0 and not pbc[2]:
                            continue
                        g = ((gx - sx * bins[0]) * bins[1] + gy - sy * bins[1]) * bins[2] + gz - sz * bins[2]
                        if edges[g] == edges[g + 1]:
                            continue
                        ox = sx * cell[0, 0] + sy * cell[1, 0] + sz * cell[2, 0] - x0
                        oy = sx * cell[0, 1] + sy * cell[1, 1] + sz * cell[2, 1] - y0
                        oz = sx * cell[0, 2] + sy * cell[1, 2] + sz * cell[2, 2] - z0
                        for p in range(edges[g], edges[g + 1]):
                            a = sorted_[p]
                            if a > b and not full:
                                break  # atoms of a grid cell are in order
                            x, y, z = inside[p, 0] + ox, inside[p, 1] + oy, inside[p, 2] + oz
                            if x * x + y * y + z * z >= cutoff2:
                                continue
                            s0 = wraps[a, 0] - wraps[b, 0] - sx
                            s1 = wraps[a, 1] - wraps[b, 1] - sy
                            s2 = wraps[a, 2] - wraps[b, 2] - sz
                            if a == b:
                                first = s0 if s0 != 0 else (s1 if s1 != 0 else s2)
                                if first == 0 or (first < 0 and not full):
                                    continue
                            if writing:
                                j[end[a]] = b
                                key[end[a]] = (
                                    ((s0 - low[0]) * width[1] + s1 - low[1]) * width[2] + s2 - low[2]
                                )
                                end[a] += 1
                            else:
                                start[a + 1] += 1
        if not writing:
            for a in range(n):
                start[a + 1] += start[a]
                end[a] = start[a]
            j, key = np.empty(start[n], np.int32), np.empty(start[n], np.int64)
    return start, j, key
