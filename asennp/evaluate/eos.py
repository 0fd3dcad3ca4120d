"""Equations of state and the pressure at which one phase gives way to another."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms, units

from asennp.errors import InputError
from asennp.evaluate.lattice import LatticeResult, compute_lattice
from asennp.evaluate.precision import held, in_double
from asennp.evaluate.relax import relax
from asennp.results import Result


@dataclass(frozen=True, eq=False)
class EosResult(Result):
    """A third-order Birch-Murnaghan equation of state.

    Attributes
    ----------
    volumes, energies
        (n,) Å^3/atom and eV/atom of the points.
    volume, energy
        Of the fitted minimum, per atom.
    bulk_GPa, bulk_derivative
        B0 and B0' there.
    coefficients
        (4,) of E = sum_k c_k V^(-2k/3), eV and Å per atom.
    rms_meV
        Root mean square residual of the fit, meV/atom.
    converged
        Whether every relaxation at fixed volume reached its tolerance.
    """

    volumes: np.ndarray
    energies: np.ndarray
    volume: float
    energy: float
    bulk_GPa: float
    bulk_derivative: float
    coefficients: np.ndarray
    rms_meV: float
    converged: bool

    def evaluate(self, volumes: np.ndarray | float) -> np.ndarray:
        """Return the fitted energy (eV/atom) at volumes (Å^3/atom)."""
        return np.polynomial.polynomial.polyval(np.asarray(volumes, float) ** (-2 / 3), self.coefficients)


def fit_birch_murnaghan(volumes: np.ndarray, energies: np.ndarray) -> EosResult:
    """Fit E(V); in x = V^(-2/3) the third-order Birch-Murnaghan form is a cubic, so the fit is linear.

    Parameters
    ----------
    volumes, energies
        (n >= 4,) Å^3 and eV, both per atom.

    Raises
    ------
    InputError
        Fewer than four points, or no minimum inside the range of volumes.

    References
    ----------
    Birch, Phys. Rev. 71 (1947) 809, doi:10.1103/PhysRev.71.809.
    """
    volumes, energies = np.asarray(volumes, float), np.asarray(energies, float)
    if volumes.size < 4:
        raise InputError("too few points", where="volumes", expected="at least 4", got=volumes.size)
    x = volumes ** (-2 / 3)
    fitted = np.polynomial.Polynomial.fit(x, energies, 3).convert()
    slope, curve = fitted.deriv(), fitted.deriv(2)
    minima = [r.real for r in slope.roots() if abs(r.imag) < 1e-12 and curve(r.real) > 0.0]
    inside = [r for r in minima if 0.98 * x.min() <= r <= 1.02 * x.max()]
    if not inside:
        raise InputError(
            "the energy has no minimum in the range of volumes",
            where="volumes",
            got=f"{volumes.min():.3f} to {volumes.max():.3f} Å^3/atom",
            do="start from the relaxed crystal (compute_lattice) or widen the range",
        )
    x0 = float(inside[0])
    v0 = x0**-1.5
    second, third = curve(x0), fitted.deriv(3)(x0)
    # with dx/dV = -(2/3) V^(-5/3): B = V E'' and B' = -1 - V E'''/E'' at the minimum
    d1, d2 = -2 / 3 * v0 ** (-5 / 3), 10 / 9 * v0 ** (-8 / 3)
    e2, e3 = second * d1**2, third * d1**3 + 3.0 * second * d1 * d2
    return EosResult(
        volumes=volumes,
        energies=energies,
        volume=float(v0),
        energy=float(fitted(x0)),
        bulk_GPa=float(v0 * e2 / units.GPa),
        bulk_derivative=float(-1.0 - v0 * e3 / e2),
        coefficients=np.asarray(fitted.coef),
        rms_meV=float(1000.0 * np.sqrt(np.mean((fitted(x) - energies) ** 2))),
        converged=True,
    )


def compute_eos(
    atoms: Atoms, calculator: Any, volume_range: float = 0.06, n_points: int = 7, fmax: float = 1e-3
) -> EosResult:
    """Relax shape and ions at volumes (1 ± volume_range) V of the given crystal and fit E(V).

    Parameters
    ----------
    atoms
        Relaxed crystal (see `compute_lattice`); its space group is kept.
    fmax
        Tolerance of the relaxations (eV/Å).
    """
    calculator = held(in_double(calculator), atoms)
    volumes, energies, converged = [], [], True
    for factor in np.linspace(1.0 - volume_range, 1.0 + volume_range, n_points):
        frame = atoms.copy()
        frame.set_cell(atoms.cell.array * factor ** (1 / 3), scale_atoms=True)
        done = relax(frame, calculator, cell="fixed-volume", fmax=fmax)
        volumes.append(done.atoms.cell.volume / len(atoms))
        energies.append(done.energy / len(atoms))
        converged = converged and done.converged
    fitted = fit_birch_murnaghan(np.array(volumes), np.array(energies))
    return EosResult(**{**vars(fitted), "converged": converged})


@dataclass(frozen=True, eq=False)
class TransitionResult(Result):
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
    """

    phases: tuple[str, ...]
    pressures_GPa: np.ndarray
    volume_changes: np.ndarray
    maximum_GPa: float
    converged: bool


def _crossing(
    old: LatticeResult, new: LatticeResult, calculator: Any, maximum: float
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
        old = compute_lattice(old.atoms, calculator, pressure_GPa=pressure)
        new = compute_lattice(new.atoms, calculator, pressure_GPa=pressure)
        if abs(step) < 1e-3:
            break
    return (pressure, old, new) if pressure <= maximum else None


def compute_transition_pressure(
    phases: Mapping[str, Atoms], calculator: Any, maximum_GPa: float = 60.0
) -> TransitionResult:
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
    calculator = in_double(calculator)
    now = {name: compute_lattice(atoms, calculator) for name, atoms in phases.items()}
    converged = all(lattice.converged for lattice in now.values())
    current = min(now, key=lambda name: now[name].enthalpy_per_atom)
    order, pressures, changes = [current], [], []
    while True:
        found = {}
        for name in now:
            if name not in order and (hit := _crossing(now[current], now[name], calculator, maximum_GPa)):
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
                now[name] = compute_lattice(now[name].atoms, calculator, pressure_GPa=pressure)
        now[following] = new
        order.append(following)
        current = following
    return TransitionResult(
        phases=tuple(order),
        pressures_GPa=np.array(pressures),
        volume_changes=np.array(changes),
        maximum_GPa=maximum_GPa,
        converged=converged,
    )
