"""Mean-square displacements, diffusion coefficients with errors, and their Arrhenius law."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.md.bussi import Bussi
from ase.md.velocitydistribution import Stationary, thermalize_momenta

from asennp.errors import InputError
from asennp.evaluate.capability import require_properties
from asennp.progress import progress
from asennp.results import Result

#: 1 Å^2/ps in cm^2/s.
_CM2_S = 1e-4


@dataclass(frozen=True, eq=False)
class MsdResult(Result):
    """Mean-square displacements of one run and the diffusion coefficients from their slope.

    Attributes
    ----------
    lag_ps
        (m,) time lags.
    msd_A2
        {symbol: (m,)} mean over atoms and time origins, centre of mass fixed.
    diffusion_cm2_s, error_cm2_s
        {symbol: D} and its standard error over blocks of the run.
    window_ps
        Lags between which the slope was taken.
    exponent
        {symbol: d ln(msd)/d ln(lag)} in that window: 1 for diffusion, 0 for an atom held in place.
    n_blocks
        Blocks of the error.
    """

    lag_ps: np.ndarray
    msd_A2: dict[str, np.ndarray]
    diffusion_cm2_s: dict[str, float]
    error_cm2_s: dict[str, float]
    window_ps: tuple[float, float]
    exponent: dict[str, float]
    n_blocks: int


@dataclass(frozen=True, eq=False)
class ArrheniusFit(Result):
    """D(T) = D0 exp(-Ea / k_B T).

    Attributes
    ----------
    activation_eV, activation_error_eV
        Ea and its standard error.
    prefactor_cm2_s
        D0.
    prefactor_ln_error
        Standard error of ln D0.
    n_temperatures
        Temperatures in the fit (those with D above its error).
    chi2
        Sum of squared residuals over errors, per degree of freedom; NaN with two temperatures.
    """

    activation_eV: float
    activation_error_eV: float
    prefactor_cm2_s: float
    prefactor_ln_error: float
    n_temperatures: int
    chi2: float


@dataclass(frozen=True, eq=False)
class DiffusionResult(Result):
    """Diffusion at several temperatures.

    Attributes
    ----------
    temperatures_K
        (t,) asked for.
    mean_temperatures_K
        (t,) kinetic temperatures met.
    runs
        (t,) mean-square displacements of each run.
    arrhenius
        {symbol: fit}; species that do not move at two temperatures at least have none.
    time_ps
        Length of each run.
    """

    temperatures_K: np.ndarray
    mean_temperatures_K: np.ndarray
    runs: tuple[MsdResult, ...]
    arrhenius: dict[str, ArrheniusFit]
    time_ps: float

    def diffusion(self, symbol: str) -> tuple[np.ndarray, np.ndarray]:
        """Return D and its standard error (t,) of a species, cm^2/s."""
        return (
            np.array([run.diffusion_cm2_s[symbol] for run in self.runs]),
            np.array([run.error_cm2_s[symbol] for run in self.runs]),
        )


def mean_square_displacement(paths: np.ndarray) -> np.ndarray:
    """Return the mean over atoms and time origins of |r(t + lag) - r(t)|^2, (n,) for paths (n, N, 3).

    By Fourier transforms, n ln n in time (Kneller et al., Comput. Phys. Commun. 91 (1995) 191,
    doi:10.1016/0010-4655(95)00048-K).
    """
    n = len(paths)
    centred = paths - paths.mean(axis=0)
    transform = np.fft.rfft(centred, n=2 * n, axis=0)
    products = np.fft.irfft((np.abs(transform) ** 2).sum(axis=2), n=2 * n, axis=0)[:n]
    counts = np.arange(n, 0, -1)[:, None]
    squares = (centred**2).sum(axis=2)
    ends = np.vstack([np.cumsum(squares[::-1], axis=0)[::-1], np.zeros(squares.shape[1])])
    begins = np.vstack([np.zeros(squares.shape[1]), np.cumsum(squares, axis=0)])
    lags = np.arange(n)
    both = ends[lags] + begins[n - lags]
    return np.asarray(((both - 2.0 * products) / counts).mean(axis=1).clip(min=0.0))


def compute_msd(
    paths: np.ndarray,
    symbols: Sequence[str],
    interval_ps: float,
    masses: np.ndarray | None = None,
    window: tuple[float, float] = (0.2, 0.5),
    n_blocks: int = 4,
) -> MsdResult:
    """Return displacements and D = slope / 6 by species.

    Parameters
    ----------
    paths
        (n, N, 3) positions in Å, not wrapped into the cell, at even times.
    symbols
        (N,) species.
    interval_ps
        Time between frames.
    masses
        (N,) for fixing the centre of mass; default: all alike.
    window
        Part of a block's length the slope is taken over. Short lags are ballistic, long ones poorly averaged.
    n_blocks
        The run is cut into so many blocks; D is their mean, its error their standard deviation over sqrt(n).

    Raises
    ------
    InputError
        Arrays that do not fit, or fewer than ten frames a block.
    """
    paths = np.asarray(paths, float)
    if paths.ndim != 3 or paths.shape[1:] != (len(symbols), 3):
        raise InputError(
            "paths do not fit", where="paths", expected=f"(n, {len(symbols)}, 3)", got=paths.shape
        )
    length = len(paths) // n_blocks
    if length < 10:
        raise InputError(
            "the run is too short", where="paths", expected=f"at least {10 * n_blocks} frames", got=len(paths)
        )
    weights = np.ones(len(symbols)) if masses is None else np.asarray(masses, float)
    paths = paths - np.average(paths, axis=1, weights=weights)[:, None]
    first, last = max(1, int(window[0] * length)), max(3, int(window[1] * length))
    kinds = np.array(symbols)
    lag = interval_ps * np.arange(length)
    curves, values, errors, exponents = {}, {}, {}, {}
    for s in map(str, np.unique(kinds)):
        blocks = [
            mean_square_displacement(paths[k * length : (k + 1) * length, kinds == s])
            for k in range(n_blocks)
        ]
        slopes = [np.polyfit(lag[first:last], block[first:last], 1)[0] / 6.0 for block in blocks]
        curve = np.mean(blocks, axis=0)
        curves[s] = curve
        values[s] = _CM2_S * float(np.mean(slopes))
        errors[s] = (
            _CM2_S * float(np.std(slopes, ddof=1) / np.sqrt(n_blocks)) if n_blocks > 1 else float("nan")
        )
        ends = np.maximum(curve[[first, last - 1]], 1e-12)
        exponents[s] = float(np.log(ends[1] / ends[0]) / np.log(lag[last - 1] / lag[first]))
    return MsdResult(
        lag, curves, values, errors, (float(lag[first]), float(lag[last - 1])), exponents, n_blocks
    )


def fit_arrhenius(temperatures_K: Any, diffusion: Any, error: Any) -> ArrheniusFit:
    """Fit ln D = ln D0 - Ea/(k_B T), weighted by the errors of ln D.

    Temperatures at which D is not above its error are left out.

    Raises
    ------
    InputError
        Fewer than two temperatures remain.
    """
    t, d, e = (np.asarray(x, float) for x in (temperatures_K, diffusion, error))
    moving = (d > 0.0) & (d > e) & (e > 0.0)
    if moving.sum() < 2:
        raise InputError(
            "too few temperatures at which the species moves",
            where="diffusion", expected="two or more", got=int(moving.sum()),
        )  # fmt: skip
    x, y, w = 1.0 / (units.kB * t[moving]), np.log(d[moving]), d[moving] / e[moving]
    design = np.stack([np.ones_like(x), -x], axis=1) * w[:, None]
    covariance = np.linalg.inv(design.T @ design)
    ln_d0, activation = covariance @ design.T @ (y * w)
    rest = w * (y - ln_d0 + activation * x)
    free = len(x) - 2
    return ArrheniusFit(
        activation_eV=float(activation),
        activation_error_eV=float(np.sqrt(covariance[1, 1])),
        prefactor_cm2_s=float(np.exp(ln_d0)),
        prefactor_ln_error=float(np.sqrt(covariance[0, 0])),
        n_temperatures=len(x),
        chi2=float(rest @ rest / free) if free else float("nan"),
    )


def compute_diffusion(
    atoms: Atoms | Mapping[float, Atoms],
    calculator: Any,
    temperatures_K: Sequence[float],
    time_ps: float = 50.0,
    timestep_fs: float = 1.0,
    *,
    rng: np.random.Generator,
    equilibration_ps: float = 2.0,
    interval: int = 20,
    thermostat_fs: float = 500.0,
    n_blocks: int = 4,
) -> DiffusionResult:
    """Run NVT at each temperature and return D by species and its Arrhenius law.

    The thermostat rescales all velocities alike (Bussi), so that it does not slow an atom's own path as
    Langevin's friction would.

    Parameters
    ----------
    atoms
        Start of every run, or {temperature: start} such as cells expanded to each temperature.
    temperatures_K, time_ps, timestep_fs
        Temperatures, length of each run after `equilibration_ps`, and time step.
    rng
        Seeded generator.
    interval
        Steps between frames.
    n_blocks
        See `compute_msd`.

    Raises
    ------
    InputError
        A calculator without forces, a temperature that is not positive or has no start, runs too short.
    """
    require_properties(calculator, "forces", purpose="a diffusion run")
    temperatures = np.asarray(temperatures_K, float)
    if temperatures.ndim != 1 or not len(temperatures) or temperatures.min() <= 0.0:
        raise InputError(
            "not temperatures", where="temperatures_K", expected="positive, in K", got=temperatures_K
        )
    starts = atoms if isinstance(atoms, Mapping) else dict.fromkeys(map(float, temperatures), atoms)
    missing = [t for t in map(float, temperatures) if t not in starts]
    if missing:
        raise InputError("no start for a temperature", where="atoms", expected=missing[0], got=list(starts))
    runs, means = [], []
    with progress("diffusion", len(temperatures)) as show:
        for k, t in enumerate(map(float, temperatures)):
            paths, mean, frame = _run(
                starts[t], calculator, t, time_ps, timestep_fs, equilibration_ps, interval, thermostat_fs, rng
            )
            runs.append(
                compute_msd(
                    paths,
                    frame.get_chemical_symbols(),
                    1e-3 * interval * timestep_fs,
                    frame.get_masses(),
                    n_blocks=n_blocks,
                )
            )
            means.append(mean)
            show(k + 1, "temperatures")
    fits = {}
    for s in runs[0].diffusion_cm2_s:
        values = [run.diffusion_cm2_s[s] for run in runs], [run.error_cm2_s[s] for run in runs]
        try:
            fits[s] = fit_arrhenius(temperatures, *values)
        except InputError:
            continue
    return DiffusionResult(temperatures, np.array(means), tuple(runs), fits, time_ps)


def _run(
    start: Atoms, calculator: Any, temperature: float, time_ps: float, timestep_fs: float,
    equilibration_ps: float, interval: int, thermostat_fs: float, rng: np.random.Generator,
) -> tuple[np.ndarray, float, Atoms]:  # fmt: skip
    """Return paths (n, N, 3), the mean temperature and the last frame."""
    frame = Atoms(start.symbols, positions=start.positions, cell=start.cell, pbc=start.pbc)
    frame.calc = calculator
    thermalize_momenta(frame, temperature_K=temperature, rng=rng)
    Stationary(frame)
    step = timestep_fs * units.fs
    dynamics = Bussi(frame, step, temperature, thermostat_fs * units.fs, rng=rng)
    dynamics.run(round(1000.0 * equilibration_ps / timestep_fs))
    paths, temperatures = [], []
    for _ in range(round(1000.0 * time_ps / timestep_fs / interval)):
        dynamics.run(interval)
        paths.append(frame.positions.copy())
        temperatures.append(frame.get_temperature())
    return np.array(paths), float(np.mean(temperatures)), frame
