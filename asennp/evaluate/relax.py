"""Relaxation of ions and cell that keeps the symmetry and knows the floor of a calculator's noise."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from ase import Atoms, units
from ase.constraints import FixSymmetry
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS
from ase.optimize.cellawarebfgs import calculate_isotropic_elasticity_tensor

from asennp.errors import InputError, nearest

Cell = Literal["full", "fixed-volume", "fixed"]

#: Curvatures the search starts from: an ion in its cage (eV/Å^2), a crystal (eV/Å^3, about 160 GPa).
_ION_STIFFNESS, _BULK_MODULUS = 20.0, 1.0
#: Steps without progress after which the noise of the forces is taken to be reached.
_PATIENCE = 25


@dataclass(frozen=True)
class Relaxation:
    """A relaxed structure (no calculator, no constraint) and what was left over.

    Attributes
    ----------
    atoms
        The frame with the least residual met on the way.
    energy
        Its energy, eV.
    converged
        Whether the residuals are below the tolerances; False where noise, the step limit or a collapse of
        the crystal came first.
    n_steps
        Steps taken.
    max_force
        Largest residual force on an atom, eV/Å.
    max_stress_GPa
        Largest residual stress component (pressure and held volume accounted for); 0 for a fixed cell.
    """

    atoms: Atoms
    energy: float
    converged: bool
    n_steps: int
    max_force: float
    max_stress_GPa: float


class _Search(BFGS):
    """Quasi-Newton search whose first Hessian knows ions from cell, with separate tolerances."""

    def __init__(self, target: Any, fmax: float, smax: float) -> None:
        self.target = target
        self.has_cell = isinstance(target, FrechetCellFilter)
        self.crystal: Atoms = target.atoms if self.has_cell else target
        self.tolerances = fmax, smax
        self.best = np.inf
        self.best_frame = self.crystal.copy()
        self.best_energy = np.nan
        self.best_residuals = np.inf, np.inf
        self.idle = 0
        super().__init__(target, logfile=None, maxstep=0.1, alpha=_ION_STIFFNESS)

    def initialize(self) -> None:
        super().initialize()
        if self.has_cell:
            stiffness = calculate_isotropic_elasticity_tensor(_BULK_MODULUS, 0.3, suppress_rotation=1.0)
            self.H0[-9:, -9:] = self.crystal.cell.volume * stiffness.reshape(9, 9)

    def gradient_converged(self, gradient: np.ndarray) -> bool:
        rows = np.reshape(gradient, (-1, 3))
        n = len(self.crystal)
        force = float(np.sqrt((rows[:n] ** 2).sum(axis=1).max()))
        stress = float(np.abs(rows[n:]).max() / self.crystal.cell.volume) if self.has_cell else 0.0
        measure = max(force / self.tolerances[0], stress / self.tolerances[1])
        if measure < 0.9 * self.best:
            self.idle = 0
        else:
            self.idle += 1
        if measure < self.best:
            self.best, self.best_residuals = measure, (force, stress)
            self.best_frame = self.crystal.copy()
            self.best_energy = float(self.crystal.get_potential_energy())
        return bool(measure <= 1.0 or self.idle > _PATIENCE)


def relax(
    atoms: Atoms,
    calculator: Any,
    cell: Cell = "full",
    pressure_GPa: float = 0.0,
    fmax: float = 5e-4,
    smax_GPa: float = 0.01,
    symmetry: bool = True,
    symprec: float = 0.01,
    steps: int = 300,
    mask: Sequence[bool] | None = None,
) -> Relaxation:
    """Relax ions and, unless held, the cell; the input is not changed.

    The cell moves by the logarithm of its deformation, so its gradient is exact at any strain.

    Parameters
    ----------
    cell
        "full", "fixed-volume" (shape and ions) or "fixed" (ions only).
    pressure_GPa
        Outer pressure, for ``cell="full"``.
    fmax, smax_GPa
        Tolerances: force on an atom (eV/Å) and stress component (GPa).
    symmetry
        Keep the space group found at `symprec` (Å). Without it the search may leave a saddle point.
    steps
        Limit of steps.
    mask
        (6,) components of the strain that may change, Voigt order, for ``cell="full"``; default all.

    Notes
    -----
    The search also ends where 25 steps brought no progress (noise of the forces).
    """
    if cell not in ("full", "fixed-volume", "fixed"):
        raise InputError("unknown way to treat the cell", where="cell", got=cell,
                         do=nearest(str(cell), ("full", "fixed-volume", "fixed")))  # fmt: skip
    crystal = Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    if symmetry:
        crystal.set_constraint(FixSymmetry(crystal, symprec=symprec))
    crystal.calc = calculator
    target: Any = crystal
    if cell != "fixed":
        target = FrechetCellFilter(
            crystal,
            exp_cell_factor=1.0,
            constant_volume=cell == "fixed-volume",
            scalar_pressure=pressure_GPa * units.GPa,
            mask=None if mask is None else list(mask),
        )
    search = _Search(target, fmax, smax_GPa * units.GPa)
    try:
        search.run(fmax=fmax, steps=steps)
    except (InputError, np.linalg.LinAlgError, RuntimeError):
        # a potential that lets the crystal collapse is a finding, not an end: keep the best frame before it
        if not np.isfinite(search.best):
            raise
    frame = search.best_frame
    frame.set_constraint()
    force, stress = search.best_residuals
    return Relaxation(
        atoms=frame,
        energy=search.best_energy,
        converged=search.best <= 1.0,
        n_steps=int(search.nsteps),
        max_force=force,
        max_stress_GPa=stress / units.GPa,
    )
