"""The descriptor against TorchANI, finite differences and its own adjoint."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

from asennp.errors import InputError
from asennp.models.aev import AEVSettings, compute_aev, compute_descriptor, compute_descriptors
from asennp.neighbors import VerletPairs, neighbor_pairs

ZNO = AEVSettings(species=("Zn", "O"))
THREE = AEVSettings(
    species=("O", "Mg", "Zn"), radial_cutoff=5.1, radial_shifts=(0.9, 1.5, 2.6, 4.0), n_sections=3
)


@pytest.fixture(autouse=True)
def _without_extensions(monkeypatch):
    """TorchANI warns about compiled extensions that are not needed here."""
    monkeypatch.setenv("TORCHANI_NO_WARN_EXTENSIONS", "1")


def structure(kind):
    rng = np.random.default_rng(7)
    atoms = {
        "rocksalt": lambda: bulk("ZnO", "rocksalt", a=4.28, cubic=True),
        "wurtzite": lambda: bulk("ZnO", "wurtzite", a=3.25, c=5.2, u=0.38),
        "primitive": lambda: bulk("ZnO", "zincblende", a=4.57),
        "slab": lambda: bulk("ZnO", "rocksalt", a=4.28, cubic=True) * (1, 2, 1),
        "triclinic": lambda: bulk("ZnO", "rocksalt", a=4.3) * (2, 2, 1),
        "molecule": lambda: Atoms("ZnOOZnO", rng.uniform(0, 4, (5, 3)) + np.arange(5)[:, None]),
    }[kind]()
    if kind == "slab":
        atoms.center(vacuum=4.0, axis=2)
        atoms.pbc = (True, True, False)
    if kind == "triclinic":
        atoms.set_cell(atoms.cell @ (np.eye(3) + rng.normal(0, 0.06, (3, 3))), scale_atoms=True)
    atoms.rattle(0.12, rng=rng)
    return atoms


def torchani_aev(atoms, settings):
    """Feed TorchANI's computer with our neighbour list, everything in double precision."""
    from torchani.aev import AEVComputer, ANIAngular, ANIRadial
    from torchani.neighbors import Neighbors

    computer = AEVComputer(
        ANIRadial(settings.radial_eta, settings.radial_shifts, settings.radial_cutoff),
        ANIAngular.cover_linearly(
            0.8, 3.5, settings.angular_eta, settings.angular_zeta, 8, settings.n_sections
        ),
        num_species=len(settings.species),
        strategy="pyaev",
    ).double()
    np.testing.assert_allclose(computer.angular.sections, settings.sections, atol=1e-6)
    # its buffers are made in single precision
    for term, names in (
        (computer.radial, {"eta": [settings.radial_eta], "shifts": settings.radial_shifts}),
        (
            computer.angular,
            {
                "eta": [settings.angular_eta],
                "zeta": [settings.angular_zeta],
                "shifts": settings.angular_shifts,
                "sections": settings.sections,
            },
        ),
    ):
        for name, value in names.items():
            getattr(term, name).copy_(torch.as_tensor(np.array(value)))
    pairs = neighbor_pairs(atoms.positions, atoms.cell.array, atoms.pbc, settings.radial_cutoff)
    neighbors = Neighbors(
        torch.as_tensor(np.stack([pairs.i, pairs.j])),
        torch.as_tensor(pairs.distances),
        torch.as_tensor(-pairs.vectors),
    )
    species = torch.as_tensor(settings.indices(atoms), dtype=torch.long)[None]
    return computer.compute_from_neighbors(species, torch.as_tensor(atoms.positions)[None], neighbors)[0]


@pytest.mark.parametrize("kind", ["rocksalt", "wurtzite", "primitive", "slab", "triclinic", "molecule"])
@pytest.mark.parametrize("settings", [ZNO, THREE])
def test_features_equal_torchani(kind, settings):
    atoms = structure(kind)
    expected = torchani_aev(atoms, settings).numpy()
    ours = compute_aev(atoms, settings)
    assert ours.shape == (len(atoms), settings.length)
    np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-13)
    assert np.abs(expected).max() > 0.05


def test_torchani_on_its_own_neighbour_list_agrees():
    """Guards the pair list itself: TorchANI builds the images of a large cell by itself here."""
    from torchani.aev import AEVComputer, ANIAngular, ANIRadial

    atoms = structure("rocksalt") * (4, 4, 4)
    computer = AEVComputer(
        ANIRadial(ZNO.radial_eta, ZNO.radial_shifts, ZNO.radial_cutoff),
        ANIAngular.cover_linearly(0.8, 3.5, 12.5, 14.1, 8, 4),
        num_species=2,
    ).double()
    expected = computer(
        torch.as_tensor(ZNO.indices(atoms), dtype=torch.long)[None],
        torch.as_tensor(atoms.positions)[None],
        cell=torch.as_tensor(atoms.cell.array),
        pbc=torch.tensor([True, True, True]),
    )[0]
    small = compute_aev(structure("rocksalt"), ZNO)
    np.testing.assert_allclose(np.tile(small, (64, 1)), expected.numpy(), atol=2e-5)


@pytest.mark.parametrize("kind", ["wurtzite", "primitive", "slab", "molecule"])
def test_push_forward_equals_finite_differences(kind):
    atoms, rng = structure(kind), np.random.default_rng(1)
    displacements, strain = rng.normal(size=(len(atoms), 3)), 0.3 * rng.normal(size=(3, 3))
    change = compute_descriptor(atoms, ZNO, np.float64).push_forward(displacements, strain)
    h = 1e-5

    def moved(step):
        copy = atoms.copy()
        copy.set_cell(atoms.cell.array @ (np.eye(3) + step * strain).T)
        copy.positions = atoms.positions + step * (displacements + atoms.positions @ strain.T)
        return compute_aev(copy, ZNO)

    numerical = (8 * (moved(h) - moved(-h)) - (moved(2 * h) - moved(-2 * h))) / (12 * h)
    np.testing.assert_allclose(change, numerical, atol=1e-8)


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-12), (np.float32, 1e-5)])
@pytest.mark.parametrize("kind", ["rocksalt", "primitive", "triclinic"])
def test_push_forward_is_the_adjoint_of_pull_back(kind, dtype, rtol):
    atoms, rng = structure(kind), np.random.default_rng(2)
    descriptor = compute_descriptor(atoms, ZNO, dtype)
    g = rng.normal(size=(3, len(atoms), ZNO.length))
    displacements, strain = rng.normal(size=(len(atoms), 3)), rng.normal(size=(3, 3))
    slopes, virial = descriptor.pull_back(g)
    assert slopes.shape == (3, len(atoms), 3)
    forward = descriptor.push_forward(displacements, strain)
    assert forward.dtype == dtype
    left = np.einsum("mif,if->m", g, forward)
    right = np.einsum("mia,ia->m", slopes, displacements) + np.einsum("mab,ab->m", virial, strain)
    scale = np.linalg.norm(g) * np.linalg.norm(forward)
    np.testing.assert_allclose(left, right, atol=rtol * scale)
    one = descriptor.pull_back(g[1])
    np.testing.assert_array_equal(one[0], slopes[1])
    np.testing.assert_array_equal(one[1], virial[1])


def test_single_precision_storage_follows_double():
    atoms = structure("rocksalt") * 2
    g = np.random.default_rng(3).normal(size=(len(atoms), ZNO.length))
    exact, rough = (compute_descriptor(atoms, ZNO, dtype).pull_back(g) for dtype in (np.float64, np.float32))
    for a, b in zip(exact, rough):
        np.testing.assert_allclose(b, a, atol=1e-5 * np.abs(a).max())
    assert compute_descriptor(atoms, ZNO).nbytes < 1.25e6


def test_result_does_not_depend_on_the_age_of_the_neighbour_list():
    atoms, rng = structure("rocksalt"), np.random.default_rng(4)
    neighbors = VerletPairs(ZNO.radial_cutoff, skin=1.0)
    for _ in range(4):
        atoms.positions += rng.normal(0, 0.02, atoms.positions.shape)
        old = compute_descriptor(atoms, ZNO, np.float64, neighbors=neighbors)
        new = compute_descriptor(atoms, ZNO, np.float64)
        np.testing.assert_array_equal(old.features, new.features)
        for a, b in zip(old.pull_back(old.features), new.pull_back(old.features)):
            np.testing.assert_array_equal(a, b)
    assert neighbors.n_builds == 1


def test_features_are_smooth_through_both_cutoffs():
    for cutoff in (ZNO.angular_cutoff, ZNO.radial_cutoff):
        features = []
        for step in (-1e-6, 0.0, 1e-6):
            atoms = Atoms("ZnOO", [[0, 0, 0], [0, 0, 2.0], [0, cutoff + step, 0]])
            features.append(compute_aev(atoms, ZNO))
        # a kink of slope s would leave 1e-6 s
        assert np.abs(features[0] - 2 * features[1] + features[2]).max() < 1e-10


def test_many_frames_in_threads_equal_one_by_one():
    frames = [structure(kind) for kind in ("rocksalt", "wurtzite", "primitive", "triclinic")]
    for atoms, threaded in zip(frames, compute_descriptors(frames, ZNO, n_threads=2)):
        np.testing.assert_array_equal(threaded.features, compute_descriptor(atoms, ZNO).features)


def test_an_isolated_atom_has_no_features():
    descriptor = compute_descriptor(Atoms("O"), ZNO)
    assert not descriptor.features.any()
    assert not descriptor.pull_back(np.ones((1, ZNO.length)))[0].any()


def test_bad_input_is_named():
    with pytest.raises(InputError, match="H"):
        compute_aev(molecule("H2O"), ZNO)
    with pytest.raises(InputError, match="overlap"):
        compute_aev(Atoms("ZnO", [[0, 0, 0], [0, 0, 1e-4]]), ZNO)
    with pytest.raises(InputError, match="finite"):
        compute_aev(Atoms("ZnO", [[0, 0, 0], [0, 0, np.nan]]), ZNO)
    with pytest.raises(InputError, match="cut-offs"):
        AEVSettings(("Zn", "O"), angular_cutoff=8.0)
    with pytest.raises(InputError, match="ascend"):
        AEVSettings(("Zn", "O"), angular_shifts=(2.0, 1.0))
    with pytest.raises(InputError, match="symbols"):
        AEVSettings(("Zn", "Zn"))
    with pytest.raises(InputError, match="gradients"):
        compute_descriptor(structure("rocksalt"), ZNO).pull_back(np.ones((8, 3)))
