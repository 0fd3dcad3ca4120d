"""Compiled sums of the Ewald method, in units of e^2/Å without the prefactor."""

import math

import numpy as np
from numba import njit
from numpy.polynomial.chebyshev import chebpts1
from numpy.polynomial.polynomial import polyfit
from scipy.special import erfcx

#: The truncated parts of both sums go to zero over the last part of their reach.
TAPER = 0.1
_TWO_OVER_SQRT_PI = 2.0 / math.sqrt(math.pi)

# exp(-y): a table of exp(-k/32) times the Taylor polynomial of the rest, |d| <= 1/64
_EXP_STEPS, _EXP_END = 32.0, 64.0
_EXP_TABLE = np.exp(-np.arange(_EXP_STEPS * _EXP_END + 1) / _EXP_STEPS)
_EXP_TABLE[-1] = 0.0
# exp(x^2) erfc(x): a polynomial of degree 7 on each eighth of 0 <= x <= 8
_ERFC_STEPS, _ERFC_END, _ERFC_DEGREE = 8, 8, 7
_NODES = chebpts1(_ERFC_DEGREE + 1)
_ERFC_TABLE = polyfit(
    _NODES,
    erfcx((np.arange(_ERFC_STEPS * _ERFC_END) + 0.5 * (_NODES[:, None] + 1.0)) / _ERFC_STEPS),
    _ERFC_DEGREE,
).T.copy()


@njit(inline="always")
def exp_minus(y: float) -> float:
    """exp(-y) for y >= 0, with a relative error below 1e-14; zero from y = 64 on."""
    y = min(y, _EXP_END)
    k = np.int32(_EXP_STEPS * y + 0.5)
    d = k * (1.0 / _EXP_STEPS) - y
    d2 = d * d
    series = (1.0 + d) + d2 * ((1 / 2 + d * (1 / 6)) + d2 * ((1 / 24 + d * (1 / 120)) + d2 * (1 / 720)))
    return _EXP_TABLE[k] * series


@njit(inline="always")
def erfc_gauss(x: float) -> tuple[float, float]:
    """erfc(x) and exp(-x^2) for x >= 0, with a relative error below 1e-13; zero from x = 8 on."""
    if x >= _ERFC_END:
        return 0.0, 0.0
    gauss = exp_minus(x * x)
    k = np.int32(_ERFC_STEPS * x)
    t = 2.0 * (_ERFC_STEPS * x - k) - 1.0
    c = _ERFC_TABLE[k]
    scaled = c[0] + t * (c[1] + t * (c[2] + t * (c[3] + t * (c[4] + t * (c[5] + t * (c[6] + t * c[7]))))))
    return gauss * scaled, gauss


@njit(inline="always")
def taper(x: float) -> tuple[float, float]:
    """C2 step from 1 (x <= 0) to 0 (x >= 1), and its derivative."""
    if x <= 0.0:
        return 1.0, 0.0
    if x >= 1.0:
        return 0.0, 0.0
    return 1.0 - x * x * x * (10.0 + x * (6.0 * x - 15.0)), -30.0 * x * x * (1.0 - x) * (1.0 - x)


@njit(inline="always")
def screened(r: float, alpha: float, cutoff: float) -> tuple[float, float]:
    """erfc(alpha r)/r, tapered to zero at the cut-off, and its derivative."""
    inverse = 1.0 / r
    erfc, gauss = erfc_gauss(alpha * r)
    value = erfc * inverse
    slope = -(value + _TWO_OVER_SQRT_PI * alpha * gauss) * inverse
    onset = (1.0 - TAPER) * cutoff
    if r > onset:
        t, dt = taper((r - onset) / (cutoff - onset))
        slope = slope * t + value * dt / (cutoff - onset)
        value *= t
    return value, slope


@njit(cache=True, nogil=True, error_model="numpy")
def real_space(
    positions: np.ndarray,
    cell: np.ndarray,
    charges: np.ndarray,
    i: np.ndarray,
    j: np.ndarray,
    shifts: np.ndarray,
    alpha: float,
    cutoff: float,
    energies: np.ndarray,
    forces: np.ndarray,
    virial: np.ndarray,
) -> float:
    """Add the screened pair terms; alpha = 0 and an infinite cut-off give the bare sum.

    Returns the shortest distance met.
    """
    shortest = np.inf
    for p in range(i.shape[0]):
        a, b = i[p], j[p]
        s0, s1, s2 = float(shifts[p, 0]), float(shifts[p, 1]), float(shifts[p, 2])
        x = positions[b, 0] + s0 * cell[0, 0] + s1 * cell[1, 0] + s2 * cell[2, 0] - positions[a, 0]
        y = positions[b, 1] + s0 * cell[0, 1] + s1 * cell[1, 1] + s2 * cell[2, 1] - positions[a, 1]
        z = positions[b, 2] + s0 * cell[0, 2] + s1 * cell[1, 2] + s2 * cell[2, 2] - positions[a, 2]
        r = math.sqrt(x * x + y * y + z * z)
        if r >= cutoff:
            continue
        shortest = min(shortest, r)
        if r == 0.0:
            continue
        value, slope = screened(r, alpha, cutoff)
        qq = charges[a] * charges[b]
        half = 0.5 * qq * value
        energies[a] += half
        energies[b] += half
        g = qq * slope / r
        gx, gy, gz = g * x, g * y, g * z
        forces[a, 0] += gx
        forces[a, 1] += gy
        forces[a, 2] += gz
        forces[b, 0] -= gx
        forces[b, 1] -= gy
        forces[b, 2] -= gz
        virial[0, 0] += gx * x
        virial[1, 1] += gy * y
        virial[2, 2] += gz * z
        virial[1, 2] += gy * z
        virial[0, 2] += gx * z
        virial[0, 1] += gx * y
    return shortest


@njit(cache=True, nogil=True, fastmath={"reassoc"})
def dot(u: np.ndarray, v: np.ndarray) -> float:
    """Sum u_a v_a in lanes.

    Sums may be reordered only here, in a loop that stores nothing: where a loop also stores, the compiler
    chooses its order at run time by where the arrays lie in memory, and results would not repeat.
    """
    total = 0.0
    for a in range(u.shape[0]):
        total += u[a] * v[a]
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def add_virials(parts: np.ndarray, virial: np.ndarray) -> None:
    """Add rows xx yy zz yz xz xy, in their order, to the upper triangle of a virial."""
    for k in range(parts.shape[0]):
        virial[0, 0] += parts[k, 0]
        virial[1, 1] += parts[k, 1]
        virial[2, 2] += parts[k, 2]
        virial[1, 2] += parts[k, 3]
        virial[0, 2] += parts[k, 4]
        virial[0, 1] += parts[k, 5]


@njit(cache=True, nogil=True, error_model="numpy")
def self_energy(
    charges: np.ndarray, volume: float, alpha: float, energies: np.ndarray, virial: np.ndarray
) -> None:
    """Take out the self-energy of the smeared charges; add that of the background of a net charge."""
    total = 0.0
    for a in range(charges.shape[0]):
        total += charges[a]
    own = alpha / math.sqrt(math.pi)
    background = math.pi * total / (2.0 * volume * alpha * alpha)
    for a in range(charges.shape[0]):
        energies[a] -= (own * charges[a] + background) * charges[a]
    for axis in range(3):
        virial[axis, axis] += background * total


@njit(cache=True, nogil=True, error_model="numpy")
def wave_powers(
    positions: np.ndarray, reciprocal: np.ndarray, cutoff: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the largest integers of wave vectors within the cut-off, cos and sin of n b.r, and empty sums.

    `reciprocal` holds the vectors b (rows, with the factor 2 pi). The powers of exp(i b.r) are built by
    recurrence, (axis, n >= 0, atom).
    """
    n = positions.shape[0]
    n_max = np.empty(3, np.int64)
    # |k| <= cutoff bounds n = k.a / 2 pi through the length of a
    for axis in range(3):
        u, v = reciprocal[(axis + 1) % 3], reciprocal[(axis + 2) % 3]
        cx, cy, cz = u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]
        det = reciprocal[axis, 0] * cx + reciprocal[axis, 1] * cy + reciprocal[axis, 2] * cz
        n_max[axis] = int(cutoff * math.sqrt(cx * cx + cy * cy + cz * cz) / abs(det) + 1e-9)
    widest = n_max.max()
    c = np.empty((3, widest + 1, n))
    s = np.empty((3, widest + 1, n))
    for axis in range(3):
        for a in range(n):
            phase = (
                reciprocal[axis, 0] * positions[a, 0]
                + reciprocal[axis, 1] * positions[a, 1]
                + reciprocal[axis, 2] * positions[a, 2]
            )
            c[axis, 0, a] = 1.0
            s[axis, 0, a] = 0.0
            if n_max[axis] > 0:
                c[axis, 1, a] = math.cos(phase)
                s[axis, 1, a] = math.sin(phase)
        for m in range(2, n_max[axis] + 1):
            for a in range(n):
                c[axis, m, a] = c[axis, m - 1, a] * c[axis, 1, a] - s[axis, m - 1, a] * s[axis, 1, a]
                s[axis, m, a] = s[axis, m - 1, a] * c[axis, 1, a] + c[axis, m - 1, a] * s[axis, 1, a]
    n_planes = n_max[0] + 1
    return n_max, c, s, np.zeros((n_planes, 4, n)), np.zeros((n_planes, 6))


@njit(cache=True, nogil=True, error_model="numpy")
def reciprocal_planes(
    first: int,
    last: int,
    n_max: np.ndarray,
    c: np.ndarray,
    s: np.ndarray,
    reciprocal: np.ndarray,
    volume: float,
    charges: np.ndarray,
    alpha: float,
    cutoff: float,
    sums: np.ndarray,
    virials: np.ndarray,
) -> None:
    """Sum over the waves whose first integer is `first` ... `last` - 1, of the half of k-space from 0 on.

    sums[n0], (4, N) and zero at first, takes potential and field of the plane n0, virials[n0] the upper
    triangle xx yy zz yz xz xy of its virial; see `wave_powers` for n_max, c and s. The terms are those of
    tin-foil boundaries, without the self-energy.
    """
    n = charges.shape[0]
    m1, m2 = n_max[1], n_max[2]
    c01, s01 = np.empty(n), np.empty(n)
    ck, sk = np.empty(n), np.empty(n)
    b2 = reciprocal[2, 0] ** 2 + reciprocal[2, 1] ** 2 + reciprocal[2, 2] ** 2
    k2_max = cutoff * cutoff
    onset = (1.0 - TAPER) * cutoff
    for n0 in range(first, last):
        phi, fx, fy, fz = sums[n0]
        vxx, vyy, vzz, vyz, vxz, vxy = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for n1 in range(-m1 if n0 > 0 else 0, m1 + 1):
            px = n0 * reciprocal[0, 0] + n1 * reciprocal[1, 0]
            py = n0 * reciprocal[0, 1] + n1 * reciprocal[1, 1]
            pz = n0 * reciprocal[0, 2] + n1 * reciprocal[1, 2]
            # |p + n2 b2| <= cutoff bounds n2
            along = px * reciprocal[2, 0] + py * reciprocal[2, 1] + pz * reciprocal[2, 2]
            rest = along * along - b2 * (px * px + py * py + pz * pz - k2_max)
            if rest < 0.0:
                continue
            root = math.sqrt(rest)
            low = max(math.ceil((-along - root) / b2 - 1e-9), -m2)
            high = min(math.floor((-along + root) / b2 + 1e-9), m2)
            if n0 == 0 and n1 == 0:
                low = 1
            sign = 1.0 if n1 >= 0 else -1.0
            row = abs(n1)
            for a in range(n):
                c1, s1 = c[1, row, a], sign * s[1, row, a]
                c01[a] = c[0, n0, a] * c1 - s[0, n0, a] * s1
                s01[a] = s[0, n0, a] * c1 + c[0, n0, a] * s1
            for n2 in range(low, high + 1):
                kx = px + n2 * reciprocal[2, 0]
                ky = py + n2 * reciprocal[2, 1]
                kz = pz + n2 * reciprocal[2, 2]
                k2 = kx * kx + ky * ky + kz * kz
                if k2 >= k2_max:
                    continue
                sign = 1.0 if n2 >= 0 else -1.0
                row = abs(n2)
                for a in range(n):
                    c2, s2 = c[2, row, a], sign * s[2, row, a]
                    ck[a] = c01[a] * c2 - s01[a] * s2
                    sk[a] = s01[a] * c2 + c01[a] * s2
                re, im = dot(charges, ck), dot(charges, sk)
                # E = sum_k weight |S|^2 over the half space
                weight = 4.0 * math.pi / volume * math.exp(-k2 / (4.0 * alpha * alpha)) / k2
                log_slope = -2.0 * (1.0 / k2 + 1.0 / (4.0 * alpha * alpha))
                k = math.sqrt(k2)
                if k > onset:
                    t, dt = taper((k - onset) / (cutoff - onset))
                    weight *= t
                    # d ln(weight) / d(k^2) * 2
                    log_slope += dt / (t * k * (cutoff - onset)) if t > 0.0 else 0.0
                wr, wi = weight * re, weight * im
                for a in range(n):
                    phi[a] += wr * ck[a] + wi * sk[a]
                    g = wr * sk[a] - wi * ck[a]
                    fx[a] += kx * g
                    fy[a] += ky * g
                    fz[a] += kz * g
                e = wr * re + wi * im
                # strain: d ln V = tr, dk_a = -eps_ab k_b
                vxx -= e * (1.0 + log_slope * kx * kx)
                vyy -= e * (1.0 + log_slope * ky * ky)
                vzz -= e * (1.0 + log_slope * kz * kz)
                vyz -= e * log_slope * ky * kz
                vxz -= e * log_slope * kx * kz
                vxy -= e * log_slope * kx * ky
        total = virials[n0]
        total[0], total[1], total[2], total[3], total[4], total[5] = vxx, vyy, vzz, vyz, vxz, vxy


@njit(cache=True, nogil=True, error_model="numpy")
def add_planes(
    charges: np.ndarray,
    sums: np.ndarray,
    virials: np.ndarray,
    energies: np.ndarray,
    forces: np.ndarray,
    virial: np.ndarray,
) -> None:
    """Add the planes of `reciprocal_planes` in their order."""
    for n0 in range(sums.shape[0]):
        phi, fx, fy, fz = sums[n0]
        for a in range(charges.shape[0]):
            energies[a] += charges[a] * phi[a]
            forces[a, 0] += 2.0 * charges[a] * fx[a]
            forces[a, 1] += 2.0 * charges[a] * fy[a]
            forces[a, 2] += 2.0 * charges[a] * fz[a]
    add_virials(virials, virial)
