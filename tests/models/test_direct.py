"""The descriptor for prediction against the exact one, and its pull-back against the stored Jacobian."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from asennp.models.aev import AEVSettings, compute_aev, compute_descriptor
from asennp.models.direct import compute_direct, make_table
from asennp.neighbors import VerletPairs

ZNO = AEVSettings(("Zn", "O"))
THREE = AEVSettings(("O", "Mg", "Zn"), radial_cutoff=5.1, radial_shifts=(0.9, 1.5, 2.6, 4.0), n_sections=3)


def make_atoms(kind):
    if kind == "thin":
        atoms = bulk("ZnO", "zincblende", a=4.57)
        atoms.set_cell(atoms.cell @ [[1.0, 0.05, 0.0], [0.0, 0.97, 0.1], [0.02, 0.0, 1.0]], scale_atoms=True)
    else:
        atoms = bulk("ZnO", "rocksalt", a=4.28, cubic=True) * (2, 1, 1)
        atoms.pbc = (True, True, False)
    atoms.rattle(0.15, seed=3)
    return atoms


@pytest.mark.parametrize("kind", ["thin", "slab"])
@pytest.mark.parametrize("settings", [ZNO, THREE])
@pytest.mark.parametrize(
    ("dtype", "features", "slopes"), [(np.float64, 1e-13, 1e-11), (np.float32, 1e-6, 2e-6)]
)
def test_equals_the_exact_descriptor(kind, settings, dtype, features, slopes):
    atoms = make_atoms(kind)
    direct = compute_direct(atoms, settings, dtype)
    assert direct.features.dtype == dtype
    np.testing.assert_allclose(direct.features, compute_aev(atoms, settings), atol=features)
    exact = compute_descriptor(atoms, settings, np.float64)
    g = np.random.default_rng(0).normal(size=(3, len(atoms), settings.length))
    for n_members in (1, 3):  # one member has a loop of its own
        for ours, theirs in zip(direct.pull_back(g[:n_members]), exact.pull_back(g[:n_members])):
            np.testing.assert_allclose(ours, theirs, atol=slopes * np.abs(theirs).max())
    with pytest.raises(ValueError, match="do not fit"):
        direct.pull_back(g[:, :1])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_results_do_not_depend_on_the_age_of_the_list(dtype):
    atoms = make_atoms("thin") * (2, 2, 2)
    g = np.random.default_rng(0).normal(size=(2, len(atoms), ZNO.length))
    neighbors = VerletPairs(ZNO.radial_cutoff)
    compute_direct(atoms, ZNO, dtype, neighbors=neighbors)
    atoms.rattle(0.05, seed=4)
    old, new = compute_direct(atoms, ZNO, dtype, neighbors=neighbors), compute_direct(atoms, ZNO, dtype)
    assert neighbors.n_builds == 1
    np.testing.assert_array_equal(old.features, new.features)
    for ours, theirs in zip(old.pull_back(g), new.pull_back(g)):
        np.testing.assert_array_equal(ours, theirs)


def test_table_holds_values_and_slopes():
    table = make_table(lambda x: np.stack([np.sin(3 * x), np.exp(-x)], axis=1), 2.0, "float64")
    x = np.random.default_rng(0).uniform(0, 2, 50)
    n = (x * table.scale).astype(int)
    t = x * table.scale - n - 0.5
    for rows, exact in (
        (table.values, [np.sin(3 * x), np.exp(-x)]),
        (table.slopes, [3 * np.cos(3 * x), -np.exp(-x)]),
    ):
        powers = t[:, None] ** np.arange(rows.shape[1] - 1, -1, -1)
        np.testing.assert_allclose(np.einsum("xc,xck->kx", powers, rows[n]), exact, atol=1e-11)


def test_atoms_without_neighbours():
    atoms = make_atoms("thin")
    atoms.set_cell(20 * np.eye(3))
    atoms.positions[1] = atoms.positions[0] + 9.0
    direct = compute_direct(atoms, ZNO)
    assert not direct.features.any()
    assert not direct.pull_back(np.ones((1, *direct.features.shape)))[0].any()


@pytest.mark.parametrize("n_species", [1, 4, 10])
def test_one_to_ten_species(n_species):
    symbols = ("Zn", "O", "Mg", "Ca", "Na", "Cl", "Ti", "N", "Al", "Si")[:n_species]
    settings = AEVSettings(symbols, radial_cutoff=5.1, radial_shifts=(0.9, 1.5, 2.6, 4.0))
    atoms = make_atoms("slab")
    atoms.set_chemical_symbols([symbols[k % n_species] for k in range(len(atoms))])
    direct, exact = (
        compute_direct(atoms, settings, np.float64),
        compute_descriptor(atoms, settings, np.float64),
    )
    assert direct.features.shape == (16, 4 * n_species + 16 * n_species * (n_species + 1))
    np.testing.assert_allclose(direct.features, exact.features, atol=1e-13)
    g = np.random.default_rng(0).normal(size=(1, *direct.features.shape))
    for ours, theirs in zip(direct.pull_back(g), exact.pull_back(g)):
        np.testing.assert_allclose(ours, theirs, atol=1e-11 * np.abs(theirs).max())


def test_smooth_through_both_cutoffs():
    for cutoff in (ZNO.angular_cutoff, ZNO.radial_cutoff):
        features, slopes = [], []
        for step in (-1e-6, 0.0, 1e-6):
            atoms = Atoms("ZnOO", [[0, 0, 0], [0, 0, 2.0], [0, cutoff + step, 0]])
            direct = compute_direct(atoms, ZNO, np.float64)
            features.append(direct.features)
            slopes.append(direct.pull_back(np.ones((1, 3, ZNO.length)))[0])
        # a kink of slope s would leave 1e-6 s, a jump of a slope itself
        assert np.abs(features[0] - 2 * features[1] + features[2]).max() < 1e-10
        assert np.abs(slopes[0] - slopes[2]).max() < 1e-4
