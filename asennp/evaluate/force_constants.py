"""Harmonic force constants of a crystal by finite displacements, through phonopy."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from phonopy import Phonopy
from phonopy.structure.atoms import PhonopyAtoms
from phonopy.structure.cells import guess_primitive_matrix

from asennp.errors import InputError
from asennp.evaluate.born import BornCharges, model_born_charges
from asennp.evaluate.capability import describe_reach, require_periodic, require_properties
from asennp.units import COULOMB_EV_A

#: Residual force (eV/Å) above which a crystal is not called relaxed.
_RELAXED = 0.01
#: Force constants at the supercell's boundary, relative to the largest, above which it is called small.
_DECAYED = 0.02


@dataclass(frozen=True)
class ForceConstants:
    """A phonopy object with force constants, and how far they can be trusted.

    Attributes
    ----------
    phonopy
        Carries force constants (symmetrised) and the non-analytical term, if there is one.
    born
        What that term was made of; None without one.
    sum_rule_error
        Largest component of sum_j Phi_ij before the symmetrisation, eV/Å^2: zero in theory.
    residual_force
        Largest force in the undisplaced supercell, eV/Å; it is subtracted.
    boundary_ratio
        Largest force constant between atoms that are apart by 0.9 of the supercell's inner radius or more,
        over the largest of all (dipole-dipole terms left out where Born charges account for them).
    warnings
        What to know before believing the result.
    """

    phonopy: Any
    born: BornCharges | None
    sum_rule_error: float
    residual_force: float
    boundary_ratio: float
    warnings: tuple[str, ...]


def choose_supercell(atoms: Atoms, length_A: float) -> np.ndarray:
    """Return the multiples (3,) of the cell whose heights reach `length_A`."""
    heights = 1.0 / np.linalg.norm(np.linalg.inv(atoms.cell.array), axis=0)
    return np.maximum(1, np.ceil(length_A / heights - 1e-6)).astype(int)


def _supercell_matrix(atoms: Atoms, supercell: Any, length_A: float) -> np.ndarray:
    if supercell is None:
        return np.diag(choose_supercell(atoms, length_A))
    matrix = np.asarray(supercell)
    matrix = np.diag(matrix) if matrix.shape == (3,) else matrix
    if matrix.shape != (3, 3) or not np.allclose(matrix, np.round(matrix)) or np.linalg.det(matrix) < 0.5:
        raise InputError(
            "not a supercell", where="supercell", expected="three multiples or a (3, 3) integer matrix",
            got=np.asarray(supercell).tolist(),
        )  # fmt: skip
    return np.round(matrix).astype(int)


def _forces(images: Sequence[Any], calculator: Any) -> list[np.ndarray]:
    forces = []
    for image in images:
        frame = Atoms(image.symbols, positions=image.positions, cell=image.cell, pbc=True)
        frame.calc = calculator
        forces.append(np.array(frame.get_forces()))
    return forces


def _boundary_ratio(ph: Any) -> float:
    """Compare constants at the supercell's inner radius with the largest, dipole-dipole terms left out."""
    matrix = ph.dynamical_matrix
    short = matrix.short_range_force_constants if ph.nac_params is not None else None
    if ph.nac_params is not None and short is None:
        matrix.make_Gonze_nac_dataset()
        short = matrix.short_range_force_constants
    constants = np.asarray(ph.force_constants if short is None else short)
    supercell = Atoms(
        ph.supercell.symbols, positions=ph.supercell.positions, cell=ph.supercell.cell, pbc=True
    )
    sizes = np.linalg.norm(constants[0], axis=(1, 2))
    far = supercell.get_distances(int(ph.primitive.p2s_map[0]), np.arange(len(supercell)), mic=True)
    reach = 0.5 / np.linalg.norm(np.linalg.inv(supercell.cell.array), axis=0).max()
    return float(sizes[far > 0.9 * reach].max(initial=0.0) / sizes.max())


def _warn(ph: Any, calculator: Any, residual: float, ratio: float) -> tuple[str, ...]:
    warnings = []
    if residual > _RELAXED:
        warnings.append(f"forces of up to {residual:.3f} eV/Å remain: the crystal is not relaxed")
    supercell = Atoms(ph.supercell.symbols, cell=ph.supercell.cell, pbc=True)
    if (words := describe_reach(calculator, supercell)) is not None:
        warnings.append(words)
    if ratio > _DECAYED:
        warnings.append(
            f"force constants at the supercell's boundary are still {100 * ratio:.1f} % of the largest: "
            "take a larger supercell"
        )
    return tuple(warnings)


def compute_force_constants(
    atoms: Atoms,
    calculator: Any,
    supercell: Any = None,
    length_A: float = 12.0,
    displacement_A: float = 0.01,
    born: BornCharges | str | None = "model",
    symprec: float = 1e-4,
) -> ForceConstants:
    """Return force constants from forces in displaced supercells (central differences where needed).

    Parameters
    ----------
    atoms
        Relaxed crystal; any cell of it.
    calculator
        Any ASE calculator with forces; take it in double precision.
    supercell
        Three multiples or a (3, 3) matrix of the cell; default: heights of at least `length_A`.
    displacement_A
        Size of the displacements, Å.
    born
        `BornCharges` for the non-analytical term; "model": the calculator's own fixed charges, where it
        has any; None: no such term.
    symprec
        Tolerance of the space group, Å.

    Raises
    ------
    InputError
        Not a crystal, no forces, Born charges that do not fit, an odd supercell.
    """
    require_periodic(atoms, "a phonon calculation")
    require_properties(calculator, "forces", purpose="a phonon calculation")
    if isinstance(born, str):
        if born != "model":
            raise InputError("unknown source of Born charges", where="born", expected='"model"', got=born)
        born = model_born_charges(atoms, calculator)
    if born is not None and len(born.charges) != len(atoms):
        raise InputError(
            "one Born charge an atom is needed", where="born", expected=len(atoms), got=len(born.charges)
        )
    cell = PhonopyAtoms(
        symbols=atoms.get_chemical_symbols(), cell=atoms.cell.array, positions=atoms.positions
    )
    matrix = _supercell_matrix(atoms, supercell, length_A)
    primitive = guess_primitive_matrix(cell, symprec=symprec)
    # phonopy's optional return types say nothing here: everything is set before it is read
    ph: Any = Phonopy(cell, supercell_matrix=matrix, primitive_matrix=primitive, symprec=symprec)
    ph.generate_displacements(distance=displacement_A, is_plusminus=True)
    rest = _forces([ph.supercell], calculator)[0]
    ph.forces = [force - rest for force in _forces(ph.supercells_with_displacements, calculator)]
    ph.produce_force_constants(show_drift=False)
    residual = float(np.abs(rest).max())
    sum_rule = float(np.abs(np.asarray(ph.force_constants).sum(axis=1)).max())
    ph.symmetrize_force_constants()
    if born is not None:
        ph.nac_params = _nac(ph, born)
    ratio = _boundary_ratio(ph)
    return ForceConstants(ph, born, sum_rule, residual, ratio, _warn(ph, calculator, residual, ratio))


def _nac(ph: Any, born: BornCharges) -> dict[str, Any]:
    """Return phonopy's parameters; the first image of each primitive atom carries its Born charge."""
    cell_atoms = [int(ph.supercell.s2u_map[k]) for k in ph.primitive.p2s_map]
    order = [int(ph.supercell.u2u_map[k]) for k in cell_atoms]
    return {
        "born": born.charges[order],
        "dielectric": born.dielectric,
        "factor": COULOMB_EV_A,
        "method": "gonze",
    }
