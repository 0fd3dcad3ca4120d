"""Members trained together, and by tensors, against each by itself and by the compiled kernels."""

from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from asennp.errors import InputError
from asennp.files import read_json
from asennp.models import AEVSettings, AtomicNetworks, NetworkSettings, load_model
from asennp.train import TrainConfig, fit, fit_committee, fit_members
from asennp.train.batch import loss_and_gradients
from asennp.train.committee import group_alike
from asennp.train.data import compute_features, gather, prepare
from asennp.train.source import TorchSource, open_source, rounds

AEV = AEVSettings(
    species=("Cl", "Na", "K"),
    radial_cutoff=4.0,
    radial_shifts=tuple(np.arange(1.6, 4.0, 0.4)),
    radial_eta=6.0,
    angular_cutoff=3.0,
    angular_shifts=(1.5, 2.3),
    angular_eta=3.0,
    n_sections=2,
)
CONFIG = TrainConfig(
    hidden=(10, 8),
    epochs=4,
    batch_size=4,
    lr_weights=3e-3,
    lr_biases=3e-3,
    bias_optimizer="adam",
    force_weight=0.5,
    plateau_patience=0,
    dtype="float64",
)
#: Training frames of unequal number, so that the second member has no batch left when the others have.
PARTS = [
    {"train": range(13), "validation": range(20, 24)},
    {"train": range(4, 11), "validation": range(12, 20)},
    {"train": range(8, 22), "validation": [0, 1, 23]},
]


@pytest.fixture(scope="module")
def frames() -> list[Atoms]:
    """Return crystals of two sizes and three elements with arbitrary labels."""
    rng = np.random.default_rng(1)
    made = []
    for k in range(24):
        atoms = bulk(("NaCl", "KCl")[k % 3 == 0], "rocksalt", a=4.5, cubic=k % 2 > 0)
        atoms.set_cell(atoms.cell @ (np.eye(3) + 0.03 * rng.normal(size=(3, 3))), scale_atoms=True)
        atoms.rattle(0.08, rng=rng)
        atoms.info |= {"REF_energy": rng.normal(), "REF_stress": 0.01 * rng.normal(size=6)}
        atoms.arrays |= {
            "REF_forces": 0.3 * rng.normal(size=(len(atoms), 3)),
            "REF_energies": 0.2 * rng.normal(size=len(atoms)),
        }
        made.append(atoms)
    return made


def compare(got: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"stage": "A-Train", "energy_weight": 8.0, "frozen_layers": (2,)},
        {"force_weight": 0.0, "stress_weight": 0.0},
        {"dtype": "float32"},
    ],
)
def test_gradients_are_those_of_each_member_alone(frames, device, change):
    config = replace(CONFIG, **change)
    dtype, tolerance = getattr(torch, config.dtype), 1e-5 if config.dtype == "float32" else 1e-11
    shape, generator = NetworkSettings(AEV.length, 3, config.hidden), torch.Generator().manual_seed(2)
    networks = AtomicNetworks.random(shape, generator, 3, torch.float64).to(dtype=dtype)
    # the second member has no potassium, the third no frame at all
    batches = [np.array([0, 5, 3, 11]), np.array([1, 2, 7]), np.zeros(0, np.int64)]
    data, offsets = prepare(frames, AEV, config.dtype), np.random.default_rng(3).normal(size=(3, 3))
    (flat, member), *others = rounds(batches, 4)
    assert not others
    together, found = networks.to(device=device), {}
    with open_source(data, 1, device, "torch") as source:
        found = loss_and_gradients(together, config, source, flat, offsets, member)
    with open_source(data) as source:
        for k, (mine, alone) in enumerate(zip(batches, networks.members())):
            if not len(mine):
                assert float(found.total[k]) == 0.0
                assert all(not p.grad[k].any() for p in together.parameters())
                continue
            loss = loss_and_gradients(alone, config, source, mine, offsets[k])
            for name in ("total", "energy", "forces", "stress"):
                compare(getattr(found, name)[k].cpu(), getattr(loss, name)[0], tolerance)
            for ours, theirs in zip(together.parameters(), alone.parameters()):
                gradient = theirs.grad[0].double()
                error = (ours.grad[k].cpu().double() - gradient).norm()
                assert error <= tolerance * max(float(gradient.norm()), 1e-3)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"ema_decay": 0.8, "gradient_clip": 0.1, "schedule": "cosine"},
        {"weight_optimizer": "muon", "schedule": "constant"},
    ],
)
def test_members_trained_together_are_those_trained_alone(frames, tmp_path, device, change):
    """Batches, optimisers, schedules and averages of each are its own."""
    configs = [replace(CONFIG, seed=seed, **change) for seed in (1, 2, 3)]
    folders = [tmp_path / f"{k}" for k in range(3)]
    where = {"device": device, "backend": "torch"}
    together = fit_members(configs, frames, folders, aev=AEV, parts=PARTS, **where)
    for k, (config, found) in enumerate(zip(configs, together)):
        alone = fit(config, frames, tmp_path / f"alone-{k}", aev=AEV, parts=PARTS[k], device="cpu")
        assert (found.best_epoch, found.n_train, found.n_validation) == (
            alone.best_epoch,
            alone.n_train,
            alone.n_validation,
        )
        assert found.history.keys() == alone.history.keys()
        for name, column in alone.history.items():
            compare(found.history[name], column, 1e-8)
        ours, theirs = (load_model(result.model) for result in (found, alone))
        for name, array in theirs.networks.state().items():
            compare(ours.networks.state()[name], array, 1e-7)
        compare(ours.offsets_array, theirs.offsets_array, 1e-12)
        assert read_json(folders[k] / "result.json")["epochs"] == 4
        assert device in found.storage and device not in alone.storage


@pytest.mark.parametrize("first", ["compiled", "torch"])
def test_a_training_goes_on_with_another_backend(frames, tmp_path, monkeypatch, device, first):
    """A killed committee whose members are at different epochs, too."""
    monkeypatch.setattr(import_module("asennp.train.loop"), "CHECKPOINT_SECONDS", -1.0)
    configs = [replace(CONFIG, seed=seed) for seed in (1, 2)]
    folders = [tmp_path / "0", tmp_path / "1"]
    ways = {"compiled": ("cpu", "compiled"), "torch": (device, "torch")}
    other = "compiled" if first == "torch" else "torch"

    def run(way, epochs, members=(0, 1)):
        device, backend = ways[way]
        chosen = [replace(configs[k], epochs=epochs) for k in members]
        places = [folders[k] for k in members]
        given = {"aev": AEV, "parts": [PARTS[k] for k in members], "device": device, "backend": backend}
        return fit_members(chosen, frames, places, **given)

    run(first, 2)
    run(first, 3, [1])
    for k, found in enumerate(run(other, 4)):
        alone = fit(configs[k], frames, tmp_path / f"alone-{k}", aev=AEV, parts=PARTS[k], device="cpu")
        for name, column in alone.history.items():
            compare(found.history[name], column, 1e-8)


def test_a_member_that_ends_early_leaves_the_others_alone(frames, tmp_path):
    config = replace(CONFIG, epochs=8, early_stop=1, lr_weights=2e-2, lr_biases=2e-2)
    configs = [replace(config, seed=seed) for seed in (1, 2, 3)]
    folders = [tmp_path / f"{k}" for k in range(3)]
    together = fit_members(configs, frames, folders, aev=AEV, parts=PARTS, device="cpu", backend="torch")
    alone = [
        fit(config, frames, tmp_path / f"alone-{k}", aev=AEV, parts=PARTS[k], device="cpu")
        for k, config in enumerate(configs)
    ]
    assert [r.epochs for r in together] == [r.epochs for r in alone]
    assert len({r.epochs for r in alone}) > 1
    for ours, theirs in zip(together, alone):
        compare(ours.history["loss"], theirs.history["loss"], 1e-8)


def test_what_cannot_train_together_is_refused(frames, tmp_path):
    with pytest.raises(InputError, match="differ in their seeds only") as told:
        fit_members([CONFIG, replace(CONFIG, lr_weights=1.0)], frames, [tmp_path / "0", tmp_path / "1"])
    assert "configs[1]" in str(told.value) and "lr_weights" in str(told.value)
    with pytest.raises(InputError, match="nothing to train"):
        fit_members([], frames, [])
    with pytest.raises(InputError, match="differ in their seeds only"):
        unlike = [CONFIG, replace(CONFIG, epochs=5)]
        fit_members(unlike, frames, [tmp_path / "0", tmp_path / "1"], device="cuda")
    assert not list(tmp_path.iterdir())


def test_one_that_diverges_ends_all_with_what_was_learnt(frames, tmp_path):
    configs = [replace(CONFIG, seed=seed, lr_weights=1e4, epochs=9) for seed in (1, 2)]
    folders = [tmp_path / "0", tmp_path / "1"]
    with pytest.raises(InputError, match="the training has diverged"):
        fit_members(configs, frames, folders, aev=AEV, parts=PARTS[:2], device="cpu", backend="torch")
    kept = [load_model(folder / "model.asennp") for folder in folders if (folder / "model.asennp").exists()]
    assert kept and all("validation" not in model.meta for model in kept)


def test_configurations_are_grouped_by_all_but_their_seeds():
    configs = [CONFIG, replace(CONFIG, epochs=5), replace(CONFIG, seed=7), replace(CONFIG, epochs=5, seed=1)]
    keys = [replace(config, seed=0) for config in configs]
    assert group_alike(keys, "cuda", 3) == ([[0, 2], [1, 3]], 1)
    assert group_alike(keys, "cpu", 3) == ([[0], [1], [2], [3]], 3)


@pytest.mark.gpu
def test_a_committee_trains_together_on_a_gpu(frames, tmp_path):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    configs = [replace(CONFIG, seed=1), replace(CONFIG, epochs=2), replace(CONFIG, seed=2)]
    gpu = fit_committee(configs, frames, tmp_path / "gpu", aev=AEV, device="cuda")
    cpu = fit_committee(configs, frames, tmp_path / "cpu", aev=AEV, device="cpu")
    for ours, theirs in zip(gpu.members, cpu.members):
        compare(ours.history["force_mae"], theirs.history["force_mae"], 1e-8)
        assert "on cuda" in ours.storage


def test_descriptors_that_do_not_fit_are_brought_a_batch_at_a_time(frames, device):
    data = prepare(frames, AEV, "float64")
    whole, small = TorchSource(data, device), TorchSource(data, device, memory_MB=1e-3)
    assert "a batch at a time" in small.storage and "a batch at a time" not in whole.storage
    picked, rng = np.array([3, 17, 0]), np.random.default_rng(0)
    ours, theirs = small.take(picked), whole.take(picked)
    gradients = torch.from_numpy(rng.normal(size=ours.features.shape)).to(device)
    for one, other in zip(ours.pull_back(gradients), theirs.pull_back(gradients)):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    assert torch.equal(ours.features, theirs.features)


def test_features_alone_are_enough_for_energies(frames, device):
    config = replace(CONFIG, stage="A-Train", force_weight=0.0, stress_weight=0.0)
    bare = gather(frames, compute_features(frames, AEV, "float64", 1))
    shape, picked = NetworkSettings(AEV.length, 3, config.hidden), np.array([7, 2, 11])
    networks = AtomicNetworks.random(shape, torch.Generator().manual_seed(2), dtype=torch.float64)
    found = []
    for where in (("cpu", "compiled"), (device, "torch")):
        with open_source(bare, 1, *where) as source:
            mine = networks.to(device=where[0])
            loss = loss_and_gradients(mine, config, source, picked, np.zeros(3))
            found.append([loss.total, *(p.grad for p in mine.parameters())])
            with pytest.raises(InputError, match="need descriptors with their Jacobian"):
                source.take(picked).pull_back(torch.zeros(24, AEV.length))
            with pytest.raises(InputError, match="need descriptors with their Jacobian"):
                source.take(picked).push_forward(torch.zeros(24, 3), torch.zeros(3, 3, 3))
    for one, other in zip(*found):
        compare(other.cpu(), one, 1e-12)


def test_a_full_gpu_is_told_in_words(frames, tmp_path, monkeypatch):
    def full(*_):
        raise torch.cuda.OutOfMemoryError

    monkeypatch.setattr(import_module("asennp.train.epoch"), "loss_and_gradients", full)
    with pytest.raises(InputError, match="memory of the GPU is full") as told:
        fit(CONFIG, frames, tmp_path, aev=AEV, parts=PARTS[0], device="cpu")
    assert "batch_size" in str(told.value) and "a step on 4 frames for 1 members" in str(told.value)
