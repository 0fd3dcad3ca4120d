"""Weights that turn frames made under a frozen bias into averages elsewhere, and errors by blocks."""

import warnings
from dataclasses import dataclass

import numpy as np

from asennp.errors import InputError
from asennp.results import Result
from asennp.units import KB

#: What an average must rest on to be called supported: frames, and blocks of consecutive frames.
MIN_SAMPLES, MIN_BLOCKS = 50.0, 3.0
#: Standard deviations the mean enthalpy must lie inside the range of the run.
MARGIN = 1.5
_RESAMPLES = 400


class EffectiveSampleSizeWarning(UserWarning):
    """The run holds too little of what an average asks for: its value and its error are not to be trusted."""


@dataclass(frozen=True, eq=False)
class ReweightResult(Result):
    """A reweighted average.

    Attributes
    ----------
    mean, error
        <A> at (T, P) and its standard error by block bootstrap; in A's unit.
    effective_samples
        (sum w)^2 / sum w^2: how many frames carry the average (correlation in time not counted).
    effective_blocks
        The same of the blocks' weights: how many stretches of the run carry it.
    supported
        Whether these are at least 50 and 3, and the enthalpies at (T, P) are not cut off at an end of the
        run's range. If not, the run does not support the average.
    """

    mean: float
    error: float
    effective_samples: float
    effective_blocks: float
    supported: bool


@dataclass(frozen=True, eq=False)
class Blocks:
    """Blocks of consecutive frames, and how often each comes in every resampling of the bootstrap.

    Attributes
    ----------
    index
        Block of each frame, (n,).
    counts
        (n_resamples, n_blocks).
    """

    index: np.ndarray
    counts: np.ndarray

    @property
    def n(self) -> int:
        """Number of blocks."""
        return int(self.counts.shape[1])

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Return the sum of a quantity over each block, (n_blocks,)."""
        return np.bincount(self.index, values, self.n)


def make_blocks(
    n_frames: int, n_blocks: int = 20, walkers: np.ndarray | None = None, seed: int = 0
) -> Blocks:
    """Cut a run into blocks of consecutive frames; no block holds frames of two walkers.

    Parameters
    ----------
    n_frames
        Frames, those of a walker in the order of time.
    n_blocks
        Blocks, at least; each should be longer than the correlation time.
    walkers
        Number of the walker of each frame, (n_frames,).
    seed
        Of the resampling: the same frames give the same errors.
    """
    walkers = np.zeros(n_frames, int) if walkers is None else np.asarray(walkers)
    names, sizes = np.unique(walkers, return_counts=True)
    each = -(-n_blocks // len(names))
    if sizes.min() < 2 * each:
        raise InputError(
            "too few frames for an error",
            where="frames of a walker",
            expected=f"at least {2 * each}, two a block",
            got=int(sizes.min()),
        )
    index = np.empty(n_frames, int)
    for k, (name, size) in enumerate(zip(names, sizes)):
        index[walkers == name] = k * each + np.arange(size) * each // size
    total = each * len(names)
    counts = np.random.default_rng(seed).multinomial(total, np.full(total, 1.0 / total), size=_RESAMPLES)
    return Blocks(index, counts.astype(float))


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
    """Return ln w = -(U + P' V)/kT + (H + dH)/kT0 with H = U + P V, up to a constant: the largest is 0.

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


def effective_number(weights: np.ndarray) -> float:
    """Return (sum w)^2 / sum w^2."""
    square = float((weights**2).sum())
    return float(weights.sum()) ** 2 / square if square > 0.0 else 0.0


def is_supported(weights: np.ndarray, blocks: Blocks, enthalpy: np.ndarray) -> bool:
    """Tell whether enough frames and blocks carry these weights, and the run reaches beyond what they pick.

    The mean enthalpy must lie 1.5 standard deviations inside the run's range: a distribution that piles up at
    the end of it is cut off, however many frames there are.
    """
    if effective_number(weights) < MIN_SAMPLES or effective_number(blocks.sums(weights)) < MIN_BLOCKS:
        return False
    total = weights.sum()
    mean = (weights * enthalpy).sum() / total
    width = MARGIN * np.sqrt((weights * (enthalpy - mean) ** 2).sum() / total)
    return bool(enthalpy.min() <= mean - width and mean + width <= enthalpy.max())


def warn_unsupported(what: str, stacklevel: int = 3) -> None:
    """Warn that the run does not support something."""
    warnings.warn(
        f"the run does not support {what}: fewer than {MIN_SAMPLES:.0f} frames or {MIN_BLOCKS:.0f} blocks "
        "carry it, or its enthalpies are cut off; sample longer, or widen the mesh to where these states are",
        EffectiveSampleSizeWarning,
        stacklevel=stacklevel,
    )


def scatter(estimates: np.ndarray) -> np.ndarray:
    """Return the standard deviation of bootstrap estimates, (n_resamples, ...), over those that exist.

    Infinite where more than a tenth do not: then nothing is known about the scatter.
    """
    good = np.isfinite(estimates)
    n = good.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(good, estimates, 0.0).sum(axis=0) / n
        deviation = np.sqrt(np.where(good, (estimates - mean) ** 2, 0.0).sum(axis=0) / n)
    return np.where(n >= 0.9 * len(estimates), deviation, np.inf)


def weighted_mean(
    values: np.ndarray, log_weight: np.ndarray, blocks: Blocks, enthalpy: np.ndarray
) -> ReweightResult:
    """Return sum(A w)/sum(w), its error by block bootstrap and what it rests on.

    Parameters
    ----------
    values, log_weight
        A and ln w of each frame, shape (n,).
    blocks, enthalpy
        Of the same frames.

    Warns
    -----
    EffectiveSampleSizeWarning
        If the run does not support the average.
    """
    values = np.asarray(values, dtype=float)
    if values.shape != log_weight.shape:
        raise InputError(
            "one value a frame is needed", where="values", expected=log_weight.shape, got=values.shape
        )
    weights = np.exp(log_weight - log_weight.max())
    sums = blocks.sums(weights)
    mean = float((weights * values).sum() / weights.sum())
    # deviations from the mean: nothing is lost where A is large and varies little
    deviations = blocks.sums(weights * (values - mean))
    with np.errstate(invalid="ignore", divide="ignore"):
        error = float(scatter((blocks.counts @ deviations) / (blocks.counts @ sums)))
    supported = is_supported(weights, blocks, enthalpy)
    if not supported:
        warn_unsupported("this average", stacklevel=4)
    return ReweightResult(mean, error, effective_number(weights), effective_number(sums), supported)
