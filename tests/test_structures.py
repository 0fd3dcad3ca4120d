"""Prototypes: composition, cells and coordination."""

import numpy as np
import pytest
from ase.spacegroup.symmetrize import check_symmetry

from asennp.errors import InputError
from asennp.neighbors import neighbor_pairs
from asennp.structures import build_perovskite, build_phase, orthorhombic, perovskite_born_charges


def coordination(atoms, cutoff):
    """Number of neighbours of the other species, and of the same, for every atom."""
    pairs = neighbor_pairs(atoms.positions, atoms.cell.array, atoms.pbc, cutoff, full=True)
    unlike = atoms.numbers[pairs.i] != atoms.numbers[pairs.j]
    count = np.bincount(pairs.i[unlike], minlength=len(atoms))
    return count.tolist(), int((~unlike).sum())


@pytest.mark.parametrize(
    ("formula", "prototype", "distance", "neighbours"),
    [
        ("ZnO", "rocksalt", 0.5, [6, 6]),
        ("ZnO", "zincblende", np.sqrt(3) / 4, [4, 4]),
        ("CsCl", "cesiumchloride", np.sqrt(3) / 2, [8, 8]),
        ("CaF2", "fluorite", np.sqrt(3) / 4, [8, 4, 4]),
        ("ZnO", "wurtzite", np.sqrt(3 / 8), [4, 4, 4, 4]),
    ],
)
def test_coordination(formula, prototype, distance, neighbours):
    atoms = build_phase(formula, prototype, 4.0, cubic=False)
    assert coordination(atoms, 4.0 * distance * 1.01) == (neighbours, 0)
    assert coordination(atoms, 4.0 * distance * 0.99) == ([0] * len(atoms), 0)


@pytest.mark.parametrize("prototype", ["rocksalt", "zincblende"])
def test_cubes_of_64_atoms(prototype):
    atoms = build_phase("MgO", prototype, 4.2, repeat=2)
    assert atoms.get_chemical_formula("metal") == "Mg32O32"
    np.testing.assert_allclose(atoms.cell.array, np.eye(3) * 8.4)


def test_wurtzite_takes_its_parameters():
    atoms = build_phase("ZnO", "wurtzite", 3.23, c=5.08, u=0.389)
    np.testing.assert_allclose(atoms.cell.cellpar(), [3.23, 3.23, 5.08, 90, 90, 120])
    zinc, oxygen = atoms[atoms.symbols == "Zn"], atoms[atoms.symbols == "O"]
    # a bond of length u c lies along the axis
    along = oxygen.positions[:, None] - zinc.positions[None]
    along -= np.round(along @ np.linalg.inv(atoms.cell.array)) @ atoms.cell.array
    axial = np.hypot(along[..., 0], along[..., 1]) < 1e-9
    np.testing.assert_allclose(np.abs(along[axial][:, 2]), 0.389 * 5.08)


def test_orthorhombic_cell_is_the_same_crystal():
    atoms = build_phase("ZnO", "wurtzite", 3.25)
    double = orthorhombic(atoms)
    np.testing.assert_allclose(double.cell.angles(), 90.0)
    assert len(double) == 8
    assert coordination(double, 2.1) == ([4] * 8, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ZnO", "rocksal", 4.0), "did you mean 'rocksalt'"),
        (("Zn2O", "rocksalt", 4.0), "holds compounds AB"),
        (("Zq", "rocksalt", 4.0), "holds compounds AB"),
        (("ZnO", "rocksalt", -4.0), "positive"),
        (("ZnO", "rocksalt", 4.0, 5.0), "cubic"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(InputError, match=message):
        build_phase(*arguments)


@pytest.mark.parametrize(
    ("along", "symbol"),
    [((0, 0, 0), "Pm-3m"), ((0, 0, 1), "P4mm"), ((0, 1, 1), "Amm2"), ((1, 1, 1), "R3m")],
)
def test_polar_perovskites_have_their_space_groups(along: tuple[int, int, int], symbol: str) -> None:
    atoms = build_perovskite("BaTiO3", 4.0, mode=(0.0, 0.015, -0.03, -0.02), along=along)

    assert check_symmetry(atoms, 1e-3).international == symbol


def test_perovskite_has_six_oxygens_around_b_and_neutral_born_charges() -> None:
    atoms = build_perovskite("PbTiO3", 3.9, repeat=2)
    assert len(atoms) == 40
    distances = atoms.get_distances(1, [k for k in range(40) if atoms.symbols[k] == "O"], mic=True)
    assert np.sum(np.isclose(distances, 1.95)) == 6
    charges = perovskite_born_charges(2.75, 7.16, -5.69, -2.11)
    assert charges.sum(axis=0) == pytest.approx(np.zeros((3, 3)), abs=1e-12)
    assert charges[2, 0, 0] == -5.69 and charges[2, 1, 1] == -2.11


def test_what_is_no_perovskite_is_said() -> None:
    with pytest.raises(InputError, match="not a perovskite"):
        build_perovskite("ZnO", 4.0)
