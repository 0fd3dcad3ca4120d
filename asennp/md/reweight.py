"""Averages at other temperatures and pressures from a run with a frozen bias."""

from dataclasses import dataclass

import numpy as np

from asennp.errors import InputError
from asennp.results import Result
from asennp.units import KB


@dataclass(frozen=True, eq=False)
class ReweightResult(Result):
    """A reweighted average.

    Attributes
    ----------
    mean, error
        <A> at (T, P) and its standard error by jackknife over blocks of consecutive frames; in A's unit.
    effective_samples
        (sum w)^2 / sum w^2: how many frames carry the average (correlation in time not counted).
    """

    mean: float
    error: float
    effective_samples: float


def log_weights(
    energy: np.ndarray,
    volume: np.ndarray,
    shift: np.ndarray,
    *,
    temperature_K: float,
    pressure_au: float,
    sampled_temperature_K: float,
    sampled_pressure_au: float,
) -> np.ndarray:
    """Return ln w = -(U + P' V)/kT + (H + dH)/kT0 with H = U + P V, up to a constant.

    Parameters
    ----------
    energy, volume
        U (eV) and V (Å^3) of each frame, shape (n,).
    shift
        dH(H, O) of each frame, eV.
    temperature_K, pressure_au
        Where the average is wanted.
    sampled_temperature_K, sampled_pressure_au
        Reference temperature and pressure of the run.
    """
    wanted = (energy + pressure_au * volume) / (KB * temperature_K)
    sampled = (energy + sampled_pressure_au * volume + shift) / (KB * sampled_temperature_K)
    result = sampled - wanted
    return result - result.max()


def weighted_mean(values: np.ndarray, log_weight: np.ndarray, n_blocks: int = 10) -> ReweightResult:
    """Return sum(A w)/sum(w), its block-jackknife error and the effective number of samples.

    Parameters
    ----------
    values, log_weight
        A and ln w of consecutive frames, shape (n,).
    n_blocks
        Blocks of the jackknife; each should be longer than the correlation time.
    """
    if len(values) < 2 * n_blocks:
        raise InputError(
            "too few frames for an error", where="values", expected=2 * n_blocks, got=len(values)
        )
    weights = np.exp(log_weight - log_weight.max())
    edges = np.linspace(0, len(values), n_blocks + 1).astype(int)[:-1]
    sums = np.add.reduceat(weights, edges)
    products = np.add.reduceat(weights * values, edges)
    mean = float(products.sum() / sums.sum())
    left_out = sums.sum() - sums
    if np.any(left_out <= 0.0):
        error = float("inf")  # one block carries all the weight: nothing is known about the scatter
    else:
        leave_one_out = (products.sum() - products) / left_out
        error = float(np.sqrt((n_blocks - 1) * np.mean((leave_one_out - leave_one_out.mean()) ** 2)))
    return ReweightResult(mean, error, float(weights.sum() ** 2 / (weights**2).sum()))
