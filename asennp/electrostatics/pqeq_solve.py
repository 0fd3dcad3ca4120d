"""Solutions of polarizable charge equilibration: converged, clamped, or as published."""

from dataclasses import dataclass, replace

import numpy as np

from asennp.electrostatics.pqeq import Problem
from asennp.electrostatics.pqeq_linear import Catastrophe, Dense, LinearSolver
from asennp.electrostatics.pqeq_parameters import PUBLISHED_COULOMB
from asennp.errors import InputError

#: The published limit of a shell's displacement, Å.
PUBLISHED_LIMIT = 0.25
#: Newton's steps are shortened to this, Å.
_LONGEST_STEP = 0.1
_MOST_STEPS = 60
#: The second derivatives are renewed where steps shrink by less than this.
_SLOW = 0.2
_MOST_PROJECTED = 2000


@dataclass(frozen=True, eq=False)
class Solution:
    """Charges and shells.

    Attributes
    ----------
    charges
        (N,), e.
    shells
        Displacements from the cores, (N, 3), Å.
    n_steps
        Steps taken.
    n_clamped
        Shells at the limit.
    """

    charges: np.ndarray
    shells: np.ndarray
    n_steps: int
    n_clamped: int = 0


def solve(
    problem: Problem,
    solver: LinearSolver,
    tolerance: float,
    start: tuple[np.ndarray, np.ndarray] | None = None,
) -> Solution:
    """Minimise the energy by Newton's method, until a further step would be shorter than the tolerance.

    Parameters
    ----------
    problem, solver
        The energy, and how to solve its linear systems.
    tolerance
        Of shells (Å) and charges (e).
    start
        Charges of the right sum and shells to begin with; by default shells on their cores.

    Raises
    ------
    Catastrophe
        The energy has no minimum in the shells.
    """
    q, s = solver.begin(problem) if start is None else start
    before = np.inf
    stale = True
    for n_steps in range(_MOST_STEPS):
        if not problem.polarizable:
            dq, ds = solver.charges(problem, q, s) - q, np.zeros_like(s)
        else:
            by_charge, by_shell = problem.gradient(q, s)
            if stale:
                solver.linearize(problem, q, s)
            dq, ds = solver.step(by_charge, by_shell)
        step = max(float(np.abs(ds).max()), float(np.abs(dq).max()))
        shorten = min(1.0, _LONGEST_STEP / max(float(np.abs(ds).max()), 1e-300))
        q, s = q + shorten * dq, s + shorten * ds
        ratio = step / before
        if step * min(max(ratio, 1e-3), 1.0) < tolerance and step < 1e-3:
            return Solution(q, s, n_steps + 1)
        stale = solver.renews or shorten < 1.0 or ratio > _SLOW
        before = step
    raise InputError(
        "charges and shells do not converge",
        where="PQEq",
        expected=f"a change below {tolerance:g} in {_MOST_STEPS} steps",
        got=f"{before:.1e}",
        do="look for atoms too close to each other, or clamp the shells (shell_limit=0.25)",
    )


def solve_published(problem: Problem, iterations: int) -> Solution:
    """Alternate charges and shells a fixed number of times, as the published code does.

    Shells are moved to (force on the shell)/K, and no further than 0.25 Å. The result is not a minimum:
    forces at fixed charges and shells are not the gradient of the energy.
    """
    problem = replace(problem, coulomb=PUBLISHED_COULOMB)
    solver = Dense(stationary=True)
    q, s = problem.start()
    spring = problem.atoms.spring[:, None]
    clamped = np.zeros(len(s), bool)
    for _ in range(iterations):
        q = solver.charges(problem, q, s)
        if problem.polarizable:
            _, by_shell = problem.gradient(q, s)
            s, clamped = clamp(s - by_shell / spring, PUBLISHED_LIMIT)
    return Solution(q, s, iterations, int(clamped.sum()))


def clamp(s: np.ndarray, limit: float) -> tuple[np.ndarray, np.ndarray]:
    """Shorten displacements to a limit; tell which were."""
    lengths = np.sqrt((s * s).sum(axis=1))
    over = lengths > limit
    return np.where(over[:, None], s * (limit / np.where(over, lengths, 1.0))[:, None], s), over


def solve_clamped(problem: Problem, solver: LinearSolver, tolerance: float, limit: float) -> Solution:
    """Minimise the energy over charges and shells no further than a limit from their cores.

    Newton's method where it ends inside the limits; else projected gradients in the metric of the springs,
    with Barzilai and Borwein's lengths and a line search, from shells on their cores. A constrained minimum
    has exact forces too, but where there are several it depends on the path.

    References
    ----------
    E. G. Birgin, J. M. Martínez, M. Raydan, SIAM J. Optim. 10, 1196 (2000), doi:10.1137/S1052623497330963.
    """
    try:
        inside = solve(problem, solver, tolerance)
        if float((inside.shells**2).sum(axis=1).max()) <= limit**2:
            return inside
    except Catastrophe:
        pass
    spring = problem.atoms.spring[:, None]
    q, s = problem.start()
    q = solver.charges(problem, q, s)
    energy = float(problem.results(q, s)[0].sum())
    recent = [energy]
    length = 1.0
    _, slope = problem.gradient(q, s)
    for n_steps in range(_MOST_PROJECTED):
        direction = clamp(s - slope / spring, limit)[0] - s
        if float(np.abs(direction).max()) < tolerance:
            lengths = np.sqrt((s * s).sum(axis=1))
            return Solution(q, s, n_steps, int((lengths > limit * (1.0 - 1e-9)).sum()))
        direction = clamp(s - length * slope / spring, limit)[0] - s
        descent = float(np.vdot(slope, direction))
        part = 1.0
        while True:
            s_new = s + part * direction
            q_new = solver.charges(problem, q, s_new)
            energy = float(problem.results(q_new, s_new)[0].sum())
            if energy <= max(recent[-5:]) + 1e-4 * part * descent + 1e-13 * abs(energy) or part < 1e-6:
                break
            part *= 0.5
        _, slope_new = problem.gradient(q_new, s_new)
        moved, change = s_new - s, slope_new - slope
        along = float(np.vdot(moved, change))
        metric = float(np.vdot(moved, spring * moved))
        length = min(max(metric / along, 0.05), 20.0) if along > 0.0 else 20.0
        q, s, slope = q_new, s_new, slope_new
        recent.append(energy)
    raise InputError(
        "clamped shells do not converge",
        where="PQEq",
        expected=f"a change below {tolerance:g} Å in {_MOST_PROJECTED} steps",
    )
