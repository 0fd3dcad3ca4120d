"""Many frames at once: what the calculator gives for each of them, in any chunks and threads."""

import dataclasses

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from asennp.calculators.hybrid import HybridNNPCalculator
from asennp.errors import InputError
from asennp.models import AEVSettings, AtomicNetworks, Model, NetworkSettings
from asennp.train import evaluate_frames, predict, prediction
from asennp.train.data import prepare

AEV = AEVSettings(("Zn", "O"))
CHARGES = {"Zn": 0.75, "O": -0.75}


def make_model(n_members=3, charges=None):
    networks = AtomicNetworks.random(
        NetworkSettings(AEV.length, 2, (12, 8)), torch.Generator().manual_seed(5), n_members, torch.float64
    )
    return Model(AEV, networks, {"Zn": -1.0, "O": 0.5}, CHARGES if charges is None else charges)


@pytest.fixture(scope="module")
def frames():
    """Different cells, sizes and periodicities."""
    rng = np.random.default_rng(3)
    found = []
    for number, repeat in enumerate([(1, 1, 1), (2, 2, 1), (1, 1, 2), (2, 2, 2), (1, 1, 1)]):
        atoms = bulk("ZnO", "rocksalt" if number % 2 else "zincblende", a=4.4) * repeat
        atoms.set_cell(atoms.cell @ (np.eye(3) + rng.normal(0, 0.03, (3, 3))), scale_atoms=True)
        atoms.rattle(0.1, rng=rng)
        found.append(atoms)
    found.append(Atoms("ZnO", [(0, 0, 0), (0, 0, 1.9)]))
    slab = bulk("ZnO", "rocksalt", a=4.4, cubic=True)
    slab.center(vacuum=4.0, axis=2)
    slab.pbc = (True, True, False)
    return [*found, slab]


def one_by_one(model, frames):
    calculator = HybridNNPCalculator(model, dtype="float64")
    rows = []
    for frame in frames:
        frame = frame.copy()
        frame.calc = calculator
        results = calculator.get_property("energies", frame), frame.get_forces()
        stress, stress_std = np.full(6, np.nan), np.full(6, np.nan)
        if frame.pbc.all():
            stress, stress_std = frame.get_stress(), calculator.committee.stress_std
        spread = calculator.committee
        rows.append(
            {
                "energy": frame.get_potential_energy(),
                "energies": results[0],
                "forces": results[1],
                "stress": stress,
                "energy_std": spread.energy_std,
                "energies_std": spread.energies_std,
                "forces_std": spread.forces_std,
                "stress_std": stress_std,
            }
        )
    return rows


@pytest.mark.parametrize("charges", [{}, CHARGES])
@pytest.mark.parametrize("n_members", [1, 3])
def test_frames_equal_the_calculator(frames, charges, n_members):
    model = make_model(n_members, charges)
    together = evaluate_frames(model, frames, dtype="float64")
    rows = one_by_one(model, frames)
    for name in rows[0]:
        expected = np.concatenate([np.atleast_1d(row[name]) for row in rows]).ravel()
        found = getattr(together, name).ravel()
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-10, err_msg=name)
    for mine, row in zip(together.by_frame("forces"), rows):
        assert mine.shape == row["forces"].shape


def test_single_precision_is_near(frames):
    single, double = (evaluate_frames(make_model(), frames, dtype=dtype) for dtype in ("float32", "float64"))
    np.testing.assert_allclose(single.forces, double.forces, atol=1e-4)


@pytest.mark.parametrize(("memory_MB", "threads"), [(0.001, 1), (1.0, 3), (1000.0, 2)])
def test_chunks_and_threads_change_nothing(frames, memory_MB, threads):
    model = make_model()
    expected = evaluate_frames(model, frames, 1, dtype="float64")
    found = evaluate_frames(model, frames, threads, dtype="float64", memory_MB=memory_MB)
    for field in dataclasses.fields(expected):
        mine, theirs = getattr(found, field.name), getattr(expected, field.name)
        np.testing.assert_allclose(mine, theirs, rtol=1e-10, atol=1e-11, err_msg=field.name)


def test_memory_bounds_the_descriptors_at_a_time(frames, monkeypatch):
    """No chunk holds more than was allowed, but for single frames and the first."""
    chunks = []
    original = prediction._predict_chunk

    def spy(networks, offsets, descriptors, run):
        chunks.append([descriptor.nbytes for descriptor in descriptors])
        return original(networks, offsets, descriptors, run)

    monkeypatch.setattr(prediction, "_predict_chunk", spy)
    many = [frames[1]] * 12
    size = predict(make_model(), many[:1]) and chunks.pop()[0]
    predict(make_model(), many, memory_MB=10 * size / 1e6)
    assert sum(map(len, chunks)) == 12
    assert 2 <= max(map(len, chunks)) <= 5
    assert all(sum(chunk) <= 10 * size for chunk in chunks)


def test_prepared_frames_give_the_same(frames):
    model = make_model(charges={})
    periodic = frames[:5]
    expected = predict(model, periodic, dtype="float64")
    found = predict(model, prepare(periodic, AEV, "float64"), dtype="float64", memory_MB=0.001)
    np.testing.assert_allclose(found.forces, expected.forces, atol=1e-12)
    np.testing.assert_allclose(found.stress, expected.stress, atol=1e-12)
    assert np.isnan(predict(model, prepare(frames[5:6], AEV)).stress).all()


def test_bad_frames_are_named(frames):
    model = make_model()
    with pytest.raises(InputError, match="no frames"):
        evaluate_frames(model, [])
    with pytest.raises(InputError, match=r"frame 1: .*unknown"):
        evaluate_frames(model, [frames[0], bulk("Ni")])
    with pytest.raises(InputError, match=r"frame 1: .*not neutral"):
        evaluate_frames(model, [frames[0], Atoms("ZnO2", np.diag([0.0, 2.0, 4.0]), cell=[9] * 3, pbc=True)])
    with pytest.raises(InputError, match="dtype"):
        predict(model, frames, dtype="half")
