"""Loops of the descriptor for prediction: features, and later the pull-back of a gradient, nothing stored.

The functions of one variable (Gaussians of a distance, angular sections of a cosine) come from piecewise
polynomials, see `direct.py`: no exponential is taken in a loop, and a table's row, all shifts or sections,
is one vector. The triples of a centre are taken by pairs of species; their geometry is evaluated one triple a
lane, in double precision, as are sums over neighbours' forces; features and their contraction are in the
arrays' type. Tuples stand for their lengths, which the compiler so knows: of polynomials (`order`), of a row
(`row`, `shifts`, `sections`), of vectors of geometry (`wide`). Axes as in `kernels.py`; M members.
"""

# mypy: ignore-errors

import math

import numpy as np
from numba import njit

from asennp.models.kernels_simd import clip, convert, floor_to, keep_first, load, splat, store, total

_FAST = {"contract"}
#: Rows of an edge: unit vector, length, its inverse, f_c, f_c'.
_X, _Y, _Z, _LENGTH, _INVERSE, _FADE, _TILT, _EDGE_ROWS = 0, 1, 2, 3, 4, 5, 6, 7
#: Rows of a triple: cosine, f_c f_c; places in the tables' intervals of sections and Gaussians.
_COSINE, _BOTH, _IN_BUMP, _IN_GAUSS, _TRIPLE_ROWS = 0, 1, 2, 3, 4


@njit(cache=True, nogil=True, fastmath=_FAST)
def envelopes(distances, cutoff):
    """Return f_c and its derivative (P, 2) of the pairs inside the cut-off; the rest stays undefined."""
    out, factor = np.empty((len(distances), 2)), math.pi / cutoff
    for p in range(len(distances)):
        if distances[p] < cutoff:
            out[p, 0] = 0.5 * math.cos(factor * distances[p]) + 0.5
            out[p, 1] = -0.5 * factor * math.sin(factor * distances[p])
    return out


@njit(cache=True, nogil=True, fastmath=_FAST)
def _look_up(table, n, t, order, row):
    """Return the polynomials of interval n at t."""
    place = n * (len(order) * len(row))
    value = load(table, place, row)
    for c in range(1, len(order)):
        value = value * t + load(table, place + c * len(row), row)
    return value


@njit(cache=True, nogil=True, fastmath=_FAST)
def _radial_row(distance, scale, table, order, row):
    """Return the interval of a distance and the table's polynomials there."""
    x = distance * scale
    n = min(int(x), len(table) - 1)
    return n, _look_up(table, n, table.dtype.type(x - n - 0.5), order, row)


@njit(cache=True, nogil=True, fastmath=_FAST)
def add_radial(distances, i, j, species, n_shifts, table, first, scale, order, row, features):
    """Add the radial terms of every pair to the features of its two atoms."""
    n_features = features.shape[1]
    for p in range(len(distances)):
        n, values = _radial_row(distances[p], scale, table, order, row)
        to_i = i[p] * n_features + species[j[p]] * n_shifts + first[n]
        store(features, to_i, load(features, to_i, row) + values)
        to_j = j[p] * n_features + species[i[p]] * n_shifts + first[n]
        store(features, to_j, load(features, to_j, row) + values)


@njit(cache=True, nogil=True, fastmath=_FAST)
def pull_back_radial(
    gradients, vectors, distances, i, j, species, n_shifts, table, first, scale, order, row, slopes, virial
):
    """Add the radial part of dE/dr (M, N, 3) and dE/deps (M, 3, 3, upper triangle); `table` of slopes."""
    n_atoms, n_features = gradients.shape[1:]
    for p in range(len(distances)):
        n, values = _radial_row(distances[p], scale, table, order, row)
        a, b = i[p], j[p]
        to_i = a * n_features + species[b] * n_shifts + first[n]
        to_j = b * n_features + species[a] * n_shifts + first[n]
        inverse = 1.0 / distances[p]
        x, y, z = vectors[p, 0], vectors[p, 1], vectors[p, 2]
        for m in range(len(gradients)):
            start = m * n_atoms * n_features
            both = load(gradients, start + to_i, row) + load(gradients, start + to_j, row)
            f = inverse * total(both * values)
            slopes[m, a, 0] -= f * x
            slopes[m, a, 1] -= f * y
            slopes[m, a, 2] -= f * z
            slopes[m, b, 0] += f * x
            slopes[m, b, 1] += f * y
            slopes[m, b, 2] += f * z
            virial[m, 0, 0] += f * x * x
            virial[m, 0, 1] += f * x * y
            virial[m, 0, 2] += f * x * z
            virial[m, 1, 1] += f * y * y
            virial[m, 1, 2] += f * y * z
            virial[m, 2, 2] += f * z * z


@njit(cache=True, nogil=True, fastmath=_FAST)
def _make_room(starts, n_species, wide):
    """Return room for one centre: edges, their places and groups by species, triples and their intervals."""
    largest = 0
    for i in range(len(starts) - 1):
        largest = max(largest, starts[i + 1] - starts[i])
    n_triples = largest * (largest - 1) // 2 + 2 + len(wide)
    return (
        np.zeros((_EDGE_ROWS, largest + len(wide))),
        np.empty(largest, np.int64),
        np.empty(n_species + 1, np.int64),
        np.zeros((_TRIPLE_ROWS, n_triples)),
        np.zeros((2, n_triples), np.int32),
    )


@njit(cache=True, nogil=True, fastmath=_FAST)
def _gather(
    begin, end, edge_pair, edge_sign, edge_species, vectors, distances, envelope, edges, places, groups
):
    """Copy one centre's edges side by side, sorted by the neighbour's species."""
    groups[:] = 0
    for e in range(begin, end):
        groups[edge_species[e] + 1] += 1
    for s in range(1, len(groups)):
        groups[s] += groups[s - 1]
    for e in range(begin, end):
        k, p = groups[edge_species[e]], edge_pair[e]
        groups[edge_species[e]] += 1
        places[k] = e
        inverse = 1.0 / distances[p]
        for c in range(3):
            edges[c, k] = edge_sign[e] * inverse * vectors[p, c]
        edges[_LENGTH, k], edges[_INVERSE, k] = distances[p], inverse
        edges[_FADE, k], edges[_TILT, k] = envelope[p, 0], envelope[p, 1]
    for s in range(len(groups) - 1, 0, -1):
        groups[s] = groups[s - 1]
    groups[0] = 0


@njit(cache=True, nogil=True, fastmath=_FAST)
def _find_triples(
    edges, begin_a, end_a, begin_b, end_b, bump, bump_scale, gauss, gauss_scale, wide, triples, intervals
):
    """List the triples of two groups of edges, or within one, with their places in the tables; count them."""
    row, width, n = edges.shape[1], triples.shape[1], 0
    for a in range(begin_a, end_a):
        x, y, z = edges[_X, a], edges[_Y, a], edges[_Z, a]
        length, fade = edges[_LENGTH, a], edges[_FADE, a]
        for b in range(max(begin_b, a + 1), end_b, len(wide)):
            cosine = load(edges, b, wide) * x
            cosine = load(edges, _Y * row + b, wide) * y + cosine
            cosine = load(edges, _Z * row + b, wide) * z + cosine
            store(triples, n, cosine)
            store(triples, _BOTH * width + n, load(edges, _FADE * row + b, wide) * fade)
            # the end of the last interval belongs to it
            place = clip((cosine + 1.0) * bump_scale, 0.0, len(bump) - 1e-9)
            store(triples, _IN_BUMP * width + n, floor_to(intervals, n, place) - 0.5)
            place = (load(edges, _LENGTH * row + b, wide) + length) * gauss_scale
            place = clip(place, 0.0, len(gauss) - 1e-9)
            store(triples, _IN_GAUSS * width + n, floor_to(intervals, width + n, place) - 0.5)
            n += min(len(wide), end_b - b)
    triples[_BOTH, n] = 0.0
    return n


@njit(cache=True, nogil=True, fastmath=_FAST)
def _sum_triples(n, triples, intervals, gauss, shifts, bump, sections, order, h, sums):
    """Set sum over n triples of g_q h_z f_c f_c (sections, shifts), two triples at a time."""
    real, n_sections = sums.dtype.type, np.uint64(len(sections))
    sums[:] = real(0)
    for k in range(0, n, 2):
        t, u = real(triples[_IN_GAUSS, k]), real(triples[_IN_GAUSS, k + 1])
        g = _look_up(gauss, intervals[1, k], t, order, shifts) * real(triples[_BOTH, k])
        other = _look_up(gauss, intervals[1, k + 1], u, order, shifts) * real(triples[_BOTH, k + 1])
        t, u = real(triples[_IN_BUMP, k]), real(triples[_IN_BUMP, k + 1])
        store(h, 0, _look_up(bump, intervals[0, k], t, order, sections))
        store(h, len(sections), _look_up(bump, intervals[0, k + 1], u, order, sections))
        for z in range(n_sections):
            place = z * len(shifts)
            both = g * h[z] + load(sums, place, shifts)
            store(sums, place, other * h[z + n_sections] + both)


@njit(cache=True, nogil=True, fastmath=_FAST)
def add_angular(
    vectors,
    distances,
    envelope,
    starts,
    edge_pair,
    edge_sign,
    edge_species,
    pair_columns,
    gauss,
    gauss_scale,
    shifts,
    bump,
    bump_scale,
    sections,
    order,
    wide,
    features,
):
    """Set the angular features, sums over the triples of a centre."""
    n_species, n_shifts, n_sections = len(pair_columns), len(shifts), len(sections)
    edges, places, groups, triples, intervals = _make_room(starts, n_species, wide)
    h, sums = np.empty(2 * n_sections, features.dtype), np.empty(n_sections * n_shifts, features.dtype)
    for i in range(len(starts) - 1):
        begin, end = starts[i], starts[i + 1]
        _gather(
            begin,
            end,
            edge_pair,
            edge_sign,
            edge_species,
            vectors,
            distances,
            envelope,
            edges,
            places,
            groups,
        )
        for s in range(n_species):
            for t in range(s, n_species):
                n = _find_triples(
                    edges, groups[s], groups[s + 1], groups[t], groups[t + 1], bump, bump_scale, gauss,
                    gauss_scale, wide, triples, intervals,
                )  # fmt: skip
                if n > 0:
                    _sum_triples(n, triples, intervals, gauss, shifts, bump, sections, order, h, sums)
                    for q in range(n_shifts):
                        for z in range(n_sections):
                            features[i, pair_columns[s, t] + q * n_sections + z] = sums[z * n_shifts + q]


@njit(cache=True, nogil=True, fastmath=_FAST)
def _contract(n, triples, intervals, gauss, shifts, bump, sections, order, own, h, out):
    """Write sum_zq G_zq (g_q h_z, g_q h'_z, g'_q h_z) of n triples; the tables hold values, then slopes.

    G is `own` (M, sections, shifts), the sums are `out` (M, 3, triples).
    """
    real, n_sections = own.dtype.type, len(sections) // 2
    zero = splat(real(0), shifts)
    values, slopes = gauss
    for k in range(n):
        t = real(triples[_IN_GAUSS, k])
        g = _look_up(values, intervals[1, k], t, order, shifts)
        tilt = _look_up(slopes, intervals[1, k], t, order[1:], shifts)
        store(h, 0, _look_up(bump, intervals[0, k], real(triples[_IN_BUMP, k]), order, sections))
        for m in range(len(own)):
            plain, tilted = zero, zero
            for z in range(n_sections):
                row = load(own, (m * n_sections + z) * len(shifts), shifts)
                plain = row * h[np.uint64(z)] + plain
                tilted = row * h[np.uint64(z + n_sections)] + tilted
            out[m, 0, k] = total(plain * g)
            out[m, 1, k] = total(tilted * g)
            out[m, 2, k] = total(plain * tilt)


@njit(cache=True, nogil=True, fastmath=_FAST)
def _spread(edges, begin_a, end_a, begin_b, end_b, wide, triples, out, pull):
    """Add the slopes of the triples of two groups of edges to `pull` (3, edges)."""
    row, width, n = edges.shape[1], out.shape[1], 0
    zero = splat(0.0, wide)
    for a in range(begin_a, end_a):
        x, y, z = edges[_X, a], edges[_Y, a], edges[_Z, a]
        inverse, fade, tilt = edges[_INVERSE, a], edges[_FADE, a], edges[_TILT, a]
        along, turn_x, turn_y, turn_z = zero, zero, zero, zero
        for b in range(max(begin_b, a + 1), end_b, len(wide)):
            here = min(len(wide), end_b - b)
            cosine, both = load(triples, n, wide), load(triples, _BOTH * triples.shape[1] + n, wide)
            x_b, y_b, z_b = load(edges, b, wide), load(edges, row + b, wide), load(edges, 2 * row + b, wide)
            value = keep_first(convert(load(out, n, wide), edges), here)
            turn = both * keep_first(convert(load(out, width + n, wide), edges), here)
            stretch = (both * 0.5) * keep_first(convert(load(out, 2 * width + n, wide), edges), here)
            turn_b = turn * load(edges, _INVERSE * row + b, wide)
            along_b = value * load(edges, _TILT * row + b, wide) * fade + (stretch - turn_b * cosine)
            along = along + (
                value * load(edges, _FADE * row + b, wide) * tilt + (stretch - turn * cosine * inverse)
            )
            turn_x = turn * x_b + turn_x
            turn_y = turn * y_b + turn_y
            turn_z = turn * z_b + turn_z
            store(pull, b, load(pull, b, wide) + (along_b * x_b + turn_b * x))
            store(pull, row + b, load(pull, row + b, wide) + (along_b * y_b + turn_b * y))
            store(pull, 2 * row + b, load(pull, 2 * row + b, wide) + (along_b * z_b + turn_b * z))
            n += here
        own = total(along)
        pull[0, a] += own * x + inverse * total(turn_x)
        pull[1, a] += own * y + inverse * total(turn_y)
        pull[2, a] += own * z + inverse * total(turn_z)


@njit(cache=True, nogil=True, fastmath=_FAST)
def pull_back_angular(
    gradients,
    i,
    j,
    vectors,
    distances,
    envelope,
    starts,
    edge_pair,
    edge_sign,
    edge_species,
    pair_columns,
    gauss,
    gauss_scale,
    shifts,
    bump,
    bump_scale,
    sections,
    order,
    wide,
    slopes,
    virial,
):
    """Add the angular part of dE/dr (M, N, 3) and dE/deps (M, 3, 3, upper triangle).

    `gauss` are the tables of values and of slopes, a row of `bump` holds values, then slopes.
    """
    n_species, n_shifts, n_sections = len(pair_columns), len(shifts), len(sections) // 2
    n_members = len(gradients)
    edges, places, groups, triples, intervals = _make_room(starts, n_species, wide)
    h, own = (
        np.empty(2 * n_sections, gradients.dtype),
        np.empty((n_members, n_sections, n_shifts), gradients.dtype),
    )
    out = np.zeros((n_members, 3, triples.shape[1]), gradients.dtype)
    pull = np.zeros((n_members, 3, edges.shape[1]))
    for centre in range(len(starts) - 1):
        begin, end = starts[centre], starts[centre + 1]
        _gather(
            begin,
            end,
            edge_pair,
            edge_sign,
            edge_species,
            vectors,
            distances,
            envelope,
            edges,
            places,
            groups,
        )
        pull[:, :, : end - begin] = 0.0
        for s in range(n_species):
            for t in range(s, n_species):
                begin_a, end_a, begin_b, end_b = groups[s], groups[s + 1], groups[t], groups[t + 1]
                n = _find_triples(
                    edges, begin_a, end_a, begin_b, end_b, bump, bump_scale, gauss[0], gauss_scale, wide,
                    triples, intervals,
                )  # fmt: skip
                if n == 0:
                    continue
                for m in range(n_members):
                    for q in range(n_shifts):
                        for z in range(n_sections):
                            own[m, z, q] = gradients[m, centre, pair_columns[s, t] + q * n_sections + z]
                _contract(n, triples, intervals, gauss, shifts, bump, sections, order, own, h, out)
                for m in range(n_members):
                    _spread(edges, begin_a, end_a, begin_b, end_b, wide, triples, out[m], pull[m])
        for a in range(end - begin):
            e = places[a]
            p, sign = edge_pair[e], edge_sign[e]
            neighbor = j[p] if sign == 1 else i[p]
            for m in range(n_members):
                for c in range(3):
                    f = pull[m, c, a]
                    slopes[m, centre, c] -= f
                    slopes[m, neighbor, c] += f
                    for d in range(c, 3):
                        virial[m, c, d] += f * sign * vectors[p, d]
