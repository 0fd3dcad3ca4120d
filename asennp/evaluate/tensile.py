"""Static tension and shear: deform step by step, let ions (and the rest of the cell) follow."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from ase import Atoms, units

from asennp.errors import InputError, nearest
from asennp.evaluate.capability import require_periodic, require_properties
from asennp.evaluate.precision import held, in_double
from asennp.evaluate.relax import relax
from asennp.results import Result

Mode = Literal["plane-strain", "uniaxial"]
_MODES = ("plane-strain", "uniaxial")
#: Shears as `asennp.md.deformation` names them, with their place in Voigt order.
_SHEARS = {"yz": 3, "xz": 4, "xy": 5}
#: A crystal has failed where the stress, past its maximum, is below this part of it.
_FAILED = 0.5


@dataclass(frozen=True, eq=False)
class TensileResult(Result):
    """A stress-strain curve at 0 K.

    Attributes
    ----------
    strain
        (n,) engineering strain, from 0: along `axis`, or the tangent of the shear angle.
    stress_GPa
        (n,) stress against it (Cauchy; tension positive).
    stress_tensor_GPa
        (n, 6) all components, Voigt order xx yy zz yz xz xy.
    energy_meV
        (n,) energy above the unstrained crystal, meV/atom.
    strength_GPa, strength_strain
        Largest stress, and the strain at which it is reached.
    reached_maximum
        Whether the stress fell again inside the range (else the strength is a lower bound).
    axis
        0, 1 or 2; of a shear, the direction that moves.
    frames
        (n,) relaxed structures.
    converged
        (n,) whether each relaxation reached its tolerance.
    mode
        "plane-strain" (the rest of the cell is held), "uniaxial" (it is free of stress), "xy" and so on for
        a shear with the rest of the cell held, "xy, relaxed" with the rest free of stress.
    failure_strain
        First strain past the maximum at which the stress is below half of it; NaN where that is not in the
        range.
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
    mode: str = "plane-strain"
    failure_strain: float = float("nan")


def find_failure(strain: np.ndarray, stress: np.ndarray) -> float:
    """Return the first strain past the maximum at which the stress is below half of it, or NaN."""
    top = int(np.argmax(stress))
    after = np.flatnonzero(stress[top:] < _FAILED * stress[top])
    return float(strain[top + after[0]]) if len(after) else float("nan")


class _Scan:
    """The steps of a curve, and what is noted at each."""

    def __init__(
        self, atoms: Atoms, calculator: Any, fmax: float, rattle_A: float, rng: np.random.Generator | None
    ) -> None:
        require_periodic(atoms, "a stress-strain curve")
        require_properties(calculator, "forces", "stress", purpose="a stress-strain curve")
        if rattle_A and rng is None:
            raise InputError("a rattle needs a numpy.random.Generator", where="rng", got=None)
        self.calculator = held(in_double(calculator), atoms)
        self.frame = Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        if rattle_A and rng is not None:
            self.frame.positions += rng.normal(scale=rattle_A, size=self.frame.positions.shape)
        self.fmax = fmax
        self.frames: list[Atoms] = []
        self.strains: list[float] = []
        self.stresses: list[np.ndarray] = []
        self.energies: list[float] = []
        self.converged: list[bool] = []

    def step(self, mask: list[bool] | None, smax_GPa: float) -> None:
        """Relax ions, and the components of the cell in the mask."""
        done = relax(
            self.frame, self.calculator, cell="fixed" if mask is None else "full", fmax=self.fmax,
            smax_GPa=smax_GPa, symmetry=False, mask=mask,
        )  # fmt: skip
        self.frame = done.atoms
        self.frames.append(self.frame.copy())
        probe = self.frame.copy()
        probe.calc = self.calculator
        self.stresses.append(probe.get_stress(voigt=True) / units.GPa)
        self.energies.append(done.energy)
        self.converged.append(done.converged)

    def result(self, component: int, axis: int, mode: str) -> TensileResult:
        tensor, strain = np.array(self.stresses), np.array(self.strains)
        pull = tensor[:, component]
        top = int(np.argmax(pull))
        return TensileResult(
            strain=strain,
            stress_GPa=pull,
            stress_tensor_GPa=tensor,
            energy_meV=1000.0 * (np.array(self.energies) - self.energies[0]) / len(self.frame),
            strength_GPa=float(pull[top]),
            strength_strain=float(strain[top]),
            reached_maximum=top < len(strain) - 1,
            axis=axis,
            frames=self.frames,
            converged=np.array(self.converged),
            mode=mode,
            failure_strain=find_failure(strain, pull),
        )


def compute_tensile(
    atoms: Atoms,
    calculator: Any,
    axis: int = 0,
    maximum_strain: float = 0.2,
    step: float = 0.01,
    fmax: float = 0.01,
    rattle_A: float = 0.0,
    rng: np.random.Generator | None = None,
    mode: Mode = "plane-strain",
    smax_GPa: float = 0.05,
) -> TensileResult:
    """Stretch a crystal along one Cartesian axis and return the stress-strain curve.

    Every step scales the relaxed frame of the step before and relaxes the ions; with ``mode="uniaxial"``
    also the cell across the axis, until the stress there is zero (ideal strength under uniaxial stress).

    Parameters
    ----------
    atoms
        Relaxed crystal whose cell vector `axis` lies along the Cartesian axis.
    maximum_strain, step
        Range and spacing of the engineering strain.
    fmax, smax_GPa
        Tolerances of the relaxation, eV/Å, and GPa where the cell moves.
    rattle_A, rng
        Normal displacements given once at the start, so that the crystal may leave a symmetric path; a
        generator is needed when they are not zero.
    mode
        "plane-strain" or "uniaxial".

    Raises
    ------
    InputError
        The cell vector is not along the axis, other vectors are not across it (uniaxial), a calculator
        without stress, an unknown mode, or a rattle without a generator.
    """
    cell = atoms.cell.array
    if axis not in (0, 1, 2) or np.abs(np.delete(cell[axis], axis)).max() > 1e-8 * np.abs(cell[axis]).max():
        raise InputError("the cell vector must lie along the axis", where="axis", got=axis)
    if mode not in _MODES:
        raise InputError("unknown mode", where="mode", got=mode, do=nearest(str(mode), _MODES))
    if mode == "uniaxial" and np.abs(np.delete(cell[:, axis], axis)).max() > 1e-8 * np.abs(cell[axis]).max():
        raise InputError("the other cell vectors must lie across the axis", where="axis", got=axis)
    mask = None
    if mode == "uniaxial":
        free = [k for k in range(3) if k != axis]
        mask = [k in free or k == 3 + axis for k in range(6)]
    scan = _Scan(atoms, calculator, fmax, rattle_A, rng)
    for strain in step * np.arange(round(maximum_strain / step) + 1):
        stretched = scan.frame.cell.array.copy()
        stretched[:, axis] = cell[:, axis] * (1.0 + strain)
        scan.frame.set_cell(stretched, scale_atoms=True)
        scan.strains.append(float(strain))
        scan.step(mask, smax_GPa)
    return scan.result(axis, axis, mode)


def compute_shear(
    atoms: Atoms,
    calculator: Any,
    component: str = "xy",
    maximum_strain: float = 0.4,
    step: float = 0.02,
    fmax: float = 0.01,
    rattle_A: float = 0.0,
    rng: np.random.Generator | None = None,
    relax_cell: bool = True,
    smax_GPa: float = 0.05,
) -> TensileResult:
    """Shear a crystal and return the stress-strain curve.

    Parameters
    ----------
    component
        "xy" moves x by strain times y (the slip plane is across y); "yz", "xz" likewise.
    maximum_strain, step
        Range and spacing of the tangent of the shear angle; the strains of the result are those of the
        relaxed cells.
    relax_cell
        Relax the other five components of the cell to zero stress (ideal shear strength); False holds them.
    fmax, smax_GPa, rattle_A, rng
        As for `compute_tensile`.

    Raises
    ------
    InputError
        An unknown component, not a crystal, a calculator without stress, or a rattle without a generator.
    """
    if component not in _SHEARS:
        raise InputError(
            "no such shear", where="component", got=component, do=nearest(str(component), _SHEARS)
        )
    moved, along = "xyz".index(component[0]), "xyz".index(component[1])
    voigt = _SHEARS[component]
    mask = [k != voigt for k in range(6)] if relax_cell else None
    scan = _Scan(atoms, calculator, fmax, rattle_A, rng)
    start = np.linalg.inv(atoms.cell.array)

    def measure() -> float:
        change = start @ scan.frame.cell.array
        return float(change[along, moved] / change[along, along])

    for wanted in step * np.arange(round(maximum_strain / step) + 1):
        sheared = scan.frame.cell.array.copy()
        sheared[:, moved] += (wanted - measure()) * sheared[:, along]
        scan.frame.set_cell(sheared, scale_atoms=True)
        scan.step(mask, smax_GPa)
        scan.strains.append(measure())
    return scan.result(voigt, moved, component + (", relaxed" if relax_cell else ""))
