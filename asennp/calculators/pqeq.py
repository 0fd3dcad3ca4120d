"""Polarizable charge equilibration as an ASE calculator."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from asennp.calculators.base import ChargedCalculator, pack_results
from asennp.electrostatics.equilibration import Equilibration, check_field
from asennp.electrostatics.pqeq_parameters import DEFAULT, PQEqParameters, load_parameters
from asennp.electrostatics.pqeq_response import ShellStability, compute_born_charges, compute_polarizability
from asennp.errors import InputError


class PQEqCalculator(ChargedCalculator):
    """Electrostatic energy of atoms whose charges and shells respond to each other (PQEq).

    Each atom is a Gaussian core, of the charge q + Z, and a Gaussian shell, -Z, held by a spring. Charges
    minimise the energy at a given total charge, shells are at rest, both to a tolerance (see
    `asennp.electrostatics.pqeq`). Forces and stress are then the exact derivatives of the energy.

    Beside ASE's properties there are `shells`, `polarizability`, `born_charges` and `stability`. The mesh of
    large cells can be held through a run, see `asennp.calculators.base.ChargedCalculator`.

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

    #: Charges and shells with their settings.
    splitting: Equilibration
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
            kwargs["field"] = check_field(kwargs["field"]).tolist()
        changed = super().set(**kwargs)
        settings = {name: value for name, value in self.parameters.items() if name != "parameter_set"}
        self.splitting = Equilibration(elements=self.elements, **settings)
        return changed

    @property
    def shells(self) -> np.ndarray:
        """Displacement of each shell from its core in the last calculation, (N, 3), Å."""
        if self.splitting.solution is None:
            raise InputError("there is no calculation yet", where="shells", do="ask for an energy first")
        return self.splitting.solution.shells.copy()

    def compute(self, atoms: Atoms) -> dict[str, Any]:
        """Return energies, forces, stress, charges and, of open systems, the dipole."""
        energies, forces, virial, charges = self.splitting.terms(atoms)
        results = pack_results(energies, forces, virial, atoms.get_volume() if atoms.pbc.all() else 0.0)
        results["charges"] = charges
        if not atoms.pbc.any():
            results["dipole"] = (
                charges @ atoms.positions - self.elements.of(atoms.numbers).shell @ self.shells
            )
        return results

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
        responding = self.splitting.responding(atoms, fixed_charges)
        return self.elements.coulomb * compute_polarizability(*responding)

    def born_charges(self, atoms: Atoms, fixed_charges: bool | None = None) -> np.ndarray:
        """Return Z*_i,ab = d(dipole)_b/dR_ia, (N, 3, 3), e: charges plus what shells add when atoms move.

        Parameters
        ----------
        atoms, fixed_charges
            As for `polarizability`.
        """
        return compute_born_charges(*self.splitting.responding(atoms, fixed_charges))

    def stability(self, atoms: Atoms) -> ShellStability:
        """Return how near the shells are to running away, by all eigenvalues at undisplaced shells."""
        return self.splitting.stability(atoms)
