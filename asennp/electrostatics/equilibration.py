"""PQEq of given atoms: the sum and the solver that serve them, the solution, or why there is none."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms

from asennp.electrostatics.gaussian import GaussianSum
from asennp.electrostatics.gaussian_mesh import MeshSum
from asennp.electrostatics.gaussian_pairs import PairSum
from asennp.electrostatics.gaussian_waves import WaveSum
from asennp.electrostatics.pqeq import Problem
from asennp.electrostatics.pqeq_linear import Catastrophe, Dense, Iterative, LinearSolver
from asennp.electrostatics.pqeq_meshes import Meshes
from asennp.electrostatics.pqeq_parameters import DEFAULT, PQEqParameters, load_parameters
from asennp.electrostatics.pqeq_response import ShellStability, compute_stability, softest_pair
from asennp.electrostatics.pqeq_solve import Solution, solve, solve_clamped, solve_published
from asennp.electrostatics.screened import check_accuracy
from asennp.errors import InputError, nearest
from asennp.neighbors import check_geometry, neighbor_pairs
from asennp.threads import check_threads

#: Where the published taper ends, Å.
TAPER_CUTOFF = 12.5
#: Up to this number of atoms, linear systems are solved directly.
DIRECT_BELOW = 128
#: A response is solved for to this relative accuracy.
_RESPONSE = 1e-9
#: Nothing physical has atoms closer than this, Å.
CLOSEST = 0.4
_BOUNDARIES = ("ewald", "taper")
_SOLVERS = ("auto", "direct", "iterative")


class Equilibration:
    """Charges and shells of atoms by PQEq; the settings are those of `asennp.PQEqCalculator`.

    Meshes, of large cells, can be held through a run; smaller cells have nothing to hold: their sums are
    continuous functions of the cell.

    Attributes
    ----------
    sum
        The sum over Gaussian charges that was used last.
    solution
        The last solution; None before.
    """

    def __init__(
        self,
        total_charge: float = 0.0,
        field: Sequence[float] | None = None,
        periodic: str = "ewald",
        iterations: int | None = None,
        elements: PQEqParameters | None = None,
        polarizable: bool = True,
        shell_limit: float | None = None,
        tolerance: float = 1e-8,
        accuracy: float = 1e-6,
        solver: str = "auto",
        warm_start: bool = False,
        threads: int = 1,
    ) -> None:
        for name, value, known in (("periodic", periodic, _BOUNDARIES), ("solver", solver, _SOLVERS)):
            if value not in known:
                raise InputError("unknown choice", where=name, got=value, do=nearest(value, known))
        numbers = {"total_charge": total_charge, "tolerance": tolerance, "shell_limit": shell_limit,
                   "iterations": iterations}  # fmt: skip
        for name, number in numbers.items():
            if number is not None:
                _check_number(name, number)
        self.elements = load_parameters(DEFAULT) if elements is None else elements
        self.total_charge, self.field = (
            float(total_charge),
            np.zeros(3) if field is None else check_field(field),
        )
        self.periodic, self.solver, self.iterations = periodic, solver, iterations
        self.polarizable, self.shell_limit, self.tolerance = bool(polarizable), shell_limit, tolerance
        self.accuracy, self.threads = check_accuracy(accuracy), check_threads(threads)
        self.warm_start = warm_start
        self.solution: Solution | None = None
        self._numbers = np.zeros(0, int)
        self._open, self._taper, self._waves = PairSum(), PairSum(TAPER_CUTOFF), WaveSum(self.accuracy)
        self._meshes = Meshes(self.accuracy, self.threads)
        self.sum: GaussianSum = self._open

    def terms(self, atoms: Atoms) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return atomic energies (N,), forces (N, 3), virial dE/deps (3, 3) and charges (N,); eV, Å, e."""
        problem, solution = self.solved(atoms)
        self.solution, self._numbers = solution, atoms.numbers.copy()
        return *problem.results(solution.charges, solution.shells), solution.charges.copy()

    def solved(self, atoms: Atoms) -> tuple[Problem, Solution]:
        """Return the energy as a function of charges and shells, and its minimum."""
        problem = self._problem(atoms)
        start, solver = None, self._solver(len(atoms))
        if self.warm_start and self.solution is not None and np.array_equal(self._numbers, atoms.numbers):
            start = self.solution.charges, self.solution.shells
        try:
            if self.iterations is not None:
                return problem, solve_published(problem, int(self.iterations))
            if self.shell_limit is not None and self.polarizable:
                return problem, solve_clamped(problem, solver, self.tolerance, float(self.shell_limit))
            return problem, solve(problem, solver, self.tolerance, start)
        except Catastrophe as error:
            raise self._explained(problem, error) from None

    def responding(
        self, atoms: Atoms, fixed_charges: bool | None
    ) -> tuple[Problem, LinearSolver, np.ndarray, np.ndarray, bool]:
        """Return a solved problem, a solver of its response, charges, shells, are charges fixed."""
        periodic = bool(atoms.pbc.any())
        if periodic and fixed_charges is False:
            raise InputError(
                "charges of a periodic cell cannot respond to a uniform field",
                where="fixed_charges",
                expected="True, or an open system",
                got=False,
            )
        for name in ("iterations", "shell_limit"):
            if getattr(self, name) is not None:
                raise InputError("a response needs a converged minimum", where=name, expected=None)
        if not self.polarizable:
            raise InputError("a response needs shells", where="polarizable", expected=True, got=False)
        problem, solution = self.solved(atoms)
        # a single step, which has to be accurate
        direct = self._direct(len(atoms))
        solver = Dense() if direct else Iterative(_RESPONSE, probe=False, rough=False)
        fixed = periodic if fixed_charges is None else fixed_charges
        return problem, solver, solution.charges, solution.shells, fixed

    def stability(self, atoms: Atoms) -> ShellStability:
        """Return how near the shells are to running away, by all eigenvalues at undisplaced shells."""
        problem = self._problem(atoms, matrices=True)
        try:
            return compute_stability(problem, *problem.start())
        except Catastrophe as error:
            raise self._explained(problem, error) from None

    # --- what is held, see `asennp.electrostatics.splitting.Splitting` ------------------------------------

    def hold(self) -> None:
        """Keep the last meshes, if there were any, for cells of as many atoms."""
        if isinstance(self.sum, MeshSum):
            self._meshes.hold(len(self._numbers))

    def release(self) -> None:
        """Choose for each cell again."""
        self._meshes.release()

    def state(self) -> dict[str, Any] | None:
        """Return what is held, as plain values; None if nothing is."""
        return self._meshes.state()

    def restore(self, state: dict[str, Any] | None) -> None:
        """Hold what `state` returned, perhaps in another process."""
        self._meshes.restore(state)

    # --- the problem of given atoms ----------------------------------------------------------------------

    def _problem(self, atoms: Atoms, matrices: bool = False) -> Problem:
        """Set up the energy as a function of charges and shells; refuse atoms it is not made for."""
        positions, cell, pbc = atoms.positions, atoms.cell.array, atoms.pbc
        check_geometry(positions, cell, pbc)
        parameters = self.elements.of(atoms.numbers)
        _refuse_close(atoms)
        self._refuse_charge_and_field(cell, pbc)
        self.sum = self._select(pbc, len(atoms), matrices)
        places = positions, cell, pbc, parameters.kinds, parameters.exponents
        meshed = isinstance(self.sum, MeshSum)
        return Problem(
            atoms=parameters,
            gaussians=self.sum.at(*places),
            coulomb=self.elements.coulomb,
            total_charge=self.total_charge,
            positions=positions.copy(),
            field=self.field,
            polarizable=self.polarizable,
            rough=self._meshes.of(len(atoms))[1].at(*places) if meshed else None,
        )

    def _refuse_charge_and_field(self, cell: np.ndarray, pbc: np.ndarray) -> None:
        """Refuse what has no energy in a periodic system."""
        if pbc.any() and self.total_charge != 0.0:
            raise InputError(
                "a periodic cell must be neutral",
                where="total_charge",
                expected="0 for periodic atoms",
                got=self.total_charge,
                do="use an open system (pbc=False)",
            )
        if np.any(cell[pbc] @ self.field):
            raise InputError(
                "a uniform field along a periodic direction has no energy",
                where="field",
                expected="a field across the periodic directions, or an open system (pbc=False)",
                got=f"{self.field.tolist()} V/Å with pbc={pbc.tolist()}",
            )

    def _select(self, pbc: np.ndarray, n_atoms: int, matrices: bool) -> GaussianSum:
        """Return the sum for atoms of a periodicity; with `matrices`, one that is quick in making them."""
        if self.periodic == "taper":
            return self._taper
        if not pbc.any():
            return self._open
        if not pbc.all():
            raise InputError(
                "the lattice sum is there for three periodic directions, or none",
                where="atoms.pbc",
                got=pbc.tolist(),
                do="set pbc=True with wide vacuum, or use periodic='taper'",
            )
        return self._waves if matrices or self._direct(n_atoms) else self._meshes.of(n_atoms)[0]

    def _direct(self, n_atoms: int) -> bool:
        return self.solver == "direct" or (self.solver == "auto" and n_atoms <= DIRECT_BELOW)

    def _solver(self, n_atoms: int) -> LinearSolver:
        return Dense() if self._direct(n_atoms) else Iterative()

    def _explained(self, problem: Problem, error: Catastrophe) -> InputError:
        """Name the elements of a polarization catastrophe."""
        mode = error.mode
        q, s = problem.start()
        first, second = softest_pair(problem, q, s, mode)
        of_charges = mode.ndim == 1
        lengths = np.abs(mode) if of_charges else np.sqrt((mode**2).sum(axis=1))
        atom = int(np.argmax(lengths))
        do = "use periodic='ewald', " if self.periodic == "taper" else "look at the geometry, "
        return InputError(
            f"polarization catastrophe: {'charges' if of_charges else 'shells'} of {first}-{second} run away",
            where="PQEq",
            expected="an energy with a minimum in charges and shells",
            got=f"none; atom {atom} ({problem.atoms.symbols[problem.atoms.kinds[atom]]}) moves most",
            do=do + ("or other parameters" if of_charges else "or clamp the shells (shell_limit=0.25)"),
        )


def check_field(field: Any) -> np.ndarray:
    """Return a uniform field (3,), V/Å."""
    array = np.asarray(field, float) if np.ndim(field) == 1 else np.zeros(0)
    if array.shape != (3,) or not np.isfinite(array).all():
        raise InputError("not a field", where="field", expected="three numbers, V/Å", got=field)
    return array


def _check_number(name: str, value: Any) -> None:
    number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if not number or not np.isfinite(value) or (name != "total_charge" and value <= 0):
        expected = "a number, e" if name == "total_charge" else "a positive number"
        raise InputError("not a usable number", where=name, expected=expected, got=value)
    if name == "iterations" and value != int(value):
        raise InputError("not a whole number", where=name, got=value)


def _refuse_close(atoms: Atoms) -> None:
    pairs = neighbor_pairs(atoms.positions, atoms.cell.array, atoms.pbc, CLOSEST)
    if len(pairs):
        k = int(np.argmin(pairs.distances))
        i, j = int(pairs.i[k]), int(pairs.j[k])
        symbols = atoms.symbols
        raise InputError(
            "two atoms overlap",
            where="atoms",
            expected=f"at least {CLOSEST} Å between atoms",
            got=f"atoms {i} ({symbols[i]}) and {j} ({symbols[j]}) are {pairs.distances[k]:.3g} Å apart",
        )
