"""Slabs: against a plain two-dimensional Ewald sum, known layers, finite differences, and odd input."""

import math

import numpy as np
import pytest
from ase import Atoms
from ase.build import surface
from scipy.special import erf, erfc

from asennp.electrostatics.ewald import Ewald
from asennp.electrostatics.slab import is_slab, sum_slab
from asennp.errors import InputError
from asennp.structures import build_phase
from asennp.units import COULOMB_EV_A


def parry(atoms, charges, alpha=0.5, reach=12.0):
    """Atomic energies by the two-dimensional Ewald sum, term by term (eV); slow and plain.

    D. E. Parry, Surf. Sci. 49, 433 (1975); pbc along the first two vectors, which lie in the xy plane.
    """
    (a, b), r = atoms.cell.array[:2, :2], atoms.positions
    area = abs(a[0] * b[1] - a[1] * b[0])
    waves = 2 * np.pi * np.linalg.inv(np.array([a, b])).T
    d = r[:, None] - r[None]
    z, phi = d[..., 2], np.zeros((len(r), len(r)))
    m = math.ceil(reach / alpha / area * max(np.linalg.norm(a), np.linalg.norm(b))) + 1
    for n1 in range(-m, m + 1):
        for n2 in range(-m, m + 1):
            shift = np.array([*(n1 * a + n2 * b), 0.0])
            s = np.linalg.norm(d + shift, axis=-1)
            own = s < 1e-12
            phi += np.where(own, 0.0, erfc(alpha * s) / np.where(own, 1.0, s))
            g = n1 * waves[0] + n2 * waves[1]
            k = np.linalg.norm(g)
            if k == 0:
                phi -= (
                    2
                    / area
                    * (np.pi * z * erf(alpha * z) + math.sqrt(np.pi) / alpha * np.exp(-((alpha * z) ** 2)))
                )
            elif k < 2 * alpha * 7:
                sides = [
                    np.exp(np.clip(t * k * z, None, 300)) * erfc(k / (2 * alpha) + t * alpha * z)
                    for t in (1, -1)
                ]
                phi += np.pi / (area * k) * np.cos(d[..., :2] @ g) * (sides[0] + sides[1])
    phi -= 2 * alpha / math.sqrt(np.pi) * np.eye(len(r))
    return 0.5 * COULOMB_EV_A * charges * (phi @ charges)


def polar():
    """Displaced atoms in a thin oblique slab with a dipole across it."""
    rng = np.random.default_rng(5)
    cell = np.array([[4.1, 0.0, 0.0], [1.3, 5.2, 0.0], [0.0, 0.0, 0.0]])
    scaled = [(0, 0), (0.5, 0.5), (0.05, 0.45), (0.55, 0.0), (0.0, 0.05), (0.5, 0.45)]
    heights = [0.0, 0.1, 2.1, 2.2, 4.0, 4.3]
    positions = np.array(scaled) @ cell[:2] + np.outer(heights, [0, 0, 1.0])
    atoms = Atoms("ZnOZnOZnO", positions + rng.normal(0, 0.1, (6, 3)), cell=cell, pbc=(1, 1, 0))
    return atoms, np.array([1.5, -1.0, 0.8, -1.2, 1.1, -1.2])


def evaluate(atoms, charges, accuracy=1e-9):
    return sum_slab(Ewald(accuracy).compute, atoms.positions, atoms.cell.array, charges, atoms.pbc, accuracy)


def test_against_a_plain_two_dimensional_sum():
    atoms, charges = polar()
    expected = parry(atoms, charges)
    # the reference does not depend on its own parameter
    np.testing.assert_allclose(parry(atoms, charges, alpha=0.8), expected, atol=1e-9)
    energies, forces, _ = evaluate(atoms, charges, 1e-12)
    np.testing.assert_allclose(energies, expected, atol=1e-9)
    np.testing.assert_allclose(forces.sum(axis=0), 0.0, atol=1e-9)
    h = 1e-3
    for atom, axis in ((0, 2), (3, 0), (5, 1)):
        ends = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[atom, axis] += sign * h
            ends.append(parry(moved, charges).sum())
        assert forces[atom, axis] == pytest.approx(-(ends[0] - ends[1]) / (2 * h), abs=2e-5)


@pytest.mark.parametrize("accuracy", [1e-4, 1e-6, 1e-8])
@pytest.mark.parametrize("repeat", [1, 3])
def test_accuracy_is_kept(accuracy, repeat):
    atoms, charges = polar()
    atoms = atoms.repeat((repeat, 1, 1))
    charges = np.tile(charges, repeat)
    _, forces, _ = evaluate(atoms, charges, accuracy)
    _, exact, _ = evaluate(atoms, charges, 2e-14)
    # force between neighbours at the density of the slab, 4.3 Å and a bond thick
    scale = COULOMB_EV_A * (6 / (4.1 * 5.2 * 6.5)) ** (2 / 3)
    assert np.sqrt(((forces - exact) ** 2).sum(axis=1).mean()) < accuracy * scale


def test_energy_and_stress_are_consistent():
    atoms, charges = polar()
    atoms.rotate(50, (1, 2, 3), rotate_cell=True)
    energies, forces, virial = evaluate(atoms, charges, 1e-11)
    np.testing.assert_allclose(virial, virial.T, atol=1e-9)
    # the energy is homogeneous of degree -1
    assert np.trace(virial) == pytest.approx(-energies.sum(), rel=1e-8)

    def energy(strain, moved=0.0):
        step = np.eye(3) + strain
        shifted = atoms.positions + moved
        return sum_slab(
            Ewald(1e-11).compute, shifted @ step, atoms.cell.array @ step, charges, atoms.pbc, 1e-11
        )[0].sum()

    h = 1e-4
    for a, b in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)):
        strain = np.zeros((3, 3))
        strain[a, b] += 0.5 * h
        strain[b, a] += 0.5 * h
        slope = (energy(strain) - energy(-strain)) / (2 * h)
        assert slope == pytest.approx(virial[a, b], abs=1e-6)
    for atom, axis in ((1, 0), (2, 2)):
        moved = np.zeros((6, 3))
        moved[atom, axis] = h
        slope = (energy(0.0, moved) - energy(0.0, -moved)) / (2 * h)
        assert slope == pytest.approx(-forces[atom, axis], abs=1e-6)


def test_nothing_depends_on_how_the_slab_is_described():
    atoms, charges = polar()
    before = evaluate(atoms, charges)
    skewed = atoms.copy()
    # another vector where nothing is periodic, other vectors in the plane, other images, another place
    skewed.set_cell(
        np.array([[1, 0, 0], [3, 1, 0], [0, 0, 1]]) @ atoms.cell.array + [[0] * 3, [0] * 3, [3, 1, 7]]
    )
    skewed.positions += (0.3, -11.0, 40.0)
    skewed.positions[2] += 2 * atoms.cell.array[0] - atoms.cell.array[1]
    after = evaluate(skewed, charges)
    for one, other in zip(before, after):
        np.testing.assert_allclose(one, other, atol=1e-7)
    # the open direction may be any
    turned = Atoms(atoms.symbols, atoms.positions[:, [2, 0, 1]], pbc=(0, 1, 1))
    turned.set_cell(atoms.cell.array[[2, 0, 1]][:, [2, 0, 1]])
    np.testing.assert_allclose(evaluate(turned, charges)[0], before[0], atol=1e-7)


def test_two_sheets_make_a_capacitor():
    # square lattices of +q and -q far apart: the force approaches 2 pi q^2/area, the field of a plate
    side, distance = 3.0, 12.0
    atoms = Atoms("NaCl", [(0, 0, 0), (0, 0, distance)], cell=(side, side, 0), pbc=(1, 1, 0))
    _, forces, _ = evaluate(atoms, np.array([1.0, -1.0]), 1e-11)
    assert forces[0, 2] == pytest.approx(COULOMB_EV_A * 2 * np.pi / side**2, rel=1e-8)


def test_a_thick_slab_is_a_crystal_with_two_surfaces():
    energies = []
    for layers in (4, 6):
        atoms = surface(build_phase("MgO", "rocksalt", 4.2), (1, 0, 0), layers, periodic=False)
        atoms.pbc = (1, 1, 0)
        energies.append(evaluate(atoms, np.where(atoms.numbers == 12, 1.0, -1.0))[0].sum())
        pairs = len(atoms) / 2 / layers
    madelung = -1.74756459463 * COULOMB_EV_A / 2.1
    # exact up to exp(-2 pi sqrt(2) layers): surfaces of rock salt hardly feel each other
    assert (energies[1] - energies[0]) / (2 * pairs) == pytest.approx(madelung, abs=1e-7)


def test_bad_input():
    atoms, charges = polar()
    with pytest.raises(InputError, match=r"must be neutral(.|\n)*\+0.5 e"):
        evaluate(atoms, charges + 0.5 / 6)
    assert is_slab(np.array([True, False, True]))
    assert not is_slab(np.ones(3, bool))
    assert not is_slab(np.zeros(3, bool))
    with pytest.raises(InputError, match=r"not for one(.|\n)*center\(vacuum"):
        is_slab(np.array([False, False, True]))
