"""Compiled sum of a reciprocal order parameter with its gradient."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def structure_factors(
    positions: np.ndarray, chosen: np.ndarray, inverse: np.ndarray, angles: np.ndarray, norm: float
) -> tuple[float, np.ndarray]:
    """Return O = norm sum_g |sum_i exp(i g·r_i)|^2 and dO/dr.

    Parameters
    ----------
    positions
        (N, 3).
    chosen
        Indices of the atoms that count; empty: all.
    inverse
        h^-1, (3, 3): scaled coordinates are r h^-1.
    angles
        2π n, shape (3, K).
    norm
        Factor before the sum.

    Returns
    -------
    value, gradient
        Gradient of shape (N, 3), zero for atoms that do not count.
    """
    n_waves = angles.shape[1]
    count = len(chosen) if len(chosen) else len(positions)
    waves = np.empty((n_waves, 3))
    for k in range(n_waves):
        for a in range(3):
            waves[k, a] = (
                inverse[a, 0] * angles[0, k] + inverse[a, 1] * angles[1, k] + inverse[a, 2] * angles[2, k]
            )
    gradient = np.zeros_like(positions)
    cosines, sines = np.empty(count), np.empty(count)
    value = 0.0
    for k in range(n_waves):
        gx, gy, gz = waves[k, 0], waves[k, 1], waves[k, 2]
        cosine_sum, sine_sum = 0.0, 0.0
        for m in range(count):
            i = chosen[m] if len(chosen) else m
            phase = gx * positions[i, 0] + gy * positions[i, 1] + gz * positions[i, 2]
            cosines[m], sines[m] = np.cos(phase), np.sin(phase)
            cosine_sum += cosines[m]
            sine_sum += sines[m]
        value += cosine_sum * cosine_sum + sine_sum * sine_sum
        for m in range(count):
            i = chosen[m] if len(chosen) else m
            slope = 2.0 * norm * (sine_sum * cosines[m] - cosine_sum * sines[m])
            gradient[i, 0] += slope * gx
            gradient[i, 1] += slope * gy
            gradient[i, 2] += slope * gz
    return norm * value, gradient
