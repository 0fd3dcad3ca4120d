"""Compiled small pieces of a molecular dynamics step."""

import math

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


@njit(cache=True, nogil=True)
def advance_chain(
    p: np.ndarray,
    eta: np.ndarray,
    masses: np.ndarray,
    kT: float,
    n_dof: int,
    twice_kinetic: float,
    time: float,
) -> float:
    """Move a Nose-Hoover chain on in place; return the factor by which the momenta under it scale."""
    half, quarter, last = 0.5 * time, 0.25 * time, len(p) - 1
    for k in range(last, 0, -1):
        _kick_member(p, masses, k, p[k - 1] ** 2 / masses[k - 1] - kT, half, quarter)
    _kick_member(p, masses, 0, twice_kinetic - n_dof * kT, half, quarter)
    factor = math.exp(-time * p[0] / masses[0])
    for k in range(last + 1):
        eta[k] += time * p[k] / masses[k]
    _kick_member(p, masses, 0, twice_kinetic * factor * factor - n_dof * kT, half, quarter)
    for k in range(1, last + 1):
        _kick_member(p, masses, k, p[k - 1] ** 2 / masses[k - 1] - kT, half, quarter)
    return factor


@njit(cache=True, nogil=True)
def _kick_member(
    p: np.ndarray, masses: np.ndarray, k: int, force: float, half: float, quarter: float
) -> None:
    if k + 1 < len(p):
        drag = math.exp(-quarter * p[k + 1] / masses[k + 1])
        p[k] = (p[k] * drag + half * force) * drag
    else:
        p[k] += half * force
