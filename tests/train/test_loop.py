"""Training learns a known potential, resumes bit for bit, and refuses what it cannot use."""

import json
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.lj import LennardJones

from asennp.dataset import Store, compute_labels
from asennp.errors import InputError
from asennp.files import sha256_file
from asennp.models import AEVSettings, AtomicNetworks, NetworkSettings, load_model
from asennp.train import FitResult, TrainConfig, compute_errors, fit, fit_committee, predict
from asennp.train.average import Average
from asennp.train.batch import loss_and_gradients
from asennp.train.data import prepare
from asennp.train.epoch import Member, run_epoch
from asennp.train.source import open_source

AEV = AEVSettings(
    species=("Cl", "Na"),
    radial_cutoff=4.0,
    radial_shifts=tuple(np.arange(1.6, 4.0, 0.3)),
    radial_eta=8.0,
    angular_cutoff=3.0,
    angular_shifts=(1.5, 2.3),
    angular_eta=3.0,
    n_sections=2,
)
CONFIG = TrainConfig(
    hidden=(16, 12),
    epochs=6,
    batch_size=4,
    lr_weights=3e-3,
    lr_biases=3e-3,
    bias_optimizer="adam",
    force_weight=0.5,
    schedule="constant",
)


@pytest.fixture(scope="module")
def frames() -> list[Atoms]:
    rng = np.random.default_rng(0)
    crystals = []
    for _ in range(40):
        crystal = bulk("NaCl", "rocksalt", a=4.4 * (1 + 0.02 * rng.normal()), cubic=True)
        crystal.rattle(0.06, rng=rng)
        crystals.append(crystal)
    lj = LennardJones(sigma=1.95, epsilon=0.3, rc=3.9, ro=3.0, smooth=True)
    return compute_labels(crystals, lj, ("energy", "forces", "stress", "energies"))


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_a_pair_potential_is_learnt(frames, tmp_path):
    config = replace(CONFIG, epochs=60, schedule="cosine", hidden=(24, 16), select="force_mae")
    result = fit(config, frames, tmp_path, aev=AEV, charges={"Na": 0.5, "Cl": -0.5})
    spread = np.std([f.info["REF_energy"] / 8 for f in frames])
    forces = np.mean(np.abs([f.arrays["REF_forces"] for f in frames]))
    assert result.validation.energy_rmse < 0.1 * spread
    assert result.validation.force_mae < 0.25 * forces
    assert result.history["force_mae"][-1] < 0.3 * result.history["force_mae"][0]
    assert len(result.history["loss"]) == 60 and result.n_train + result.n_validation == 40
    assert "REF_forces: 40 of 40" in result.audit

    model = load_model(result.model)
    assert model.charges == {"Na": 0.5, "Cl": -0.5} and model.species == ("Cl", "Na")
    assert model.ranges is not None and np.all(model.ranges[:, 0] <= model.ranges[:, 1])
    prediction, data = predict(model, frames), prepare(frames, AEV)
    errors = compute_errors(prediction, data, np.arange(40))
    both = (
        result.n_train * result.training.force_mae + result.n_validation * result.validation.force_mae
    ) / 40
    assert errors.force_mae == pytest.approx(both, rel=1e-4)
    again = FitResult.from_json(tmp_path / "result.json")
    assert again.validation.energy_mae == result.validation.energy_mae
    assert np.array_equal(again.history["loss"], result.history["loss"])


def test_atomic_energies_are_learnt_without_forces(frames, tmp_path):
    config = replace(CONFIG, stage="A-Train", energy_weight=8.0, force_weight=0, stress_weight=0, epochs=40)
    result = fit(replace(config, select="energies_rmse"), frames, tmp_path, aev=AEV)
    assert result.validation.energies_rmse < 0.35 * np.std([f.arrays["REF_energies"] for f in frames])


def test_a_polarizable_baseline_stays_through_tuning_on_forces(frames, tmp_path):
    """First on everything, then on the forces of a few frames: the file says what to add back."""
    first = fit(CONFIG, frames, tmp_path / "0", aev=AEV, electrostatics="pqeq")
    start = load_model(first.model)
    forces_only = replace(CONFIG, energy_weight=0.0, force_weight=1.0, select="force_mae")
    parts = {"train": np.arange(0, 40, 5), "validation": np.setdiff1d(np.arange(40), np.arange(0, 40, 5))}
    tuned = fit(forces_only, frames, tmp_path / "1", init=start, parts=parts)
    before = compute_errors(predict(start, frames), prepare(frames, AEV), np.arange(40))
    assert tuned.validation.force_mae < before.force_mae
    assert [load_model(r.model).electrostatics for r in (first, tuned)] == ["pqeq", "pqeq"]
    for bad in ({"electrostatics": "qeq"}, {"electrostatics": "pqeq", "charges": {"Na": 1.0, "Cl": -1.0}}):
        with pytest.raises(InputError, match="unknown electrostatics"):
            fit(CONFIG, frames, tmp_path / "2", aev=AEV, **bad)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"bias_optimizer": "sgd", "schedule": "plateau", "plateau_patience": 0, "frozen_layers": (1,)},
        {"schedule": "cosine", "weight_optimizer": "muon"},
        {"ema_decay": 0.9, "gradient_clip": 0.5, "amp": True, "early_stop": 5},
    ],
)
def test_n_epochs_equal_half_plus_resume_plus_half(frames, tmp_path, monkeypatch, change):
    config = replace(CONFIG, **change)
    whole = fit(config, frames, tmp_path / "whole", aev=AEV)

    class Killed(BaseException):
        pass

    def kill(record):
        if record["epoch"] == 4:
            raise Killed

    monkeypatch.setattr(import_module("asennp.train.loop"), "CHECKPOINT_SECONDS", -1.0)  # after every epoch
    with pytest.raises(Killed):
        fit(config, frames, tmp_path / "parts", aev=AEV, progress=kill)
    with open(tmp_path / "parts/history.jsonl", "a") as log:
        log.write('{"epoch": 5, "torn')  # a kill in the middle of a line
    parts = fit(config, frames, tmp_path / "parts", aev=AEV)
    assert sha256_file(whole.model) == sha256_file(parts.model)
    assert whole.to_dict()["history"] == parts.to_dict()["history"]
    assert whole.best_epoch == parts.best_epoch and whole.training.to_dict() == parts.training.to_dict()
    logs = [(tmp_path / name / "history.jsonl").read_text() for name in ("whole", "parts")]
    assert logs[0] == logs[1] and len(logs[0].splitlines()) == 6
    # finished: nothing is trained any more
    before = sha256_file(tmp_path / "parts/checkpoint.pt")
    assert sha256_file(fit(config, frames, tmp_path / "parts", aev=AEV).model) == sha256_file(whole.model)
    assert sha256_file(tmp_path / "parts/checkpoint.pt") == before


def test_more_epochs_continue_a_finished_training(frames, tmp_path):
    fit(replace(CONFIG, epochs=3), frames, tmp_path / "a", aev=AEV)
    longer = fit(CONFIG, frames, tmp_path / "a", aev=AEV)
    whole = fit(CONFIG, frames, tmp_path / "b", aev=AEV)
    assert sha256_file(longer.model) == sha256_file(whole.model) or longer.best_epoch == whole.best_epoch
    assert longer.to_dict()["history"] == whole.to_dict()["history"]


def test_torn_and_foreign_checkpoints_are_refused(frames, tmp_path):
    fit(replace(CONFIG, epochs=1), frames, tmp_path, aev=AEV)
    path = tmp_path / "checkpoint.pt"
    whole = path.read_bytes()
    with pytest.raises(InputError, match="another training"):
        fit(replace(CONFIG, epochs=1, lr_weights=1e-4), frames, tmp_path, aev=AEV)
    with pytest.raises(InputError, match="another training"):
        fit(replace(CONFIG, epochs=1), frames[:-1], tmp_path, aev=AEV)
    for torn in (whole[: len(whole) // 2], b"", b"garbage"):
        path.write_bytes(torn)
        with pytest.raises(InputError, match="cannot be read"):
            fit(replace(CONFIG, epochs=1), frames, tmp_path, aev=AEV)
    assert fit(replace(CONFIG, epochs=1), frames, tmp_path, "never", aev=AEV).epochs == 1


def test_missing_labels_are_refused_before_anything_is_trained(frames, tmp_path):
    poor = [frame.copy() for frame in frames]
    del poor[3].info["REF_stress"]
    with pytest.raises(InputError, match=r"REF_stress is missing[\s\S]*frame 3"):
        fit(CONFIG, poor, tmp_path, aev=AEV)
    result = fit(replace(CONFIG, stress_weight=0.0, epochs=1), poor, tmp_path, aev=AEV)
    assert np.isfinite(result.validation.force_mae)
    del poor[5].arrays["REF_energies"]
    with pytest.raises(InputError, match="REF_energies is missing"):
        fit(replace(CONFIG, stage="A-Train", stress_weight=0.0), poor, tmp_path / "b", aev=AEV)


def test_labels_that_are_no_numbers_are_refused_in_memory_too(frames, tmp_path):
    poor = [frame.copy() for frame in frames]
    poor[7].arrays["REF_forces"][0, 0] = np.nan
    with pytest.raises(InputError, match=r"frame 7: REF_forces holds NaN"):
        fit(CONFIG, poor, tmp_path, aev=AEV)


def test_transfer_starts_from_the_model_and_shifts_its_energies(frames, tmp_path):
    first = fit(replace(CONFIG, epochs=15), frames, tmp_path / "a", aev=AEV)
    model = load_model(first.model)
    shifted = [frame.copy() for frame in frames]
    for frame in shifted:
        frame.info["REF_energy"] += 8 * 3.5  # another reference: 3.5 eV an atom
    config = replace(CONFIG, epochs=1, lr_weights=1e-9, lr_biases=1e-9)
    result = fit(config, shifted, tmp_path / "b", init=model)
    moved = load_model(result.model)
    assert moved.aev == model.aev
    assert np.allclose(moved.offsets_array - model.offsets_array, 3.5, atol=0.02)
    assert result.validation.energy_mae == pytest.approx(first.validation.energy_mae, rel=0.3)
    frozen = fit(replace(CONFIG, epochs=2, frozen_layers=(1, 3)), frames, tmp_path / "c", init=model)
    after = load_model(frozen.model).networks.state()
    same = {n: np.array_equal(a, after[n]) for n, a in model.networks.state().items()}
    assert frozen.best_epoch == 0 or not same["weight.0.1"]
    assert all(same[f"{kind}.{s}.{layer}"] for kind in ("weight", "bias") for s in (0, 1) for layer in (0, 2))


def test_a_store_and_given_parts(frames, tmp_path):
    store = Store(tmp_path / "store")
    store.append(frames)
    parts = {"train": list(range(30)), "validation": list(range(30, 36))}
    one = fit(replace(CONFIG, epochs=2), store, tmp_path / "a", aev=AEV, parts=parts)
    two = fit(replace(CONFIG, epochs=2), frames, tmp_path / "b", aev=AEV, parts=parts)
    assert (one.n_train, one.n_validation) == (30, 6)
    assert sha256_file(one.model) == sha256_file(two.model)
    with pytest.raises(InputError, match="share frames"):
        fit(CONFIG, frames, tmp_path / "c", aev=AEV, parts={"train": [0, 1], "validation": [1]})
    with pytest.raises(InputError, match="frame 40 of validation is a copy of frame 1 in train"):
        fit(
            CONFIG, [*frames, frames[1]], tmp_path / "c", aev=AEV, parts={"train": [0, 1], "validation": [40]}
        )
    with pytest.raises(InputError, match="no frames to train or to validate on"):
        fit(CONFIG, frames, tmp_path / "c", aev=AEV, parts={"train": [0, 1], "validation": []})


def test_a_committee_stacks_members_that_equal_single_trainings(frames, tmp_path):
    configs = [replace(CONFIG, epochs=2, seed=seed) for seed in (1, 2)]
    result = fit_committee(configs, frames, tmp_path / "committee", aev=AEV, workers=2)
    model = load_model(result.model)
    assert model.n_members == 2
    assert result.best("force_mae") is min(result.members, key=lambda m: m.validation.force_mae)
    for k, config in enumerate(configs):
        single = fit(config, frames, tmp_path / f"single-{k}", aev=AEV)
        assert sha256_file(single.model) == sha256_file(result.members[k].model)
    members = [predict(load_model(member.model), frames[:3]) for member in result.members]
    mean = predict(model, frames[:3])
    assert np.allclose(mean.energy, np.mean([m.energy for m in members], axis=0), atol=1e-4)
    assert np.allclose(mean.forces, np.mean([m.forces for m in members], axis=0), atol=1e-4)
    assert json.loads((tmp_path / "committee/result.json").read_text())["members"][1]["epochs"] == 2


def test_the_log_is_there_as_lines_and_as_a_table(frames, tmp_path):
    result = fit(replace(CONFIG, epochs=3), frames, tmp_path, aev=AEV)
    table = np.genfromtxt(tmp_path / "history.csv", delimiter=",", names=True)
    lines = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    for name in ("epoch", "loss", "force_mae", "lr"):
        assert table[name].tolist() == [line[name] for line in lines] == result.history[name].tolist()


def test_a_training_that_no_longer_improves_ends_early(frames, tmp_path):
    config = replace(CONFIG, lr_weights=1e-12, lr_biases=1e-12, early_stop=2, epochs=50)
    result = fit(config, frames, tmp_path, aev=AEV)
    assert result.epochs < 50 and result.epochs == result.best_epoch + 2
    again = fit(config, frames, tmp_path, aev=AEV)  # finished
    assert (again.epochs, again.best_epoch) == (result.epochs, result.best_epoch)


@pytest.mark.parametrize("lr", [1e4, 30.0])  # not a number, and merely huge
def test_a_diverging_training_keeps_its_best_and_says_what_to_lower(frames, tmp_path, lr):
    good = fit(replace(CONFIG, epochs=10), frames, tmp_path / "good", aev=AEV)
    start = load_model(good.model)
    config = replace(CONFIG, lr_weights=lr, lr_biases=lr, epochs=10)
    with pytest.raises(
        InputError, match=r"diverged[\s\S]*lower lr_weights \(now [\s\S]*gradient_clip"
    ) as told:
        fit(config, frames, tmp_path / "bad", init=start)
    assert str(tmp_path / "bad" / "model.asennp") in str(told.value)
    kept = load_model(tmp_path / "bad" / "model.asennp")
    state = start.networks.state()
    assert kept.meta["best_epoch"] == 0
    assert all(np.array_equal(state[n], a) for n, a in kept.networks.state().items())


def test_a_clipped_gradient_is_no_longer_than_allowed(frames, tmp_path):
    """One SGD step on the biases: its length is the rate times the clipped gradient's part in them."""
    config = replace(CONFIG, bias_optimizer="sgd", lr_biases=1.0, lr_weights=1e-12, epochs=1, batch_size=64)
    start = load_model(fit(replace(CONFIG, epochs=1), frames, tmp_path / "start", aev=AEV).model)
    steps = {}
    for clip in (None, 1e-4):
        networks, data = start.networks.to(), prepare(frames, AEV)
        clipped = replace(config, gradient_clip=clip)
        member = Member(clipped, np.arange(40), start.offsets_array, networks)
        before = [bias.clone() for layers in networks.biases for bias in layers]
        with open_source(data) as source:
            run_epoch(networks, [member], source)
        after = [bias for layers in networks.biases for bias in layers]
        steps[clip] = torch.cat([(b - a).ravel() for a, b in zip(before, after)])
    assert steps[None].norm() > 1e-3 and steps[1e-4].norm() <= 1e-4
    cosine = torch.nn.functional.cosine_similarity(steps[None], steps[1e-4], dim=0)
    assert cosine == pytest.approx(1.0, abs=1e-4)


def test_averaged_parameters_are_the_mean_along_the_way(frames):
    networks = AtomicNetworks.random(NetworkSettings(AEV.length, 2, (4,)), torch.Generator().manual_seed(0))
    average, expected = Average(networks.to(), 0.5), networks.weights[0][0].clone()
    for step in range(1, 20):
        networks.weights[0][0] += 1.0
        average.update(networks)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * networks.weights[0][0]
    assert torch.allclose(average.networks.weights[0][0], expected)
    assert torch.equal(average.networks.biases[1][0], networks.biases[1][0])


def test_half_products_learn_as_single_precision_does(frames, tmp_path):
    config = replace(CONFIG, epochs=20, select="force_mae")
    single, half = (fit(replace(config, amp=amp), frames, tmp_path / f"{amp}", aev=AEV) for amp in (0, 1))
    assert half.validation.force_mae == pytest.approx(single.validation.force_mae, rel=0.3)
    assert half.validation.force_mae != single.validation.force_mae
    networks, data, gradients = load_model(single.model).networks, prepare(frames, AEV), []
    with open_source(data) as source:
        for amp in (False, True):
            loss_and_gradients(networks, replace(config, amp=amp), source, np.arange(8), np.zeros(2))
            gradients.append(torch.cat([p.grad.ravel() for p in networks.parameters()]))
    error = (gradients[1] - gradients[0]).norm() / gradients[0].norm()
    assert 1e-5 < error < 0.05
