"""Ewald sums: Madelung constants, error control, and independence of how a crystal is described."""

import math

import numpy as np
import pytest
from ase import Atoms

from asennp.electrostatics.ewald import Ewald, choose_settings
from asennp.errors import InputError
from asennp.structures import build_phase
from asennp.units import COULOMB_EV_A

#: Energy per formula unit at unit charge times the nearest distance (fluorite: charges 2 and -1).
MADELUNG = {
    "rocksalt": ("NaCl", 0.5, 1.74756459463),
    "cesiumchloride": ("CsCl", math.sqrt(3) / 2, 1.76267477307),
    "zincblende": ("ZnS", math.sqrt(3) / 4, 1.63805505338),
    "wurtzite": ("ZnS", math.sqrt(3 / 8), 1.64132162737),
    "fluorite": ("CaF2", math.sqrt(3) / 4, 5.03878489),
}


def ewald(atoms, charges, accuracy=1e-10):
    return Ewald(accuracy).compute(atoms.positions, atoms.cell.array, np.asarray(charges, float), atoms.pbc)


def charged(atoms):
    """Alternating unit charges by species (fluorite: 2, -1)."""
    cation = atoms.numbers == atoms.numbers[0]
    return np.where(cation, (~cation).sum() / cation.sum(), -1.0)


@pytest.mark.parametrize("prototype", MADELUNG)
@pytest.mark.parametrize("cell", ["primitive", "supercell", "skewed and rotated"])
def test_madelung_constants(prototype, cell):
    formula, distance, constant = MADELUNG[prototype]
    atoms = build_phase(formula, prototype, 4.3, cubic=False)
    units = 2 if prototype == "wurtzite" else 1
    if cell == "supercell":
        atoms, units = atoms.repeat((1, 3, 2)), 6 * units
    elif cell == "skewed and rotated":
        atoms.set_cell(np.array([[1, 0, 0], [2, 1, 0], [-1, 1, 1]]) @ atoms.cell.array)
        atoms.rotate(40.0, (3, 1, 2), rotate_cell=True)
    energies, forces, virial = ewald(atoms, charged(atoms))
    found = -energies.sum() / units * distance * 4.3 / COULOMB_EV_A
    assert found == pytest.approx(constant, abs=2e-8)
    if prototype != "wurtzite":  # whose polar axis leaves a force on each layer
        np.testing.assert_allclose(forces, 0.0, atol=1e-9)
    # the energy is homogeneous of degree -1
    assert np.trace(virial) == pytest.approx(-energies.sum(), rel=1e-8)


def disordered(prototype="zincblende", repeat=2):
    atoms = build_phase("ZnS", prototype, 5.4, repeat=repeat)
    rng = np.random.default_rng(11)
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + rng.normal(0, 0.05, (3, 3))), scale_atoms=True)
    atoms.positions += rng.normal(0.0, 0.2, atoms.positions.shape)
    return atoms


@pytest.mark.parametrize("accuracy", [1e-3, 1e-4, 1e-6, 1e-8, 1e-11])
@pytest.mark.parametrize("repeat", [1, 2])
def test_accuracy_is_kept(accuracy, repeat):
    atoms = disordered(repeat=repeat)
    charges = charged(atoms)
    energies, forces, _ = ewald(atoms, charges, accuracy)
    exact_energies, exact_forces, _ = ewald(atoms, charges, 2e-14)
    scale = COULOMB_EV_A * (len(atoms) / atoms.get_volume()) ** (2 / 3)
    assert np.sqrt(((forces - exact_forces) ** 2).sum(axis=1).mean()) < accuracy * scale
    np.testing.assert_allclose(energies, exact_energies, atol=5 * accuracy * scale)


def test_settings_follow_the_atoms_alone_and_their_steps_do_not_show():
    atoms = disordered()
    charges, sum_ = charged(atoms), Ewald(1e-6)
    seen, energies = [], []
    for factor in np.linspace(0.6, 1.4, 81):
        cell = atoms.cell.array * factor
        # homogeneous of degree -1: the product with the length is a constant
        e, _, _ = sum_.compute(atoms.positions * factor, cell, charges, atoms.pbc)
        assert sum_.settings == choose_settings(len(atoms), abs(np.linalg.det(cell)), 1e-6)
        seen.append(sum_.settings)
        energies.append(e.sum() * factor)
    assert 3 < len(set(seen)) < 8
    assert np.ptp(energies) / len(atoms) < 5e-6


def test_pair_in_a_vacuum_and_open_cluster():
    # a dipole in a large cube: the cubic tin-foil correction is 2 pi/(3 V) M^2
    atoms = Atoms("NaCl", positions=[(0, 0, 0), (0, 0, 2.5)], cell=np.eye(3) * 80.0, pbc=True)
    energies, _, _ = ewald(atoms, [1, -1])
    expected = COULOMB_EV_A * (-1 / 2.5 - 2 * np.pi / (3 * 80.0**3) * 2.5**2)
    assert energies.sum() == pytest.approx(expected, abs=2e-6)
    atoms.pbc = False
    energies, forces, virial = ewald(atoms, [1, -1])
    np.testing.assert_allclose(energies, -0.5 * COULOMB_EV_A / 2.5, rtol=1e-12)
    np.testing.assert_allclose(forces[:, 2], [COULOMB_EV_A / 6.25, -COULOMB_EV_A / 6.25], rtol=1e-12)
    assert virial[2, 2] == pytest.approx(COULOMB_EV_A / 2.5, rel=1e-12)


def test_one_charge_in_its_background():
    # the simple cubic Wigner lattice: -1.41864874 e^2 / L per ion
    atoms = Atoms("Na", cell=np.eye(3) * 3.7, pbc=True)
    for accuracy in (1e-4, 1e-10):
        energies, forces, virial = ewald(atoms, [1.0], accuracy)
        assert energies.sum() * 3.7 / COULOMB_EV_A == pytest.approx(-1.4186487397, abs=30 * accuracy + 1e-9)
        np.testing.assert_allclose(forces, 0.0, atol=1e-10)
        assert np.trace(virial) == pytest.approx(-energies.sum(), abs=100 * accuracy)


def test_bad_input():
    atoms = build_phase("NaCl", "rocksalt", 5.6)
    charges = charged(atoms)
    for accuracy in (0.0, -1e-6, 1e-15, 0.5, np.nan, np.inf, "high", None):
        with pytest.raises(InputError, match="accuracy"):
            Ewald(accuracy)
    with pytest.raises(InputError, match="pbc"):
        Ewald().compute(atoms.positions, atoms.cell.array, charges, np.array([True, False, False]))
    atoms.positions[1] = atoms.positions[0] + atoms.cell.array[1]
    with pytest.raises(InputError, match="on top of each other"):
        ewald(atoms, charges)
