"""The Wang-Landau bias: a surface dH(H, O) that grows where a run has been."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from asennp.errors import InputError
from asennp.md.partial_enthalpy import Bias, BiasValue, LinearBias
from asennp.md.restart import read_state, write_state
from asennp.md.reweight import ReweightResult, log_weights, make_blocks, weighted_mean
from asennp.md.schedule import Schedule
from asennp.md.surface import Axis, Surface
from asennp.units import KB

_KIND, _VERSION = "asennp-wang-landau", 1


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
        Visits off the mesh.
    n_limited
        Node values moved to keep alpha inside its limits.
    n_merges
        Rounds of several walkers put together in it, see `run_walkers`.
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
    n_merges: int = 0
    one_over_t: bool = False
    frozen: bool = False
    pressure_au: float | None = None


class WangLandauBias(Bias):
    """dH(H, O) on a mesh, learned by Wang and Landau's rule until (H, O) is visited evenly.

    Every update adds kT0 ln f exp(-|x_k - x|^2/2w^2) to the node values around the visited point, x in
    units of the node spacings. Afterwards the differences along H are limited so that
    alpha = 1 + d dH/dH stays inside [T0/Tmax, T0/Tmin] everywhere; the force is never clamped and remains
    an exact gradient. Beyond the mesh dH goes on as a straight line along H (a canonical run at the edge's
    temperature) and levels off along the orders, see `Surface`; visits there raise the edge, which brings
    the run back.

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
    schedule, flatness, check_interval
        "flatness", "1/t" or "constant" (such a run explores), see `Schedule`. Nodes that are held by the
        limits of alpha or lie within a kernel of an edge never become even and do not count.

    Attributes
    ----------
    state
        `WangLandauState`: what has been learned.
    record
        Set to a list to have every visit, on the mesh or off it, appended as (H, O, ...).
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
        self.schedule = Schedule(schedule, float(ln_f), float(flatness), int(check_interval))
        self.kernel_width = tuple(float(w) for w in np.broadcast_to(kernel_width, len(self.axes)))
        if not min(self.kernel_width) > 0.0:
            raise InputError("must be positive", where="kernel_width", got=self.kernel_width)
        self.surface = Surface(self.axes)
        empty = np.zeros(self.surface.coefficients.shape, dtype=np.int64)
        self.state = WangLandauState(self.surface.coefficients, empty, empty.copy(), float(ln_f))
        self._n_visited = 0
        self.record: list[tuple[float, ...]] | None = None

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
        self.state.n_limited += self.surface.limit(*self._limits())

    def evaluate(self, enthalpy: float, *orders: float) -> BiasValue:
        """Return dH, alpha and gamma, an exact gradient on and off the mesh."""
        value, slopes = self.surface.evaluate((enthalpy, *orders))
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
        """Count a visit and, unless frozen, raise dH around it by kT0 ln f.

        A visit off the mesh raises the nearest point of the edge and enters no histogram. Did it change
        nothing, the slope of the edge, under which the run is out there, would stay as it happens to be, and
        a slope that points outward would keep the run outside for good.
        """
        state, point = self.state, (enthalpy, *orders)
        if self.record is not None:
            self.record.append(point)
        scaled = tuple(
            min(max((x - axis.low) / axis.spacing, 0.0), axis.n - 1.0) for axis, x in zip(self.axes, point)
        )
        if self.outside(*point) is not None:
            state.n_outside += 1
        else:
            node = tuple(round(x) for x in scaled)
            self._n_visited += state.visits[node] == 0
            state.histogram[node] += 1
            state.visits[node] += 1
        if state.frozen:
            return
        height = KB * self.temperature_K * state.ln_f
        state.n_limited += self.surface.raise_around(scaled, self.kernel_width, height, self._limits())
        state.n_updates += 1
        self._advance()

    def _limits(self) -> tuple[float, float]:
        """Return the range of neighbours' differences along H that alpha's limits allow."""
        spacing = self.axes[0].spacing
        lowest = spacing * (self.temperature_K / self.temperature_max_K - 1.0)
        highest = spacing * (self.temperature_K / self.temperature_min_K - 1.0)
        return lowest, highest

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
        """Lower ln f by the schedule."""
        state, rule = self.state, self.schedule
        if rule.name == "constant":
            return
        if rule.name == "1/t" or state.one_over_t:
            state.ln_f = float(min(rule.ln_f, max(self._n_visited, 1) / state.n_updates))
        elif state.n_updates % rule.check_interval == 0 and rule.is_flat(state.histogram, self._counted):
            state.ln_f *= 0.5
            state.histogram[...] = 0
            state.one_over_t = bool(state.ln_f <= self._n_visited / state.n_updates)

    def _counted(self) -> np.ndarray:
        return (self.state.visits > 0) & self._free()

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
        n_blocks: int = 20,
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

        Warns
        -----
        EffectiveSampleSizeWarning
            If the run does not support the average. Several walkers, C_P, free energies and populations:
            `BiasedSamples` and `asennp.md.thermodynamics`.
        """
        self.require_fixed(wl_updates)
        energy, volume = np.asarray(energy, dtype=float), np.asarray(volume, dtype=float)
        sampled = self.sampled_pressure_au
        enthalpy = energy + sampled * volume
        weights = log_weights(
            energy,
            volume,
            self.shifts(enthalpy, orders),
            temperature_K=temperature_K,
            pressure_au=sampled if pressure_au is None else pressure_au,
            sampled_temperature_K=self.temperature_K,
            sampled_pressure_au=sampled,
        )
        return weighted_mean(values, weights, make_blocks(len(energy), n_blocks), enthalpy)

    @property
    def sampled_pressure_au(self) -> float:
        """Pressure of the runs under this bias, eV/Å^3; 0 at fixed volume, where H = U."""
        made_at = self.state.pressure_au
        return 0.0 if made_at is None or math.isnan(made_at) else made_at

    def shifts(self, enthalpy: np.ndarray, orders: np.ndarray) -> np.ndarray:
        """Return dH (n,) at enthalpies (n,) and orders (n, n_orders) or (n,), eV."""
        columns = np.asarray(orders, dtype=float).reshape(len(enthalpy), self.n_orders)
        return self.surface.evaluate_many(np.column_stack([enthalpy, columns]))[0]

    def require_fixed(self, wl_updates: np.ndarray | None = None) -> None:
        """Raise InputError unless the bias is frozen and the frames' `wl_updates`, if given, are its own."""
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
            "ln_f": self.schedule.ln_f,
            "kernel_width": list(self.kernel_width),
            "temperature_min_K": self.temperature_min_K,
            "temperature_max_K": self.temperature_max_K,
            "schedule": self.schedule.name,
            "flatness": self.schedule.flatness,
            "check_interval": self.schedule.check_interval,
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
        bias.surface.refresh()
        bias._n_visited = int(np.count_nonzero(bias.state.visits))
        return bias

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy by what the file holds: arrays of the state are views of the surface."""
        return type(self).from_dict, (self.todict(), self.arrays())

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
