"""Loops of the networks: GELU with its slope, in the vectors of `kernels_simd`."""

# mypy: ignore-errors

import math
from typing import Any

import numpy as np
from numba import njit
from numba.extending import overload
from scipy.special import erfcx

from asennp.models.kernels_simd import exp, load, make_polynomial, splat, store, total, where_negative

_FAST = {"contract"}
_RECIPROCAL = 1.0 / math.sqrt(2.0 * math.pi)
#: The variable of Mills' ratio is (|z| - c)/(|z| + c).
_CENTRE = 4.0


def _mills(degree: int) -> Any:
    """Return a polynomial for Phi(-|z|)/phi(z) of (|z| - c)/(|z| + c)."""

    def ratio(x: np.ndarray) -> np.ndarray:
        z = _CENTRE * (1.0 + x) / (1.0 - x)
        return np.asarray(math.sqrt(0.5 * math.pi) * erfcx(z / math.sqrt(2.0)))

    series = np.polynomial.Chebyshev.interpolate(ratio, degree)
    return make_polynomial(tuple(np.polynomial.chebyshev.cheb2poly(series.coef).tolist()))


_MILLS = {32: _mills(10), 64: _mills(20)}


def _gelu(z: Any) -> Any:
    """Return phi(z) = z Phi(z) and its derivative Phi(z) + z exp(-z^2/2)/sqrt(2 pi)."""
    raise NotImplementedError


@overload(_gelu)
def _overload_gelu(z):
    mills = _MILLS[z.real.bitwidth]

    def function(z):
        density = exp(z * z * -0.5) * _RECIPROCAL
        size = where_negative(z, 0.0 - z, z)
        tail = density * mills((size - _CENTRE) / (size + _CENTRE))
        whole = where_negative(z, tail, 1.0 - tail)
        return z * whole, z * density + whole

    return function


@njit(cache=True, nogil=True, fastmath=_FAST)
def activate(values, biases, slopes, lanes, single):
    """Turn z - b (M, n, width) into phi(z) in place and set phi'(z); `biases` (M, width).

    `lanes` and `single` are tuples as long as a vector and 1; the rest of a row goes one by one.
    """
    n_members, n_rows, width = values.shape
    whole = width - width % len(lanes)
    for m in range(n_members):
        for row in range(n_rows):
            start = (m * n_rows + row) * width
            for k in range(0, whole, len(lanes)):
                z = load(values, start + k, lanes) + load(biases, m * width + k, lanes)
                value, slope = _gelu(z)
                store(values, start + k, value)
                store(slopes, start + k, slope)
            for k in range(whole, width):
                one = load(values, start + k, single) + load(biases, m * width + k, single)
                value_one, slope_one = _gelu(one)
                store(values, start + k, value_one)
                store(slopes, start + k, slope_one)


@njit(cache=True, nogil=True, fastmath=_FAST)
def close(values, biases, weights, last, energies, lanes, single):
    """Set energies (M, n) = sum_k phi(z_k) w_k + last and turn z - b into w phi'(z) in place.

    `weights` and `biases` are (M, width), `last` (M,).
    """
    n_members, n_rows, width = values.shape
    whole = width - width % len(lanes)
    for m in range(n_members):
        for row in range(n_rows):
            start = (m * n_rows + row) * width
            sums, rest = splat(values.dtype.type(0), lanes), splat(last[m], single)
            for k in range(0, whole, len(lanes)):
                z = load(values, start + k, lanes) + load(biases, m * width + k, lanes)
                value, slope = _gelu(z)
                weight = load(weights, m * width + k, lanes)
                sums = value * weight + sums
                store(values, start + k, slope * weight)
            for k in range(whole, width):
                one = load(values, start + k, single) + load(biases, m * width + k, single)
                value_one, slope_one = _gelu(one)
                weight_one = load(weights, m * width + k, single)
                rest = value_one * weight_one + rest
                store(values, start + k, slope_one * weight_one)
            energies[m, row] = total(sums) + total(rest)
