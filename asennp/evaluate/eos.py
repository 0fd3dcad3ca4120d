"""Equations of state: energy against volume, shape and ions relaxed."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from ase import Atoms, units
from scipy.optimize import brentq, curve_fit

from asennp.errors import InputError, nearest
from asennp.evaluate.precision import held, in_double
from asennp.evaluate.relax import relax
from asennp.results import Result

Form = Literal["birch-murnaghan", "vinet"]
_FORMS = ("birch-murnaghan", "vinet")


def _energy(v: np.ndarray, form: str, e0: float, v0: float, b0: float, b1: float) -> np.ndarray:
    """E(V) of a form; b0 in eV/Å^3."""
    if form == "vinet":
        x = np.cbrt(v / v0) - 1.0
        k = 1.5 * (b1 - 1.0)
        return np.asarray(e0 + 9.0 * b0 * v0 / k**2 * (1.0 - (1.0 + k * x) * np.exp(-k * x)))
    x = np.cbrt(v0 / v) ** 2 - 1.0
    return np.asarray(e0 + 9.0 / 16.0 * v0 * b0 * x**2 * (2.0 + (b1 - 4.0) * x))


def _pressure(v: np.ndarray, form: str, v0: float, b0: float, b1: float) -> np.ndarray:
    """P(V) = -dE/dV."""
    if form == "vinet":
        eta = np.cbrt(v / v0)
        return np.asarray(3.0 * b0 * (1.0 - eta) / eta**2 * np.exp(1.5 * (b1 - 1.0) * (1.0 - eta)))
    x = np.cbrt(v0 / v)
    return np.asarray(1.5 * b0 * (x**7 - x**5) * (1.0 + 0.75 * (b1 - 4.0) * (x**2 - 1.0)))


@dataclass(frozen=True, eq=False)
class EosResult(Result):
    """An equation of state fitted to energies at volumes.

    Attributes
    ----------
    volumes, energies
        (n,) Å^3/atom and eV/atom of the points.
    form
        "birch-murnaghan" (third order) or "vinet".
    volume, energy
        Of the fitted minimum, per atom.
    bulk_GPa, bulk_derivative
        B0 and B0' there.
    rms_meV
        Root mean square residual of the fit, meV/atom.
    converged
        Whether every relaxation at fixed volume reached its tolerance.
    """

    volumes: np.ndarray
    energies: np.ndarray
    form: str
    volume: float
    energy: float
    bulk_GPa: float
    bulk_derivative: float
    rms_meV: float
    converged: bool

    def evaluate(self, volumes: np.ndarray | float) -> np.ndarray:
        """Return the fitted energy (eV/atom) at volumes (Å^3/atom)."""
        v, b0 = np.asarray(volumes, float), self.bulk_GPa * units.GPa
        return _energy(v, self.form, self.energy, self.volume, b0, self.bulk_derivative)

    def pressure_GPa(self, volumes: np.ndarray | float) -> np.ndarray:
        """Return -dE/dV (GPa) at volumes (Å^3/atom)."""
        v = np.asarray(volumes, float)
        return _pressure(v, self.form, self.volume, self.bulk_GPa, self.bulk_derivative)

    def volume_at(self, pressure_GPa: float) -> float:
        """Return the volume (Å^3/atom) at a pressure.

        Raises
        ------
        InputError
            The equation has no such pressure between a fifth of the volume at rest and twice it.
        """
        ends = 0.2 * self.volume, 2.0 * self.volume

        def miss(v: float) -> float:
            return float(self.pressure_GPa(v)) - pressure_GPa

        grid = np.linspace(self.volume, ends[0 if pressure_GPa > 0 else 1], 60)
        missed = self.pressure_GPa(grid) - pressure_GPa
        crossed = np.flatnonzero(missed[:-1] * missed[1:] <= 0.0)
        if len(crossed):
            a, b = grid[crossed[0] : crossed[0] + 2]
            return float(brentq(miss, float(a), float(b), xtol=1e-12))
        raise InputError(
            "the equation of state does not reach this pressure", where="pressure_GPa", got=pressure_GPa,
            expected=f"a volume of {ends[0]:.2f} to {ends[1]:.2f} Å^3/atom",
        )  # fmt: skip

    def enthalpy_at(self, pressure_GPa: float) -> float:
        """Return E + P V (eV/atom) at a pressure."""
        v = self.volume_at(pressure_GPa)
        return float(self.evaluate(v)) + pressure_GPa * units.GPa * v


def _birch_murnaghan(v: np.ndarray, e: np.ndarray) -> tuple[float, float, float, float]:
    """Return E0, V0, B0 (eV/Å^3), B0': in x = V^(-2/3) the form is a cubic, so the fit is linear."""
    x = v ** (-2 / 3)
    fitted = np.polynomial.Polynomial.fit(x, e, 3).convert()
    slope, curve = fitted.deriv(), fitted.deriv(2)
    minima = [r.real for r in slope.roots() if abs(r.imag) < 1e-12 and curve(r.real) > 0.0]
    inside = [r for r in minima if 0.98 * x.min() <= r <= 1.02 * x.max()]
    if not inside:
        raise InputError(
            "the energy has no minimum in the range of volumes",
            where="volumes",
            got=f"{v.min():.3f} to {v.max():.3f} Å^3/atom",
            do="start from the relaxed crystal (compute_lattice) or widen the range",
        )
    x0 = float(inside[0])
    v0 = x0**-1.5
    second, third = curve(x0), fitted.deriv(3)(x0)
    # with dx/dV = -(2/3) V^(-5/3): B = V E'' and B' = -1 - V E'''/E'' at the minimum
    d1, d2 = -2 / 3 * v0 ** (-5 / 3), 10 / 9 * v0 ** (-8 / 3)
    e2, e3 = second * d1**2, third * d1**3 + 3.0 * second * d1 * d2
    return float(fitted(x0)), v0, float(v0 * e2), float(-1.0 - v0 * e3 / e2)


def fit_eos(volumes: np.ndarray, energies: np.ndarray, form: Form = "birch-murnaghan") -> EosResult:
    """Fit E(V).

    Parameters
    ----------
    volumes, energies
        (n >= 4,) Å^3 and eV, both per atom.
    form
        "birch-murnaghan" (third order, a linear fit) or "vinet".

    Raises
    ------
    InputError
        Fewer than four points, an unknown form, or no minimum inside the range of volumes.

    References
    ----------
    Birch, Phys. Rev. 71 (1947) 809, doi:10.1103/PhysRev.71.809;
    Vinet et al., J. Phys.: Condens. Matter 1 (1989) 1941, doi:10.1088/0953-8984/1/11/002.
    """
    volumes, energies = np.asarray(volumes, float), np.asarray(energies, float)
    if form not in _FORMS:
        raise InputError("unknown equation of state", where="form", got=form, do=nearest(str(form), _FORMS))
    if volumes.size < 4:
        raise InputError("too few points", where="volumes", expected="at least 4", got=volumes.size)
    found = _birch_murnaghan(volumes, energies)
    if form == "vinet":

        def model(v: np.ndarray, *p: float) -> np.ndarray:
            return _energy(v, "vinet", *p)

        found = tuple(curve_fit(model, volumes, energies, p0=found, xtol=1e-14, ftol=1e-14)[0])
    e0, v0, b0, b1 = (float(value) for value in found)
    rest = _energy(volumes, form, e0, v0, b0, b1) - energies
    return EosResult(
        volumes=volumes,
        energies=energies,
        form=form,
        volume=v0,
        energy=e0,
        bulk_GPa=b0 / units.GPa,
        bulk_derivative=b1,
        rms_meV=float(1000.0 * np.sqrt(np.mean(rest**2))),
        converged=True,
    )


def compute_eos(
    atoms: Atoms,
    calculator: Any,
    volume_range: float | tuple[float, float] = 0.06,
    n_points: int = 7,
    fmax: float = 1e-3,
    form: Form = "birch-murnaghan",
) -> EosResult:
    """Relax shape and ions at volumes around that of the given crystal and fit E(V).

    Parameters
    ----------
    atoms
        Relaxed crystal (see `compute_lattice`); its space group is kept.
    volume_range
        Relative change of volume: one number for both sides, or (least, greatest) such as (-0.15, 0.05).
    fmax
        Tolerance of the relaxations (eV/Å).
    form
        "birch-murnaghan" or "vinet".
    """
    calculator = held(in_double(calculator), atoms)
    least, most = (-volume_range, volume_range) if isinstance(volume_range, int | float) else volume_range
    volumes, energies, converged = [], [], True
    for change in np.linspace(least, most, n_points):
        frame = atoms.copy()
        frame.set_cell(atoms.cell.array * (1.0 + change) ** (1 / 3), scale_atoms=True)
        done = relax(frame, calculator, cell="fixed-volume", fmax=fmax)
        volumes.append(done.atoms.cell.volume / len(atoms))
        energies.append(done.energy / len(atoms))
        converged = converged and done.converged
    fitted = fit_eos(np.array(volumes), np.array(energies), form)
    return EosResult(**{**vars(fitted), "converged": converged})
