"""Refit of PQEq parameters to interaction energies, by their gradient.

At a solution the energy is stationary in charges and shells, so its derivative with respect to a parameter is
the explicit one: dE/dchi = sum q, dE/deta = sum q^2/2, dE/dK = sum s^2/2, and for a radius that of the widths
of the Gaussians.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from scipy.optimize import least_squares

from asennp.electrostatics.gaussian import pair_widths
from asennp.electrostatics.gaussian_pairs import PairSum
from asennp.electrostatics.pqeq import Problem
from asennp.electrostatics.pqeq_linear import Dense
from asennp.electrostatics.pqeq_parameters import KCAL_PER_EV, PQEqParameters
from asennp.electrostatics.pqeq_solve import solve
from asennp.errors import InputError

NAMES = ("chi", "eta", "radius", "spring")
_TOLERANCE = 1e-10


@dataclass(frozen=True, eq=False)
class Interaction:
    """A complex, its parts, and the energy of the complex less that of the parts.

    Attributes
    ----------
    atoms
        The complex, an open system.
    fragments
        Indices of each part's atoms; together all of them.
    energy
        Electrostatic interaction energy of a quantum-mechanical calculation, eV.
    charges
        Total charge of each part, e; neutral parts where there are none.
    """

    atoms: Atoms
    fragments: Sequence[Sequence[int]]
    energy: float
    charges: Sequence[float] = ()


@dataclass(frozen=True, eq=False)
class ParameterFit:
    """Refitted parameters.

    Attributes
    ----------
    parameters
        The set with its new values.
    values
        The new values by element and name.
    rmse_before, rmse
        Errors of the interaction energies, eV.
    n_evaluations
        Evaluations of all energies.
    """

    parameters: PQEqParameters
    values: dict[str, dict[str, float]]
    rmse_before: float
    rmse: float
    n_evaluations: int


def energy_gradient(
    atoms: Atoms, total_charge: float, parameters: PQEqParameters
) -> tuple[float, dict[str, dict[str, float]]]:
    """Return the energy of an open system (eV) and its derivatives by element and name, in a file's units."""
    each = parameters.of(atoms.numbers)
    sums = PairSum().at(atoms.positions, atoms.cell.array, np.zeros(3, bool), each.kinds, each.exponents)
    problem = Problem(each, sums, parameters.coulomb, total_charge, atoms.positions, np.zeros(3))
    solution = solve(problem, Dense(), _TOLERANCE)
    q, s = solution.charges, solution.shells
    slopes = parameters.coulomb * sums.width_slopes(q + each.shell, -each.shell, s)
    alpha = each.exponents
    by_alpha = 0.5 / pair_widths(alpha) * (alpha / (alpha[:, None] + alpha)) ** 2
    gradient = {}
    for kind, symbol in enumerate(each.symbols):
        of = each.kinds == kind
        slope = float(((slopes[kind] + slopes[:, kind]) * by_alpha[kind]).sum())
        gradient[symbol] = {
            "chi": float(q[of].sum()),
            "eta": 0.5 * float(q[of] @ q[of]),
            "radius": -2.0 * float(alpha[kind]) / parameters.elements[symbol].radius * slope,
            "spring": 0.5 * float((s[of] ** 2).sum()) / KCAL_PER_EV,
        }
    return float(problem.results(q, s)[0].sum()), gradient


def fit_parameters(
    interactions: Sequence[Interaction],
    free: Mapping[str, Sequence[str]],
    parameters: PQEqParameters,
    restraint: float = 0.0,
) -> ParameterFit:
    """Fit some parameters to interaction energies by least squares.

    Parameters
    ----------
    interactions
        What to fit to.
    free
        Names to vary by element, {"Li": ("chi", "radius")}, among chi, eta, radius and spring; the last three
        stay positive.
    parameters
        Where to begin; the others keep their values.
    restraint
        Weight, eV, of relative changes (of chi: of changes in eV): where data do not determine a parameter.

    Raises
    ------
    InputError
        Unknown elements or names, nothing to fit or to fit to.
    """
    keys = [(symbol, name) for symbol, names in free.items() for name in names]
    if not keys or not interactions:
        raise InputError(
            "nothing to fit", where="fit_parameters", got=f"{dict(free)}, {len(interactions)} energies"
        )
    for symbol, name in keys:
        if symbol not in parameters.elements or name not in NAMES:
            raise InputError(
                "no such parameter", where="free", expected=", ".join(NAMES), got=f"{symbol}.{name}"
            )
    start = np.array([getattr(parameters.elements[symbol], name) for symbol, name in keys])
    positive = np.array([name != "chi" for _, name in keys])

    def values(x: np.ndarray) -> dict[str, dict[str, float]]:
        found = np.where(positive, start * np.exp(np.where(positive, x, 0.0)), start + x)
        out: dict[str, dict[str, float]] = {}
        for (symbol, name), value in zip(keys, found):
            out.setdefault(symbol, {})[name] = float(value)
        return out

    def rows(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        trial = parameters.with_values(values(x))
        scale = [getattr(trial.elements[symbol], name) if name != "chi" else 1.0 for symbol, name in keys]
        errors, slopes = [], []
        for interaction in interactions:
            energy, slope = _interaction(interaction, trial, keys)
            errors.append(energy - interaction.energy)
            slopes.append(slope * scale)
        return np.array(errors), np.array(slopes)

    def residuals(x: np.ndarray) -> np.ndarray:
        return np.concatenate([rows(x)[0], restraint * x])

    def jacobian(x: np.ndarray) -> np.ndarray:
        return np.concatenate([rows(x)[1], restraint * np.eye(len(x))])

    fit = least_squares(residuals, np.zeros(len(keys)), jac=jacobian, xtol=1e-12, ftol=1e-12, gtol=1e-12)
    found = values(fit.x)
    count = len(interactions)
    return ParameterFit(
        parameters=parameters.with_values(found),
        values=found,
        rmse_before=float(np.sqrt(np.mean(residuals(np.zeros(len(keys)))[:count] ** 2))),
        rmse=float(np.sqrt(np.mean(fit.fun[:count] ** 2))),
        n_evaluations=int(fit.nfev),
    )


def _interaction(
    interaction: Interaction, parameters: PQEqParameters, keys: Sequence[tuple[str, str]]
) -> tuple[float, np.ndarray]:
    """Return the interaction energy and its derivatives with respect to some parameters."""
    charges = list(interaction.charges) or [0.0] * len(interaction.fragments)
    parts = [(interaction.atoms, float(sum(charges)), 1.0)]
    parts += [(interaction.atoms[list(f)], q, -1.0) for f, q in zip(interaction.fragments, charges)]
    total, slopes = 0.0, np.zeros(len(keys))
    for atoms, charge, sign in parts:
        energy, gradient = energy_gradient(atoms, charge, parameters)
        total += sign * energy
        slopes += sign * np.array([gradient.get(symbol, {}).get(name, 0.0) for symbol, name in keys])
    return total, slopes
