"""The partial enthalpy dH(H, O): a linear bias for checks, and the Wang-Landau surface."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from asennp.errors import InputError, nearest
from asennp.md.restart import read_state, write_state
from asennp.md.reweight import ReweightResult, log_weights, weighted_mean
from asennp.md.surface import Axis, evaluate_surface, limit_slope, pad
from asennp.units import KB

#: dH and its derivatives: alpha = 1 + d dH/dH, gamma_k = d dH/dO_k.
BiasValue = tuple[float, float, tuple[float, ...]]

_KIND, _VERSION = "asennp-wang-landau", 1
_SCHEDULES = ("flatness", "constant")


class Bias(ABC):
    """A partial enthalpy dH(H, O): the run samples exp(-(H + dH)/kT0)."""

    n_orders: int

    @abstractmethod
    def evaluate(self, enthalpy: float, *orders: float) -> BiasValue:
        """Return dH (eV), alpha = 1 + d dH/dH and gamma_k = d dH/dO_k (eV)."""

    @abstractmethod
    def todict(self) -> dict[str, Any]:
        """Return the settings as plain values."""

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the state that belongs into a restart file."""
        return {}

    def update(self, enthalpy: float, *orders: float) -> None:  # noqa: B027  (a hook)
        """Learn from a visit; a fixed bias does not."""

    def check(self, temperature_K: float, pressure_au: float | None) -> None:  # noqa: B027  (a hook)
        """Raise InputError if the bias belongs to another temperature or pressure."""

    @property
    def frozen(self) -> bool:
        """Whether `update` leaves dH as it is."""
        return True

    @property
    def n_updates(self) -> int:
        """How often dH was changed."""
        return 0

    def outside(self, enthalpy: float, *orders: float) -> str | None:
        """Return the name of the axis on which a point lies off the mesh, if any."""
        return None


class LinearBias(Bias):
    """dH = c_H H + sum_k c_k O_k.

    With c_H = lambda - 1 alone, averages are those of plain NPT at T0/lambda and the same pressure; with
    c_k alone it is a linear umbrella.

    Parameters
    ----------
    enthalpy
        c_H.
    order
        c_k, eV: a number for one order parameter, a sequence for several, nothing for none.
    """

    def __init__(self, enthalpy: float = 0.0, order: float | Sequence[float] = ()) -> None:
        self.enthalpy = float(enthalpy)
        self.orders = tuple(float(c) for c in np.atleast_1d(np.asarray(order, dtype=float)))
        self.n_orders = len(self.orders)

    def evaluate(self, enthalpy: float, *orders: float) -> BiasValue:
        """Return dH, alpha and gamma."""
        value = self.enthalpy * enthalpy + sum(c * o for c, o in zip(self.orders, orders))
        return value, 1.0 + self.enthalpy, self.orders

    def todict(self) -> dict[str, Any]:
        """Return the coefficients."""
        return {"kind": "linear", "enthalpy": self.enthalpy, "order": list(self.orders)}


@dataclass
class WangLandauState:
    """What a Wang-Landau bias has learned so far.

    Attributes
    ----------
    coefficients
        dH at the nodes (coefficients of the B-spline), eV, shape (n_enthalpy, n_order, ...).
    histogram
        Visits since ln f last changed, or since the bias was frozen.
    visits
        All visits.
    ln_f
        Present modification factor.
    n_updates
        Changes of dH.
    n_outside
        Visits off the mesh: they change nothing.
    n_limited
        Node values moved to keep alpha inside its limits.
    one_over_t
        Whether ln f follows N_visited/t by now.
    frozen
        Whether dH stays as it is.
    pressure_au
        Pressure of the runs that made it, eV/Å^3 (NaN: fixed volume; None: none yet).
    """

    coefficients: np.ndarray
    histogram: np.ndarray
    visits: np.ndarray
    ln_f: float
    n_updates: int = 0
    n_outside: int = 0
    n_limited: int = 0
    one_over_t: bool = False
    frozen: bool = False
    pressure_au: float | None = None


class WangLandauBias(Bias):
    """dH(H, O) on a mesh, learned by Wang and Landau's rule until (H, O) is visited evenly.

    Every update adds kT0 ln f exp(-|x_k - x|^2/2w^2) to the node values around the visited point, x in
    units of the node spacings. Afterwards the differences along H are limited so that
    alpha = 1 + d dH/dH stays inside [T0/Tmax, T0/Tmin] everywhere; the force is never clamped and remains
    an exact gradient.

    Parameters
    ----------
    axes
        ``(name, low, high, n_nodes)`` each: first ("enthalpy", ...) in eV, then one an order parameter.
    temperature_K
        Reference temperature T0.
    ln_f
        First modification factor.
    kernel_width
        w in node spacings, a number or one an axis. A bump of width w adds about (2.5 w)^d nodes' worth.
    temperature_min_K, temperature_max_K
        Limits of T0/alpha; T0/4 and 2.5 T0 if not given. The timestep must suit modes sqrt(T0/Tmin) stiffer.
    schedule
        "flatness": ln f is halved when the histogram is flat over the visited nodes (those not held by the
        limits of alpha nor within a kernel of an edge), and follows N_visited/t once that is larger.
        "constant": ln f stays; such a run explores.
    flatness
        Least visited node over the mean that counts as flat.
    check_interval
        Updates between two looks at the flatness.

    References
    ----------
    Wang, Landau, Phys. Rev. Lett. 86 (2001) 2050, doi:10.1103/PhysRevLett.86.2050; 1/t: Belardinelli,
    Pereyra, Phys. Rev. E 75 (2007) 046701, doi:10.1103/PhysRevE.75.046701.
    """

    def __init__(
        self,
        axes: Sequence[tuple[str, float, float, int] | Axis],
        temperature_K: float,
        *,
        ln_f: float = 1.0,
        kernel_width: float | Sequence[float] = 1.0,
        temperature_min_K: float | None = None,
        temperature_max_K: float | None = None,
        schedule: str = "flatness",
        flatness: float = 0.8,
        check_interval: int = 1000,
    ) -> None:
        self.axes = tuple(axis if isinstance(axis, Axis) else Axis(*axis) for axis in axes)
        if not self.axes or self.axes[0].name != "enthalpy":
            raise InputError(
                "the first axis must be the enthalpy", where="axes", got=[axis.name for axis in self.axes]
            )
        self.n_orders = len(self.axes) - 1
        self.temperature_K = float(temperature_K)
        self.temperature_min_K = float(temperature_min_K or temperature_K / 4.0)
        self.temperature_max_K = float(temperature_max_K or temperature_K * 2.5)
        if not 0.0 < self.temperature_min_K <= self.temperature_K <= self.temperature_max_K:
            raise InputError(
                "the reference temperature lies outside its own limits",
                where="temperature_min_K, temperature_max_K",
                expected="0 < Tmin <= T0 <= Tmax",
                got=(self.temperature_min_K, self.temperature_K, self.temperature_max_K),
            )
        if schedule not in _SCHEDULES:
            raise InputError(
                "unknown schedule", where="schedule", got=schedule, do=nearest(schedule, _SCHEDULES)
            )
        self.schedule, self.flatness, self.check_interval = schedule, float(flatness), int(check_interval)
        self.kernel_width = tuple(float(w) for w in np.broadcast_to(kernel_width, len(self.axes)))
        if not (ln_f > 0.0 and min(self.kernel_width) > 0.0):
            raise InputError("must be positive", where="ln_f, kernel_width", got=(ln_f, self.kernel_width))
        shape = tuple(axis.n for axis in self.axes)
        empty = np.zeros(shape, dtype=np.int64)
        self.state = WangLandauState(np.zeros(shape), empty, empty.copy(), float(ln_f))
        self._nodes = [np.linspace(axis.low, axis.high, axis.n) for axis in self.axes]
        self._initial_ln_f = float(ln_f)
        self._padded = pad(self.state.coefficients)

    @property
    def frozen(self) -> bool:
        """Whether dH stays as it is."""
        return self.state.frozen

    @property
    def n_updates(self) -> int:
        """How often dH was changed."""
        return self.state.n_updates

    @property
    def ln_f(self) -> float:
        """Present modification factor."""
        return self.state.ln_f

    def set_frozen(self, frozen: bool = True) -> None:
        """Stop (or resume) the learning; the histogram starts anew."""
        self.state.frozen = frozen
        self.state.histogram[...] = 0

    def set_coefficients(self, coefficients: np.ndarray) -> None:
        """Put a surface in place of the learned one (eV at the nodes), its slope limited along H."""
        values = np.array(coefficients, dtype=float)
        if values.shape != self.state.coefficients.shape:
            raise InputError(
                "another mesh", where="coefficients", expected=self.state.coefficients.shape, got=values.shape
            )
        self.state.coefficients[...] = values
        self._limit(0)
        self._padded = pad(self.state.coefficients)

    def evaluate(self, enthalpy: float, *orders: float) -> BiasValue:
        """Return dH, alpha and gamma, an exact gradient on and off the mesh."""
        value, slopes = evaluate_surface(self._padded, self.axes, (enthalpy, *orders))
        return value, 1.0 + slopes[0], tuple(slopes[1:])

    def outside(self, enthalpy: float, *orders: float) -> str | None:
        """Return the name of the axis on which a point lies off the mesh, if any."""
        for axis, value in zip(self.axes, (enthalpy, *orders)):
            if not axis.contains(value):
                return axis.name
        return None

    def check(self, temperature_K: float, pressure_au: float | None) -> None:
        """Raise InputError if the bias was made at another temperature or pressure; remember the pressure."""
        if temperature_K != self.temperature_K:
            raise InputError(
                "the bias has another reference temperature",
                where="temperature_K",
                expected=self.temperature_K,
                got=temperature_K,
            )
        pressure = math.nan if pressure_au is None else float(pressure_au)
        made_at = self.state.pressure_au
        if made_at is None:
            self.state.pressure_au = pressure
        elif not (made_at == pressure or (math.isnan(made_at) and math.isnan(pressure))):
            raise InputError(
                "the bias was made at another pressure", where="pressure_au", expected=made_at, got=pressure
            )

    def update(self, enthalpy: float, *orders: float) -> None:
        """Count a visit and, unless frozen, raise dH around it by kT0 ln f."""
        state, point = self.state, (enthalpy, *orders)
        if self.outside(*point) is not None:
            state.n_outside += 1
            return
        scaled = [(x - axis.low) / axis.spacing for axis, x in zip(self.axes, point)]
        node = tuple(round(x) for x in scaled)
        state.histogram[node] += 1
        state.visits[node] += 1
        if state.frozen:
            return
        bump = np.array(KB * self.temperature_K * state.ln_f)
        for axis, x, width in zip(self.axes, scaled, self.kernel_width):
            distance = (np.arange(axis.n) - x) / width
            bump = np.multiply.outer(bump, np.where(np.abs(distance) < 4.0, np.exp(-0.5 * distance**2), 0.0))
        state.coefficients += bump
        self._limit(node[0])
        self._padded = pad(state.coefficients)
        state.n_updates += 1
        if self.schedule == "flatness":
            self._advance()

    def _limits(self) -> tuple[float, float]:
        """Return the range of neighbours' differences along H that alpha's limits allow."""
        spacing = self.axes[0].spacing
        lowest = spacing * (self.temperature_K / self.temperature_max_K - 1.0)
        highest = spacing * (self.temperature_K / self.temperature_min_K - 1.0)
        return lowest, highest

    def _limit(self, start: int) -> None:
        """Keep alpha = 1 + d dH/dH inside [T0/Tmax, T0/Tmin], from the node `start` along H outward."""
        self.state.n_limited += limit_slope(self.state.coefficients, start, *self._limits())

    def _free(self) -> np.ndarray:
        """Tell where visits can become even: alpha not held by its limits, no edge within a kernel."""
        lowest, highest = self._limits()
        tolerance = 1e-6 * (highest - lowest)
        steps = np.diff(self.state.coefficients, axis=0)
        inside = (steps > lowest + tolerance) & (steps < highest - tolerance)
        edge = np.zeros_like(inside[:1])
        free = np.zeros_like(self.state.visits, dtype=bool)
        core = tuple(slice(m, -m) for m in (math.ceil(width) for width in self.kernel_width))
        free[core] = (np.concatenate([edge, inside]) | np.concatenate([inside, edge]))[core]
        return free

    def _advance(self) -> None:
        """Lower ln f: halves on a flat histogram first, N_visited/t once that is the larger."""
        state = self.state
        if state.one_over_t:
            state.ln_f = np.count_nonzero(state.visits) / state.n_updates
        elif state.n_updates % self.check_interval == 0:
            visited = state.histogram[(state.visits > 0) & self._free()]
            if len(visited) and visited.min() >= self.flatness * visited.mean():
                state.ln_f *= 0.5
                state.histogram[...] = 0
                state.one_over_t = bool(state.ln_f <= np.count_nonzero(state.visits) / state.n_updates)

    def reweight(
        self,
        energy: np.ndarray,
        volume: np.ndarray,
        orders: np.ndarray,
        values: np.ndarray,
        *,
        temperature_K: float,
        pressure_au: float | None = None,
        wl_updates: np.ndarray | None = None,
        n_blocks: int = 10,
    ) -> ReweightResult:
        """Return <A> at another temperature and pressure from the frames of a run with this bias, frozen.

        ln w = -(U + P' V)/kT + (H + dH)/kT0.

        Parameters
        ----------
        energy, volume
            U (eV) and V (Å^3) of consecutive frames, shape (n,).
        orders
            Order parameters, shape (n,) or (n, n_orders).
        values
            A of each frame.
        temperature_K, pressure_au
            Where the average is wanted; the pressure is the run's own if not given.
        wl_updates
            ``info["wl_updates"]`` of the frames: checked to be this bias's, so that no frame from the time of
            learning comes in.
        n_blocks
            Blocks of the error estimate.

        Raises
        ------
        InputError
            If the bias still learns or the frames were made with another one (exploration only).
        """
        self._require_converged(wl_updates)
        made_at = self.state.pressure_au or 0.0
        sampled_pressure = 0.0 if math.isnan(made_at) else made_at
        energy, volume = np.asarray(energy, dtype=float), np.asarray(volume, dtype=float)
        columns = np.asarray(orders, dtype=float).reshape(len(energy), self.n_orders)
        enthalpy = energy + sampled_pressure * volume
        shift = np.array([self.evaluate(h, *row)[0] for h, row in zip(enthalpy.tolist(), columns.tolist())])
        weights = log_weights(
            energy,
            volume,
            shift,
            temperature_K=temperature_K,
            pressure_au=sampled_pressure if pressure_au is None else pressure_au,
            sampled_temperature_K=self.temperature_K,
            sampled_pressure_au=sampled_pressure,
        )
        return weighted_mean(np.asarray(values, dtype=float), weights, n_blocks)

    def _require_converged(self, wl_updates: np.ndarray | None) -> None:
        if not self.frozen:
            raise InputError(
                "the bias still learns: its frames serve exploration only",
                where="bias",
                do="set_frozen() after convergence, run again with it, and reweight the frames of that run",
            )
        if wl_updates is not None and np.any(np.asarray(wl_updates) != self.n_updates):
            raise InputError(
                "some frames were made while the bias still changed (exploration only)",
                where="wl_updates",
                expected=self.n_updates,
                got=sorted(set(np.asarray(wl_updates).tolist()))[:5],
            )

    def todict(self) -> dict[str, Any]:
        """Return the settings and the scalars of the state."""
        scalars = {
            field.name: getattr(self.state, field.name)
            for field in fields(self.state)
            if field.name not in ("coefficients", "histogram", "visits")
        }
        return {
            "kind": "wang-landau",
            "axes": [axis.todict() for axis in self.axes],
            "temperature_K": self.temperature_K,
            "ln_f": self._initial_ln_f,
            "kernel_width": list(self.kernel_width),
            "temperature_min_K": self.temperature_min_K,
            "temperature_max_K": self.temperature_max_K,
            "schedule": self.schedule,
            "flatness": self.flatness,
            "check_interval": self.check_interval,
            "state": scalars,
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """Return mesh values and histograms."""
        state = self.state
        return {"coefficients": state.coefficients, "histogram": state.histogram, "visits": state.visits}

    @classmethod
    def from_dict(cls, values: dict[str, Any], arrays: dict[str, np.ndarray]) -> "WangLandauBias":
        """Rebuild the bias from `todict` and `arrays`."""
        settings = {key: value for key, value in values.items() if key not in ("kind", "state", "axes")}
        bias = cls([Axis(**axis) for axis in values["axes"]], **settings)
        for name, array in arrays.items():
            getattr(bias.state, name)[...] = array
        for name, value in values["state"].items():
            setattr(bias.state, name, value)
        bias._padded = pad(bias.state.coefficients)
        return bias

    def save(self, path: str | Path) -> Path:
        """Write the bias to one file, atomically."""
        return write_state(path, _KIND, _VERSION, self.todict(), self.arrays())

    @classmethod
    def load(cls, path: str | Path) -> "WangLandauBias":
        """Read a bias written by `save`; a damaged or foreign file raises InputError."""
        return cls.from_dict(*read_state(path, _KIND, _VERSION))


def bias_from_dict(values: dict[str, Any] | None, arrays: dict[str, np.ndarray]) -> Bias | None:
    """Rebuild a bias of this module."""
    if values is None:
        return None
    if values["kind"] == "linear":
        return LinearBias(values["enthalpy"], values["order"])
    return WangLandauBias.from_dict(values, arrays)
