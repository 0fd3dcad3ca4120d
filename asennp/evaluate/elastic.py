"""Elastic constants from stresses of strained cells, with as few strains as the symmetry asks for."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from ase import Atoms, units
from ase.spacegroup.symmetrize import check_symmetry

from asennp.errors import InputError, nearest
from asennp.evaluate.capability import require_periodic, require_properties
from asennp.evaluate.precision import held, in_double
from asennp.evaluate.relax import relax
from asennp.results import Result

Shear = Literal["symmetric", "simple"]
_SHEARS = ("symmetric", "simple")
#: Voigt order xx yy zz yz xz xy.
_VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
#: Voigt to Mandel: rotations of Mandel vectors are orthogonal 6x6 matrices.
_MANDEL = np.array([1.0, 1.0, 1.0, np.sqrt(2), np.sqrt(2), np.sqrt(2)])


@dataclass(frozen=True, eq=False)
class ElasticResult(Result):
    """Elastic constants; Voigt order xx yy zz yz xz xy, engineering shear strains.

    Attributes
    ----------
    tensor_GPa
        (6,6) constants with relaxed ions (equal to `clamped_GPa` where ions were not relaxed).
    clamped_GPa
        (6,6) constants with ions that follow the cell.
    relaxed_ions
        Whether ions were relaxed.
    bulk_GPa, shear_GPa
        Voigt-Reuss-Hill means; bounds in `bulk_bounds_GPa` and `shear_bounds_GPa` (Reuss, Voigt).
    young_GPa, poisson
        Of the isotropic Hill aggregate; Poisson's ratio has no unit.
    eigenvalues_GPa
        (6,) of the tensor in Mandel form, rising; Born's criterion is that all are positive.
    is_stable
        Born's criterion.
    residual_stress_GPa
        (6,) stress of the unstrained crystal; it cancels from the constants.
    n_strains
        Independent strains that were applied (each with both signs).
    strain
        Their size.
    converged
        Whether every relaxation of ions reached its tolerance.
    """

    tensor_GPa: np.ndarray
    clamped_GPa: np.ndarray
    relaxed_ions: bool
    bulk_GPa: float
    shear_GPa: float
    bulk_bounds_GPa: tuple[float, float]
    shear_bounds_GPa: tuple[float, float]
    young_GPa: float
    poisson: float
    eigenvalues_GPa: np.ndarray
    is_stable: bool
    residual_stress_GPa: np.ndarray
    n_strains: int
    strain: float
    converged: bool


def point_group(atoms: Atoms, symprec: float = 0.01) -> np.ndarray:
    """Return the Cartesian rotations (n, 3, 3) of the crystal's point group."""
    fractional = np.unique(check_symmetry(atoms, symprec).rotations, axis=0)
    lattice = atoms.cell.array.T
    return np.einsum("ij,njk,kl->nil", lattice, fractional, np.linalg.inv(lattice))


def invariant_tensors(rotations: np.ndarray) -> np.ndarray:
    """Return a basis (d, 6, 6) of the symmetric Voigt tensors that the rotations (n, 3, 3) leave alone."""
    pairs = np.array(_VOIGT)
    i, j = pairs[:, 0], pairs[:, 1]
    # strain' = R strain R^T written on Mandel vectors
    a = rotations[:, i[:, None], i[None, :]] * rotations[:, j[:, None], j[None, :]]
    b = rotations[:, i[:, None], j[None, :]] * rotations[:, j[:, None], i[None, :]]
    off = np.where(i == j, 0.5, 1.0)
    matrices = (a + b) * off[None, None, :] * (_MANDEL[:, None] / _MANDEL[None, :])[None]
    basis = []
    for m, n in zip(*np.triu_indices(6)):
        unit = np.zeros((6, 6))
        unit[m, n] = unit[n, m] = 1.0
        basis.append(np.mean(matrices @ unit @ matrices.transpose(0, 2, 1), axis=0))
    flat = np.reshape(basis, (21, 36))
    _, weights, directions = np.linalg.svd(flat)
    rank = int((weights > 1e-8 * weights[0]).sum())
    invariant = directions[:rank].reshape(rank, 6, 6)
    return np.asarray(invariant / _MANDEL[:, None] / _MANDEL[None, :])


def choose_strains(basis: np.ndarray) -> list[int]:
    """Return the fewest Voigt columns, taken in order, that fix every coefficient of the basis (d, 6, 6)."""
    chosen: list[int] = []
    rank = 0
    for k in range(6):
        trial = np.linalg.matrix_rank(basis[:, :, [*chosen, k]].reshape(len(basis), -1), tol=1e-8)
        if trial > rank:
            chosen, rank = [*chosen, k], int(trial)
    return chosen


def _strained(atoms: Atoms, component: int, size: float, shear: str) -> Atoms:
    """Strain by (1 + eps) with one engineering Voigt component; ions follow."""
    i, j = _VOIGT[component]
    deformation = np.eye(3)
    if shear == "simple" and i != j:
        deformation[j, i] += size
    else:
        deformation[i, j] += 0.5 * size
        deformation[j, i] += 0.5 * size
    strained = atoms.copy()
    strained.set_cell(atoms.cell.array @ deformation, scale_atoms=True)
    return strained


def _stress(atoms: Atoms, calculator: Any) -> np.ndarray:
    atoms.calc = calculator
    return np.asarray(atoms.get_stress(voigt=True))


def _columns(
    atoms: Atoms,
    calculator: Any,
    components: list[int],
    strain: float,
    fmax: float | None,
    shear: str = "symmetric",
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Return d(stress)/d(strain) columns (6, n), clamped and with relaxed ions, in eV/Å^3."""
    clamped = np.zeros((6, len(components)))
    relaxed = np.zeros((6, len(components)))
    converged = True
    for k, component in enumerate(components):
        shift = np.zeros((len(atoms), 3))
        for sign in (1.0, -1.0):
            frame = _strained(atoms, component, sign * strain, shear)
            stress = _stress(frame, calculator)
            clamped[:, k] += sign * stress / (2.0 * strain)
            if fmax is not None:
                start = frame.positions.copy()
                # to first order the ions answer the opposite strain by the opposite shift
                frame.positions -= shift
                done = relax(frame, calculator, cell="fixed", fmax=fmax, symmetry=False)
                shift = done.atoms.positions - start
                stress = _stress(done.atoms, calculator)
                converged = converged and done.converged
            relaxed[:, k] += sign * stress / (2.0 * strain)
    return clamped, relaxed, converged


def _fit(basis: np.ndarray, components: list[int], columns: np.ndarray) -> np.ndarray:
    """Return the invariant tensor (6, 6) nearest to the measured columns, in GPa."""
    design = basis[:, :, components].reshape(len(basis), -1).T
    coefficients = np.linalg.lstsq(design, columns.ravel(), rcond=None)[0]
    return np.asarray(np.tensordot(coefficients, basis, axes=1) / units.GPa)


def _aggregate(tensor: np.ndarray) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return (Reuss, Voigt) bounds of the bulk and the shear modulus."""

    def moduli(c: np.ndarray) -> tuple[float, float, float]:
        return float(np.trace(c[:3, :3])), float(c[:3, :3].sum()), float(np.trace(c[3:, 3:]))

    diagonal, block, shears = moduli(tensor)
    bulk_voigt = block / 9.0
    shear_voigt = (3.0 * diagonal - block) / 30.0 + shears / 5.0
    diagonal, block, shears = moduli(np.linalg.inv(tensor))
    bulk_reuss = 1.0 / block
    shear_reuss = 15.0 / (6.0 * diagonal - 2.0 * block + 3.0 * shears)
    return (bulk_reuss, bulk_voigt), (shear_reuss, shear_voigt)


def compute_elastic(
    atoms: Atoms,
    calculator: Any,
    strain: float = 0.005,
    relaxed_ions: bool = True,
    fmax: float = 1e-4,
    symprec: float = 0.01,
    shear: Shear = "symmetric",
) -> ElasticResult:
    """Return the elastic constants of a relaxed crystal, C_jk = d sigma_j / d eps_k.

    Central differences of the Cauchy stress over strains of both signs, so the residual stress of the
    reference cancels. The tensor is fitted in the space of tensors that the point group leaves
    unchanged, from the fewest strains that fix it (cubic 2, hexagonal 3, triclinic 6).

    Parameters
    ----------
    atoms
        Relaxed crystal (see `compute_lattice`).
    strain
        Size of the (engineering) strain components. Small strains give the constants; a finite one such
        as 0.1 gives secants of the stress, which published tables sometimes hold.
    relaxed_ions
        Relax ions in every strained cell, to forces below `fmax` (eV/Å).
    symprec
        Tolerance of the point group, Å.
    shear
        "symmetric": the shear strain is shared between both directions, without rotation; "simple": one
        direction slides, as a tilt of the cell does. They differ in the second order of the strain only.

    Raises
    ------
    InputError
        Not a crystal, a calculator without stress, an unknown shear, a strain that is not positive.

    References
    ----------
    Hill, Proc. Phys. Soc. A 65 (1952) 349, doi:10.1088/0370-1298/65/5/307 (averages);
    Mouhat and Coudert, Phys. Rev. B 90 (2014) 224104, doi:10.1103/PhysRevB.90.224104 (stability).
    """
    require_periodic(atoms, "an elastic tensor")
    require_properties(calculator, "forces", "stress", purpose="an elastic tensor")
    if shear not in _SHEARS:
        raise InputError("unknown shear", where="shear", got=shear, do=nearest(str(shear), _SHEARS))
    if not 0.0 < strain < 0.5:
        raise InputError("not a strain", where="strain", expected="above 0 and below 0.5", got=strain)
    crystal = Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    calculator = held(in_double(calculator), crystal)
    basis = invariant_tensors(point_group(crystal, symprec))
    components = choose_strains(basis)
    residual = _stress(crystal, calculator) / units.GPa
    crystal.calc = None
    clamped, relaxed, converged = _columns(
        crystal, calculator, components, strain, fmax if relaxed_ions else None, shear
    )
    tensor = _fit(basis, components, relaxed)
    bulk_bounds, shear_bounds = _aggregate(tensor)
    bulk, rigidity = float(np.mean(bulk_bounds)), float(np.mean(shear_bounds))
    eigenvalues = np.linalg.eigvalsh(tensor * _MANDEL[:, None] * _MANDEL[None, :])
    return ElasticResult(
        tensor_GPa=tensor,
        clamped_GPa=_fit(basis, components, clamped),
        relaxed_ions=relaxed_ions,
        bulk_GPa=bulk,
        shear_GPa=rigidity,
        bulk_bounds_GPa=bulk_bounds,
        shear_bounds_GPa=shear_bounds,
        young_GPa=9.0 * bulk * rigidity / (3.0 * bulk + rigidity),
        poisson=(3.0 * bulk - 2.0 * rigidity) / (2.0 * (3.0 * bulk + rigidity)),
        eigenvalues_GPa=eigenvalues,
        is_stable=bool(eigenvalues[0] > 0.0),
        residual_stress_GPa=residual,
        n_strains=len(components),
        strain=strain,
        converged=converged,
    )
