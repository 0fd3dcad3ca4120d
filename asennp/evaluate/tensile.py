"""Static tensile test: stretch one axis step by step, let the ions follow."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms, units

from asennp.errors import InputError
from asennp.evaluate.precision import in_double
from asennp.evaluate.relax import relax
from asennp.results import Result


@dataclass(frozen=True, eq=False)
class TensileResult(Result):
    """A stress-strain curve at 0 K under plane strain (the other cell lengths are held).

    Attributes
    ----------
    strain
        (n,) engineering strain along `axis`, from 0.
    stress_GPa
        (n,) stress along it (Cauchy; tension positive).
    stress_tensor_GPa
        (n, 6) all components, Voigt order xx yy zz yz xz xy.
    energy_meV
        (n,) energy above the unstrained crystal, meV/atom.
    strength_GPa, strength_strain
        Largest stress, and the strain at which it is reached.
    reached_maximum
        Whether the stress fell again inside the range (else the strength is a lower bound).
    axis
        0, 1 or 2.
    frames
        (n,) relaxed structures.
    converged
        (n,) whether each relaxation reached its tolerance.
    """

    strain: np.ndarray
    stress_GPa: np.ndarray
    stress_tensor_GPa: np.ndarray
    energy_meV: np.ndarray
    strength_GPa: float
    strength_strain: float
    reached_maximum: bool
    axis: int
    frames: list[Atoms]
    converged: np.ndarray


def compute_tensile(
    atoms: Atoms,
    calculator: Any,
    axis: int = 0,
    maximum_strain: float = 0.2,
    step: float = 0.01,
    fmax: float = 0.01,
    rattle_A: float = 0.0,
    rng: np.random.Generator | None = None,
) -> TensileResult:
    """Stretch a crystal along one Cartesian axis and return the stress-strain curve.

    Every step scales the relaxed frame of the step before and relaxes the ions at fixed cell.

    Parameters
    ----------
    atoms
        Relaxed crystal whose cell vector `axis` lies along the Cartesian axis.
    maximum_strain, step
        Range and spacing of the engineering strain.
    fmax
        Tolerance of the ionic relaxation, eV/Å.
    rattle_A, rng
        Normal displacements given once at the start, so that the crystal may leave a symmetric path; a
        generator is needed when they are not zero.

    Raises
    ------
    InputError
        The cell vector is not along the axis, or a rattle without a generator.
    """
    cell = atoms.cell.array
    along = cell[:, axis]
    if axis not in (0, 1, 2) or np.abs(np.delete(cell[axis], axis)).max() > 1e-8 * np.abs(cell[axis]).max():
        raise InputError("the cell vector must lie along the axis", where="axis", got=cell[axis].round(4))
    if rattle_A and rng is None:
        raise InputError("a rattle needs a numpy.random.Generator", where="rng", got=None)
    calculator = in_double(calculator)
    frame = Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    if rattle_A and rng is not None:
        frame.positions += rng.normal(scale=rattle_A, size=frame.positions.shape)
    strains = step * np.arange(round(maximum_strain / step) + 1)
    frames: list[Atoms] = []
    stresses, energies, converged = [], [], []
    for strain in strains:
        stretched = cell.copy()
        stretched[:, axis] = along * (1.0 + strain)
        frame.set_cell(stretched, scale_atoms=True)
        done = relax(frame, calculator, cell="fixed", fmax=fmax, symmetry=False)
        frame = done.atoms
        frames.append(frame.copy())
        frame.calc = calculator
        stresses.append(frame.get_stress(voigt=True) / units.GPa)
        energies.append(done.energy)
        converged.append(done.converged)
        frame.calc = None
    tensor = np.array(stresses)
    pull = tensor[:, axis]
    top = int(np.argmax(pull))
    return TensileResult(
        strain=strains,
        stress_GPa=pull,
        stress_tensor_GPa=tensor,
        energy_meV=1000.0 * (np.array(energies) - energies[0]) / len(atoms),
        strength_GPa=float(pull[top]),
        strength_strain=float(strains[top]),
        reached_maximum=top < len(strains) - 1,
        axis=axis,
        frames=frames,
        converged=np.array(converged),
    )
