"""Compiled parts of the particle-mesh Ewald sum, in units of e^2/Å without the prefactor.

While charges are spread or potentials gathered, a mesh has `order` further points along its last axis, so
that the points of one atom are contiguous there. Orders come as tuples of that length: the compiler sees the
length, and unrolls.
"""

import math

import numpy as np
from numba import njit


@njit(inline="always")
def bspline(x: float, weights: np.ndarray, slopes: np.ndarray, order: int) -> None:
    """Fill the `order` values M(x + order - 1 - m) of the cardinal B-spline, 0 <= x < 1, and their slopes."""
    weights[0], weights[1] = 1.0 - x, x
    for k in range(3, order):
        raise_order(x, weights, k)
    slopes[0] = -weights[0]
    for m in range(1, order - 1):
        slopes[m] = weights[m - 1] - weights[m]
    slopes[order - 1] = weights[order - 2]
    raise_order(x, weights, order)


@njit(inline="always")
def raise_order(x: float, weights: np.ndarray, k: int) -> None:
    """Turn values of the spline of order k - 1 into those of order k, in place."""
    factor = 1.0 / (k - 1)
    weights[k - 1] = factor * x * weights[k - 2]
    for m in range(k - 2, 0, -1):
        weights[m] = factor * ((x + (k - 1 - m)) * weights[m - 1] + (m + 1 - x) * weights[m])
    weights[0] = factor * (1.0 - x) * weights[0]


@njit(inline="always")
def locate(
    position: np.ndarray, inverse: np.ndarray, size: tuple[int, int, int], axis: int
) -> tuple[int, float]:
    """Return an atom's first mesh point along an axis, and the rest of its coordinate."""
    u = position[0] * inverse[0, axis] + position[1] * inverse[1, axis] + position[2] * inverse[2, axis]
    u = (u - math.floor(u)) * size[axis]
    first = int(u)
    rest = u - first
    if first >= size[axis]:  # u - floor(u) may round to one
        first = 0
    return first, rest


@njit(cache=True, nogil=True, error_model="numpy")
def spread(
    first: int,
    last: int,
    positions: np.ndarray,
    inverse: np.ndarray,
    charges: np.ndarray,
    like: tuple[int, ...],
    mesh: np.ndarray,
) -> None:
    """Fill the planes `first` ... `last` - 1 of a mesh with charges spread by B-splines of order len(like).

    Each point takes the atoms in their order, whichever planes are filled together.
    """
    order = len(like)
    n0, n1, n2 = mesh.shape
    padded = np.zeros((last - first, n1, n2 + order))
    wx, wy, wz, slopes = np.empty(order), np.empty(order), np.empty(order), np.empty(order)
    for a in range(positions.shape[0]):
        x, tx = locate(positions[a], inverse, mesh.shape, 0)
        # the spline's planes are x ... x + order - 1, round the cell
        ahead = (x - first) % n0
        if ahead >= last - first and ahead + order <= n0:
            continue
        y, ty = locate(positions[a], inverse, mesh.shape, 1)
        z, tz = locate(positions[a], inverse, mesh.shape, 2)
        bspline(tx, wx, slopes, order)
        bspline(ty, wy, slopes, order)
        bspline(tz, wz, slopes, order)
        for i in range(order):
            qx = charges[a] * wx[i]
            row = (x + i) % n0 - first
            if row < 0 or row >= last - first:
                continue
            for j in range(order):
                q = qx * wy[j]
                line = padded[row, (y + j) % n1]
                for k in range(order):
                    line[z + k] += q * wz[k]
    for i in range(last - first):
        for j in range(n1):
            line, folded = padded[i, j], mesh[first + i, j]
            for k in range(n2):
                folded[k] = line[k]
            for k in range(order):
                folded[k % n2] += line[n2 + k]


@njit(cache=True, nogil=True, error_model="numpy")
def pad(first: int, last: int, mesh: np.ndarray, padded: np.ndarray) -> None:
    """Copy planes of a mesh, and go on along its last axis as far as the copy does."""
    n2 = mesh.shape[2]
    for i in range(first, last):
        for j in range(mesh.shape[1]):
            line, longer = mesh[i, j], padded[i, j]
            for k in range(n2):
                longer[k] = line[k]
            for k in range(n2, padded.shape[2]):
                longer[k] = line[k % n2]


@njit(cache=True, nogil=True, error_model="numpy")
def gather(
    first: int,
    last: int,
    positions: np.ndarray,
    inverse: np.ndarray,
    charges: np.ndarray,
    size: tuple[int, int, int],
    padded: np.ndarray,
    like: tuple[int, ...],
    energies: np.ndarray,
    forces: np.ndarray,
) -> None:
    """Add q phi/2 and -q grad phi of the potential on a mesh to some atoms, by the splines of `spread`."""
    order = len(like)
    n0, n1, n2 = size
    wx, wy, wz = np.empty(order), np.empty(order), np.empty(order)
    sx, sy, sz = np.empty(order), np.empty(order), np.empty(order)
    flat, line, down = np.empty(order), np.empty(order), np.empty(order)
    for a in range(first, last):
        x, tx = locate(positions[a], inverse, size, 0)
        y, ty = locate(positions[a], inverse, size, 1)
        z, tz = locate(positions[a], inverse, size, 2)
        bspline(tx, wx, sx, order)
        bspline(ty, wy, sy, order)
        bspline(tz, wz, sz, order)
        # sums over x and y leave lines along z: of the potential, and of its slopes along x and y
        for k in range(order):
            flat[k], line[k], down[k] = 0.0, 0.0, 0.0
        for i in range(order):
            row = (x + i) % n0
            for j in range(order):
                points = padded[row, (y + j) % n1]
                w, u, v = wx[i] * wy[j], sx[i] * wy[j], wx[i] * sy[j]
                for k in range(order):
                    flat[k] += w * points[z + k]
                    line[k] += u * points[z + k]
                    down[k] += v * points[z + k]
        phi, g0, g1, g2 = 0.0, 0.0, 0.0, 0.0
        for k in range(order):
            phi += wz[k] * flat[k]
            g0 += wz[k] * line[k]
            g1 += wz[k] * down[k]
            g2 += sz[k] * flat[k]
        energies[a] += 0.5 * charges[a] * phi
        g0, g1, g2 = charges[a] * g0 * n0, charges[a] * g1 * n1, charges[a] * g2 * n2
        for c in range(3):
            forces[a, c] -= g0 * inverse[c, 0] + g1 * inverse[c, 1] + g2 * inverse[c, 2]


@njit(cache=True, nogil=True, error_model="numpy")
def convolve(
    first: int,
    last: int,
    modes: np.ndarray,
    reciprocal: np.ndarray,
    volume: float,
    alpha: float,
    size: tuple[int, int, int],
    factors: tuple[np.ndarray, np.ndarray, np.ndarray],
    virials: np.ndarray,
) -> None:
    """Turn modes of the charge mesh (half along the last axis) into those of the potential, in place.

    phi(k) = 4 pi/V exp(-k^2/4 alpha^2)/k^2 times the splines' factors, which depend on k's integers alone.
    k = 0 and the modes halfway round an even axis, whose k has no sign, are left out. The planes `first` ...
    `last` - 1 are turned; virials[i] takes the plane's dE/deps = -sum E_k (1 + d ln phi/dk^2 2 k k), as
    xx yy zz yz xz xy.
    """
    n0, n1, _ = size
    quarter = 1.0 / (4.0 * alpha * alpha)
    # of an inverse transform without normalisation
    scale = 4.0 * math.pi / volume
    for i in range(first, last):
        vxx, vyy, vzz, vyz, vxz, vxy = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        mi = i if 2 * i < n0 else i - n0
        for j in range(n1):
            mj = j if 2 * j < n1 else j - n1
            outer = scale * factors[0][i] * factors[1][j]
            px = mi * reciprocal[0, 0] + mj * reciprocal[1, 0]
            py = mi * reciprocal[0, 1] + mj * reciprocal[1, 1]
            pz = mi * reciprocal[0, 2] + mj * reciprocal[1, 2]
            for k in range(modes.shape[2]):
                kx, ky, kz = px + k * reciprocal[2, 0], py + k * reciprocal[2, 1], pz + k * reciprocal[2, 2]
                k2 = kx * kx + ky * ky + kz * kz
                inverse2 = 1.0 / k2 if k2 > 0.0 else 0.0
                green = outer * factors[2][k] * inverse2 * math.exp(-quarter * k2)
                re, im = modes[i, j, k].real, modes[i, j, k].imag
                modes[i, j, k] = complex(green * re, green * im)
                # modes with k > 0 stand for their opposites too
                e = green * (re * re + im * im) * (0.5 if k == 0 else 1.0)
                s = -2.0 * (inverse2 + quarter) * e
                vxx -= e + s * kx * kx
                vyy -= e + s * ky * ky
                vzz -= e + s * kz * kz
                vyz -= s * ky * kz
                vxz -= s * kx * kz
                vxy -= s * kx * ky
        total = virials[i]
        total[0], total[1], total[2], total[3], total[4], total[5] = vxx, vyy, vzz, vyz, vxz, vxy
