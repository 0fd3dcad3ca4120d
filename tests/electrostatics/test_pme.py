"""Particle-mesh sums against Ewald's in cells of every shape, and that they are exact gradients."""

import numpy as np
import pytest
from ase import Atoms

from asennp import BuckinghamCoulomb, CoulombCalculator
from asennp.electrostatics.ewald import Ewald
from asennp.electrostatics.pme import ORDERS, PME, choose_mesh, prefer_mesh, smooth_size, spline_factors
from asennp.errors import InputError
from asennp.structures import build_phase
from asennp.units import COULOMB_EV_A


def crystal(shape):
    if shape == "hexagonal":
        atoms = build_phase("ZnO", "wurtzite", 3.25, 5.2, repeat=(3, 2, 2))
    elif shape == "triclinic":
        atoms = build_phase("ZnO", "zincblende", 4.6, cubic=False, repeat=(2, 4, 3))
    elif shape == "random":
        cell = [[9.0, 0, 0], [4.0, 10.0, 0], [-3.0, 2.0, 11.0]]
        scaled = np.random.default_rng(3).random((90, 3))
        atoms = Atoms("Zn45O45", scaled_positions=scaled, cell=cell, pbc=True)
    else:
        atoms = build_phase("ZnO", "rocksalt", 4.3, repeat=(1, 2, 2))
    if shape != "random":
        atoms.rattle(0.1, seed=5)
    if shape == "rotated":
        atoms.rotate(33.0, (1, 2, 3), rotate_cell=True)
    atoms.positions += np.random.default_rng(4).integers(-2, 3, (len(atoms), 3)) @ atoms.cell.array
    return atoms, np.where(atoms.numbers == 30, 1.0, -1.0)


@pytest.mark.parametrize("shape", ["hexagonal", "triclinic", "rotated", "random"])
@pytest.mark.parametrize("accuracy", [1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-9, 1e-11])
def test_accuracy_is_kept(shape, accuracy):
    atoms, charges = crystal(shape)
    frame = (atoms.positions, atoms.cell.array, charges, atoms.pbc)
    exact_energies, exact_forces, exact_virial = Ewald(2e-14).compute(*frame)
    scale = COULOMB_EV_A * (len(atoms) / atoms.get_volume()) ** (2 / 3)
    for shared_cutoff in (0.0, 10.0):
        energies, forces, virial = PME(accuracy, shared_cutoff).compute(*frame)
        assert np.sqrt(((forces - exact_forces) ** 2).sum(axis=1).mean()) < accuracy * scale
        np.testing.assert_allclose(energies, exact_energies, atol=5 * accuracy * scale)
        np.testing.assert_allclose(virial / len(atoms), exact_virial / len(atoms), atol=5 * accuracy * scale)
        np.testing.assert_allclose(virial, virial.T)


@pytest.mark.parametrize("accuracy", [1e-2, 1e-4])
def test_forces_and_virial_are_exact_derivatives(accuracy):
    atoms, charges = crystal("triclinic")
    charges = charges + 0.05
    pme = PME(accuracy)
    _, forces, virial = pme.compute(atoms.positions, atoms.cell.array, charges, atoms.pbc)
    settings = pme.settings

    def energy(displacement, strain):
        deformation = np.eye(3) + strain
        moved = (atoms.positions + displacement) @ deformation
        total = pme.compute(moved, atoms.cell.array @ deformation, charges, atoms.pbc)[0].sum()
        assert pme.settings.mesh == settings.mesh
        return total

    rng, h, zero = np.random.default_rng(1), 2e-5, np.zeros((3, 3))
    direction = rng.normal(size=(len(atoms), 3))
    slope = (energy(h * direction, zero) - energy(-h * direction, zero)) / (2 * h)
    # the truth is exact, so far below the accuracy of the sum
    assert -(forces * direction).sum() == pytest.approx(slope, abs=3e-6)
    strain = rng.normal(size=(3, 3))
    strain += strain.T
    slope = (energy(0.0, h * strain) - energy(0.0, -h * strain)) / (2 * h)
    assert (virial * strain).sum() == pytest.approx(slope, abs=3e-5)


@pytest.mark.parametrize("kind", [Ewald, PME])
@pytest.mark.parametrize("shape", ["two atoms", "thin", "needle", "skewed"])
def test_accuracy_is_kept_in_cells_of_odd_shape(shape, kind):
    rng = np.random.default_rng(7)
    n = {"two atoms": 2, "thin": 2, "needle": 2, "skewed": 120}[shape]
    cell = {
        "two atoms": [[2.7, 0, 0], [-1.35, 2.34, 0], [0, 0, 3.9]],
        "thin": [[4.2, 0, 0], [0, 4.2, 0], [0, 0, 1.2]],
        "needle": [[2.0, 0, 0], [0, 2.0, 0], [0, 0, 8.0]],
        "skewed": [[12.0, 0, 0], [11.0, 13.0, 0], [9.0, 14.0, 11.0]],
    }[shape]
    cell = np.array(cell) @ np.linalg.qr(rng.normal(size=(3, 3)))[0]
    positions = np.array([[0.1, 0.2, 0.1], [0.45, 0.6, 0.4]]) if n == 2 else rng.random((n, 3))
    charges = np.where(np.arange(n) % 2, -1.0, 1.0)
    frame = (positions @ cell, cell, charges, np.ones(3, bool))
    _, exact, _ = Ewald(2e-14).compute(*frame)
    scale = COULOMB_EV_A * (n / abs(np.linalg.det(cell))) ** (2 / 3)
    for accuracy in (1e-4, 1e-5, 1e-6, 1e-7, 1e-8):
        for shared_cutoff in (0.0, 10.0):
            _, forces, _ = kind(accuracy, shared_cutoff).compute(*frame)
            assert np.sqrt(((forces - exact) ** 2).sum(axis=1).mean()) < accuracy * scale


def test_the_net_force_is_of_the_size_of_the_error():
    atoms, charges = crystal("rotated")
    _, forces, _ = PME(1e-5).compute(atoms.positions, atoms.cell.array, charges, atoms.pbc)
    scale = COULOMB_EV_A * (len(atoms) / atoms.get_volume()) ** (2 / 3)
    assert 0.0 < np.abs(forces.sum(axis=0)).max() < 1e-5 * scale * len(atoms)


@pytest.mark.parametrize("n", [9, 12, 35])
@pytest.mark.parametrize("order", ORDERS)
def test_influence_of_the_splines(n, order):
    factors = spline_factors(n, order)
    images = np.arange(-400, 401)
    for m in range(n):
        k = m if 2 * m < n else m - n
        u2 = np.sinc((k + images * n) / n) ** (2 * order)
        expected = u2[400] / u2.sum() ** 2
        assert factors[m] == pytest.approx(0.0 if 2 * m == n else expected, rel=1e-9)


def test_sizes_of_the_mesh():
    assert [smooth_size(n) for n in (1, 11, 13.0, 17.2, 61, 121, 127.5)] == [1, 12, 14, 18, 63, 125, 128]
    settings, _ = choose_mesh(10_000, 120_000.0, (50.0, 50.0, 48.0), 1e-6)
    # nearby cells keep the mesh, and a cell comes back to its own
    strained = [
        choose_mesh(10_000, 120_000.0 * (1 + e), (50.0 * (1 + e), 50.0, 48.0), 1e-6)[0].mesh
        for e in (1e-5, -1e-5, 0.3, 0.0)
    ]
    assert strained[0] == strained[1] == strained[3] == settings.mesh != strained[2]


def test_choice_is_by_cost():
    small, large = np.eye(3) * 8.6, np.eye(3) * 8.6 * 8
    assert not prefer_mesh(small, 64, 8.6**3, 1e-4)
    assert prefer_mesh(large, 64 * 512, 512 * 8.6**3, 1e-6)
    # a mesh too large for memory is never chosen
    huge = np.eye(3) * 8.6 * 200
    assert not prefer_mesh(huge, 64 * 200**3, (8.6 * 200) ** 3, 1e-13)


def test_calculators_turn_to_the_mesh_in_large_cells():
    atoms = build_phase("ZnO", "rocksalt", 4.3, repeat=(6, 6, 6))
    atoms.rattle(0.1, seed=2)
    for calculator, exact in (
        (BuckinghamCoulomb(cutoff=8.0), BuckinghamCoulomb(cutoff=8.0, accuracy=1e-9)),
        (CoulombCalculator({"Zn": 2, "O": -2}), CoulombCalculator({"Zn": 2, "O": -2}, method="ewald")),
    ):
        calculator.calculate(atoms)
        exact.calculate(atoms)
        assert isinstance(calculator.electrostatics, PME)
        np.testing.assert_allclose(calculator.results["forces"], exact.results["forces"], atol=6e-5)
        np.testing.assert_allclose(calculator.results["stress"], exact.results["stress"], atol=5e-6)
        assert calculator.results["energies"].sum() == pytest.approx(calculator.results["energy"], rel=1e-14)
        calculator.calculate(atoms[:0] + build_phase("ZnO", "rocksalt", 4.3))
        assert isinstance(calculator.electrostatics, Ewald)


def test_bad_input():
    atoms, charges = crystal("rotated")
    for pbc in ([True, False, False], [False] * 3):
        with pytest.raises(InputError, match="pbc"):
            PME().compute(atoms.positions, atoms.cell.array, charges, np.array(pbc))
    cell = np.eye(3) * 1e4
    with pytest.raises(InputError, match="mesh would be too large"):
        PME(1e-12).compute(atoms.positions, cell, charges, atoms.pbc)
