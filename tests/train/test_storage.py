"""Descriptors in memory, in a file, or computed anew: the same numbers, and the choice follows the budget."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.lj import LennardJones

from asennp.dataset import compute_labels
from asennp.files import sha256_file
from asennp.models import AEVSettings
from asennp.train import TrainConfig, fit
from asennp.train.storage import FiledDescriptors, RecomputedDescriptors, keep_descriptors

AEV = AEVSettings(("Cl", "Na"), radial_cutoff=4.0, radial_shifts=(1.6, 2.2, 2.8, 3.4), angular_cutoff=3.0)


@pytest.fixture(scope="module")
def frames():
    rng, crystals = np.random.default_rng(0), []
    for k in range(20):
        crystal = bulk("NaCl", "rocksalt", a=4.4, cubic=k % 2 == 0)
        crystal.rattle(0.06, rng=rng)
        crystals.append(crystal)
    lj = LennardJones(sigma=1.95, epsilon=0.3, rc=3.9, ro=3.0, smooth=True)
    return compute_labels(crystals, lj, ("energy", "forces", "stress", "energies"))


@pytest.mark.parametrize(
    ("memory", "disk", "kind", "words"),
    [
        (100.0, 100.0, list, "in memory"),
        (0.01, 100.0, FiledDescriptors, "in a file"),
        (0.01, 0.01, RecomputedDescriptors, "anew"),
    ],
)
def test_the_budget_chooses_and_the_numbers_stay(frames, tmp_path, memory, disk, kind, words):
    expected, _ = keep_descriptors(frames, AEV)
    found, said = keep_descriptors(frames, AEV, memory_MB=memory, disk_MB=disk, folder=tmp_path)
    assert isinstance(found, kind) and words in said and len(found) == len(frames)
    assert list(tmp_path.iterdir()) == []  # the file has no name any more
    gradients = np.random.default_rng(1).normal(size=expected[3].features.shape)
    for k in (0, 3, -1):
        for mine, theirs in zip(found[k].arrays().values(), expected[k].arrays().values()):
            assert mine.dtype == theirs.dtype and np.array_equal(mine, theirs)
    assert np.array_equal(found[3].pull_back(gradients)[0], expected[3].pull_back(gradients)[0])
    assert [len(d.species) for d in found[2:5]] == [8, 2, 8]
    with pytest.raises(IndexError):
        found[20]


def test_without_a_folder_nothing_is_written(frames):
    found, _ = keep_descriptors(frames, AEV, memory_MB=0.01)
    assert isinstance(found, RecomputedDescriptors)


def test_a_training_is_the_same_wherever_its_descriptors_are(frames, tmp_path, monkeypatch):
    config = TrainConfig(hidden=(8, 8), epochs=2, batch_size=4, lr_weights=1e-3)
    results = {"memory": fit(config, frames, tmp_path / "memory", aev=AEV)}
    results["file"] = fit(config, frames, tmp_path / "file", aev=AEV, memory_MB=0.01)
    monkeypatch.setattr("asennp.train.storage.shutil.disk_usage", lambda _: type("Usage", (), {"free": 0}))
    results["anew"] = fit(config, frames, tmp_path / "anew", aev=AEV, memory_MB=0.01, threads=2)
    assert len({sha256_file(result.model) for result in results.values()}) == 1
    assert ["in memory" in r.storage for r in results.values()] == [True, False, False]
    assert "in a file" in results["file"].storage and "anew" in results["anew"].storage
