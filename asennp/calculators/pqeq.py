"""Polarizable charge equilibration as an ASE calculator."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from asennp.calculators.base import OnePassCalculator, pack_results
from asennp.electrostatics.gaussian import GaussianSum
from asennp.electrostatics.gaussian_mesh import MeshSum
from asennp.electrostatics.gaussian_pairs import PairSum
from asennp.electrostatics.gaussian_waves import WaveSum
from asennp.electrostatics.pqeq import Problem
from asennp.electrostatics.pqeq_linear import Catastrophe, Dense, Iterative, LinearSolver
from asennp.electrostatics.pqeq_parameters import DEFAULT, PQEqParameters, load_parameters
from asennp.electrostatics.pqeq_response import (
    ShellStability,
    compute_born_charges,
    compute_polarizability,
    compute_stability,
    softest_pair,
)
from asennp.electrostatics.pqeq_solve import Solution, solve, solve_clamped, solve_published
from asennp.electrostatics.screened import check_accuracy
from asennp.errors import InputError, nearest
from asennp.neighbors import check_geometry, neighbor_pairs
from asennp.threads import check_threads

#: Where the published taper ends, Å.
TAPER_CUTOFF = 12.5
#: Up to this number of atoms, linear systems are solved directly.
DIRECT_BELOW = 128
#: Accuracy of the sum by which Newton's steps are found in large cells, and the orders of its splines.
ROUGH = 1e-2, (6,)
#: A response is solved for to this relative accuracy.
_RESPONSE = 1e-9
#: Nothing physical has atoms closer than this, Å.
CLOSEST = 0.4
_BOUNDARIES = ("ewald", "taper")
_SOLVERS = ("auto", "direct", "iterative")


class PQEqCalculator(OnePassCalculator):
    """Electrostatic energy of atoms whose charges and shells respond to each other (PQEq).

    Each atom is a Gaussian core, of the charge q + Z, and a Gaussian shell, -Z, held by a spring. Charges
    minimise the energy at a given total charge, shells are at rest, both to a tolerance (see
    `asennp.electrostatics.pqeq`). Forces and stress are then the exact derivatives of the energy.

    Beside ASE's properties there are `shells`, `polarizability`, `born_charges` and `stability`.

    Parameters
    ----------
    total_charge
        What the charges sum to, e; periodic cells must be neutral.
    field
        Uniform electric field, (3,), V/Å; for open systems.
    periodic
        ``"ewald"``: the Coulomb sum itself, over the infinite lattice (tin-foil boundaries) or over all pairs
        of an open system; ``"taper"``: as published, pairs within 12.5 Å, scaled down to zero there, with
        all images. The taper misses the lattice sum, and shells and charges can run away that are stable
        under the true sum.
    iterations
        The published mode: so many rounds of charges and shells from zero (2 in the papers), shells kept
        within 0.25 Å. Not conservative: forces differ from the energy's gradient by up to 1e-3 eV/Å.
    parameter_set
        ``"pqeq"``, a file of the same form, its contents, or `PQEqParameters`.
    polarizable
        False keeps the shells on their cores: plain charge equilibration (QEq), the limit of stiff springs.
    shell_limit
        Largest displacement of a shell, Å, for atoms whose shells would run away (0.25 in the papers). The
        energy is least under this constraint, so forces stay exact; but there may be several minima.
    tolerance
        Charges (e) and shells (Å) are converged to this.
    accuracy
        Relative force error of the lattice sum.
    solver
        ``"direct"``, ``"iterative"`` (conjugate gradients without a matrix), or ``"auto"``: by the number of
        atoms.
    warm_start
        Begin with the last solution. By default every calculation begins anew, and its results are a
        function of the atoms to the last bit, so restarts repeat exactly; with a warm start they are a
        function of the atoms to the tolerance, and the last solution travels with copies and pickles.
    threads
        Threads of the sum over meshes of large cells; the results do not depend on it.

    Raises
    ------
    InputError
        Elements without parameters, a charged periodic cell, a field along a periodic direction, atoms too
        close to each other, shells or charges that run away (the message names the elements).

    References
    ----------
    S. Naserifar, D. J. Brooks, W. A. Goddard, V. Cvicek, J. Chem. Phys. 146, 124117 (2017),
    doi:10.1063/1.4978891.
    """

    implemented_properties = [  # noqa: RUF012
        "energy", "free_energy", "energies", "forces", "stress", "charges", "dipole",
    ]  # fmt: skip
    default_parameters = {  # noqa: RUF012
        "total_charge": 0.0, "field": None, "periodic": "ewald", "iterations": None, "parameter_set": DEFAULT,
        "polarizable": True, "shell_limit": None, "tolerance": 1e-8, "accuracy": 1e-6, "solver": "auto",
        "warm_start": False, "threads": 1,
    }  # fmt: skip

    def __init__(
        self,
        total_charge: float = 0.0,
        field: Sequence[float] | None = None,
        periodic: str = "ewald",
        iterations: int | None = None,
        parameter_set: str | Path | Mapping[str, Any] | PQEqParameters = DEFAULT,
        polarizable: bool = True,
        shell_limit: float | None = None,
        tolerance: float = 1e-8,
        accuracy: float = 1e-6,
        solver: str = "auto",
        warm_start: bool = False,
        threads: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            total_charge=total_charge, field=field, periodic=periodic, iterations=iterations,
            parameter_set=parameter_set, polarizable=polarizable, shell_limit=shell_limit,
            tolerance=tolerance, accuracy=accuracy, solver=solver, warm_start=warm_start, threads=threads,
            **kwargs,
        )  # fmt: skip

    def set(self, **kwargs: Any) -> dict[str, Any]:
        """Change parameters, as given to the constructor; results are dropped."""
        if "parameter_set" in kwargs:
            self.elements = load_parameters(kwargs["parameter_set"])
            if not isinstance(kwargs["parameter_set"], str):
                kwargs["parameter_set"] = self.elements.todict()
        if kwargs.get("field") is not None:
            kwargs["field"] = _check_field(kwargs["field"])
        for name, known in (("periodic", _BOUNDARIES), ("solver", _SOLVERS)):
            if kwargs.get(name, known[0]) not in known:
                raise InputError(
                    "unknown choice", where=name, got=kwargs[name], do=nearest(kwargs[name], known)
                )
        for name in ("total_charge", "tolerance", "shell_limit", "iterations"):
            if kwargs.get(name) is not None:
                _check_number(name, kwargs[name])
        changed = super().set(**kwargs)
        check_accuracy(self.parameters["accuracy"])
        check_threads(self.parameters["threads"])
        self._solution: Solution | None = None
        self._numbers = np.zeros(0, int)
        self._sums: dict[str, GaussianSum] = {}
        return changed

    @property
    def shells(self) -> np.ndarray:
        """Displacement of each shell from its core in the last calculation, (N, 3), Å."""
        if self._solution is None:
            raise InputError("there is no calculation yet", where="shells", do="ask for an energy first")
        return self._solution.shells.copy()

    def compute(self, atoms: Atoms) -> dict[str, Any]:
        """Return energies, forces, stress, charges and, of open systems, the dipole."""
        energies, forces, virial, charges = self.terms(atoms)
        results = pack_results(energies, forces, virial, atoms.get_volume() if atoms.pbc.all() else 0.0)
        results["charges"] = charges
        if not atoms.pbc.any():
            results["dipole"] = (
                charges @ atoms.positions - self.elements.of(atoms.numbers).shell @ self.shells
            )
        return results

    def terms(self, atoms: Atoms) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return atomic energies, forces and charges, and the virial dE/deps (3, 3); eV, Å, e."""
        problem = self._problem(atoms)
        solution = self._solve(problem, atoms)
        self._solution, self._numbers = solution, atoms.numbers.copy()
        return *problem.results(solution.charges, solution.shells), solution.charges.copy()

    def polarizability(self, atoms: Atoms, fixed_charges: bool | None = None) -> np.ndarray:
        """Return d(dipole)/d(field), (3, 3), Å^3 (times 4 pi eps0), by linear response.

        Parameters
        ----------
        atoms
            An open system, or a cell, under zero average field (tin-foil boundaries).
        fixed_charges
            Let only the shells respond. In a periodic cell charges cannot respond to a uniform field within
            this method (which cell the charge went to has no answer), so there True, and by default True.

        Notes
        -----
        The dielectric tensor of a cell's shells is 1 + 4 pi/V times this.
        """
        problem, q, s, fixed = self._responding(atoms, fixed_charges)
        return problem.coulomb * compute_polarizability(problem, self._exact(problem), q, s, fixed)

    def born_charges(self, atoms: Atoms, fixed_charges: bool | None = None) -> np.ndarray:
        """Return Z*_i,ab = d(dipole)_b/dR_ia, (N, 3, 3), e: charges plus what shells add when atoms move.

        Parameters
        ----------
        atoms, fixed_charges
            As for `polarizability`.
        """
        problem, q, s, fixed = self._responding(atoms, fixed_charges)
        return compute_born_charges(problem, self._exact(problem), q, s, fixed)

    def stability(self, atoms: Atoms) -> ShellStability:
        """Return how near the shells are to running away, by all eigenvalues at undisplaced shells."""
        problem = self._problem(atoms, matrices=True)
        try:
            return compute_stability(problem, *problem.start())
        except Catastrophe as error:
            raise self._explained(problem, error) from None

    def _problem(self, atoms: Atoms, matrices: bool = False) -> Problem:
        """Set up the energy as a function of charges and shells; refuse atoms it is not made for."""
        positions, cell, pbc = atoms.positions, atoms.cell.array, atoms.pbc
        check_geometry(positions, cell, pbc)
        parameters = self.elements.of(atoms.numbers)
        _refuse_close(atoms)
        total, field = float(self.parameters["total_charge"]), self.parameters["field"]
        if pbc.any() and total != 0.0:
            raise InputError(
                "a periodic cell must be neutral",
                where="total_charge",
                expected="0 for periodic atoms",
                got=total,
                do="use an open system (pbc=False)",
            )
        if field is not None and np.any(np.asarray(atoms.cell.array)[pbc] @ np.asarray(field)):
            raise InputError(
                "a uniform field along a periodic direction has no energy",
                where="field",
                expected="a field across the periodic directions, or an open system (pbc=False)",
                got=f"{field} V/Å with pbc={pbc.tolist()}",
            )
        gaussians = self._gaussians(pbc, matrices or self._direct(len(atoms)))
        places = positions, cell, pbc, parameters.kinds, parameters.exponents
        rough = None
        if isinstance(gaussians, MeshSum):
            rough = self._sums.setdefault("rough", MeshSum(*ROUGH, threads=self.parameters["threads"])).at(
                *places
            )
        return Problem(
            atoms=parameters,
            gaussians=gaussians.at(*places),
            coulomb=self.elements.coulomb,
            total_charge=total,
            positions=positions.copy(),
            field=np.zeros(3) if field is None else np.asarray(field),
            polarizable=bool(self.parameters["polarizable"]),
            rough=rough,
        )

    def _gaussians(self, pbc: np.ndarray, direct: bool) -> GaussianSum:
        """Return the sum for atoms of a periodicity, keeping those in use."""
        tapered = self.parameters["periodic"] == "taper"
        if tapered:
            return self._sums.setdefault("taper", PairSum(TAPER_CUTOFF))
        if not pbc.any():
            return self._sums.setdefault("open", PairSum())
        if not pbc.all():
            raise InputError(
                "the lattice sum is there for three periodic directions, or none",
                where="atoms.pbc",
                got=pbc.tolist(),
                do="set pbc=True with wide vacuum, or use periodic='taper'",
            )
        accuracy = self.parameters["accuracy"]
        if direct:
            return self._sums.setdefault("waves", WaveSum(accuracy))
        return self._sums.setdefault("mesh", MeshSum(accuracy, threads=self.parameters["threads"]))

    def _direct(self, n_atoms: int) -> bool:
        kind = self.parameters["solver"]
        return kind == "direct" or (kind == "auto" and n_atoms <= DIRECT_BELOW)

    def _solver(self, problem: Problem) -> LinearSolver:
        return Dense() if self._direct(len(problem)) else Iterative()

    def _exact(self, problem: Problem) -> LinearSolver:
        """Return a solver whose single step is accurate."""
        if self._direct(len(problem)):
            return Dense()
        return Iterative(_RESPONSE, probe=False, rough=False)

    def _solve(self, problem: Problem, atoms: Atoms) -> Solution:
        iterations, limit = self.parameters["iterations"], self.parameters["shell_limit"]
        tolerance, solver = self.parameters["tolerance"], self._solver(problem)
        start = None
        if self.parameters["warm_start"] and np.array_equal(self._numbers, atoms.numbers):
            last = self._solution
            start = None if last is None else (last.charges, last.shells)
        try:
            if iterations is not None:
                return solve_published(problem, int(iterations))
            if limit is not None and problem.polarizable:
                return solve_clamped(problem, solver, tolerance, float(limit))
            return solve(problem, solver, tolerance, start)
        except Catastrophe as error:
            raise self._explained(problem, error) from None

    def _responding(
        self, atoms: Atoms, fixed_charges: bool | None
    ) -> tuple[Problem, np.ndarray, np.ndarray, bool]:
        """Return the solved problem of a response, and whether charges are fixed in it."""
        periodic = bool(atoms.pbc.any())
        if periodic and fixed_charges is False:
            raise InputError(
                "charges of a periodic cell cannot respond to a uniform field",
                where="fixed_charges",
                expected="True, or an open system",
                got=False,
            )
        for name in ("iterations", "shell_limit"):
            if self.parameters[name] is not None:
                raise InputError("a response needs a converged minimum", where=name, expected=None)
        if not self.parameters["polarizable"]:
            raise InputError("a response needs shells", where="polarizable", expected=True, got=False)
        problem = self._problem(atoms)
        solution = self._solve(problem, atoms)
        fixed = periodic if fixed_charges is None else fixed_charges
        return problem, solution.charges, solution.shells, fixed

    def _explained(self, problem: Problem, error: Catastrophe) -> InputError:
        """Name the elements of a polarization catastrophe."""
        mode = error.mode
        q, s = problem.start()
        first, second = softest_pair(problem, q, s, mode)
        of_charges = mode.ndim == 1
        lengths = np.abs(mode) if of_charges else np.sqrt((mode**2).sum(axis=1))
        atom = int(np.argmax(lengths))
        do = "use periodic='ewald', " if self.parameters["periodic"] == "taper" else "look at the geometry, "
        return InputError(
            f"polarization catastrophe: {'charges' if of_charges else 'shells'} of {first}-{second} run away",
            where="PQEq",
            expected="an energy with a minimum in charges and shells",
            got=f"none; atom {atom} ({problem.atoms.symbols[problem.atoms.kinds[atom]]}) moves most",
            do=do + ("or other parameters" if of_charges else "or clamp the shells (shell_limit=0.25)"),
        )


def _check_field(field: Any) -> list[float]:
    array = np.asarray(field, float) if np.ndim(field) == 1 else np.zeros(0)
    if array.shape != (3,) or not np.isfinite(array).all():
        raise InputError("not a field", where="field", expected="three numbers, V/Å", got=field)
    return [float(x) for x in array]


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
