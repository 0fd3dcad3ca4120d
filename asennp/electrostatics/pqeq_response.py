"""Response of charges and shells: polarizability, Born charges, and the stability of the shells."""

from dataclasses import dataclass

import numpy as np

from asennp.electrostatics.pqeq import Problem
from asennp.electrostatics.pqeq_linear import Dense, LinearSolver, lowest_mode

#: Change of a field (V/Å) over which forces are differentiated.
_FIELD_STEP = 1e-3


@dataclass(frozen=True, eq=False)
class ShellStability:
    """How near the shells are to running away.

    Attributes
    ----------
    radius
        Spectral radius of the map of the shells to (force on the shell)/K, at charges that follow them. The
        published iteration diverges beyond 1; with a softness above 1 there is no minimum.
    softness
        Largest eigenvalue of the map: 1 less the lowest eigenvalue of the energy's second derivatives
        relative to the springs.
    pair
        The two elements whose interaction lowers the energy of the softest mode most.
    mode
        The softest mode, (N, 3).
    """

    radius: float
    softness: float
    pair: tuple[str, str]
    mode: np.ndarray


def compute_stability(problem: Problem, q: np.ndarray, s: np.ndarray) -> ShellStability:
    """Return the stability of the shells at a point, by all eigenvalues.

    Raises
    ------
    asennp.electrostatics.pqeq_linear.Catastrophe
        The charges themselves run away.
    """
    solver = Dense()
    q = solver.charges(problem, q, s)
    values, mode = lowest_mode(solver.reduced(problem, q, s), np.repeat(problem.atoms.spring, 3))
    map_values = 1.0 - values
    return ShellStability(
        radius=float(np.abs(map_values).max()),
        softness=float(map_values[0]),
        pair=softest_pair(problem, q, s, mode),
        mode=mode,
    )


def softest_pair(problem: Problem, q: np.ndarray, s: np.ndarray, mode: np.ndarray) -> tuple[str, str]:
    """Return the elements whose interaction lowers a mode's energy most; of charges (N,) or shells (N, 3)."""
    curvature = problem.curvature(q, s)
    kinds, symbols = problem.atoms.kinds, problem.atoms.symbols
    gains: dict[tuple[str, str], float] = {}
    for k, symbol in enumerate(symbols):
        of = (kinds == k) if mode.ndim == 1 else (kinds == k)[:, None]
        part, nothing = mode * of, np.zeros((len(mode), 3) if mode.ndim == 1 else len(mode))
        by_q, by_s = curvature.apply(*((part, nothing) if mode.ndim == 1 else (nothing, part)))
        felt = by_q if mode.ndim == 1 else by_s
        for m, other in enumerate(symbols):
            gain = float(np.vdot(mode[kinds == m], felt[kinds == m]))
            pair = (other, symbol) if m <= k else (symbol, other)
            gains[pair] = gains.get(pair, 0.0) + gain
    return min(gains, key=lambda pair: gains[pair])


def field_response(
    problem: Problem, solver: LinearSolver, q: np.ndarray, s: np.ndarray, fixed_charges: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return d(charges)/d(field) (3, N), e Å/V, and d(shells)/d(field) (3, N, 3), Å^2/V."""
    solver.linearize(problem, q, s)
    changes_q, changes_s = np.zeros((3, len(q))), np.zeros((3, *s.shape))
    for axis in range(3):
        pull = np.outer(problem.atoms.shell, np.eye(3)[axis])
        if fixed_charges:
            changes_s[axis] = solver.shell_step(pull)
        else:
            changes_q[axis], changes_s[axis] = solver.step(-problem.positions[:, axis], pull)
    return changes_q, changes_s


def compute_polarizability(
    problem: Problem, solver: LinearSolver, q: np.ndarray, s: np.ndarray, fixed_charges: bool
) -> np.ndarray:
    """Return d(dipole)/d(field) (3, 3), e Å^2/V, at a solution; times the Coulomb constant it is a volume."""
    changes_q, changes_s = field_response(problem, solver, q, s, fixed_charges)
    dipoles = np.array([problem.dipole(dq, ds) for dq, ds in zip(changes_q, changes_s)])
    polarizability: np.ndarray = 0.5 * (dipoles + dipoles.T)
    return polarizability


def compute_born_charges(
    problem: Problem, solver: LinearSolver, q: np.ndarray, s: np.ndarray, fixed_charges: bool
) -> np.ndarray:
    """Return Z*_i,ab = d(dipole)_b/dR_ia (N, 3, 3), e, at a solution.

    By symmetry of second derivatives that is the force along a for a unit field along b: the bare q_i, and
    what the response of charges and shells to the field adds.
    """
    changes_q, changes_s = field_response(problem, solver, q, s, fixed_charges)
    born = np.zeros((len(q), 3, 3))
    for axis, (dq, ds) in enumerate(zip(changes_q, changes_s)):
        ahead = problem.results(q + _FIELD_STEP * dq, s + _FIELD_STEP * ds)[1]
        behind = problem.results(q - _FIELD_STEP * dq, s - _FIELD_STEP * ds)[1]
        born[:, :, axis] = (ahead - behind) / (2.0 * _FIELD_STEP)
        born[:, axis, axis] += q
    return born
