"""Compiled parts of mesh sums over charges and dipoles; the mesh is that of `kernels_pme`."""

import numpy as np
from numba import njit

from asennp.electrostatics.kernels_pme import bspline, locate, raise_order


@njit(inline="always")
def differences(values: np.ndarray, order: int, out: np.ndarray) -> None:
    """Turn spline weights of order - 1 (padded with 0) into the slopes of the spline of that order."""
    out[0] = -values[0]
    for m in range(1, order - 1):
        out[m] = values[m - 1] - values[m]
    out[order - 1] = values[order - 2]


@njit(inline="always")
def bspline_curved(
    x: float, weights: np.ndarray, slopes: np.ndarray, curves: np.ndarray, work: np.ndarray, order: int
) -> None:
    """Fill weights, slopes and second derivatives of the cardinal B-spline at `order` mesh points."""
    weights[0], weights[1] = 1.0 - x, x
    for k in range(3, order - 1):
        raise_order(x, weights, k)
    differences(weights, order - 1, work)
    differences(work, order, curves)
    raise_order(x, weights, order - 1)
    differences(weights, order, slopes)
    raise_order(x, weights, order)


@njit(cache=True, nogil=True, error_model="numpy")
def spread_dipoles(
    first: int,
    last: int,
    positions: np.ndarray,
    inverse: np.ndarray,
    charges: np.ndarray,
    dipoles: np.ndarray,
    like: tuple[int, ...],
    mesh: np.ndarray,
) -> None:
    """Fill planes of a mesh with charges and dipoles, as `asennp.electrostatics.kernels_pme.spread` does."""
    order = len(like)
    n0, n1, n2 = mesh.shape
    padded = np.zeros((last - first, n1, n2 + order))
    wx, wy, wz = np.empty(order), np.empty(order), np.empty(order)
    sx, sy, sz = np.empty(order), np.empty(order), np.empty(order)
    for a in range(positions.shape[0]):
        x, tx = locate(positions[a], inverse, mesh.shape, 0)
        ahead = (x - first) % n0
        if ahead >= last - first and ahead + order <= n0:
            continue
        y, ty = locate(positions[a], inverse, mesh.shape, 1)
        z, tz = locate(positions[a], inverse, mesh.shape, 2)
        bspline(tx, wx, sx, order)
        bspline(ty, wy, sy, order)
        bspline(tz, wz, sz, order)
        # along the mesh's axes
        p, q = dipoles[a], charges[a]
        p0 = n0 * (p[0] * inverse[0, 0] + p[1] * inverse[1, 0] + p[2] * inverse[2, 0])
        p1 = n1 * (p[0] * inverse[0, 1] + p[1] * inverse[1, 1] + p[2] * inverse[2, 1])
        p2 = n2 * (p[0] * inverse[0, 2] + p[1] * inverse[1, 2] + p[2] * inverse[2, 2])
        for i in range(order):
            row = (x + i) % n0 - first
            if row < 0 or row >= last - first:
                continue
            for j in range(order):
                flat = (q * wx[i] + p0 * sx[i]) * wy[j] + p1 * wx[i] * sy[j]
                steep = p2 * wx[i] * wy[j]
                line = padded[row, (y + j) % n1]
                for k in range(order):
                    line[z + k] += flat * wz[k] + steep * sz[k]
    for i in range(last - first):
        for j in range(n1):
            line, folded = padded[i, j], mesh[first + i, j]
            for k in range(n2):
                folded[k] = line[k]
            for k in range(order):
                folded[k % n2] += line[n2 + k]


@njit(cache=True, nogil=True, error_model="numpy")
def gather_potential(
    first: int,
    last: int,
    positions: np.ndarray,
    inverse: np.ndarray,
    size: tuple[int, int, int],
    padded: np.ndarray,
    like: tuple[int, ...],
    out: np.ndarray,
) -> None:
    """Fill the potential on a padded mesh at some atoms, without its gradient."""
    order = len(like)
    n0, n1, _ = size
    wx, wy, wz = np.empty(order), np.empty(order), np.empty(order)
    slopes, line = np.empty(order), np.empty(order)
    for a in range(first, last):
        x, tx = locate(positions[a], inverse, size, 0)
        y, ty = locate(positions[a], inverse, size, 1)
        z, tz = locate(positions[a], inverse, size, 2)
        bspline(tx, wx, slopes, order)
        bspline(ty, wy, slopes, order)
        bspline(tz, wz, slopes, order)
        for k in range(order):
            line[k] = 0.0
        for i in range(order):
            row = (x + i) % n0
            for j in range(order):
                points, w = padded[row, (y + j) % n1], wx[i] * wy[j]
                for k in range(order):
                    line[k] += w * points[z + k]
        phi = 0.0
        for k in range(order):
            phi += wz[k] * line[k]
        out[a] = phi


@njit(cache=True, nogil=True, error_model="numpy")
def gather_curvature(
    first: int,
    last: int,
    positions: np.ndarray,
    inverse: np.ndarray,
    mesh: np.ndarray,
    like: tuple[int, ...],
    out: np.ndarray,
) -> None:
    """Fill the second derivatives (N, 6), xx yy zz yz xz xy, of the potential on a mesh, for some atoms."""
    order = len(like)
    n0, n1, n2 = mesh.shape
    w, s, c = np.empty((3, order)), np.empty((3, order)), np.empty((3, order))
    work = np.empty(order)
    h = np.empty((3, 3))
    g = np.empty((3, 3))  # d(mesh coordinate)/d(position)
    for axis in range(3):
        for b in range(3):
            g[axis, b] = mesh.shape[axis] * inverse[b, axis]
    for a in range(first, last):
        x, tx = locate(positions[a], inverse, mesh.shape, 0)
        y, ty = locate(positions[a], inverse, mesh.shape, 1)
        z, tz = locate(positions[a], inverse, mesh.shape, 2)
        bspline_curved(tx, w[0], s[0], c[0], work, order)
        bspline_curved(ty, w[1], s[1], c[1], work, order)
        bspline_curved(tz, w[2], s[2], c[2], work, order)
        h[:] = 0.0
        for i in range(order):
            for j in range(order):
                points = mesh[(x + i) % n0, (y + j) % n1]
                flat, steep, bent = 0.0, 0.0, 0.0
                for k in range(order):
                    value = points[(z + k) % n2]
                    flat += w[2, k] * value
                    steep += s[2, k] * value
                    bent += c[2, k] * value
                h[0, 0] += c[0, i] * w[1, j] * flat
                h[1, 1] += w[0, i] * c[1, j] * flat
                h[2, 2] += w[0, i] * w[1, j] * bent
                h[1, 2] += w[0, i] * s[1, j] * steep
                h[0, 2] += s[0, i] * w[1, j] * steep
                h[0, 1] += s[0, i] * s[1, j] * flat
        h[2, 1], h[2, 0], h[1, 0] = h[1, 2], h[0, 2], h[0, 1]
        for row in range(6):
            u = row if row < 3 else (1 if row == 3 else 0)
            v = row if row < 3 else (1 if row == 5 else 2)
            total = 0.0
            for m in range(3):
                for n in range(3):
                    total += g[m, u] * h[m, n] * g[n, v]
            out[a, row] = total
