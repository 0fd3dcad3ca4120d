"""Distillation finds planted outliers, goes on after a kill, and accepts a second pool."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.lj import LennardJones

from asennp.dataset import compute_labels
from asennp.distill import DistillResult, DistillSettings, distill, farthest_points, select
from asennp.distill.committee import _train_together
from asennp.distill.selection import frame_scores, standard_scores
from asennp.errors import InputError
from asennp.models import AEVSettings
from asennp.train import TrainConfig
from asennp.train.data import prepare
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
LJ = LennardJones(sigma=1.95, epsilon=0.3, rc=3.9, ro=3.0, smooth=True)
TRAIN = TrainConfig(
    stage="A-Train",
    energy_weight=8.0,
    force_weight=0.0,
    stress_weight=0.0,
    hidden=(12, 8),
    lr_weights=5e-3,
    lr_biases=5e-3,
    bias_optimizer="adam",
    batch_size=4,
    epochs=15,
    schedule="cosine",
)
SETTINGS = DistillSettings(initial=20, chunk=30, n_sd=2.0, cap=3, train=TRAIN, curve_frames=15, seed=1)
OUTLIERS = (41, 77)


def make_pool(seed: int, n: int, outliers: tuple[int, ...] = ()) -> list[Atoms]:
    """Return rattled crystals; in outliers one atom sits where none of the others ever has one."""
    rng = np.random.default_rng(seed)
    pool = []
    for k in range(n):
        crystal = bulk("NaCl", "rocksalt", a=4.4 * (1 + 0.01 * rng.normal()), cubic=True)
        crystal.rattle(0.04, rng=rng)
        if k in outliers:
            crystal.positions[0] += 0.55
        pool.append(crystal)
    return compute_labels(pool, LJ, ("energy", "forces", "stress", "energies"))


@pytest.fixture(scope="module")
def pool():
    return make_pool(0, 100, OUTLIERS)


@pytest.fixture(scope="module")
def result(pool, tmp_path_factory) -> DistillResult:
    return distill(pool, SETTINGS, tmp_path_factory.mktemp("whole"), aev=AEV, workers=1)


def test_outliers_are_chosen_and_rounds_obey_the_rules(pool, result):
    initial, chosen = result.indices[:20].tolist(), result.indices[20:].tolist()
    for outlier in OUTLIERS:
        assert outlier in initial or outlier in chosen
    assert any(outlier in chosen for outlier in OUTLIERS)  # not both by the luck of the first block
    assert len(set(result.indices.tolist())) == len(result.indices)
    assert len(result.rounds) == 4 and len(result.rounds[-1].screened) == 0
    screened = np.concatenate([r.screened for r in result.rounds])
    assert sorted([*initial, *screened.astype(int).tolist()]) == list(range(100))
    n_train = 20
    for r in result.rounds[:-1]:
        assert r.n_train == n_train
        assert r.threshold == pytest.approx(r.scores.mean() + 2 * r.scores.std())
        score = dict(zip(r.screened.tolist(), r.scores.tolist()))
        above = sorted((s for s in r.scores if s > r.threshold), reverse=True)[:3]
        assert [score[k] for k in r.chosen.tolist()] == above and len(above) <= 3
        n_train += len(r.chosen)
    assert result.rounds[-1].n_train == n_train == len(result.indices)
    assert all(0 < r.energies_mae < 1 and 0 < r.force_mae < 10 and r.stress_mae > 0 for r in result.rounds)


@pytest.mark.parametrize("warm_epochs", [None, 4])
def test_a_killed_distillation_goes_on_to_the_same_result(pool, result, tmp_path, warm_epochs):
    settings = replace(SETTINGS, warm_epochs=warm_epochs)
    whole = result
    if warm_epochs is not None:
        whole = distill(pool, settings, tmp_path / "whole", aev=AEV, workers=1)

    class Killed(BaseException):
        pass

    def kill(_round):
        raise Killed

    for _ in range(2):  # dies after each of the first two rounds
        with pytest.raises(Killed):
            distill(pool, settings, tmp_path / "parts", aev=AEV, workers=1, progress=kill)
    with open(tmp_path / "parts/rounds.jsonl", "a") as ledger:
        ledger.write('{"n_train": 2')
    parts = distill(pool, settings, tmp_path / "parts", aev=AEV, workers=1)
    assert repr(parts.to_dict()) == repr(whole.to_dict())
    # finished: the ledger answers
    assert repr(distill(pool, settings, tmp_path / "parts", aev=AEV).to_dict()) == repr(whole.to_dict())
    assert repr(DistillResult.from_json(tmp_path / "parts/result.json").to_dict()) == repr(whole.to_dict())


def test_the_workers_do_not_matter(pool, result, tmp_path):
    two = distill(pool, SETTINGS, tmp_path, aev=AEV, workers=2)
    assert repr(two.to_dict()) == repr(result.to_dict())


def test_a_second_pool_starts_from_the_first(pool, result, tmp_path):
    start = [pool[k] for k in result.indices]
    second = make_pool(5, 40, (3,))
    again = distill(second, SETTINGS, tmp_path, start=start, aev=AEV, workers=1)
    assert again.n_start == len(start) and again.rounds[0].n_train == len(start)
    assert len(again.rounds) == 3 and len(again.indices) == sum(len(r.chosen) for r in again.rounds)
    assert set(again.indices.tolist()) <= set(range(40))


def test_forces_can_be_learnt_too_and_a_labeler_labels(tmp_path):
    bare = [Atoms(f.numbers, f.positions, cell=f.cell, pbc=True) for f in make_pool(2, 30)]
    train = replace(TRAIN, force_weight=0.1, stress_weight=0.025, epochs=2)
    settings = replace(SETTINGS, train=train, initial=10, chunk=20, curve_frames=None)
    learnt = distill(bare, settings, tmp_path, labeler=LJ, aev=AEV, workers=1)
    assert len(learnt.rounds) == 2 and np.isfinite(learnt.rounds[0].force_mae)


def test_bad_input_is_refused(pool, tmp_path):
    with pytest.raises(InputError, match="smaller than its first block"):
        distill(pool[:10], SETTINGS, tmp_path / "a", aev=AEV)
    poor = [frame.copy() for frame in pool]
    del poor[7].arrays["REF_energies"]
    with pytest.raises(InputError, match=r"REF_energies is missing[\s\S]*frame 7"):
        distill(poor, SETTINGS, tmp_path / "a", aev=AEV)
    (tmp_path / "b").mkdir()
    (tmp_path / "b/distill.json").write_text('{"identity": "other"}')
    with pytest.raises(InputError, match="another distillation"):
        distill(pool, SETTINGS, tmp_path / "b", aev=AEV)
    with pytest.raises(InputError, match="atomic energies"):
        DistillSettings(train=TrainConfig())


def test_labels_are_audited_before_anything_is_trained(pool, tmp_path):
    odd = [frame.copy() for frame in pool]
    odd[3].arrays["REF_energies"][0] = np.nan
    with pytest.raises(InputError, match="frame 3: REF_energies holds NaN"):
        distill(odd, SETTINGS, tmp_path, aev=AEV)


def test_each_species_is_judged_by_itself():
    """The second species is a hundred times better known; its odd frame counts no less."""
    rng = np.random.default_rng(0)
    sizes, groups = np.full(50, 2), np.tile([0, 1], 50)
    spread = rng.uniform(0.9, 1.1, 100) * np.tile([1.0, 0.01], 50)
    spread[2 * 31 + 1] = 0.02  # below every spread of the other species
    together = frame_scores(spread, sizes)
    apart = frame_scores(spread, sizes, groups)
    assert together.shape == (50, 1) and apart.shape == (50, 2)
    assert standard_scores(together).argmax() != 31 and standard_scores(apart).argmax() == 31
    assert select(standard_scores(apart), 3.0, 5).tolist() == [31]
    assert len(select(standard_scores(together), 3.0, 5)) == 0


def test_diverse_points_are_far_from_each_other_and_from_the_known():
    """Three clusters: one known, two new; the two chosen are of the two new ones."""
    rng = np.random.default_rng(1)
    centres = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    points = np.repeat(centres, 20, axis=0) + 0.1 * rng.normal(size=(60, 2))
    chosen = farthest_points(points, 2, known=centres[:1])
    assert sorted(k // 20 for k in chosen.tolist()) == [1, 2]
    assert farthest_points(points, 3)[0] == 0 and len(farthest_points(points, 100)) == 60
    above = np.linspace(9.0, 4.0, 60)  # the worst are all of the first cluster
    assert set(select(above, 3.0, 3).tolist()) == {0, 1, 2}
    assert {k // 20 for k in select(above, 3.0, 3, points).tolist()} == {0, 1, 2}
    assert len(select(above, 8.9, 3, points)) == 2  # too few to be cut


def test_species_apart_and_diversity_run_and_resume(pool, tmp_path):
    settings = replace(SETTINGS, per_species=True, diversity=True, n_sd=1.0, curve_frames=5)
    whole = distill(pool, settings, tmp_path, aev=AEV, workers=1)
    assert all(len(r.chosen) <= 3 and len(r.errors) == len(r.scores) for r in whole.rounds)
    assert all(np.isnan(r.threshold) for r in whole.rounds) and len(whole.rounds[0].chosen) == 3
    assert repr(distill(pool, settings, tmp_path, aev=AEV).to_dict()) == repr(whole.to_dict())


def test_members_trained_together_are_those_trained_one_by_one(pool, device):
    """As on a GPU: from nothing and from a state before, each on its own part of unequal length."""
    train = replace(TRAIN, epochs=2, dtype="float64", force_weight=0.2, stress_weight=1e-3)
    data, rng = prepare(pool[:30], AEV, "float64"), np.random.default_rng(4)
    given = [(replace(train, seed=k), rng.permutation(30)[: 20 + k], None) for k in range(3)]
    with open_source(data) as source:
        given[2] = (*given[2][:2], _train_together(source, AEV, [given[2]])[0])
        alone = [_train_together(source, AEV, [one])[0] for one in given]
    with open_source(data, 1, device, "torch") as source:
        together = _train_together(source, AEV, given)
    for (ours, shift), (theirs, wanted) in zip(together, alone):
        np.testing.assert_allclose(shift, wanted, rtol=1e-12)
        for name, array in theirs.items():
            np.testing.assert_allclose(ours[name], array, rtol=1e-7, atol=1e-8)


@pytest.mark.gpu
def test_distillation_on_a_gpu_chooses_the_outliers(pool, tmp_path):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    found = distill(pool, SETTINGS, tmp_path, aev=AEV, workers=1, device="cuda")
    assert set(OUTLIERS) <= set(found.indices.tolist())
