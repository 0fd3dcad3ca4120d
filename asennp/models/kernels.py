"""Loops of the atomic environment vector: edges, features, stored Jacobian and its two contractions.

Axes: P pairs of the half list inside the radial cut-off, E directed edges inside the angular cut-off
(grouped by their centre), N atoms, S species, F features, Q angular features of one species pair.
All kernels release the GIL and sum in the order of the pair list.
"""

import math

import numpy as np
from numba import njit

_FAST = {"contract"}


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _dot_sum(left, other, right):  # type: ignore[no-untyped-def]
    """Return sum_k (left_k + other_k) right_k in the arrays' precision.

    Sums are reordered only here, where nothing is stored: in a loop that stores, the order could follow
    the places of the arrays in memory, and results would not repeat to the bit.
    """
    total = right[0] * 0
    for k in range(len(right)):
        total += (left[k] + other[k]) * right[k]
    return total


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _dot(left, right):  # type: ignore[no-untyped-def]
    """Return sum_k left_k right_k in the arrays' precision."""
    total = right[0] * 0
    for k in range(len(right)):
        total += left[k] * right[k]
    return total


@njit(cache=True, nogil=True)
def find_edges(positions, cell, pair_i, pair_j, shifts, radial_cutoff, angular_cutoff):  # type: ignore[no-untyped-def]
    """Keep the pairs inside the cut-offs; list the angular ones in both directions by centre."""
    n_atoms, n_listed = len(positions), len(pair_i)
    i, j = np.empty(n_listed, np.int32), np.empty(n_listed, np.int32)
    vectors, distances = np.empty((n_listed, 3)), np.empty(n_listed)
    starts = np.zeros(n_atoms + 1, np.int64)
    n_pairs = 0
    for p in range(n_listed):
        a, b = pair_i[p], pair_j[p]
        square = 0.0
        for c in range(3):
            x = positions[b, c] - positions[a, c]
            for k in range(3):
                x += shifts[p, k] * cell[k, c]
            vectors[n_pairs, c] = x
            square += x * x
        distance = math.sqrt(square)
        if distance < radial_cutoff:
            i[n_pairs], j[n_pairs], distances[n_pairs] = a, b, distance
            n_pairs += 1
            if distance < angular_cutoff:
                starts[a + 1] += 1
                starts[b + 1] += 1
    for a in range(n_atoms):
        starts[a + 1] += starts[a]
    n_edges = starts[n_atoms]
    edge_pair, edge_sign = np.empty(n_edges, np.int32), np.empty(n_edges, np.int8)
    cursor = starts[:-1].copy()
    for p in range(n_pairs):
        if distances[p] < angular_cutoff:
            for sign in (1, -1):
                a = i[p] if sign == 1 else j[p]
                edge_pair[cursor[a]], edge_sign[cursor[a]] = p, sign
                cursor[a] += 1
    return i[:n_pairs], j[:n_pairs], vectors[:n_pairs], distances[:n_pairs], starts, edge_pair, edge_sign


@njit(cache=True, nogil=True, fastmath=_FAST)
def radial(distances, i, j, species, cutoff, eta, shifts, reach, features, first, slopes):  # type: ignore[no-untyped-def]
    """Add 1/4 exp(-eta (d - s_k)^2) f_c(d) to the features of both atoms of every pair.

    `first` (P,) and `slopes` (P, width) receive dG/dd / d for the shifts nearest to d, if width > 0;
    Gaussians further than `reach` are left out.
    """
    n_shifts, width = len(shifts), slopes.shape[1]
    factor = math.pi / cutoff
    for p in range(len(distances)):
        d = distances[p]
        envelope = 0.125 * math.cos(factor * d) + 0.125
        envelope_slope = -0.125 * factor * math.sin(factor * d)
        to_i, to_j = species[j[p]] * n_shifts, species[i[p]] * n_shifts
        low = 0
        while low < n_shifts and shifts[low] < d - reach:
            low += 1
        if width > 0:
            near = np.searchsorted(shifts, d)
            first[p] = min(max(near - width // 2, 0), n_shifts - width)
            slopes[p, :] = 0.0
        for k in range(low, n_shifts):
            x = d - shifts[k]
            if x < -reach:
                break
            gauss = math.exp(-eta * x * x)
            features[i[p], to_i + k] += envelope * gauss
            features[j[p], to_j + k] += envelope * gauss
            if width > 0 and 0 <= k - first[p] < width:
                slopes[p, k - first[p]] = (envelope_slope - 2.0 * eta * x * envelope) * gauss / d


@njit(cache=True, nogil=True, fastmath=_FAST)
def _gaussians(x, eta, shifts, step, value, slope):  # type: ignore[no-untyped-def]
    """Fill exp(-eta (x - s_k)^2) and its derivative; evenly spaced shifts need three exponentials."""
    n = len(shifts)
    if step > 0.0:
        middle = min(max(round((x - shifts[0]) / step), 0), n - 1)
        y = x - shifts[middle]
        value[middle] = math.exp(-eta * y * y)
        ratio = math.exp(2.0 * eta * step * y)
        decay = math.exp(-2.0 * eta * step * step)
        half = math.exp(-eta * step * step)
        up, down = half * ratio, half / ratio
        for k in range(middle + 1, n):
            value[k] = value[k - 1] * up
            up *= decay
        for k in range(middle - 1, -1, -1):
            value[k] = value[k + 1] * down
            down *= decay
    else:
        for k in range(n):
            value[k] = math.exp(-eta * (x - shifts[k]) ** 2)
    for k in range(n):
        slope[k] = -2.0 * eta * (x - shifts[k]) * value[k]


@njit(cache=True, nogil=True, fastmath=_FAST)
def angular(  # type: ignore[no-untyped-def]
    vectors,
    distances,
    starts,
    edge_pair,
    edge_sign,
    edge_species,
    pair_column,
    cutoff,
    eta,
    zeta,
    shifts,
    step,
    sections,
    features,
    jacobian,
):
    """Add 2 [(1 + cos(t - t_z))/2]^zeta exp(-eta ((r_a + r_b)/2 - s_k)^2) f_c(r_a) f_c(r_b) for every triple.

    t = arccos(0.95 cos(angle)). `jacobian` (E, S, 3, Q) receives d(features of the centre)/d(edge vector),
    by the species of the other neighbour, if it has E rows. With P = df/dcos and the radial derivative R,
    df/dv_a = (P/r_a) n_b + (R - P cos/r_a) n_a: the second sum needs one number per feature and edge.
    """
    n_shifts, n_sections, n_species = len(shifts), len(sections), pair_column.shape[0]
    n_features = n_shifts * n_sections
    store = len(jacobian) > 0
    largest = 0
    for i in range(len(starts) - 1):
        largest = max(largest, starts[i + 1] - starts[i])
    normal = np.empty((largest, 3))
    length, envelope, envelope_slope = np.empty(largest), np.empty(largest), np.empty(largest)
    along = np.empty((largest, n_species, n_features))
    across = np.empty((largest, n_species, 3, n_features))
    gauss, gauss_slope = np.empty(n_shifts), np.empty(n_shifts)
    bump, bump_slope = np.empty(n_sections), np.empty(n_sections)
    by_cos, by_mean, product = np.empty(n_features), np.empty(n_features), np.empty(n_features)
    cosines, sines = np.cos(sections), np.sin(sections)
    factor = math.pi / cutoff
    for i in range(len(starts) - 1):
        begin, degree = starts[i], starts[i + 1] - starts[i]
        for a in range(degree):
            p = edge_pair[begin + a]
            length[a] = distances[p]
            for c in range(3):
                normal[a, c] = edge_sign[begin + a] * vectors[p, c] / length[a]
            envelope[a] = 0.5 * math.cos(factor * length[a]) + 0.5
            envelope_slope[a] = -0.5 * factor * math.sin(factor * length[a])
        if store:
            along[:degree] = 0.0
            across[:degree] = 0.0
        for a in range(degree):
            species_a = edge_species[begin + a]
            for b in range(a + 1, degree):
                species_b = edge_species[begin + b]
                cosine = 0.0
                for c in range(3):
                    cosine += normal[a, c] * normal[b, c]
                x = 0.95 * cosine
                sine = math.sqrt(1.0 - x * x)
                for z in range(n_sections):
                    u = 0.5 + 0.5 * (x * cosines[z] + sine * sines[z])
                    power = math.exp((zeta - 1.0) * math.log(u)) if u > 1e-20 else 0.0
                    bump[z] = 2.0 * power * u
                    bump_slope[z] = 0.95 * zeta * power * (cosines[z] - x / sine * sines[z])
                _gaussians(0.5 * (length[a] + length[b]), eta, shifts, step, gauss, gauss_slope)
                both = envelope[a] * envelope[b]
                for k in range(n_shifts):
                    for z in range(n_sections):
                        q = k * n_sections + z
                        product[q] = gauss[k] * bump[z]
                        by_cos[q] = both * gauss[k] * bump_slope[z]
                        by_mean[q] = 0.5 * both * gauss_slope[k] * bump[z]
                column = pair_column[species_a, species_b]
                target = features[i, column : column + n_features]
                for q in range(n_features):
                    target[q] += both * product[q]
                if store:
                    for side in range(2):
                        e, o = (a, b) if side == 0 else (b, a)
                        other = species_b if side == 0 else species_a
                        edge_along, edge_across = along[e, other], across[e, other]
                        inverse = 1.0 / length[e]
                        tilt = cosine * inverse
                        fade = envelope_slope[e] * envelope[o]
                        for q in range(n_features):
                            edge_along[q] += by_mean[q] + fade * product[q] - tilt * by_cos[q]
                        for c in range(3):
                            scale = inverse * normal[o, c]
                            row = edge_across[c]
                            for q in range(n_features):
                                row[q] += scale * by_cos[q]
        if store:
            for a in range(degree):
                for s in range(n_species):
                    for c in range(3):
                        for q in range(n_features):
                            jacobian[begin + a, s, c, q] = across[a, s, c, q] + normal[a, c] * along[a, s, q]


@njit(cache=True, nogil=True, fastmath=_FAST)
def pull_back(  # type: ignore[no-untyped-def]
    gradients,
    species,
    i,
    j,
    vectors,
    first,
    slopes,
    starts,
    edge_pair,
    edge_sign,
    edge_species,
    pair_column,
    jacobian,
    n_shifts,
):
    """Contract dE/dG (M, N, F) with the Jacobian to dE/dr (M, N, 3) and the virial dE/deps (M, 3, 3)."""
    n_members, n_atoms = gradients.shape[0], gradients.shape[1]
    forces, virial = np.zeros((n_members, n_atoms, 3)), np.zeros((n_members, 3, 3))
    edge_atoms = np.empty(len(edge_pair), np.int32)
    for m in range(n_members):
        for p in range(len(i)):
            of_i = gradients[m, i[p], species[j[p]] * n_shifts + first[p] :]
            of_j = gradients[m, j[p], species[i[p]] * n_shifts + first[p] :]
            total = _dot_sum(of_i, of_j, slopes[p])
            for c in range(3):
                f = total * vectors[p, c]
                forces[m, i[p], c] -= f
                forces[m, j[p], c] += f
                for d in range(3):
                    virial[m, c, d] += f * vectors[p, d]
    for centre in range(n_atoms):
        for e in range(starts[centre], starts[centre + 1]):
            p, sign = edge_pair[e], edge_sign[e]
            edge_atoms[e] = j[p] if sign == 1 else i[p]
            for m in range(n_members):
                for c in range(3):
                    f = 0.0
                    for s in range(pair_column.shape[0]):
                        g = gradients[m, centre, pair_column[edge_species[e], s] :]
                        f += _dot(g, jacobian[e, s, c])
                    forces[m, centre, c] -= f
                    forces[m, edge_atoms[e], c] += f
                    for d in range(3):
                        virial[m, c, d] += f * sign * vectors[p, d]
    return forces, virial


@njit(cache=True, nogil=True, fastmath=_FAST)
def push_forward(  # type: ignore[no-untyped-def]
    displacements,
    strain,
    species,
    i,
    j,
    vectors,
    first,
    slopes,
    starts,
    edge_pair,
    edge_sign,
    edge_species,
    pair_column,
    jacobian,
    n_shifts,
    out,
):
    """Add the change of the features along dr = displacements and dr = strain r to `out` (N, F)."""
    n_features = jacobian.shape[3]
    moves = np.empty((len(i), 3))
    zero = out[0, 0] * 0
    for p in range(len(i)):
        change = 0.0
        for c in range(3):
            moves[p, c] = displacements[j[p], c] - displacements[i[p], c]
            for d in range(3):
                moves[p, c] += strain[c, d] * vectors[p, d]
            change += moves[p, c] * vectors[p, c]
        of_i = out[i[p], species[j[p]] * n_shifts + first[p] :]
        of_j = out[j[p], species[i[p]] * n_shifts + first[p] :]
        scale, row = zero + change, slopes[p]
        for k in range(slopes.shape[1]):
            of_i[k] += scale * row[k]
            of_j[k] += scale * row[k]
    for centre in range(len(starts) - 1):
        for e in range(starts[centre], starts[centre + 1]):
            p = edge_pair[e]
            for s in range(pair_column.shape[0]):
                target = out[centre, pair_column[edge_species[e], s] :]
                for c in range(3):
                    scale, row = zero + edge_sign[e] * moves[p, c], jacobian[e, s, c]
                    for q in range(n_features):
                        target[q] += scale * row[q]
