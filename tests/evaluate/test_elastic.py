from typing import ClassVar

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from scipy.spatial.transform import Rotation

from asennp import CoulombCalculator
from asennp.calculators.eam import EAM
from asennp.evaluate import compute_elastic, compute_lattice
from asennp.evaluate.elastic import _columns, choose_strains, invariant_tensors, point_group
from asennp.structures import build_phase


@pytest.fixture(scope="module")
def copper():
    return compute_lattice(bulk("Cu", a=3.6), EMT(), fmax=1e-5, smax_GPa=1e-4).atoms


def numerical_constant(atoms, strain_of, size=2e-3):
    """Second derivative of the energy along a strain path, GPa."""
    energies = []
    for x in (-size, 0.0, size):
        frame = atoms.copy()
        frame.set_cell(atoms.cell.array @ (np.eye(3) + x * strain_of), scale_atoms=True)
        frame.calc = EMT()
        energies.append(frame.get_potential_energy())
    return (energies[0] - 2 * energies[1] + energies[2]) / size**2 / atoms.cell.volume / units.GPa


def test_cubic_constants_are_second_derivatives_of_the_energy(copper):
    c = compute_elastic(copper, EMT(), strain=0.001).tensor_GPa
    shear = np.zeros((3, 3))
    shear[1, 2] = shear[2, 1] = 0.5
    # EMT's neighbour switch bends E(strain) at the per-mille level
    assert c[0, 0] == pytest.approx(numerical_constant(copper, np.diag([1.0, 0, 0])), rel=0.01)
    assert c[3, 3] == pytest.approx(numerical_constant(copper, shear), rel=0.01)


def test_cubic_crystal_needs_two_strains_and_gives_three_constants(copper):
    result = compute_elastic(copper, EMT())
    c = result.tensor_GPa
    assert result.n_strains == 2 and result.is_stable and result.converged
    assert (
        np.allclose(c, c.T) and np.allclose(np.diag(c)[:3], c[0, 0]) and np.allclose(np.diag(c)[3:], c[3, 3])
    )
    assert np.abs(c[:3, 3:]).max() < 1e-8
    assert result.bulk_GPa == pytest.approx((c[0, 0] + 2 * c[0, 1]) / 3)
    assert result.bulk_bounds_GPa[0] == pytest.approx(result.bulk_bounds_GPa[1])
    assert result.shear_bounds_GPa[0] < result.shear_GPa < result.shear_bounds_GPa[1]
    assert result.shear_bounds_GPa[1] == pytest.approx((c[0, 0] - c[0, 1] + 3 * c[3, 3]) / 5)


def test_tensor_turns_with_the_crystal(copper):
    turned = copper.copy()
    rotation = Rotation.from_rotvec([0.3, -0.2, 0.5]).as_matrix()
    turned.set_cell(copper.cell.array @ rotation.T, scale_atoms=True)
    straight, tilted = compute_elastic(copper, EMT()), compute_elastic(turned, EMT())
    assert tilted.bulk_GPa == pytest.approx(straight.bulk_GPa, rel=2e-3)
    assert tilted.shear_GPa == pytest.approx(straight.shear_GPa, rel=2e-3)
    assert np.allclose(tilted.eigenvalues_GPa, straight.eigenvalues_GPa, rtol=5e-3)


@pytest.mark.parametrize(
    ("atoms", "n_constants", "n_strains"),
    [
        (bulk("Cu"), 3, 2),
        (bulk("ZnO", "wurtzite", a=3.25, c=5.2), 5, 3),
        (bulk("ZnO", "zincblende", a=4.6), 3, 2),
    ],
)
def test_number_of_constants_is_that_of_the_crystal_class(atoms, n_constants, n_strains):
    basis = invariant_tensors(point_group(atoms))
    assert len(basis) == n_constants and len(choose_strains(basis)) == n_strains


def test_triclinic_crystal_keeps_all_constants():
    assert len(invariant_tensors(np.array([np.eye(3), -np.eye(3)]))) == 21


def test_symmetry_only_saves_work():
    """The tensor fitted from three strains is the one measured with six."""
    calculator = LennardJones(sigma=2.5, epsilon=0.1, rc=6.0, smooth=True)
    atoms = compute_lattice(bulk("Mg", a=2.75, c=4.5), calculator, fmax=1e-5, smax_GPa=1e-4).atoms
    result = compute_elastic(atoms, calculator, strain=0.002, fmax=1e-6)
    full = np.zeros((6, 6))
    for k, column in enumerate(_columns(atoms, calculator, list(range(6)), 0.002, 1e-6)[1].T):
        full[:, k] = column / units.GPa
    assert np.allclose(result.tensor_GPa, full, atol=2e-3 * full.max())
    # hcp has an internal strain: relaxed ions soften C66 = (C11 - C12) / 2
    assert result.tensor_GPa[5, 5] < result.clamped_GPa[5, 5] - 0.01
    assert result.tensor_GPa[5, 5] == pytest.approx((result.tensor_GPa[0, 0] - result.tensor_GPa[0, 1]) / 2)


def test_residual_stress_cancels(copper):
    squeezed = copper.copy()
    squeezed.set_cell(copper.cell.array * 0.999, scale_atoms=True)
    result = compute_elastic(squeezed, EMT())
    assert result.residual_stress_GPa[0] < -0.2
    assert result.bulk_GPa == pytest.approx(compute_elastic(copper, EMT()).bulk_GPa, rel=0.03)


def test_an_unstable_crystal_is_called_so():
    """Lennard-Jones bcc gives way to tetragonal shear: C11 < C12."""
    calculator = LennardJones(sigma=2.5, epsilon=0.1, rc=6.0, smooth=True)
    atoms = compute_lattice(bulk("Fe", "bcc", a=3.1), calculator).atoms
    assert not compute_elastic(atoms, calculator).is_stable


def test_the_mesh_of_a_coulomb_sum_stays_through_the_scan():
    class Recorder(CoulombCalculator):
        meshes: ClassVar[set] = set()

        def calculate(self, *args, **kwargs):
            super().calculate(*args, **kwargs)
            self.meshes.add(self.electrostatics.settings.mesh)

    atoms = build_phase("MgO", "rocksalt", 4.21)
    calculator = Recorder({"Mg": 1, "O": -1}, method="pme", accuracy=1e-4)
    compute_elastic(atoms, calculator, strain=0.08, relaxed_ions=False)
    assert len(Recorder.meshes) == 1
    # each cell for itself would have taken its own
    stretched = atoms.copy()
    stretched.set_cell(atoms.cell.array * [[1.08], [1], [1]], scale_atoms=True)
    calculator.calculate(stretched)
    assert len(Recorder.meshes) == 2
    assert calculator.held() is None


def test_published_nickel_table_is_a_finite_strain(reference):
    """Strains of ±10 % with tilted cells give the table; the derivatives at zero strain are others."""
    calculator = EAM(reference / "ni" / "NiNb.eam.fs")
    atoms = compute_lattice(bulk("Ni", a=3.52), calculator, fmax=1e-5, smax_GPa=1e-4).atoms
    wide = compute_elastic(atoms, calculator, strain=0.1, shear="simple")
    c = wide.tensor_GPa
    assert (c[0, 0], c[0, 1], c[3, 3], wide.bulk_GPa) == pytest.approx((214.4, 158.9, 124.9, 177.4), abs=0.06)
    c = compute_elastic(atoms, calculator, strain=0.001).tensor_GPa
    assert (c[0, 0], c[0, 1], c[3, 3]) == pytest.approx((240.1, 157.1, 123.5), abs=0.06)
