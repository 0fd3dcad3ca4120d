"""The vectors of the kernels, and GELU made of them, against NumPy and SciPy."""

import numpy as np
import pytest
import torch
from numba import njit
from scipy.special import ndtr

from asennp.models.kernels_simd import LANES, clip, exp, floor_to, keep_first, load, store, total
from asennp.models.network import _activate, _activate_torch, _close, _close_torch


@njit
def exponentials(x, lanes, out):
    for k in range(0, len(x), len(lanes)):
        store(out, k, exp(load(x, k, lanes)))


@njit
def sum_of_first(x, n, lanes):
    return total(keep_first(load(x, 1, lanes), n))


@njit
def split(x, lanes, whole, rest):
    store(rest, 0, floor_to(whole, 0, clip(load(x, 0, lanes), 0.0, 3.5)))


@pytest.mark.parametrize(("dtype", "error"), [("float32", 2e-7), ("float64", 1e-15)])
@pytest.mark.parametrize("n", [4, 16])
def test_exponential(dtype, error, n):
    x = np.linspace(-39.0, 60.0, 1600).astype(dtype)
    out = np.empty_like(x)
    exponentials(x, (0,) * n, out)
    np.testing.assert_allclose(out, np.exp(x.astype(float)), rtol=error)
    exponentials(np.full(n, -1e4, dtype), (0,) * n, out)
    assert 0.0 < out[0] < 1e-17  # no denormal numbers: processors are slow with them


@pytest.mark.parametrize("n_lanes", [1, 3, 4, 8, 12])
def test_sums_of_any_number_of_lanes(n_lanes):
    x = np.arange(20.0)
    for n in range(n_lanes + 1):
        assert sum_of_first(x, n, (0,) * n_lanes) == x[1 : n + 1].sum()


def test_whole_parts_and_fractions():
    whole, rest = np.empty(4, np.int32), np.empty(4)
    split(np.array([-1.0, 0.25, 2.75, 9.0]), LANES["float64"][:4], whole, rest)
    np.testing.assert_array_equal(whole, [0, 0, 2, 3])
    np.testing.assert_array_equal(rest, [0.0, 0.25, 0.75, 0.5])


@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 2e-6), (torch.float64, 1e-14)])
def test_gelu_and_its_slope(dtype, error):
    """Width 19: whole vectors and a rest. The bias shifts z."""
    generator = torch.Generator().manual_seed(0)
    z = torch.linspace(-12.0, 12.0, 2 * 50 * 19, dtype=torch.float64).reshape(2, 50, 19)
    bias = torch.randn((2, 19), generator=generator, dtype=torch.float64)
    weight = torch.randn((2, 19, 1), generator=generator, dtype=torch.float64)
    last = torch.tensor([[0.5], [-3.0]], dtype=torch.float64)
    x = (z + bias[:, None]).numpy()
    density = np.exp(-0.5 * x * x) / np.sqrt(2.0 * np.pi)
    exact, slope = x * ndtr(x), ndtr(x) + x * density
    arguments = [tensor.to(dtype) for tensor in (bias, weight, last)]
    for activate, close in ((_activate, _close), (_activate_torch, _close_torch)):
        for ours, theirs in zip(activate(z.to(dtype, copy=True), arguments[0]), (exact, slope)):
            np.testing.assert_allclose(ours, theirs, atol=error)
        energies, upper = close(z.to(dtype, copy=True), *arguments)
        np.testing.assert_allclose(
            energies, (exact @ weight.numpy() + last.numpy()[:, None])[..., 0], atol=20 * error
        )
        np.testing.assert_allclose(upper, slope * weight.mT.numpy(), atol=3 * error)
