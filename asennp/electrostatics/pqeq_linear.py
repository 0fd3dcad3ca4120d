"""Linear systems of polarizable charge equilibration: second derivatives of E under a fixed total charge.

The matrix is H = [[A, B], [B^T, D]] over charges and shells, A = eta + d2U/dq2 and D = K + d2U/ds2. With
P = A^-1 - A^-1 1 1^T A^-1/(1^T A^-1 1), the response of the charges at a fixed sum, shells feel
S = D - B^T P B. There is a minimum where S is positive definite.
"""

from abc import ABC, abstractmethod

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve, lu_factor, lu_solve

from asennp.electrostatics.gaussian import Curvature
from asennp.electrostatics.pqeq import Problem
from asennp.errors import InputError

#: The shells' matrix has to be positive by so much, relative to the springs.
_MARGIN = 1e-8
#: Conjugate gradients give up after so many steps.
_MOST_STEPS = 500
#: Where no shell would move by more, Å, a random displacement is tried, and its residual reduced so far.
_QUIET = 1e-3
_PROBE = 0.05


class Catastrophe(Exception):
    """Charges or shells run away: the energy has no minimum near.

    Attributes
    ----------
    mode
        A displacement (N, 3) of the shells, or a change (N,) of the charges, that lowers the energy.
    """

    def __init__(self, mode: np.ndarray) -> None:
        super().__init__("polarization catastrophe")
        self.mode = mode


class LinearSolver(ABC):
    """Solves for changes of charges and shells that make a gradient vanish.

    Attributes
    ----------
    renews
        Second derivatives cost little beside a solution: take them anew at each step.
    """

    renews = False

    @abstractmethod
    def begin(self, problem: Problem) -> tuple[np.ndarray, np.ndarray]:
        """Return charges and shells to begin with, of the right sum."""

    @abstractmethod
    def charges(self, problem: Problem, q: np.ndarray, s: np.ndarray) -> np.ndarray:
        """Return the charges that are least in energy for the shells s, from a guess of the right sum."""

    @abstractmethod
    def linearize(self, problem: Problem, q: np.ndarray, s: np.ndarray) -> None:
        """Take the second derivatives at a point.

        Raises
        ------
        Catastrophe
            Not a minimum in the shells.
        """

    @abstractmethod
    def step(self, by_charge: np.ndarray, by_shell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return -H^-1 times a gradient, with changes of the charges that sum to zero."""

    @abstractmethod
    def shell_step(self, by_shell: np.ndarray) -> np.ndarray:
        """Return -D^-1 times a gradient: the charges stay as they are."""


class Dense(LinearSolver):
    """Direct solution, by Cholesky factors of A and S.

    Parameters
    ----------
    stationary
        Accept charges that make the energy stationary, not least, as published codes do.
    """

    _matrix: np.ndarray
    _factor: tuple[np.ndarray, np.ndarray | bool] | None = None

    def __init__(self, stationary: bool = False) -> None:
        self.stationary = stationary

    def begin(self, problem: Problem) -> tuple[np.ndarray, np.ndarray]:
        """Return the charges for shells on their cores."""
        q, s = problem.start()
        return self.charges(problem, q, s), s

    def charges(self, problem: Problem, q: np.ndarray, s: np.ndarray) -> np.ndarray:
        """Return the charges, exactly: the energy is quadratic in them."""
        self._take_charges(problem)
        by_charge, _ = problem.gradient(q, s)
        return q - self._respond(by_charge)

    def linearize(self, problem: Problem, q: np.ndarray, s: np.ndarray) -> None:
        """Take the second derivatives at a point."""
        reduced = self.reduced(problem, q, s)
        springs = np.repeat(problem.atoms.spring, 3)
        try:
            # a margin, so that rounding does not decide
            cho_factor(reduced - _MARGIN * np.diag(springs), lower=True)
            self._shells = cho_factor(reduced, lower=True)
        except LinAlgError:
            raise Catastrophe(lowest_mode(reduced, springs)[1]) from None

    def reduced(self, problem: Problem, q: np.ndarray, s: np.ndarray) -> np.ndarray:
        """Return S at a point."""
        self._take_charges(problem)
        self._matrix = dense_matrix(problem, problem.curvature(q, s))
        n = len(problem)
        self._b = self._matrix[:n, n:]
        reduced: np.ndarray = self._matrix[n:, n:] - self._b.T @ self._respond(self._b)
        return reduced

    def step(self, by_charge: np.ndarray, by_shell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the step."""
        ds = -cho_solve(self._shells, by_shell.ravel() - self._b.T @ self._respond(by_charge))
        return -self._respond(by_charge + self._b @ ds), ds.reshape(-1, 3)

    def shell_step(self, by_shell: np.ndarray) -> np.ndarray:
        """Return the step of shells alone."""
        n = len(by_shell)
        block = self._matrix[n:, n:]
        return -np.linalg.solve(block, by_shell.reshape(3 * n, -1)).reshape(by_shell.shape)

    def _take_charges(self, problem: Problem) -> None:
        if self._factor is not None:  # A does not depend on charges and shells
            return
        square = problem.coulomb * problem.gaussians.charge_matrix() + np.diag(problem.atoms.eta)
        if self.stationary:
            self._factor = lu_factor(square)
        else:
            try:
                self._factor = cho_factor(square, lower=True)
            except LinAlgError:
                raise Catastrophe(np.linalg.eigh(square)[1][:, 0]) from None
        self._ones = self._divide(np.ones(len(problem)))

    def _divide(self, right: np.ndarray) -> np.ndarray:
        """Return A^-1 times a vector or matrix."""
        return (lu_solve if self.stationary else cho_solve)(self._factor, right)

    def _respond(self, right: np.ndarray) -> np.ndarray:
        """Return P times a vector or matrix."""
        answer = self._divide(right)
        share = answer.sum(axis=0) / self._ones.sum()
        response: np.ndarray = answer - np.multiply.outer(self._ones, share)
        return response


class Iterative(LinearSolver):
    """Preconditioned conjugate gradients, without a matrix.

    Parameters
    ----------
    tolerance
        How much each solution reduces the residual; Newton's steps do the rest.
    probe
        Where no force moves the shells, try a random displacement of them, to find those that run away.
    rough
        Take the problem's rough second derivatives.
    """

    renews = True

    def __init__(self, tolerance: float = 1e-3, probe: bool = True, rough: bool = True) -> None:
        self.tolerance = tolerance
        self.probe = probe
        self.rough = rough
        #: Products with the matrix so far.
        self.n_products = 0

    def begin(self, problem: Problem) -> tuple[np.ndarray, np.ndarray]:
        """Return equal charges: Newton's first step does the rest."""
        return problem.start()

    def charges(self, problem: Problem, q: np.ndarray, s: np.ndarray) -> np.ndarray:
        """Return the charges, to the tolerance."""
        self._point(problem, q, s)
        by_charge, _ = problem.gradient(q, s)
        dq, _ = self._solve(-by_charge, np.zeros_like(s), shells=False)
        return q + dq

    def shell_step(self, by_shell: np.ndarray) -> np.ndarray:
        """Return the step of shells alone."""
        return self._solve(np.zeros(len(by_shell)), -by_shell, charges=False)[1]

    def linearize(self, problem: Problem, q: np.ndarray, s: np.ndarray) -> None:
        """Take the second derivatives at a point."""
        self._point(problem, q, s)

    def step(self, by_charge: np.ndarray, by_shell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the step, to the tolerance."""
        spring = self._problem.atoms.spring[:, None]
        if self.probe and float(np.abs(by_shell / spring).max()) < _QUIET:
            self.probe = False
            random = np.random.default_rng(0).normal(size=by_shell.shape) * spring
            kept, self.tolerance = self.tolerance, _PROBE
            self._solve(np.zeros_like(by_charge), random)
            self.tolerance = kept
        self.probe = False
        return self._solve(-by_charge, -by_shell)

    def _point(self, problem: Problem, q: np.ndarray, s: np.ndarray) -> None:
        self._problem = problem
        self._curvature = (problem.rough_curvature if self.rough else problem.curvature)(q, s)

    def _apply(self, dq: np.ndarray, ds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.n_products += 1
        problem = self._problem
        by_q, by_s = self._curvature.apply(dq, ds)
        by_q, by_s = problem.coulomb * by_q, problem.coulomb * by_s
        return by_q + problem.atoms.eta * dq, by_s + problem.atoms.spring[:, None] * ds

    def _precondition(self, rq: np.ndarray, rs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return r_q less the chemical potential, and both residuals divided by hardness and springs.

        The potential is that for which the change of the charges sums to zero. Taking it out of the residual
        itself keeps its large value out of the products of the iteration.
        """
        soft = 1.0 / self._problem.atoms.eta
        rq = rq - (soft @ rq) / soft.sum()
        return rq, soft * rq, rs / self._problem.atoms.spring[:, None]

    def _solve(
        self, rq: np.ndarray, rs: np.ndarray, charges: bool = True, shells: bool = True
    ) -> tuple[np.ndarray, np.ndarray]:
        """Solve H x = r by conjugate gradients; with one kind of unknowns alone, A x = r or D x = r."""
        xq, xs = np.zeros_like(rq), np.zeros_like(rs)
        rq, zq, zs = self._precondition(rq, rs)
        pq, ps = zq, zs
        rho = float(rq @ zq + np.vdot(rs, zs))
        goal = self.tolerance**2 * rho
        for _ in range(_MOST_STEPS):
            if rho <= goal:
                return xq, xs
            hq, hs = self._apply(pq, ps)
            hq, hs = hq * charges, hs * shells
            curvature = float(pq @ hq + np.vdot(ps, hs))
            least = _MARGIN * float(np.vdot(ps, self._problem.atoms.spring[:, None] * ps))
            if curvature <= least:
                raise Catastrophe(ps if shells and ps.any() else pq)
            alpha = rho / curvature
            xq, xs = xq + alpha * pq, xs + alpha * ps
            rq, rs = rq - alpha * hq, rs - alpha * hs
            rq, zq, zs = self._precondition(rq, rs)
            before, rho = rho, float(rq @ zq + np.vdot(rs, zs))
            pq, ps = zq + rho / before * pq, zs + rho / before * ps
        raise InputError(
            "charges and shells do not converge",
            where="PQEq",
            expected=f"at most {_MOST_STEPS} steps of conjugate gradients",
            do="look for atoms too close to each other",
        )


def dense_matrix(problem: Problem, curvature: Curvature) -> np.ndarray:
    """Return H as a matrix (4N, 4N), eV."""
    matrix = problem.coulomb * curvature.dense()
    diagonal = np.concatenate([problem.atoms.eta, np.repeat(problem.atoms.spring, 3)])
    matrix[np.diag_indices_from(matrix)] += diagonal
    return matrix


def lowest_mode(reduced: np.ndarray, springs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the eigenvalues of S relative to the springs, and the lowest mode (N, 3)."""
    root = np.sqrt(springs)
    values, vectors = np.linalg.eigh(reduced / np.outer(root, root))
    return values, (vectors[:, 0] / root).reshape(-1, 3)
