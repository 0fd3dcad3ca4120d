"""Phases in a run under a frozen bias: populations, and the temperature at which two are equally likely.

Each error is the standard deviation over a bootstrap of blocks of consecutive frames.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asennp.errors import InputError
from asennp.md.reweight import scatter, warn_unsupported
from asennp.md.samples import BiasedSamples
from asennp.md.thermodynamics import check_temperatures, warn_unsupported_temperatures
from asennp.results import Result


@dataclass(frozen=True, eq=False)
class PhaseResult(Result):
    """Populations of phases against temperature.

    Attributes
    ----------
    temperatures_K
        (n_T,).
    phases
        Names.
    populations, errors
        Share of each phase, (n_phases, n_T).
    supported
        Whether the run supports each temperature, (n_T,).
    """

    temperatures_K: np.ndarray
    phases: tuple[str, ...]
    populations: np.ndarray
    errors: np.ndarray
    supported: np.ndarray


@dataclass(frozen=True, eq=False)
class TransitionTemperatureResult(Result):
    """Temperature at which two phases are equally likely.

    Attributes
    ----------
    phases
        The phase that is stable below, and the one above.
    temperature_K, error_K
        Where ln(p_above/p_below) = 0.
    latent_heat, latent_heat_error
        <H>_above - <H>_below there, eV for the whole cell.
    n_crossings
        How often the run went from one of the two phases to the other: an error rests on these.
    supported
        Whether enough frames and blocks carry each of the two phases, and there are at least 4 crossings.
    """

    phases: tuple[str, str]
    temperature_K: float
    error_K: float
    latent_heat: float
    latent_heat_error: float
    n_crossings: int
    supported: bool


def compute_phase_populations(
    samples: BiasedSamples,
    labels: Sequence[str] | Sequence[int] | np.ndarray,
    temperatures_K: Sequence[float] | np.ndarray,
    pressure_au: float | None = None,
) -> PhaseResult:
    """Return the share of every phase against temperature.

    Parameters
    ----------
    samples
        Frames.
    labels
        Phase of each frame, text or numbers, (n,).
    temperatures_K, pressure_au
        See `compute_heat_capacity`.
    """
    grid, (names, codes) = check_temperatures(temperatures_K), _code(labels, len(samples))
    shares, errors, supported = [], [], []
    for temperature in grid:
        weights = np.exp(samples.log_weights(temperature, pressure_au))
        table = _phase_table(samples, codes, len(names), weights)
        with np.errstate(invalid="ignore", divide="ignore"):
            total = np.concatenate([[table.sum(axis=0)], samples.blocks.counts @ table])
            total /= total.sum(axis=1, keepdims=True)
        shares.append(total[0])
        errors.append(scatter(total[1:]))
        supported.append(samples.supports(weights))
    warn_unsupported_temperatures(grid, supported)
    return PhaseResult(grid, names, np.array(shares).T, np.array(errors).T, np.array(supported))


def compute_transition_temperature(
    samples: BiasedSamples,
    labels: Sequence[str] | Sequence[int] | np.ndarray,
    phases: tuple[str, str],
    temperatures_K: Sequence[float] | np.ndarray,
    pressure_au: float | None = None,
) -> TransitionTemperatureResult:
    """Return the temperature at which two phases are equally likely, and the latent heat there.

    Parameters
    ----------
    samples
        Frames.
    labels
        Phase of each frame, (n,). Frames of neither phase count for nothing.
    phases
        The phase stable below the transition, and the one above.
    temperatures_K
        Range to look in, from below the transition to above it, fine enough to interpolate linearly in.
    pressure_au
        eV/Å^3; the run's own if not given.

    Raises
    ------
    InputError
        If a phase never occurs or the populations do not cross within the range.
    """
    grid, (names, codes) = check_temperatures(temperatures_K), _code(labels, len(samples))
    for phase in phases:
        if str(phase) not in names:
            raise InputError("no frame has this label", where="phases", expected=names, got=phase)
    below, above = (names.index(str(phase)) for phase in phases)
    ratios, gaps = [], []
    enthalpy = samples.enthalpy_at(pressure_au)
    reference = float(enthalpy.mean())
    for temperature in grid:
        weights = np.exp(samples.log_weights(temperature, pressure_au))
        table = _phase_table(samples, codes, len(names), weights)
        heat = _phase_table(samples, codes, len(names), weights * (enthalpy - reference))
        with np.errstate(invalid="ignore", divide="ignore"):
            total = np.concatenate([[table.sum(axis=0)], samples.blocks.counts @ table])
            mean = np.concatenate([[heat.sum(axis=0)], samples.blocks.counts @ heat]) / total
            ratios.append(np.log(total[:, above] / total[:, below]))
            gaps.append(mean[:, above] - mean[:, below])
    roots = np.array([_crossing(grid, column) for column in np.array(ratios).T])
    if not np.isfinite(roots[0]):
        found = np.array(ratios)[:, 0]
        raise InputError(
            "the populations do not cross in this range",
            where="temperatures_K",
            expected=f"ln(p_{phases[1]}/p_{phases[0]}) below 0 at the lower end and above 0 at the upper",
            got=f"{found[0]:.3g} at {grid[0]:g} K, {found[-1]:.3g} at {grid[-1]:g} K",
        )
    latent = np.array([np.interp(root, grid, gap) for root, gap in zip(roots, np.array(gaps).T)])
    weights = np.exp(samples.log_weights(float(roots[0]), pressure_au))
    crossings = _count_crossings(codes, samples.walkers, below, above)
    carried = all(samples.supports(np.where(codes == k, weights, 0.0)) for k in (below, above))
    supported = carried and crossings >= 4
    if not supported:
        warn_unsupported(f"the transition ({crossings} crossings)")
    return TransitionTemperatureResult(
        (str(phases[0]), str(phases[1])),
        float(roots[0]),
        float(scatter(roots[1:])),
        float(latent[0]),
        float(scatter(latent[1:])),
        crossings,
        supported,
    )


def _code(labels: Sequence[str] | Sequence[int] | np.ndarray, n: int) -> tuple[tuple[str, ...], np.ndarray]:
    array = np.asarray(labels)
    if array.shape != (n,):
        raise InputError("one label a frame is needed", where="labels", expected=(n,), got=array.shape)
    names, codes = np.unique(array.astype(str), return_inverse=True)
    return tuple(str(name) for name in names), codes


def _phase_table(samples: BiasedSamples, codes: np.ndarray, n: int, values: np.ndarray) -> np.ndarray:
    """Return sums over each block and phase, (n_blocks, n)."""
    blocks = samples.blocks
    return np.bincount(blocks.index * n + codes, values, blocks.n * n).reshape(blocks.n, n)


def _crossing(grid: np.ndarray, values: np.ndarray) -> float:
    """Return where values first rise through 0, NaN if they do not."""
    up = np.flatnonzero((values[:-1] < 0.0) & (values[1:] >= 0.0))
    if len(up) == 0:
        return float("nan")
    k = int(up[0])
    if not np.isfinite(values[k]) or not np.isfinite(values[k + 1]):
        return float("nan")
    return float(grid[k] - values[k] * (grid[k + 1] - grid[k]) / (values[k + 1] - values[k]))


def _count_crossings(codes: np.ndarray, walkers: np.ndarray, below: int, above: int) -> int:
    """Return how often a walker went from one of two phases to the other."""
    counted = (codes == below) | (codes == above)
    state, of = codes[counted], walkers[counted]
    return int(np.count_nonzero((state[1:] != state[:-1]) & (of[1:] == of[:-1])))
