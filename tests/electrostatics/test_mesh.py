"""Sums by torch-pme against our Ewald sum, in cells of every shape."""

import numpy as np
import pytest

from asennp.electrostatics.ewald import Ewald
from asennp.electrostatics.mesh import TorchSum, wave_integers
from asennp.errors import InputError
from asennp.structures import build_phase
from asennp.units import COULOMB_EV_A


def crystal(shape):
    if shape == "hexagonal":
        atoms = build_phase("ZnO", "wurtzite", 3.25, 5.2, repeat=(2, 2, 1))
    elif shape == "triclinic":
        atoms = build_phase("ZnO", "zincblende", 4.6, cubic=False, repeat=(2, 2, 3))
    else:
        atoms = build_phase("ZnO", "rocksalt", 4.3, repeat=(1, 2, 1))
    atoms.rattle(0.1, seed=5)
    if shape == "rotated":
        atoms.rotate(33.0, (1, 2, 3), rotate_cell=True)
    return atoms, np.where(atoms.numbers == 30, 1.0, -1.0)


@pytest.mark.parametrize("shape", ["hexagonal", "triclinic", "rotated"])
@pytest.mark.parametrize(
    ("kind", "accuracy"), [("pme", 1e-3), ("pme", 1e-6), ("ewald", 1e-3), ("ewald", 1e-9)]
)
def test_against_ewald(shape, kind, accuracy):
    atoms, charges = crystal(shape)
    frame = (atoms.positions, atoms.cell.array, charges, atoms.pbc)
    energies, forces, virial = TorchSum(kind, accuracy).compute(*frame)
    exact_energies, exact_forces, exact_virial = Ewald(1e-13).compute(*frame)
    scale = COULOMB_EV_A * (len(atoms) / atoms.get_volume()) ** (2 / 3)
    assert np.sqrt(((forces - exact_forces) ** 2).sum(axis=1).mean()) < accuracy * scale
    np.testing.assert_allclose(energies, exact_energies, atol=5 * accuracy * scale)
    np.testing.assert_allclose(virial / len(atoms), exact_virial / len(atoms), atol=5 * accuracy * scale)


def test_net_charge_in_a_background():
    atoms, charges = crystal("triclinic")
    frame = (atoms.positions, atoms.cell.array, charges + 0.1, atoms.pbc)
    energies, _, virial = TorchSum("pme", 1e-6).compute(*frame)
    exact_energies, _, exact_virial = Ewald(1e-12).compute(*frame)
    assert energies.sum() == pytest.approx(exact_energies.sum(), abs=1e-4)
    np.testing.assert_allclose(virial, exact_virial, atol=1e-3)


def test_all_waves_are_found():
    cell = np.array([[4.0, 0, 0], [7.0, 5.0, 0], [-3.0, 2.0, 6.0]])
    found = {tuple(n) for n in wave_integers(cell, 4.0).astype(int).tolist()}
    grid = np.stack(np.meshgrid(*[np.arange(-12, 13)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    k = np.linalg.norm(2 * np.pi * grid @ np.linalg.inv(cell).T, axis=1)
    assert found == {tuple(n) for n in grid[(k > 0) & (k <= 4.0)].tolist()}


def test_bad_input():
    atoms, charges = crystal("rotated")
    with pytest.raises(InputError, match="kind"):
        TorchSum("p3m")
    with pytest.raises(InputError, match="pbc"):
        TorchSum().compute(atoms.positions, atoms.cell.array, charges, np.array([True, False, False]))
    with pytest.raises(InputError, match="mesh would be too large"):
        TorchSum("pme", 1e-13).compute(atoms.positions, atoms.cell.array, charges, atoms.pbc)
