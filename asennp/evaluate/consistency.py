"""Is a calculator fit to be learned from? The same crystal in two cells, and derivatives by differences."""

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.stress import voigt_6_to_full_3x3_stress

from asennp.results import Result
from asennp.units import EV_A3_GPA

#: Where the energy is taken along a direction, in units of the longer step.
_STEPS = np.array([1.0, -1.0, 0.5, -0.5])


@dataclass(frozen=True, eq=False)
class ConsistencyResult(Result):
    """How far a calculator agrees with itself.

    Attributes
    ----------
    cell_spread_meV
        Difference of the energy per atom (meV/atom) of one crystal in two cells: formation energies
        smaller than this mean nothing.
    force_error
        Largest difference of a directional derivative of the energy from -F (eV/Å).
    stress_error_GPa
        Largest difference of dE/d(strain)/V along a strain from the stress (GPa).
    force_scale, stress_scale_GPa
        Root mean square of what was compared, for scale.
    """

    cell_spread_meV: float
    force_error: float
    stress_error_GPa: float
    force_scale: float
    stress_scale_GPa: float

    @property
    def is_consistent(self) -> bool:
        """Whether forces and stress are the energy's derivatives, to 3 % of their own size."""
        return (
            self.force_error < 0.03 * self.force_scale + 2e-3
            and self.stress_error_GPa < 0.03 * self.stress_scale_GPa + 0.05
        )


def compute_consistency(
    atoms: Atoms,
    calculator: Calculator,
    repeat: tuple[int, int, int] = (2, 2, 1),
    displacement: float = 0.01,
    directions: int = 3,
    seed: int = 0,
) -> ConsistencyResult:
    """Compare a crystal in two cells, and forces and stress with central differences of the energy.

    Parameters
    ----------
    atoms
        A small crystal cell; a displaced and strained copy serves the differences.
    calculator
        Any ASE calculator with energy, forces and stress.
    repeat
        The second cell, as multiples of the first.
    displacement
        Longer step (Å) of the differences along a random direction of unit length (a tenth of it for
        strains); half of it gives the second slope of an extrapolation to step zero.
    directions
        Number of random directions of each kind.
    """
    rng = np.random.default_rng(seed)

    def energy(image: Atoms) -> float:
        image.calc = calculator
        return float(image.get_potential_energy())

    spread = abs(
        energy(atoms.copy()) / len(atoms) - energy(atoms.repeat(repeat)) / (len(atoms) * np.prod(repeat))
    )

    bent = _bent(atoms, _strain(rng, 0.02))
    bent.positions += rng.normal(0.0, 0.08, bent.positions.shape)
    energy(bent)
    forces, stress = bent.get_forces(), voigt_6_to_full_3x3_stress(bent.get_stress())
    force_errors, stress_errors, slopes, pulls = [], [], [], []
    for _ in range(directions):
        along = rng.normal(size=forces.shape)
        along /= np.linalg.norm(along)
        slopes.append(float(np.sum(forces * along)))
        slope = _slope([energy(_moved(bent, s * along)) for s in displacement * _STEPS], displacement)
        force_errors.append(abs(slope + slopes[-1]))
        strain = _strain(rng, 1.0)
        pulls.append(float(np.sum(stress * strain)) * EV_A3_GPA)
        size = 0.1 * displacement
        slope = _slope([energy(_bent(bent, s * strain)) for s in size * _STEPS], size)
        stress_errors.append(abs(slope / bent.get_volume() * EV_A3_GPA - pulls[-1]))
    return ConsistencyResult(
        cell_spread_meV=1000.0 * float(spread),
        force_error=float(max(force_errors)),
        stress_error_GPa=float(max(stress_errors)),
        force_scale=float(np.sqrt(np.mean(np.square(slopes)))),
        stress_scale_GPa=float(np.sqrt(np.mean(np.square(pulls)))),
    )


def _slope(energies: list[float], step: float) -> float:
    """Return dE/ds at 0 from energies at `_STEPS` (Richardson: error of fourth order)."""
    coarse = (energies[0] - energies[1]) / (2 * step)
    fine = (energies[2] - energies[3]) / step
    return (4 * fine - coarse) / 3


def _moved(atoms: Atoms, displacements: np.ndarray) -> Atoms:
    image = atoms.copy()
    image.positions += displacements
    return image


def _bent(atoms: Atoms, strain: np.ndarray) -> Atoms:
    image = atoms.copy()
    image.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    return image


def _strain(rng: np.random.Generator, size: float) -> np.ndarray:
    """Draw a symmetric strain of a given Frobenius norm."""
    strain = rng.normal(size=(3, 3))
    strain += strain.T
    return np.asarray(strain * (size / np.linalg.norm(strain)))
