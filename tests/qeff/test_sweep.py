"""The charge sweep recovers known charges, and the reference numbers on MgO."""

import os
from pathlib import Path

import numpy as np
import pytest

from asennp.dataset import read_frames
from asennp.errors import InputError
from asennp.qeff import SweepResult, dielectric_estimate, sweep, sweep_by
from asennp.qeff.sweep import best, errors

REFERENCE = Path(
    os.environ.get("ASENNP_REFERENCE", Path(__file__).resolve().parents[3] / "shared" / "reference")
)
MGO = REFERENCE / "mgo" / "mgo64_vasp.extxyz"
needs_mgo = pytest.mark.skipif(not MGO.exists(), reason=f"needs the reference data {MGO}")
CHARGES = {"Mg": 1, "O": -1}


def test_a_coulomb_crystal_gives_its_charge_exactly(make_frames):
    result = sweep(make_frames(0.85, 0.0), CHARGES)
    assert result.optimum == pytest.approx(0.85)
    assert result.interval == pytest.approx((0.85, 0.85))
    assert result.mae.min() < 1e-9 and result.mae.shape == result.q.shape == (201,)
    assert not result.contains_zero and result.note == ""
    assert result.gain == pytest.approx(result.mae[0] - result.mae.min())


def test_the_regressed_sweep_sees_through_a_short_range_energy(make_frames, aev):
    frames = make_frames(0.85, 1.0)
    plain = sweep(frames, CHARGES, samples=50)
    regressed = sweep(frames, CHARGES, method="regressed", aev=aev, samples=6)
    assert abs(plain.optimum - 0.85) > 0.3  # the short-range energy dominates
    assert regressed.optimum == pytest.approx(0.85, abs=0.08)
    assert regressed.interval[0] > 0.7 and regressed.interval[1] < 1.0
    assert regressed.mae.min() < 0.5 * regressed.mae[0]
    assert len(regressed.penalties) == 6
    again = SweepResult.from_dict(regressed.to_dict())
    assert np.array_equal(again.mae, regressed.mae) and again.interval == regressed.interval


def test_threads_change_nothing(make_frames, aev):
    frames = make_frames(0.85, 1.0)
    for method in ("plain", "regressed"):
        one, three = (sweep(frames, CHARGES, method=method, aev=aev, samples=4, n_threads=n) for n in (1, 3))
        assert np.array_equal(one.mae, three.mae) and np.array_equal(one.optima, three.optima)


def test_frames_without_charge_say_so(make_frames, aev):
    result = sweep(make_frames(0.0, 1.0), CHARGES, method="regressed", aev=aev, samples=6)
    assert result.contains_zero and result.interval[0] == 0.0
    assert "dielectric" in result.note


def test_the_seed_fixes_the_interval_and_windows_choose_frames(make_frames):
    frames = make_frames(0.85, 1.0)
    one, two = (sweep(frames, CHARGES, samples=20, seed=4) for _ in range(2))
    assert np.array_equal(one.optima, two.optima)
    assert sweep(frames, CHARGES, samples=5, energy_window=0.05).n_frames < len(frames)


def test_a_narrow_sweep_and_bad_input(make_frames):
    frames = make_frames(0.85, 0.0, n=12)
    assert "end of the sweep" in sweep(frames, CHARGES, q=np.linspace(0, 0.5, 11)).note
    with pytest.raises(InputError, match="not a chemical symbol"):
        sweep(frames, {"Mq": 1.0, "O": -1.0})
    with pytest.raises(InputError, match="a charge is not a number"):
        sweep(frames, {"Mg": np.nan, "O": -1.0})
    with pytest.raises(InputError, match="not neutral"):
        sweep(frames, {"Mg": 2, "O": -1})
    with pytest.raises(InputError, match="too few"):
        sweep(frames[:5], CHARGES)
    del frames[2].info["REF_energy"]
    with pytest.raises(InputError, match="frame 2"):
        sweep(frames, CHARGES)


def test_forces_are_swept_like_energies(make_frames, aev):
    """Coulomb alone gives its charge; with a short-range term only the regressed sweep sees it."""
    assert sweep(make_frames(0.85, 0.0, n=12), CHARGES, on="forces").optimum == pytest.approx(0.85)
    frames = make_frames(0.85, 1.0, n=30)
    plain = sweep(frames, CHARGES, on="forces", samples=20)
    assert plain.on == "forces" and plain.mae[0] > 0.1
    regressed = sweep(frames, CHARGES, method="regressed", on="forces", aev=aev, samples=4)
    assert regressed.optimum == pytest.approx(0.85, abs=0.1)
    assert abs(regressed.optimum - 0.85) < abs(plain.optimum - 0.85)
    assert regressed.mae.min() < 0.7 * regressed.mae[0]


def test_a_forceless_sweep_is_refused(make_frames):
    frames = make_frames(0.85, 0.0, n=12)
    del frames[3].arrays["REF_forces"]
    with pytest.raises(InputError, match="frame 3"):
        sweep(frames, CHARGES, on="forces")
    with pytest.raises(InputError, match="energy or forces"):
        sweep(frames, CHARGES, on="stress")


def test_sub_sets_by_label(make_frames):
    """Two populations of different charge are told apart; a handful of frames is left out."""
    frames = make_frames(0.85, 0.0, n=12) + make_frames(1.2, 0.0, n=15)
    results = sweep_by(frames, ["a"] * 12 + ["b"] * 12 + ["c"] * 3, CHARGES, samples=5)
    assert {name: result.optimum for name, result in results.items()} == pytest.approx({"a": 0.85, "b": 1.2})
    with pytest.raises(InputError, match="one label a frame"):
        sweep_by(frames, ["a"], CHARGES)


def test_dielectric_estimate():
    assert dielectric_estimate(2.0, 5.2) == pytest.approx(0.877, abs=1e-3)
    with pytest.raises(InputError):
        dielectric_estimate(2.0, 0.5)


@needs_mgo
def test_plain_sweep_of_mgo_is_thin():
    """Reference: optimum 1.12, interval 0.30 to 1.40, a gain of 3 in 244 meV/atom."""
    result = sweep(read_frames(MGO), CHARGES, energy_window=1.0)
    assert result.n_frames == 424
    assert result.optimum == pytest.approx(1.12)
    assert result.mae[0] == pytest.approx(0.2442, abs=1e-4)
    assert result.gain == pytest.approx(0.0032, abs=1e-4)
    assert 0.2 <= result.interval[0] <= 0.4 and 1.35 <= result.interval[1] <= 1.45


@needs_mgo
def test_regressed_sweep_of_mgo_is_sharp():
    """Reference: q = 0.95 (0.72-1.14), 3.9 meV/atom at q = 0, 2.25 at the optimum, 7.0 at 1.7, 10.7 at 2."""
    frames = read_frames(MGO)
    result = sweep(frames, CHARGES, method="regressed", energy_window=1.0, samples=8)
    assert result.optimum == pytest.approx(0.95, abs=0.08)
    assert 0.65 < result.interval[0] < result.interval[1] < 1.2
    meV = 1e3 * result.mae
    assert meV[0] == pytest.approx(3.9, rel=0.35) and meV.min() == pytest.approx(2.25, rel=0.25)
    assert meV[170] == pytest.approx(7.0, rel=0.25) and meV[200] == pytest.approx(10.7, rel=0.25)
    near = sweep(frames, CHARGES, method="regressed", energy_window=0.3, samples=8)
    assert near.n_frames == 247 and near.optimum == pytest.approx(0.98, abs=0.08)
    assert near.mae.min() < 0.6 * near.mae[0]


@pytest.mark.parametrize("q", [np.arange(0.0, 2.005, 0.01), np.linspace(-1.5, 1.5, 31), np.array([0.0, 3.0])])
def test_the_best_charge_is_found_without_trying_all(q):
    rng = np.random.default_rng(2)
    for scale in (0.0, 0.3, 1.0, 2.5):
        values = rng.normal(size=(200, 2))
        values[:, 0] = scale**2 * values[:, 1] + 0.3 * rng.normal(size=200)
        assert best(values, q) == np.argmin(errors(values, q))
    assert best(np.array([[1.0, 0.0], [2.0, 0.0]]), q) == 0
