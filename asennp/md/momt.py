"""Multi-order multi-thermal molecular dynamics: any integrator under the partial enthalpy dH(H, O)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from ase import Atoms, units

from asennp.errors import InputError
from asennp.md.bias import Bias, bias_from_dict
from asennp.md.dynamics import (
    Evaluation,
    RestartableDynamics,
    check_pressure,
    check_temperature,
    draw_momenta,
)
from asennp.md.integrators import Drive, build_integrator, cell_moves, default_integrator
from asennp.order import OrderParameter, order_from_dict
from asennp.units import KB

#: Bias intervals off the mesh in a row after which the log says so.
_LONG_OUTSIDE = 50


@dataclass(slots=True)
class Point:
    """What the equations of motion need at one configuration."""

    evaluation: Evaluation
    volume: float
    enthalpy: float
    orders: tuple[float, ...]
    gradients: list[np.ndarray]
    strains: list[np.ndarray]
    shift: float = 0.0
    alpha: float = 1.0
    gammas: tuple[float, ...] = ()


class MOMT(RestartableDynamics):
    """Sample exp(-(H + dH(H, O))/kT0) with H = U + P V: multi-order multi-thermal dynamics.

    With alpha = 1 + d dH/dH and gamma = d dH/dO the particles feel alpha F - gamma dO/dr, the cell
    alpha (-V sigma - P V I) - gamma dO/deps: alpha scales the virial and P, never the kinetic term. The
    integrator adds the kinetic term, the baths and the rest:

    ====================  =========================  ====================  ======  ==============
    integrator            cell                       heat bath             N_f     volume measure
    ====================  =========================  ====================  ======  ==============
    "mtk-isotropic"       scales alike               Nose-Hoover chains    3N - 3  V^(N-1)
    "mtk-flexible"        changes shape, or `mask`   Nose-Hoover chains    3N - 3  V^(N-1), shapes
    "nose-hoover"         fixed                      Nose-Hoover chain     3N - 3
    "langevin-isotropic"  scales alike               Langevin              3N      V^N
    "langevin-flexible"   changes shape, or `mask`   Langevin              3N      V^N, shapes
    "langevin"            fixed                      Langevin (BAOAB)      3N
    "verlet"              fixed                      none: NVE, no bias    3N - 3
    ====================  =========================  ====================  ======  ==============

    Conserved: K + H + dH + piston + chains (or less the heat from Langevin's bath), less the work of the bias
    updates. Without bias this is plain NPT, or with ``pressure_au=None`` NVT (H = U).

    Parameters
    ----------
    atoms
        Structure with a calculator for energy, forces and stress. Atoms at rest get momenta from `rng`.
    timestep
        ASE time (``1.0 * units.fs``). Must suit modes sqrt(alpha) stiffer than the crystal's.
    temperature_K, pressure_au
        Reference temperature T0 and pressure P (eV/Å^3); no pressure: fixed cell.
    order
        Order parameter, or several, one an axis of the bias after the enthalpy.
    bias
        `WangLandauBias` (learns unless frozen), `LinearBias`, or nothing.
    wl_interval
        Steps between two updates of the bias.
    rng, trajectory, logfile, loginterval, append_trajectory, walker
        See `RestartableDynamics`.
    tdamp, pdamp
        Time constants of thermostat and barostat (chains), or 1/friction of particles and cell (Langevin),
        ASE time; 100 fs and 1000 fs if not given.
    chain_length
        Members of each chain.
    integrator
        A name of the table; "mtk-isotropic" with a pressure and "nose-hoover" without if not given. One
        chain does not make harmonic crystals ergodic: take Langevin's there.
    mask
        Components of the cell that a flexible integrator moves, of xx, yy, zz, yz, xz, xy: ("xx", "xy")
        leaves free the length of **a** and the tilt of **b** along it. All six if not given.
    shape_limit
        Largest change of shape of a flexible cell, 0.5 if not given; see `FlexibleCell`.

    References
    ----------
    Martyna, Tobias, Klein, J. Chem. Phys. 101 (1994) 4177, doi:10.1063/1.467468; Leimkuhler, Matthews,
    J. Chem. Phys. 138 (2013) 174102, doi:10.1063/1.4802990.
    """

    def __init__(
        self,
        atoms: Atoms,
        timestep: float,
        temperature_K: float,
        pressure_au: float | None = None,
        order: OrderParameter | Sequence[OrderParameter] | None = None,
        bias: Bias | None = None,
        wl_interval: int = 100,
        rng: np.random.Generator | None = None,
        trajectory: str | Path | None = None,
        logfile: str | Path | None = None,
        loginterval: int = 100,
        append_trajectory: bool = False,
        walker: int = 0,
        tdamp: float | None = None,
        pdamp: float | None = None,
        chain_length: int = 3,
        integrator: str | None = None,
        mask: Sequence[str] | None = None,
        shape_limit: float | None = None,
    ) -> None:
        self.temperature_K = check_temperature(temperature_K)
        self.pressure_au = None if pressure_au is None else check_pressure(pressure_au)
        self.orders = _as_orders(order, atoms)
        self.bias = bias
        self.wl_interval = int(wl_interval)
        self.tdamp = 100.0 * units.fs if tdamp is None else float(tdamp)
        self.pdamp = 1000.0 * units.fs if pdamp is None else float(pdamp)
        self.chain_length = int(chain_length)
        self._name = _choose_integrator(integrator, self.pressure_au)
        self._mask = None if mask is None else (mask,) if isinstance(mask, str) else tuple(mask)
        self._shape_limit = shape_limit
        if self._name == "verlet" and bias is not None:
            raise InputError(
                "a bias is meant for a temperature, and there is no bath",
                where="integrator",
                got="verlet",
                do='use "nose-hoover" or "langevin"',
            )
        if len(atoms) < 2:
            raise InputError("one atom with its momentum taken out cannot move", where="atoms")
        if self.wl_interval < 1:
            raise InputError("must be 1 or more", where="wl_interval", got=wl_interval)
        self._check_bias()
        super().__init__(
            atoms,
            timestep,
            rng=rng,
            trajectory=trajectory,
            logfile=logfile,
            loginterval=loginterval,
            append_trajectory=append_trajectory,
            walker=walker,
            needs_stress=pressure_au is not None,
        )
        draw_momenta(atoms, self.temperature_K, rng)
        self.integrator = build_integrator(
            self._name,
            atoms,
            KB * self.temperature_K,
            timestep,
            tdamp=self.tdamp,
            pdamp=self.pdamp,
            chain_length=self.chain_length,
            rng=rng,
            mask=self._mask,
            shape_limit=self._shape_limit,
        )
        self.bias_work = 0.0
        self.n_bias_updates = 0
        self._outside_in_a_row = 0
        self._point: Point | None = None
        self._drive: Drive | None = None

    def _check_bias(self) -> None:
        if self.bias is None:
            return
        if self.bias.n_orders != len(self.orders):
            raise InputError(
                "bias and order parameters do not match",
                where="order",
                expected=f"{self.bias.n_orders} order parameter(s), one an axis after the enthalpy",
                got=len(self.orders),
            )
        self.bias.check(self.temperature_K, self.pressure_au)

    # equations of motion -----------------------------------------------------------------------------

    def step(self) -> None:
        """Advance by one timestep: one force evaluation."""
        drive = self._push(self.point) if self._drive is None else self._drive
        self._drive = self.integrator.step(drive, self._look_and_push)
        if self.bias is not None and (self.nsteps + 1) % self.wl_interval == 0:
            self._update_bias()

    def _look_and_push(self) -> Drive:
        self._point = self._look()
        return self._push(self._point)

    def _push(self, point: Point) -> Drive:
        return Drive(self._forces(point), self._virial(point) if self.integrator.cell.moves else None)

    def _forces(self, point: Point) -> np.ndarray:
        """Return alpha F - sum gamma_k dO_k/dr, eV/Å."""
        forces = point.evaluation.forces
        if self.bias is None:
            return forces
        biased = point.alpha * forces
        for gamma, gradient in zip(point.gammas, point.gradients):
            biased -= gamma * gradient
        return biased

    def _virial(self, point: Point) -> np.ndarray:
        """Return alpha (-V sigma - P V I) - sum gamma_k dO_k/deps, shape (3, 3), eV."""
        stress = point.evaluation.stress
        assert stress is not None and self.pressure_au is not None
        virial = (-point.alpha * point.volume) * stress
        virial.flat[::4] -= point.alpha * point.volume * self.pressure_au
        for gamma, strain in zip(point.gammas, point.strains):
            virial -= gamma * strain
        return virial

    # the bias ----------------------------------------------------------------------------------------

    def _look(self) -> Point:
        """Evaluate calculator, order parameters and bias at the present positions."""
        evaluation = self._evaluation = self.evaluate()
        atoms = self.atoms
        volume = _volume(atoms)
        enthalpy = evaluation.energy + (0.0 if self.pressure_au is None else self.pressure_au * volume)
        values, gradients, strains = [], [], []
        for order in self.orders:
            value, gradient = order.evaluate(atoms)
            values.append(value)
            gradients.append(gradient)
            if self.needs_stress:
                strains.append(order.strain_derivative(atoms))
        point = Point(evaluation, volume, enthalpy, tuple(values), gradients, strains)
        self._lean(point)
        return point

    def _lean(self, point: Point) -> None:
        if self.bias is not None:
            point.shift, point.alpha, point.gammas = self.bias.evaluate(point.enthalpy, *point.orders)
        self._drive = None

    def _update_bias(self) -> None:
        """Let the bias learn the present point; the work of the change enters the conserved quantity."""
        bias, point = self.bias, self.point
        assert bias is not None
        before, count = point.shift, bias.n_updates
        bias.update(point.enthalpy, *point.orders)
        if bias.n_updates != count:
            self.n_bias_updates += 1
            self._lean(point)
            self.bias_work += point.shift - before
        axis = bias.outside(point.enthalpy, *point.orders)
        self._outside_in_a_row = 0 if axis is None else self._outside_in_a_row + 1
        if axis is not None and self._outside_in_a_row == _LONG_OUTSIDE:
            self._remark(
                f"# warning: {_LONG_OUTSIDE} bias intervals in a row off the mesh along {axis!r} "
                f"(H = {point.enthalpy:.3f} eV, O = {point.orders}): widen it"
            )

    def exchange_bias(self, bias: Bias) -> None:
        """Go on under another bias; the work of the exchange enters the conserved quantity.

        If the new bias has learned anything else, the run counts as exploration from here on.
        """
        point, before, count = self.point, self.point.shift, 0 if self.bias is None else self.bias.n_updates
        self.bias = bias
        self._check_bias()
        self._lean(point)
        self.bias_work += point.shift - before
        self.n_bias_updates += abs(bias.n_updates - count)

    @property
    def outside_in_a_row(self) -> int:
        """Bias intervals spent off the mesh without a break until now."""
        return self._outside_in_a_row

    @property
    def exploration_only(self) -> bool:
        """Whether the bias changed during this run: its frames must not be reweighted."""
        return self.n_bias_updates > 0

    def _prepare(self) -> None:
        """Evaluate the start, and refuse one that the mesh does not contain."""
        point, bias = self._look(), self.bias
        self._point = point
        if self.nsteps > 0 or bias is None:
            return
        axis = bias.outside(point.enthalpy, *point.orders)
        if axis is not None:
            mesh = next(a for a in bias.axes if a.name == axis)  # type: ignore[attr-defined]
            found = dict(zip([a.name for a in bias.axes], (point.enthalpy, *point.orders)))[axis]  # type: ignore[attr-defined]
            width = mesh.high - mesh.low
            low, high = min(mesh.low, found - 0.1 * width), max(mesh.high, found + 0.1 * width)
            raise InputError(
                "the mesh does not contain the start",
                where=f"axis {axis!r}",
                expected=f"{found:.6g} inside",
                got=(mesh.low, mesh.high),
                do=f"widen the axis to ({low:.6g}, {high:.6g}) or start from another structure",
            )

    def _resume(self) -> None:
        """Look at the bias again: it may have been changed by hand."""
        self._lean(self.point)

    # readings ----------------------------------------------------------------------------------------

    def get_conserved_energy(self) -> float:
        """Return K + H + dH + piston and baths - work of the bias updates, eV."""
        point, integrator = self.point, self.integrator
        own = 0.5 * integrator.twice_kinetic() + point.enthalpy + point.shift
        return own + integrator.energy() - self.bias_work

    def get_temperature(self) -> float:
        """Return the kinetic temperature sum p^2/(m N_f k), K; it stays at T0 under any bias."""
        return self.integrator.twice_kinetic() / (self.integrator.n_dof * KB)

    @property
    def point(self) -> Point:
        """The present energy, volume, enthalpy, orders and bias."""
        if self._point is None:
            self._prepare()
        assert self._point is not None
        return self._point

    def _log_columns(self) -> list[tuple[str, str]]:
        point = self.point
        names = ["O"] if len(self.orders) == 1 else [f"O{k}" for k in range(len(self.orders))]
        return [
            ("H/eV", f"{point.enthalpy:16.6f}"),
            ("U/eV", f"{point.evaluation.energy:16.6f}"),
            ("V/A3", f"{point.volume:14.5f}"),
            ("T/K", f"{self.get_temperature():10.2f}"),
            *((name, f"{value:12.5f}") for name, value in zip(names, point.orders)),
            ("dH/eV", f"{point.shift:14.6f}"),
            ("alpha", f"{point.alpha:10.5f}"),
            ("ln_f", f"{getattr(self.bias, 'ln_f', 0.0):12.4e}"),
            ("conserved/eV", f"{self.get_conserved_energy():18.8f}"),
        ]

    def _frame_info(self) -> dict[str, Any]:
        point = self.point
        orders = point.orders[0] if len(point.orders) == 1 else list(point.orders)
        return {
            "step": self.nsteps,
            "walker": self.walker,
            "potential_energy": point.evaluation.energy,
            "enthalpy": point.enthalpy,
            # an empty list is no word of extended XYZ: it would swallow the next one
            **({"order": orders} if self.orders else {}),
            "shift": point.shift,
            "alpha": point.alpha,
            "wl_updates": 0 if self.bias is None else self.bias.n_updates,
        }

    def todict(self) -> dict[str, Any]:
        """Return a description for ASE's trajectory."""
        return super().todict() | {"temperature_K": self.temperature_K, "pressure_au": self.pressure_au}

    # restart -----------------------------------------------------------------------------------------

    def _settings(self) -> dict[str, Any]:
        return {
            "temperature_K": self.temperature_K,
            "pressure_au": self.pressure_au,
            "wl_interval": self.wl_interval,
            "tdamp": self.tdamp,
            "pdamp": self.pdamp,
            "chain_length": self.chain_length,
            "integrator": self._name,
            "mask": None if self._mask is None else list(self._mask),
            "shape_limit": self._shape_limit,
        }

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        values = {
            "orders": [order.todict() for order in self.orders],
            "bias": None if self.bias is None else self.bias.todict(),
            "integrator": self.integrator.state(),
            "bias_work": self.bias_work,
            "n_bias_updates": self.n_bias_updates,
            "outside_in_a_row": self._outside_in_a_row,
        }
        arrays = {} if self.bias is None else self.bias.arrays()
        return values, {f"bias/{name}": array for name, array in arrays.items()}

    def _set_state(self, values: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        self.integrator.set_state(values["integrator"])
        self.bias_work = values["bias_work"]
        self.n_bias_updates = values["n_bias_updates"]
        self._outside_in_a_row = values["outside_in_a_row"]

    @classmethod
    def _rebuild(
        cls,
        atoms: Atoms,
        settings: dict[str, Any],
        state: dict[str, Any],
        arrays: dict[str, np.ndarray],
        **common: Any,
    ) -> Self:
        if "order" not in common:
            common["order"] = [order_from_dict(order) for order in state["orders"]]
        own = {k.removeprefix("bias/"): v for k, v in arrays.items() if k.startswith("bias/")}
        return cls(atoms, **settings, bias=bias_from_dict(state["bias"], own), **common)


def _as_orders(
    order: OrderParameter | Sequence[OrderParameter] | None, atoms: Atoms
) -> tuple[OrderParameter, ...]:
    if order is None:
        return ()
    orders = (order,) if isinstance(order, OrderParameter) else tuple(order)
    for one in orders:
        one.check(atoms)
    return orders


def _choose_integrator(name: str | None, pressure_au: float | None) -> str:
    """Return the integrator's name after checking that it fits the ensemble."""
    chosen = default_integrator(pressure_au) if name is None else name
    if cell_moves(chosen) == (pressure_au is None):
        raise InputError(
            f"{chosen} {'moves the cell' if pressure_au is None else 'keeps the cell'}",
            where="integrator",
            expected="a pressure" if pressure_au is None else "no pressure (pressure_au=None)",
            got=f"pressure_au={pressure_au}",
            do="give the pressure, 1.0 * units.bar" if pressure_au is None else "or let the cell move",
        )
    return chosen


def _volume(atoms: Atoms) -> float:
    (a, b, c), (d, e, f), (g, h, i) = atoms.cell.array.tolist()
    return abs(a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g))
