"""Pair curves as polynomials in the squared distance.

Each octave of s = r^2 has 64 bins of equal width, with a polynomial of degree 5 about the middle of each, so
the relative resolution is the same at all distances. Rigid-ion curves come out to a few 1e-12 of the largest
term, and their derivatives to a few 1e-10 eV/Å.
"""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from scipy.special import erfc

from asennp.electrostatics.kernels import TAPER
from asennp.electrostatics.kernels_pairs import BIN_SHIFT, FIRST_BIN

#: Where tables begin, Å.
TABLE_START = 0.5
#: Sums asked for with a smaller relative error than this do without tables.
TABLE_ACCURACY = 1e-9
_DEGREE = 5
_NODES = np.cos(math.pi * (np.arange(_DEGREE + 1) + 0.5) / (_DEGREE + 1))
_FIT = np.linalg.inv(np.vander(_NODES, increasing=True)).T


def tabulate(curve: Callable[[np.ndarray], np.ndarray], reach: float) -> np.ndarray:
    """Return coefficients (bins, 6) of polynomials in s - s_middle that interpolate a curve up to `reach`.

    Parameters
    ----------
    curve
        Function of an array of distances, Å.
    reach
        Å.
    """
    last = int(np.float64(reach * reach).view(np.int64)) >> BIN_SHIFT
    edges = (np.arange(FIRST_BIN, max(last, FIRST_BIN) + 2, dtype=np.int64) << BIN_SHIFT).view(np.float64)
    middle, half = 0.5 * (edges[1:] + edges[:-1]), 0.5 * np.diff(edges)
    values = curve(np.sqrt(middle[:, None] + half[:, None] * _NODES))
    return np.ascontiguousarray(values @ _FIT / half[:, None] ** np.arange(_DEGREE + 1))


def step_down(x: np.ndarray) -> np.ndarray:
    """C2 step from 1 (x <= 0) to 0 (x >= 1)."""
    x = np.clip(x, 0.0, 1.0)
    return 1.0 - x**3 * (10.0 + x * (6.0 * x - 15.0))


def screened_curve(r: np.ndarray, alpha: float, cutoff: float) -> np.ndarray:
    """erfc(alpha r)/r, tapered to zero at the cut-off (1/Å)."""
    onset = (1.0 - TAPER) * cutoff
    return erfc(alpha * r) / r * step_down((r - onset) / (cutoff - onset))


@lru_cache(maxsize=16)
def screened_table(alpha: float, cutoff: float) -> np.ndarray:
    """Tabulate the screened Coulomb curve."""
    return tabulate(lambda r: screened_curve(r, alpha, cutoff), cutoff)
