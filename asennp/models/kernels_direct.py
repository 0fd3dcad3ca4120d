"""Loops of the descriptor for prediction: features, and later the pull-back of a gradient, nothing stored.

The functions of one variable (Gaussians of a distance, angular sections of a cosine) come from piecewise
polynomials, see `direct.py`: no exponential is taken in a loop. All lanes of a table's row are evaluated
side by side: the order of the polynomials arrives as a tuple's length, so that the compiler knows it; arrays
are indexed rather than sliced, which would count references in the innermost loops; and columns are unsigned,
as an index that may be negative keeps a loop from being vectorised. Axes as in `kernels.py`; M members.
"""

import math

import numpy as np
from numba import njit

_FAST = {"contract"}
#: Sums are reordered only where nothing is stored, so that results repeat to the bit (see `kernels.py`).
_REORDER = {"reassoc", "contract"}


@njit(cache=True, nogil=True, fastmath=_FAST)
def envelopes(distances, cutoff):  # type: ignore[no-untyped-def]
    """Return f_c and its derivative (P, 2) of the pairs inside the cut-off; the rest stays undefined."""
    out, factor = np.empty((len(distances), 2)), math.pi / cutoff
    for p in range(len(distances)):
        if distances[p] < cutoff:
            out[p, 0] = 0.5 * math.cos(factor * distances[p]) + 0.5
            out[p, 1] = -0.5 * factor * math.sin(factor * distances[p])
    return out


@njit(cache=True, nogil=True, fastmath=_FAST)
def _gather(begin, degree, edge_pair, edge_sign, vectors, distances, envelope, edges):  # type: ignore[no-untyped-def]
    """Copy one centre's edges side by side: unit vector, length, f_c, its derivative."""
    for a in range(degree):
        p = edge_pair[begin + a]
        inverse = edge_sign[begin + a] / distances[p]
        for c in range(3):
            edges[a, c] = inverse * vectors[p, c]
        edges[a, 3] = distances[p]
        edges[a, 4], edges[a, 5] = envelope[p, 0], envelope[p, 1]


@njit(cache=True, nogil=True, fastmath=_FAST)
def _largest_step(starts):  # type: ignore[no-untyped-def]
    largest = 0
    for i in range(len(starts) - 1):
        largest = max(largest, starts[i + 1] - starts[i])
    return largest


@njit(cache=True, nogil=True, fastmath=_FAST)
def add_radial(distances, i, j, species, n_shifts, table, first, scale, order, features):  # type: ignore[no-untyped-def]
    """Add the radial terms of every pair to the features of its two atoms."""
    real, width = features.dtype.type, np.uint64(table.shape[2])
    values = np.empty(width, features.dtype)
    for p in range(len(distances)):
        x = distances[p] * scale
        n = min(int(x), len(table) - 1)
        t = real(x - n - 0.5)
        for k in range(width):
            value = table[n, 0, k]
            for c in range(1, len(order)):
                value = value * t + table[n, c, k]
            values[k] = value
        a, to_i = i[p], np.uint64(species[j[p]] * n_shifts) + first[n]
        for k in range(width):
            features[a, to_i + k] += values[k]
        b, to_j = j[p], np.uint64(species[i[p]] * n_shifts) + first[n]
        for k in range(width):
            features[b, to_j + k] += values[k]


@njit(cache=True, nogil=True, fastmath=_FAST)
def add_angular(  # type: ignore[no-untyped-def]
    vectors,
    distances,
    envelope,
    starts,
    edge_pair,
    edge_sign,
    edge_species,
    pair_rank,
    first_angular,
    gauss,
    gauss_scale,
    bump,
    bump_scale,
    order,
    features,
):
    """Set the angular features, sums over the triples of a centre.

    Rows of `gauss` and `bump` hold the values of all shifts (sections), then their slopes; `pair_rank`
    numbers the pairs of species.
    """
    real = features.dtype.type
    n_shifts, n_sections = np.uint64(gauss.shape[2] // 2), np.uint64(bump.shape[2] // 2)
    edges = np.empty((_largest_step(starts), 6))
    g, h = np.empty(n_shifts, features.dtype), np.empty(n_sections, features.dtype)
    n_kinds = pair_rank.max() + np.uint64(1)
    sums = np.empty((n_kinds, n_sections, n_shifts), features.dtype)
    for i in range(len(starts) - 1):
        begin, degree = starts[i], starts[i + 1] - starts[i]
        _gather(begin, degree, edge_pair, edge_sign, vectors, distances, envelope, edges)
        sums[:] = 0.0
        for a in range(degree):
            for b in range(a + 1, degree):
                cosine = edges[a, 0] * edges[b, 0] + edges[a, 1] * edges[b, 1] + edges[a, 2] * edges[b, 2]
                x, y = max(1.0 + cosine, 0.0) * bump_scale, (edges[a, 3] + edges[b, 3]) * gauss_scale
                n, k = min(int(x), len(bump) - 1), min(int(y), len(gauss) - 1)
                u, t = real(x - n - 0.5), real(y - k - 0.5)
                both = real(edges[a, 4] * edges[b, 4])
                kind = pair_rank[edge_species[begin + a], edge_species[begin + b]]
                for q in range(n_shifts):
                    value = gauss[k, 0, q]
                    for c in range(1, len(order)):
                        value = value * t + gauss[k, c, q]
                    g[q] = both * value
                for z in range(n_sections):
                    value = bump[n, 0, z]
                    for c in range(1, len(order)):
                        value = value * u + bump[n, c, z]
                    h[z] = value
                for z in range(n_sections):
                    value = h[z]
                    for q in range(n_shifts):
                        sums[kind, z, q] += value * g[q]
        for kind in range(n_kinds):
            for q in range(n_shifts):
                for z in range(n_sections):
                    features[i, first_angular + (kind * n_shifts + q) * n_sections + z] = sums[kind, z, q]


@njit(cache=True, nogil=True, fastmath=_REORDER)
def _dot_sum(gradients, m, i, to_i, j, to_j, values):  # type: ignore[no-untyped-def]
    """Return sum_k (g_i,k + g_j,k) values_k."""
    total = gradients.dtype.type(0)
    for k in range(np.uint64(len(values))):
        total += (gradients[m, i, to_i + k] + gradients[m, j, to_j + k]) * values[k]
    return total


@njit(cache=True, nogil=True, fastmath=_FAST)
def pull_back_radial(  # type: ignore[no-untyped-def]
    gradients, vectors, distances, i, j, species, n_shifts, table, first, scale, order, slopes, virial
):
    """Add the radial part of dE/dr (M, N, 3) and dE/deps (M, 3, 3, upper triangle); `table` of slopes."""
    real, width = gradients.dtype.type, np.uint64(table.shape[2])
    values = np.empty(width, gradients.dtype)
    for p in range(len(distances)):
        x = distances[p] * scale
        n = min(int(x), len(table) - 1)
        t = real(x - n - 0.5)
        for k in range(width):
            value = table[n, 0, k]
            for c in range(1, len(order)):
                value = value * t + table[n, c, k]
            values[k] = value
        a, b = i[p], j[p]
        to_i = np.uint64(species[b] * n_shifts) + first[n]
        to_j = np.uint64(species[a] * n_shifts) + first[n]
        inverse = 1.0 / distances[p]
        for m in range(len(gradients)):
            total = inverse * _dot_sum(gradients, m, a, to_i, b, to_j, values)
            for c in range(3):
                f = total * vectors[p, c]
                slopes[m, a, c] -= f
                slopes[m, b, c] += f
                for d in range(c, 3):
                    virial[m, c, d] += f * vectors[p, d]


@njit(cache=True, nogil=True, fastmath=_REORDER)
def _contract(gradients, m, kind, gauss, bump, n_shifts, sections):  # type: ignore[no-untyped-def]
    """Return sum_zq g_zq (G_q B_z, G_q B'_z, G'_q B_z) from rows of values, then slopes."""
    zero = gauss.dtype.type(0)
    value, by_cos, by_mean = zero, zero, zero
    for q in range(n_shifts):
        plain, tilted = zero, zero
        for z in range(len(sections)):
            plain += gradients[m, kind, z, q] * bump[z]
            tilted += gradients[m, kind, z, q] * bump[z + len(sections)]
        value += plain * gauss[q]
        by_cos += tilted * gauss[q]
        by_mean += plain * gauss[q + n_shifts]
    return value, by_cos, by_mean


@njit(cache=True, nogil=True, fastmath=_FAST)
def pull_back_angular(  # type: ignore[no-untyped-def]
    gradients,
    vectors,
    distances,
    envelope,
    i,
    j,
    starts,
    edge_pair,
    edge_sign,
    edge_species,
    pair_rank,
    first_angular,
    gauss,
    gauss_scale,
    bump,
    bump_scale,
    sections,
    order,
    slopes,
    virial,
):
    """Add the angular part of dE/dr (M, N, 3) and dE/deps (M, 3, 3, upper triangle)."""
    real, n_members, largest = gradients.dtype.type, len(gradients), _largest_step(starts)
    edges, pull = np.empty((largest, 6)), np.empty((n_members, largest, 3))
    n_gauss, n_bump = np.uint64(gauss.shape[2]), np.uint64(bump.shape[2])
    n_shifts, n_sections = np.uint64(gauss.shape[2] // 2), np.uint64(bump.shape[2] // 2)
    g, h = np.empty(n_gauss, gradients.dtype), np.empty(n_bump, gradients.dtype)
    n_kinds = pair_rank.max() + np.uint64(1)
    own = np.empty((n_members, n_kinds, n_sections, n_shifts), gradients.dtype)
    for centre in range(len(starts) - 1):
        begin, degree = starts[centre], starts[centre + 1] - starts[centre]
        _gather(begin, degree, edge_pair, edge_sign, vectors, distances, envelope, edges)
        pull[:, :degree] = 0.0
        for m in range(n_members):
            for kind in range(n_kinds):
                for q in range(n_shifts):
                    for z in range(n_sections):
                        column = first_angular + (kind * n_shifts + q) * n_sections + z
                        own[m, kind, z, q] = gradients[m, centre, column]
        for a in range(degree):
            for b in range(a + 1, degree):
                cosine = edges[a, 0] * edges[b, 0] + edges[a, 1] * edges[b, 1] + edges[a, 2] * edges[b, 2]
                x, y = max(1.0 + cosine, 0.0) * bump_scale, (edges[a, 3] + edges[b, 3]) * gauss_scale
                n, k = min(int(x), len(bump) - 1), min(int(y), len(gauss) - 1)
                u, t = real(x - n - 0.5), real(y - k - 0.5)
                kind = pair_rank[edge_species[begin + a], edge_species[begin + b]]
                for q in range(n_gauss):
                    polynomial = gauss[k, 0, q]
                    for c in range(1, len(order)):
                        polynomial = polynomial * t + gauss[k, c, q]
                    g[q] = polynomial
                for q in range(n_bump):
                    polynomial = bump[n, 0, q]
                    for c in range(1, len(order)):
                        polynomial = polynomial * u + bump[n, c, q]
                    h[q] = polynomial
                both = edges[a, 4] * edges[b, 4]
                fade_a, fade_b = edges[a, 5] * edges[b, 4], edges[a, 4] * edges[b, 5]
                inverse_a, inverse_b = 1.0 / edges[a, 3], 1.0 / edges[b, 3]
                for m in range(n_members):
                    value, by_cos, by_mean = _contract(own, m, kind, g, h, n_shifts, sections)
                    turn, stretch = both * by_cos, 0.5 * both * by_mean
                    turn_a, turn_b = turn * inverse_a, turn * inverse_b
                    along_a = fade_a * value + stretch - turn_a * cosine
                    along_b = fade_b * value + stretch - turn_b * cosine
                    for c in range(3):
                        pull[m, a, c] += along_a * edges[a, c] + turn_a * edges[b, c]
                        pull[m, b, c] += along_b * edges[b, c] + turn_b * edges[a, c]
        for a in range(degree):
            p, sign = edge_pair[begin + a], edge_sign[begin + a]
            neighbor = j[p] if sign == 1 else i[p]
            for m in range(n_members):
                for c in range(3):
                    f = pull[m, a, c]
                    slopes[m, centre, c] -= f
                    slopes[m, neighbor, c] += f
                    for d in range(c, 3):
                        virial[m, c, d] += f * sign * vectors[p, d]
