"""Compiled plane waves at the places of atoms."""

import math

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def plane_waves(
    positions: np.ndarray,
    reciprocal: np.ndarray,
    integers: np.ndarray,
    amplitudes: np.ndarray,
    kinds: np.ndarray,
    waves: np.ndarray,
) -> None:
    """Fill rows (N, 2K) with amplitudes (kinds, K) times cos(k.r), then sin(k.r), k = integers . reciprocal.

    The waves are products of powers of exp(i b.r), built by recurrence.
    """
    n_waves = integers.shape[0]
    most = 0
    for w in range(n_waves):
        for axis in range(3):
            most = max(most, abs(integers[w, axis]))
    # powers from -most to most
    c, s = np.empty((3, 2 * most + 1)), np.empty((3, 2 * most + 1))
    for a in range(positions.shape[0]):
        for axis in range(3):
            phase = 0.0
            for b in range(3):
                phase += reciprocal[axis, b] * positions[a, b]
            c1, s1 = math.cos(phase), math.sin(phase)
            c[axis, most], s[axis, most] = 1.0, 0.0
            for m in range(1, most + 1):
                u, v = c[axis, most + m - 1], s[axis, most + m - 1]
                c[axis, most + m] = u * c1 - v * s1
                s[axis, most + m] = v * c1 + u * s1
                c[axis, most - m] = c[axis, most + m]
                s[axis, most - m] = -s[axis, most + m]
        kind = kinds[a]
        for w in range(n_waves):
            i, j, k = integers[w, 0] + most, integers[w, 1] + most, integers[w, 2] + most
            u = c[0, i] * c[1, j] - s[0, i] * s[1, j]
            v = s[0, i] * c[1, j] + c[0, i] * s[1, j]
            waves[a, w] = amplitudes[kind, w] * (u * c[2, k] - v * s[2, k])
            waves[a, n_waves + w] = amplitudes[kind, w] * (v * c[2, k] + u * s[2, k])
