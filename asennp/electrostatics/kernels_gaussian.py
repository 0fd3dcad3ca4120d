"""Compiled sums over pairs of Gaussian charges, in units of e^2/Å without the prefactor.

Each atom has two sites, Gaussians of the same exponent: 0, the core, at r, and 1, the shell, at r + s. Two
of the exponents alpha and beta interact as erf(a r)/r, 1/a^2 = 1/alpha + 1/beta. Functions of a distance
come as (f, f'/r, (f'/r)'/r), so that the gradient is f1 d and the second derivatives are f1 + f2 d d.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from asennp.electrostatics.kernels import erfc_gauss

_TWO_OVER_SQRT_PI = 2.0 / math.sqrt(math.pi)
#: Below this a r, erf(a r)/r comes from its series.
_SERIES = 0.5


class Pairs(NamedTuple):
    """Which atoms meet, and how.

    Attributes
    ----------
    positions
        (N, 3), Å.
    start, j, code
        Pairs of atom a are start[a] ... start[a + 1]: with atom j, displaced by offsets[code].
    offsets
        (C, 3), Å.
    kinds, widths
        Kind of each atom, (N,), and a of each pair of kinds, 1/Å.
    cutoff
        Where the taper ends, Å; infinite: none.
    """

    positions: np.ndarray
    start: np.ndarray
    j: np.ndarray
    code: np.ndarray
    offsets: np.ndarray
    kinds: np.ndarray
    widths: np.ndarray
    cutoff: float


@njit(error_model="numpy")
def gaussian_pair(a: float, r2: float) -> tuple[float, float, float]:
    """erf(a r)/r and its derivatives, down to r = 0."""
    u = a * a * r2
    if u < _SERIES * _SERIES:
        # (2 a/√pi) times sum_n (-u)^n / (n! (2 n + 1)) and its derivatives with respect to u
        f, f1, f2 = 0.0, 0.0, 0.0
        for n in range(10, -1, -1):
            f = f * -u / (n + 1.0) + 1.0 / (2 * n + 1)
            f1 = f1 * -u / (n + 1.0) + 1.0 / (2 * n + 3)
            f2 = f2 * -u / (n + 1.0) + 1.0 / (2 * n + 5)
        scale = _TWO_OVER_SQRT_PI * a
        return scale * f, -2.0 * a * a * scale * f1, 4.0 * a * a * a * a * scale * f2
    r = math.sqrt(r2)
    erfc, gauss = erfc_gauss(a * r)
    inverse2 = 1.0 / r2
    f = (1.0 - erfc) / r
    g = _TWO_OVER_SQRT_PI * a * gauss
    f1 = (g - f) * inverse2
    f2 = -(3.0 * f1 + 2.0 * a * a * g) * inverse2
    return f, f1, f2


@njit(error_model="numpy")
def tapered_pair(a: float, r2: float, cutoff: float) -> tuple[float, float, float]:
    """erf(a r)/r, times 1 - 35 x^4 + 84 x^5 - 70 x^6 + 20 x^7 of x = r/cutoff if that is finite."""
    if r2 >= cutoff * cutoff:
        return 0.0, 0.0, 0.0
    f, f1, f2 = gaussian_pair(a, r2)
    if cutoff == math.inf:
        return f, f1, f2
    h = 1.0 / (cutoff * cutoff)
    x2 = r2 * h
    x = math.sqrt(x2)
    t = 1.0 + x2 * x2 * (-35.0 + x * (84.0 + x * (-70.0 + x * 20.0)))
    t1 = h * x2 * (-140.0 + x * (420.0 + x * (-420.0 + x * 140.0)))
    t2 = h * h * (-280.0 + x * (1260.0 + x * (-1680.0 + x * 700.0)))
    return f * t, f1 * t + f * t1, f2 * t + 2.0 * f1 * t1 + f * t2


@njit
def separation(pairs: Pairs, a: int, p: int) -> tuple[float, float, float]:
    """Vector from atom `a` to its neighbour in pair `p`."""
    b, shift = pairs.positions[pairs.j[p]], pairs.offsets[pairs.code[p]]
    r = pairs.positions[a]
    return b[0] + shift[0] - r[0], b[1] + shift[1] - r[1], b[2] + shift[2] - r[2]


@njit(cache=True, nogil=True, error_model="numpy")
def pair_sums(
    pairs: Pairs,
    charges: np.ndarray,
    shells: np.ndarray,
    phi: np.ndarray,
    slopes: np.ndarray,
    virial: np.ndarray,
) -> None:
    """Add potentials at sites (N, 2), gradients with respect to their places (N, 2, 3), and dU/deps.

    Charges are (N, 2), shells' displacements (N, 3); the virial is that at fixed displacements.
    """
    for a in range(len(shells)):
        for p in range(pairs.start[a], pairs.start[a + 1]):
            b = pairs.j[p]
            w = pairs.widths[pairs.kinds[a], pairs.kinds[b]]
            x, y, z = separation(pairs, a, p)
            gx, gy, gz = 0.0, 0.0, 0.0
            for m in range(2):
                for n in range(2):
                    u = x + n * shells[b, 0] - m * shells[a, 0]
                    v = y + n * shells[b, 1] - m * shells[a, 1]
                    t = z + n * shells[b, 2] - m * shells[a, 2]
                    f, f1, _ = tapered_pair(w, u * u + v * v + t * t, pairs.cutoff)
                    phi[a, m] += charges[b, n] * f
                    phi[b, n] += charges[a, m] * f
                    g = charges[a, m] * charges[b, n] * f1
                    hx, hy, hz = g * u, g * v, g * t
                    slopes[a, m, 0] -= hx
                    slopes[a, m, 1] -= hy
                    slopes[a, m, 2] -= hz
                    slopes[b, n, 0] += hx
                    slopes[b, n, 1] += hy
                    slopes[b, n, 2] += hz
                    gx, gy, gz = gx + hx, gy + hy, gz + hz
            virial[0, 0] += gx * x
            virial[1, 1] += gy * y
            virial[2, 2] += gz * z
            virial[1, 2] += 0.5 * (gy * z + gz * y)
            virial[0, 2] += 0.5 * (gx * z + gz * x)
            virial[0, 1] += 0.5 * (gx * y + gy * x)


@njit(cache=True, nogil=True, error_model="numpy")
def core_matrix(pairs: Pairs, matrix: np.ndarray) -> None:
    """Add the interaction of unit charges at the cores to a matrix (N, N)."""
    for a in range(len(matrix)):
        for p in range(pairs.start[a], pairs.start[a + 1]):
            b = pairs.j[p]
            x, y, z = separation(pairs, a, p)
            w = pairs.widths[pairs.kinds[a], pairs.kinds[b]]
            f, _, _ = tapered_pair(w, x * x + y * y + z * z, pairs.cutoff)
            matrix[a, b] += f
            matrix[b, a] += f


@njit
def add_curvature(block: np.ndarray, q: float, f1: float, f2: float, x: float, y: float, z: float) -> None:
    """Add q times the second derivatives of a pair function, xx yy zz yz xz xy."""
    block[0] += q * (f1 + f2 * x * x)
    block[1] += q * (f1 + f2 * y * y)
    block[2] += q * (f1 + f2 * z * z)
    block[3] += q * f2 * y * z
    block[4] += q * f2 * x * z
    block[5] += q * f2 * x * y


@njit(cache=True, nogil=True, error_model="numpy")
def pair_blocks(
    pairs: Pairs, charges: np.ndarray, shells: np.ndarray, blocks: np.ndarray, local: np.ndarray
) -> None:
    """Add the second derivatives of each pair, (P, 13), and those of each shell alone, (N, 6).

    A pair's block holds d2U/dq_a dq_b, then d2U/dq_a ds_b and d2U/dq_b ds_a (3 each), then d2U/ds_a ds_b
    (xx yy zz yz xz xy).
    """
    for a in range(len(shells)):
        for p in range(pairs.start[a], pairs.start[a + 1]):
            b = pairs.j[p]
            w = pairs.widths[pairs.kinds[a], pairs.kinds[b]]
            x, y, z = separation(pairs, a, p)
            row = blocks[p]
            for m in range(2):
                for n in range(2):
                    u = x + n * shells[b, 0] - m * shells[a, 0]
                    v = y + n * shells[b, 1] - m * shells[a, 1]
                    t = z + n * shells[b, 2] - m * shells[a, 2]
                    f, f1, f2 = tapered_pair(w, u * u + v * v + t * t, pairs.cutoff)
                    q = charges[a, m] * charges[b, n]
                    if m == 1:
                        add_curvature(local[a], q, f1, f2, u, v, t)
                    if n == 1:
                        add_curvature(local[b], q, f1, f2, u, v, t)
                    if m == 1 and n == 1:
                        add_curvature(row[7:], -q, f1, f2, u, v, t)
                    elif n == 1 or m == 1:
                        first = 1 if n == 1 else 4
                        g = charges[b, 1] * f1 if n == 1 else -charges[a, 1] * f1
                        row[first] += g * u
                        row[first + 1] += g * v
                        row[first + 2] += g * t
                    else:
                        row[0] += f


@njit(cache=True, nogil=True)
def apply_blocks(
    blocks: np.ndarray,
    start: np.ndarray,
    j: np.ndarray,
    dq: np.ndarray,
    ds: np.ndarray,
    out_q: np.ndarray,
    out_s: np.ndarray,
) -> None:
    """Add the pairs' second derivatives times a change of charges (N,) and shells (N, 3)."""
    for a in range(dq.shape[0]):
        qa, ax, ay, az = dq[a], ds[a, 0], ds[a, 1], ds[a, 2]
        sum_q, sx, sy, sz = 0.0, 0.0, 0.0, 0.0
        for p in range(start[a], start[a + 1]):
            b = j[p]
            h = blocks[p]
            qb, bx, by, bz = dq[b], ds[b, 0], ds[b, 1], ds[b, 2]
            sum_q += h[0] * qb + h[1] * bx + h[2] * by + h[3] * bz
            out_q[b] += h[0] * qa + h[4] * ax + h[5] * ay + h[6] * az
            sx += h[4] * qb + h[7] * bx + h[12] * by + h[11] * bz
            sy += h[5] * qb + h[12] * bx + h[8] * by + h[10] * bz
            sz += h[6] * qb + h[11] * bx + h[10] * by + h[9] * bz
            out_s[b, 0] += h[1] * qa + h[7] * ax + h[12] * ay + h[11] * az
            out_s[b, 1] += h[2] * qa + h[12] * ax + h[8] * ay + h[10] * az
            out_s[b, 2] += h[3] * qa + h[11] * ax + h[10] * ay + h[9] * az
        out_q[a] += sum_q
        out_s[a, 0] += sx
        out_s[a, 1] += sy
        out_s[a, 2] += sz


@njit(cache=True, nogil=True)
def spread_blocks(blocks: np.ndarray, start: np.ndarray, j: np.ndarray, matrix: np.ndarray) -> None:
    """Add the pairs' second derivatives to a dense matrix over q (N) and then s (3 N)."""
    n = start.shape[0] - 1
    for a in range(n):
        for p in range(start[a], start[a + 1]):
            b = j[p]
            h = blocks[p]
            matrix[a, b] += h[0]
            matrix[b, a] += h[0]
            for c in range(3):
                sa, sb = n + 3 * a + c, n + 3 * b + c
                matrix[a, sb] += h[1 + c]
                matrix[sb, a] += h[1 + c]
                matrix[b, sa] += h[4 + c]
                matrix[sa, b] += h[4 + c]
                for d in range(3):
                    value = h[7 + c] if c == d else h[13 - c - d]
                    matrix[sa, n + 3 * b + d] += value
                    matrix[n + 3 * b + d, sa] += value


@njit(cache=True, nogil=True, error_model="numpy")
def width_slopes(pairs: Pairs, charges: np.ndarray, shells: np.ndarray, slopes: np.ndarray) -> None:
    """Add dU/da of each pair of elements, untapered, to `slopes`: d/da erf(a r)/r = (2/√π) exp(-a^2 r^2)."""
    for a in range(len(shells)):
        for p in range(pairs.start[a], pairs.start[a + 1]):
            b = pairs.j[p]
            w = pairs.widths[pairs.kinds[a], pairs.kinds[b]]
            d = separation(pairs, a, p)
            total = 0.0
            for m in range(2):
                for n in range(2):
                    r2 = 0.0
                    for c in range(3):
                        r2 += (d[c] + n * shells[b, c] - m * shells[a, c]) ** 2
                    total += charges[a, m] * charges[b, n] * math.exp(-w * w * r2)
            slopes[pairs.kinds[a], pairs.kinds[b]] += _TWO_OVER_SQRT_PI * total


@njit(cache=True, nogil=True, error_model="numpy")
def own_functions(widths: np.ndarray, shells: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return erf(a s)/s of each atom's own core and shell, with its derivatives, (N,) each."""
    n = widths.shape[0]
    f, f1, f2 = np.empty(n), np.empty(n), np.empty(n)
    for a in range(n):
        s2 = shells[a, 0] ** 2 + shells[a, 1] ** 2 + shells[a, 2] ** 2
        f[a], f1[a], f2[a] = gaussian_pair(widths[a], s2)
    return f, f1, f2
