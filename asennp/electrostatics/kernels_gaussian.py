"""Compiled sums over pairs of Gaussian charges, in units of e^2/Å without the prefactor.

Each atom is a core at r and a shell at r + s, both Gaussians of the same exponent. Two Gaussians of the
exponents alpha and beta interact as erf(a r)/r, 1/a^2 = 1/alpha + 1/beta. Functions of a distance come as
(f, f'/r, (f'/r)'/r), so that the gradient is f1 d and the second derivatives are f1 + f2 d d.
"""

import math

import numpy as np
from numba import njit

from asennp.electrostatics.kernels import erfc_gauss

_TWO_OVER_SQRT_PI = 2.0 / math.sqrt(math.pi)
#: Below this a r, erf(a r)/r comes from its series.
_SERIES = 0.5


@njit(inline="always")
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


@njit(inline="always")
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


@njit(inline="always")
def separation(
    positions: np.ndarray, offsets: np.ndarray, a: int, b: int, code: int
) -> tuple[float, float, float]:
    """Vector from atom `a` to the image of atom `b`."""
    x = positions[b, 0] + offsets[code, 0] - positions[a, 0]
    y = positions[b, 1] + offsets[code, 1] - positions[a, 1]
    z = positions[b, 2] + offsets[code, 2] - positions[a, 2]
    return x, y, z


@njit(inline="always")
def add_site_pair(
    qa: float, qb: float, f: float, f1: float, x: float, y: float, z: float,
    phi_a: np.ndarray, phi_b: np.ndarray, grad_a: np.ndarray, grad_b: np.ndarray, a: int, b: int,
) -> tuple[float, float, float]:  # fmt: skip
    """Add two sites' potentials and gradients; return the gradient with respect to the second site."""
    phi_a[a] += qb * f
    phi_b[b] += qa * f
    g = qa * qb * f1
    gx, gy, gz = g * x, g * y, g * z
    grad_a[a, 0] -= gx
    grad_a[a, 1] -= gy
    grad_a[a, 2] -= gz
    grad_b[b, 0] += gx
    grad_b[b, 1] += gy
    grad_b[b, 2] += gz
    return gx, gy, gz


@njit(cache=True, nogil=True, error_model="numpy")
def pair_sums(
    positions: np.ndarray,
    shells: np.ndarray,
    core: np.ndarray,
    shell: np.ndarray,
    start: np.ndarray,
    j: np.ndarray,
    code: np.ndarray,
    offsets: np.ndarray,
    kinds: np.ndarray,
    widths: np.ndarray,
    cutoff: float,
    phi_core: np.ndarray,
    phi_shell: np.ndarray,
    grad_core: np.ndarray,
    grad_shell: np.ndarray,
    virial: np.ndarray,
) -> None:
    """Add potentials at, and gradients with respect to, cores (charges `core`) and shells (`shell`).

    The virial is dU/deps at fixed shell displacements.
    """
    for a in range(positions.shape[0]):
        ax, ay, az = shells[a, 0], shells[a, 1], shells[a, 2]
        for p in range(start[a], start[a + 1]):
            b = j[p]
            w = widths[kinds[a], kinds[b]]
            x, y, z = separation(positions, offsets, a, b, code[p])
            bx, by, bz = shells[b, 0], shells[b, 1], shells[b, 2]
            f, f1, _ = tapered_pair(w, x * x + y * y + z * z, cutoff)
            gx, gy, gz = add_site_pair(
                core[a], core[b], f, f1, x, y, z, phi_core, phi_core, grad_core, grad_core, a, b
            )
            u, v, t = x + bx, y + by, z + bz
            f, f1, _ = tapered_pair(w, u * u + v * v + t * t, cutoff)
            hx, hy, hz = add_site_pair(
                core[a], shell[b], f, f1, u, v, t, phi_core, phi_shell, grad_core, grad_shell, a, b
            )
            gx, gy, gz = gx + hx, gy + hy, gz + hz
            u, v, t = x - ax, y - ay, z - az
            f, f1, _ = tapered_pair(w, u * u + v * v + t * t, cutoff)
            hx, hy, hz = add_site_pair(
                shell[a], core[b], f, f1, u, v, t, phi_shell, phi_core, grad_shell, grad_core, a, b
            )
            gx, gy, gz = gx + hx, gy + hy, gz + hz
            u, v, t = u + bx, v + by, t + bz
            f, f1, _ = tapered_pair(w, u * u + v * v + t * t, cutoff)
            hx, hy, hz = add_site_pair(
                shell[a], shell[b], f, f1, u, v, t, phi_shell, phi_shell, grad_shell, grad_shell, a, b
            )
            gx, gy, gz = gx + hx, gy + hy, gz + hz
            virial[0, 0] += gx * x
            virial[1, 1] += gy * y
            virial[2, 2] += gz * z
            virial[1, 2] += 0.5 * (gy * z + gz * y)
            virial[0, 2] += 0.5 * (gx * z + gz * x)
            virial[0, 1] += 0.5 * (gx * y + gy * x)


@njit(cache=True, nogil=True, error_model="numpy")
def core_matrix(
    positions: np.ndarray,
    start: np.ndarray,
    j: np.ndarray,
    code: np.ndarray,
    offsets: np.ndarray,
    kinds: np.ndarray,
    widths: np.ndarray,
    cutoff: float,
    matrix: np.ndarray,
) -> None:
    """Add the interaction of unit charges at the cores to a matrix (N, N)."""
    for a in range(positions.shape[0]):
        for p in range(start[a], start[a + 1]):
            b = j[p]
            x, y, z = separation(positions, offsets, a, b, code[p])
            f, _, _ = tapered_pair(widths[kinds[a], kinds[b]], x * x + y * y + z * z, cutoff)
            matrix[a, b] += f
            matrix[b, a] += f


@njit(inline="always")
def add_curvature(
    local: np.ndarray, a: int, q: float, f1: float, f2: float, x: float, y: float, z: float
) -> None:
    """Add q times the second derivatives of a pair function to a site's own block."""
    local[a, 0] += q * (f1 + f2 * x * x)
    local[a, 1] += q * (f1 + f2 * y * y)
    local[a, 2] += q * (f1 + f2 * z * z)
    local[a, 3] += q * f2 * y * z
    local[a, 4] += q * f2 * x * z
    local[a, 5] += q * f2 * x * y


@njit(cache=True, nogil=True, error_model="numpy")
def pair_blocks(
    positions: np.ndarray,
    shells: np.ndarray,
    core: np.ndarray,
    shell: np.ndarray,
    start: np.ndarray,
    j: np.ndarray,
    code: np.ndarray,
    offsets: np.ndarray,
    kinds: np.ndarray,
    widths: np.ndarray,
    cutoff: float,
    blocks: np.ndarray,
    local: np.ndarray,
) -> None:
    """Fill the second derivatives of each pair, (P, 13), and add those of each shell alone, (N, 6).

    A pair's block holds d2U/dq_a dq_b, then d2U/dq_a ds_b and d2U/dq_b ds_a (3 each), then d2U/ds_a ds_b
    (xx yy zz yz xz xy).
    """
    for a in range(positions.shape[0]):
        ax, ay, az = shells[a, 0], shells[a, 1], shells[a, 2]
        for p in range(start[a], start[a + 1]):
            b = j[p]
            w = widths[kinds[a], kinds[b]]
            x, y, z = separation(positions, offsets, a, b, code[p])
            bx, by, bz = shells[b, 0], shells[b, 1], shells[b, 2]
            row = blocks[p]
            row[0] = tapered_pair(w, x * x + y * y + z * z, cutoff)[0]
            u, v, t = x + bx, y + by, z + bz
            _, f1, f2 = tapered_pair(w, u * u + v * v + t * t, cutoff)
            g = shell[b] * f1
            row[1], row[2], row[3] = g * u, g * v, g * t
            add_curvature(local, b, core[a] * shell[b], f1, f2, u, v, t)
            u, v, t = x - ax, y - ay, z - az
            _, f1, f2 = tapered_pair(w, u * u + v * v + t * t, cutoff)
            g = -shell[a] * f1
            row[4], row[5], row[6] = g * u, g * v, g * t
            add_curvature(local, a, shell[a] * core[b], f1, f2, u, v, t)
            u, v, t = u + bx, v + by, t + bz
            _, f1, f2 = tapered_pair(w, u * u + v * v + t * t, cutoff)
            q = shell[a] * shell[b]
            add_curvature(local, a, q, f1, f2, u, v, t)
            add_curvature(local, b, q, f1, f2, u, v, t)
            row[7], row[8], row[9] = -q * (f1 + f2 * u * u), -q * (f1 + f2 * v * v), -q * (f1 + f2 * t * t)
            row[10], row[11], row[12] = -q * f2 * v * t, -q * f2 * u * t, -q * f2 * u * v


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
def width_slopes(
    positions: np.ndarray,
    shells: np.ndarray,
    core: np.ndarray,
    shell: np.ndarray,
    start: np.ndarray,
    j: np.ndarray,
    kinds: np.ndarray,
    widths: np.ndarray,
    slopes: np.ndarray,
) -> None:
    """Add dU/da of each pair of elements, untapered, to `slopes`: d/da erf(a r)/r = (2/√pi) exp(-a^2 r^2)."""
    for a in range(positions.shape[0]):
        for p in range(start[a], start[a + 1]):
            b = j[p]
            w = widths[kinds[a], kinds[b]]
            total = 0.0
            for m in range(2):
                qa = shell[a] if m else core[a]
                for n in range(2):
                    qb = shell[b] if n else core[b]
                    r2 = 0.0
                    for c in range(3):
                        d = positions[b, c] + n * shells[b, c] - positions[a, c] - m * shells[a, c]
                        r2 += d * d
                    total += qa * qb * math.exp(-w * w * r2)
            slopes[kinds[a], kinds[b]] += _TWO_OVER_SQRT_PI * total


@njit(cache=True, nogil=True, error_model="numpy")
def own_functions(widths: np.ndarray, shells: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return erf(a s)/s of each atom's own core and shell, with its derivatives, (N,) each."""
    n = widths.shape[0]
    f, f1, f2 = np.empty(n), np.empty(n), np.empty(n)
    for a in range(n):
        s2 = shells[a, 0] ** 2 + shells[a, 1] ** 2 + shells[a, 2] ** 2
        f[a], f1[a], f2[a] = gaussian_pair(widths[a], s2)
    return f, f1, f2
