"""Phases under pressure at 0 K: where their enthalpies cross, by relaxation or by equations of state."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import Atoms, units
from scipy.interpolate import CubicHermiteSpline
from scipy.optimize import brentq

from asennp.errors import InputError
from asennp.evaluate.eos import EosResult
from asennp.evaluate.lattice import LatticeResult, compute_lattice
from asennp.evaluate.precision import in_double
from asennp.results import Result


@dataclass(frozen=True, eq=False)
class TransitionPressureResult(Result):
    """The order in which phases follow one another under pressure at 0 K.

    Attributes
    ----------
    phases
        (n+1,) stable phases, from zero pressure upward.
    pressures_GPa
        (n,) pressures at which one gives way to the next (equal enthalpies).
    volume_changes
        (n,) relative change of volume at the transition (negative: the new phase is denser).
    maximum_GPa
        Pressures up to here were looked at.
    converged
        Whether every relaxation reached its tolerance.
    points
        {phase: (k, 3) pressure (GPa), enthalpy (eV/atom) and volume (Å^3/atom)} of every phase that was
        looked at, by rising pressure.
    """

    phases: tuple[str, ...]
    pressures_GPa: np.ndarray
    volume_changes: np.ndarray
    maximum_GPa: float
    converged: bool
    points: dict[str, np.ndarray] = field(default_factory=dict)

    def enthalpy(self, phase: str, pressures_GPa: np.ndarray) -> np.ndarray:
        """Return the enthalpy (eV/atom) of a phase between its points, whose slopes dH/dP = V are known."""
        pressure, enthalpy, volume = self.points[phase].T
        x = np.asarray(pressures_GPa, float)
        if len(pressure) == 1:
            return np.asarray(enthalpy[0] + volume[0] * units.GPa * (x - pressure[0]))
        return np.asarray(CubicHermiteSpline(pressure, enthalpy, volume * units.GPa)(x))


class _Relaxed:
    """Crystals relaxed under pressure, noted as they come."""

    def __init__(self, calculator: Any) -> None:
        self.calculator = in_double(calculator)
        self.found: dict[str, dict[float, LatticeResult]] = {}

    def __call__(self, name: str, atoms: Atoms, pressure: float = 0.0) -> LatticeResult:
        lattice = compute_lattice(atoms, self.calculator, pressure_GPa=pressure)
        self.found.setdefault(name, {})[pressure] = lattice
        return lattice

    def points(self) -> dict[str, np.ndarray]:
        return {
            name: np.array([(p, found[p].enthalpy_per_atom, found[p].volume_per_atom) for p in sorted(found)])
            for name, found in self.found.items()
        }


def _crossing(
    old_name: str, old: LatticeResult, new_name: str, new: LatticeResult, relax: _Relaxed, maximum: float
) -> tuple[float, LatticeResult, LatticeResult] | None:
    """Find the pressure of equal enthalpy by Newton's rule, d(H_new - H_old)/dP = V_new - V_old."""
    pressure = old.pressure_GPa
    for _ in range(12):
        gain = new.volume_per_atom - old.volume_per_atom
        if gain >= 0.0:
            return None
        step = -(new.enthalpy_per_atom - old.enthalpy_per_atom) / gain / units.GPa
        pressure = pressure + step
        if pressure < -1.0 or pressure > 1.5 * maximum:
            return None
        old = relax(old_name, old.atoms, pressure)
        new = relax(new_name, new.atoms, pressure)
        if abs(step) < 1e-3:
            break
    return (pressure, old, new) if pressure <= maximum else None


def compute_transition_pressure(
    phases: Mapping[str, Atoms], calculator: Any, maximum_GPa: float = 60.0
) -> TransitionPressureResult:
    """Return the pressures at which the phase of lowest enthalpy changes (0 K, no zero-point motion).

    Enthalpies are those of crystals relaxed under pressure within their space group, so no equation of
    state stands between the potential and the answer.

    Parameters
    ----------
    phases
        {name: atoms} of one composition; two or more.
    maximum_GPa
        Highest pressure of interest.

    Raises
    ------
    InputError
        Fewer than two phases.
    """
    if len(phases) < 2:
        raise InputError("too few phases", where="phases", expected="two or more", got=list(phases))
    relax = _Relaxed(calculator)
    now = {name: relax(name, atoms) for name, atoms in phases.items()}
    converged = all(lattice.converged for lattice in now.values())
    current = min(now, key=lambda name: now[name].enthalpy_per_atom)
    order, pressures, changes = [current], [], []
    while True:
        found = {}
        for name in now:
            if name not in order and (
                hit := _crossing(current, now[current], name, now[name], relax, maximum_GPa)
            ):
                found[name] = hit
        if not found:
            break
        following = min(found, key=lambda name: found[name][0])
        pressure, old, new = found[following]
        converged = converged and old.converged and new.converged
        pressures.append(pressure)
        changes.append(new.volume_per_atom / old.volume_per_atom - 1.0)
        for name in now:
            if name not in order:
                now[name] = relax(name, now[name].atoms, pressure)
        now[following] = new
        order.append(following)
        current = following
    # the curves' ends, beyond the last transition
    end = min(maximum_GPa, 1.3 * pressures[-1] if pressures and pressures[-1] > 0.0 else maximum_GPa)
    for name in now:
        relax(name, now[name].atoms, end)
    return TransitionPressureResult(
        phases=tuple(order),
        pressures_GPa=np.array(pressures),
        volume_changes=np.array(changes),
        maximum_GPa=maximum_GPa,
        converged=converged,
        points=relax.points(),
    )


def find_transitions(phases: Mapping[str, EosResult], maximum_GPa: float = 60.0) -> TransitionPressureResult:
    """Return the pressures at which the phase of lowest enthalpy changes, from equations of state.

    Parameters
    ----------
    phases
        {name: equation of state} of one composition; two or more. They should be fitted to volumes that
        reach the pressures that are found.
    maximum_GPa
        Highest pressure of interest.

    Raises
    ------
    InputError
        Fewer than two phases.
    """
    if len(phases) < 2:
        raise InputError("too few phases", where="phases", expected="two or more", got=list(phases))

    def gain(new: str, old: str, pressure: float) -> float:
        return phases[new].enthalpy_at(pressure) - phases[old].enthalpy_at(pressure)

    pressure = 0.0
    order = [min(phases, key=lambda name: phases[name].enthalpy_at(0.0))]
    pressures, changes = [], []
    while True:
        found = {}
        for name in phases:
            steps = np.linspace(pressure, maximum_GPa, 121)
            values = [gain(name, order[-1], p) for p in steps] if name not in order else []
            ahead = [k for k in range(1, len(values)) if values[k - 1] > 0.0 >= values[k]]
            if ahead:
                low, high = steps[ahead[0] - 1 : ahead[0] + 1]
                found[name] = float(brentq(lambda p, name=name: gain(name, order[-1], p), low, high))
        if not found:
            break
        new = min(found, key=lambda name: found[name])
        pressure = found[new]
        pressures.append(pressure)
        changes.append(phases[new].volume_at(pressure) / phases[order[-1]].volume_at(pressure) - 1.0)
        order.append(new)
    return TransitionPressureResult(
        phases=tuple(order),
        pressures_GPa=np.array(pressures),
        volume_changes=np.array(changes),
        maximum_GPa=maximum_GPa,
        converged=all(eos.converged for eos in phases.values()),
        points={
            name: np.array(
                [(p, eos.enthalpy_at(p), eos.volume_at(p)) for p in np.linspace(0.0, maximum_GPa, 25)]
            )
            for name, eos in phases.items()
        },
    )
