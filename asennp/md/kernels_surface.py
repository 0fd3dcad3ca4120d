"""Compiled loops of the bias surface: a tensor product of cubic B-splines in any number of dimensions."""

import math

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def evaluate_points(coefficients, counts, lows, spacings, points, values, slopes):  # type: ignore[no-untyped-def]
    """Fill values (n,) and slopes (n, d) of a surface at points (n, d).

    `coefficients` holds the padded mesh, flat, `counts` (d,) its nodes without the ghosts. A point costs
    4^d coefficients, whatever the size of the mesh.
    """
    d = len(counts)
    weight, slope = np.empty((d, 4)), np.empty((d, 4))
    corner, stride = np.empty(d, np.int64), np.empty(d, np.int64)
    stride[d - 1] = 1
    for a in range(d - 1, 0, -1):
        stride[a - 1] = stride[a] * (counts[a] + 2)
    factor = np.empty(d + 1)
    for p in range(len(points)):
        for a in range(d):
            corner[a] = _basis(points[p, a], counts[a], lows[a], spacings[a], a == 0, weight[a], slope[a])
        value = 0.0
        slopes[p] = 0.0
        for m in range(1 << (2 * d)):
            place, rest, factor[d] = 0, m, 1.0
            for a in range(d - 1, -1, -1):
                q = rest & 3
                rest >>= 2
                place += (corner[a] + q) * stride[a]
                factor[a] = factor[a + 1] * weight[a, q]
            c = coefficients[place]
            value += c * factor[0]
            before, rest = c, m
            for a in range(d):
                q = (m >> (2 * (d - 1 - a))) & 3
                slopes[p, a] += before * slope[a, q] * factor[a + 1]
                before *= weight[a, q]
        values[p] = value


@njit(cache=True, nogil=True, error_model="numpy")
def _basis(x, n, low, spacing, linear, weight, slope):  # type: ignore[no-untyped-def]
    """Fill four weights and their slopes; return the first node they belong to, in the padded mesh.

    Beyond an edge the weights go on linearly (`linear`) or level off within a third of a spacing.
    """
    inside = min(max(x, low), low + (n - 1) * spacing)
    u = (inside - low) / spacing
    k = min(int(u), n - 2)
    t = u - k
    s = 1.0 - t
    half = 0.5 / spacing
    weight[0], weight[3] = s * s * s / 6.0, t * t * t / 6.0
    weight[1] = (3.0 * t * t * t - 6.0 * t * t + 4.0) / 6.0
    weight[2] = (3.0 * s * s * s - 6.0 * s * s + 4.0) / 6.0
    slope[0], slope[3] = -half * s * s, half * t * t
    slope[1], slope[2] = half * (3.0 * t * t - 4.0 * t), half * (4.0 * s - 3.0 * s * s)
    beyond = x - inside
    if beyond != 0.0:
        reach, rate = beyond, 1.0
        if not linear:
            rate = 1.0 / (1.0 + 3.0 * abs(beyond) / spacing)
            reach *= rate
            rate *= rate
        for q in range(4):
            weight[q] += reach * slope[q]
            slope[q] *= rate
    return k


@njit(cache=True, nogil=True, error_model="numpy")
def raise_around(coefficients, counts, scaled, widths, height, lowest, highest):  # type: ignore[no-untyped-def]
    """Add height exp(-|k - x|^2/2w^2) to the nodes within 4 w, then limit differences along the first axis.

    Only the columns (lines along the first axis) that the bump reaches are touched; the sweep goes outward
    from the node nearest to the point, which stays, and ends where nothing is left to move. Ghosts at the
    ends of those columns are renewed, those beside the other axes are not.

    Parameters
    ----------
    coefficients
        The padded mesh, flat.
    counts, scaled, widths
        Nodes, the point and the kernel in node spacings, each (d,).
    lowest, highest
        Limits of c_{k+1} - c_k along the first axis.

    Returns
    -------
    Number of nodes that the limits moved.
    """
    d, n = len(counts), counts[0]
    first, last = np.empty(d, np.int64), np.empty(d, np.int64)
    for a in range(d):
        first[a] = max(math.floor(scaled[a] - 4.0 * widths[a]) + 1, 0)
        last[a] = min(math.ceil(scaled[a] + 4.0 * widths[a]) - 1, counts[a] - 1)
    line = np.exp(-0.5 * ((np.arange(first[0], last[0] + 1) - scaled[0]) / widths[0]) ** 2)
    row = 1
    for a in range(1, d):
        row *= counts[a] + 2
    start = min(max(round(scaled[0]), 0), n - 1)
    node, moved = first.copy(), 0
    while True:
        place, lateral, stride = 0, height, 1
        for a in range(d - 1, 0, -1):
            place += (node[a] + 1) * stride
            stride *= counts[a] + 2
            lateral *= math.exp(-0.5 * ((node[a] - scaled[a]) / widths[a]) ** 2)
        for k in range(first[0], last[0] + 1):
            coefficients[place + (k + 1) * row] += lateral * line[k - first[0]]
        for k in range(start + 1, n):
            here = place + (k + 1) * row
            base = coefficients[here - row]
            held = min(max(coefficients[here], base + lowest), base + highest)
            if held == coefficients[here] and k > last[0]:
                break
            moved += held != coefficients[here]
            coefficients[here] = held
        for k in range(start - 1, -1, -1):
            here = place + (k + 1) * row
            base = coefficients[here + row]
            held = min(max(coefficients[here], base - highest), base - lowest)
            if held == coefficients[here] and k < first[0]:
                break
            moved += held != coefficients[here]
            coefficients[here] = held
        coefficients[place] = 2.0 * coefficients[place + row] - coefficients[place + 2 * row]
        top = place + n * row
        coefficients[top + row] = 2.0 * coefficients[top] - coefficients[top - row]
        a = d - 1
        while a > 0:
            node[a] += 1
            if node[a] <= last[a]:
                break
            node[a] = first[a]
            a -= 1
        if a == 0:
            return moved
