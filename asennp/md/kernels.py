"""Compiled small pieces of a molecular dynamics step."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    result = np.zeros((3, 3))
    for i in range(3):
        for j in range(3):
            for k in range(3):
                result[i, j] += a[i, k] * b[k, j]
    return result


@njit(cache=True, nogil=True)
def exponential(matrix: np.ndarray, time: float) -> np.ndarray:
    """Return exp(matrix time) of a 3 x 3 matrix: its series, halved and squared where it is not small."""
    x = matrix * time
    norm = np.abs(x).sum()
    halvings = 0
    while norm > 0.1:
        x = 0.5 * x
        norm *= 0.5
        halvings += 1
    result = np.eye(3)
    for k in range(11, 0, -1):
        result = np.eye(3) + _product(x, result) / k
    for _ in range(halvings):
        result = _product(result, result)
    return result
