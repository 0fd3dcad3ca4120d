"""Thermodynamics from a run under a frozen bias: C_P, free energies, densities of states.

Each error is the standard deviation over a bootstrap of blocks of consecutive frames.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asennp.errors import InputError
from asennp.md.reweight import scatter, warn_unsupported
from asennp.md.samples import BiasedSamples
from asennp.results import Result
from asennp.units import KB


@dataclass(frozen=True, eq=False)
class HeatCapacityResult(Result):
    """Enthalpy and heat capacity against temperature.

    Attributes
    ----------
    temperatures_K
        (n_T,).
    enthalpy, enthalpy_error
        <H>, eV, (n_T,); configurational.
    heat_capacity, heat_capacity_error
        C_P, eV/K, (n_T,): (<H^2> - <H>^2)/kT^2, and N_f k/2 of the momenta if N_f was given.
    peak_K, peak_error_K
        Temperature of the largest C_P; infinite error where resampled runs have it at an end of the range.
    supported
        Whether the run supports each temperature, (n_T,).
    """

    temperatures_K: np.ndarray
    enthalpy: np.ndarray
    enthalpy_error: np.ndarray
    heat_capacity: np.ndarray
    heat_capacity_error: np.ndarray
    peak_K: float
    peak_error_K: float
    supported: np.ndarray


@dataclass(frozen=True, eq=False)
class FreeEnergyResult(Result):
    """Free energy along an order parameter.

    Attributes
    ----------
    temperature_K
        T.
    order
        Middles of the bins, (n,).
    free_energy, error
        F(O; T) = -kT ln p(O), eV, (n,), its least value 0; infinite where the run never was. The error is
        that of the difference to the least value.
    supported
        Whether the run supports the temperature.
    """

    temperature_K: float
    order: np.ndarray
    free_energy: np.ndarray
    error: np.ndarray
    supported: bool


@dataclass(frozen=True, eq=False)
class DensityOfStatesResult(Result):
    """Logarithm of the density of states n(H, O).

    Attributes
    ----------
    axes
        Names of the axes.
    nodes
        Middles of the bins along each axis: those of the bias's mesh.
    ln_n, error
        ln n up to a constant, its largest value 0, shape (n_enthalpy, n_order, ...); minus infinity where the
        run never was. The error is that of the difference to the mean over the visited bins.
    visits
        Frames in each bin.
    """

    axes: tuple[str, ...]
    nodes: list[np.ndarray]
    ln_n: np.ndarray
    error: np.ndarray
    visits: np.ndarray


def compute_heat_capacity(
    samples: BiasedSamples,
    temperatures_K: Sequence[float] | np.ndarray,
    pressure_au: float | None = None,
    n_dof: int = 0,
) -> HeatCapacityResult:
    """Return <H>(T) and C_P(T).

    Parameters
    ----------
    samples
        Frames.
    temperatures_K
        At least three, rising, for the peak to be looked for.
    pressure_au
        eV/Å^3; the run's own if not given.
    n_dof
        N_f, whose N_f k/2 is added: 3N - 3 with chains, 3N with Langevin's bath.

    Warns
    -----
    EffectiveSampleSizeWarning
        If the run does not support some of the temperatures.
    """
    grid = check_temperatures(temperatures_K)
    enthalpy, blocks = samples.enthalpy_at(pressure_au), samples.blocks
    mean, error, capacity, capacity_error, resampled, supported = [], [], [], [], [], []
    for temperature in grid:
        weights = np.exp(samples.log_weights(temperature, pressure_au))
        centre = float((weights * enthalpy).sum() / weights.sum())
        moved = enthalpy - centre
        sums = np.stack([blocks.sums(weights * moved**k) for k in range(3)], axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            total = np.concatenate([[sums.sum(axis=0)], blocks.counts @ sums])
            first, second = total[:, 1] / total[:, 0], total[:, 2] / total[:, 0]
        heat = (second - first**2) / (KB * temperature**2) + 0.5 * n_dof * KB
        mean.append(centre)
        error.append(scatter(first[1:]))
        capacity.append(heat[0])
        capacity_error.append(scatter(heat[1:]))
        resampled.append(heat[1:])
        supported.append(samples.supports(weights))
    warn_unsupported_temperatures(grid, supported)
    peak = _peak(grid, np.array([capacity]))[0]
    peaks = _peak(grid, np.array(resampled).T)
    return HeatCapacityResult(
        grid,
        np.array(mean),
        np.array(error),
        np.array(capacity),
        np.array(capacity_error),
        float(peak),
        float(scatter(peaks)),
        np.array(supported),
    )


def compute_free_energy(
    samples: BiasedSamples,
    temperature_K: float,
    order: int = 0,
    bins: int | np.ndarray = 40,
    pressure_au: float | None = None,
) -> FreeEnergyResult:
    """Return F(O; T) = -kT ln of the probability density of an order parameter.

    Parameters
    ----------
    samples
        Frames.
    temperature_K
        T.
    order
        Number of the order parameter.
    bins
        Number of bins, or their edges.
    pressure_au
        eV/Å^3; the run's own if not given.
    """
    check_temperatures([temperature_K])
    values, blocks = samples.orders[:, order], samples.blocks
    edges = np.histogram_bin_edges(values, bins)
    weights = np.exp(samples.log_weights(temperature_K, pressure_au))
    table = _binned(values, edges, weights, blocks.index, blocks.n)
    with np.errstate(divide="ignore", invalid="ignore"):
        total = np.concatenate([[table.sum(axis=0)], blocks.counts @ table])
        free = -KB * temperature_K * np.log(total / total.sum(axis=1, keepdims=True) / np.diff(edges))
        lowest = int(np.argmin(free[0]))
        error = scatter(free[1:] - free[1:, [lowest]])
    supported = samples.supports(weights)
    if not supported:
        warn_unsupported(f"{temperature_K:g} K")
    middles = 0.5 * (edges[1:] + edges[:-1])
    return FreeEnergyResult(float(temperature_K), middles, free[0] - free[0, lowest], error, supported)


def compute_density_of_states(samples: BiasedSamples) -> DensityOfStatesResult:
    """Return ln n(H, O) = ln histogram + (H + dH)/kT0 on the cells of the bias's mesh, averaged in each.

    With V^M the run's volume measure (M = N - 1 with chains, N with Langevin's bath at constant pressure), n
    counts states in that measure.
    """
    bias, blocks = samples.bias, samples.blocks
    points = np.column_stack([samples.enthalpy, samples.orders])
    cells, inside = np.zeros(len(samples), int), np.ones(len(samples), bool)
    for axis, column in zip(bias.axes, points.T):
        k = np.rint((column - axis.low) / axis.spacing).astype(int)
        inside &= (k >= 0) & (k < axis.n)
        cells = cells * axis.n + np.clip(k, 0, axis.n - 1)
    shape = tuple(axis.n for axis in bias.axes)
    n_cells = int(np.prod(shape))
    visits = np.bincount(cells[inside], minlength=n_cells)
    if not inside.any():
        raise InputError("no frame lies on the mesh of the bias", where="samples")
    ln_weight = (samples.enthalpy + samples.shift) / (KB * bias.temperature_K)
    # each cell has a reference of its own: ln n spans hundreds
    highest = np.full(n_cells, -np.inf)
    np.maximum.at(highest, cells[inside], ln_weight[inside])
    scaled = np.exp(ln_weight[inside] - highest[cells[inside]])
    seen = np.flatnonzero(visits)
    place = np.full(n_cells, -1)
    place[seen] = np.arange(len(seen))
    table = np.zeros((blocks.n, len(seen)))
    np.add.at(table, (blocks.index[inside], place[cells[inside]]), scaled)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.log(table.sum(axis=0))
        again = np.log(blocks.counts @ table) - found
        level = np.ma.masked_invalid(again).mean(axis=1, keepdims=True)
        wide = scatter(again - np.ma.filled(level, 0.0))
    ln_n, error = np.full(n_cells, -np.inf), np.full(n_cells, np.inf)
    ln_n[seen], error[seen] = found + highest[seen], wide
    return DensityOfStatesResult(
        tuple(axis.name for axis in bias.axes),
        [axis.nodes for axis in bias.axes],
        (ln_n - ln_n.max()).reshape(shape),
        error.reshape(shape),
        visits.reshape(shape),
    )


def check_temperatures(temperatures_K: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return rising positive temperatures as an array, or raise InputError."""
    grid = np.atleast_1d(np.asarray(temperatures_K, dtype=float))
    if grid.ndim != 1 or len(grid) == 0 or not (np.all(grid > 0.0) and np.all(np.diff(grid) > 0.0)):
        raise InputError(
            "temperatures must be positive and rise", where="temperatures_K", got=grid.tolist()[:10]
        )
    return grid


def warn_unsupported_temperatures(grid: np.ndarray, supported: list[bool]) -> None:
    """Warn of those temperatures that the run does not support."""
    missing = grid[~np.array(supported)]
    if len(missing):
        shown = ", ".join(f"{value:g}" for value in missing[:4]) + (", ..." if len(missing) > 4 else "")
        warn_unsupported(f"{shown} K", stacklevel=4)


def _binned(
    values: np.ndarray, edges: np.ndarray, weights: np.ndarray, index: np.ndarray, n_blocks: int
) -> np.ndarray:
    """Return weights summed over each block and bin, (n_blocks, n_bins)."""
    bounds = np.arange(n_blocks + 1) - 0.5
    return np.asarray(np.histogram2d(index, values, bins=(bounds, edges), weights=weights)[0])


def _peak(grid: np.ndarray, curves: np.ndarray) -> np.ndarray:
    """Return where each curve (rows) is highest, by the parabola through three points; NaN at an end."""
    if len(grid) < 3:
        return np.full(len(curves), np.nan)
    top = np.argmax(np.where(np.isfinite(curves), curves, -np.inf), axis=1)
    inner = np.clip(top, 1, len(grid) - 2)
    rows = np.arange(len(curves))
    x0, x1, x2 = grid[inner - 1], grid[inner], grid[inner + 1]
    y0, y1, y2 = curves[rows, inner - 1], curves[rows, inner], curves[rows, inner + 1]
    with np.errstate(invalid="ignore", divide="ignore"):
        top_slope, slope = (y1 - y0) / (x1 - x0), (y2 - y1) / (x2 - x1)
        curvature = (slope - top_slope) / (x2 - x0)
        place = 0.5 * (x0 + x1) - top_slope / (2.0 * curvature)
    return np.where(top == inner, place, np.nan)
