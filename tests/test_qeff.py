"""The charge sweep recovers known charges, and the reference numbers on MgO."""

import os
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.neighborlist import neighbor_list

from asennp.calculators.coulomb import CoulombCalculator
from asennp.dataset import read_frames
from asennp.errors import InputError
from asennp.models import AEVSettings
from asennp.qeff import SweepResult, dielectric_estimate, sweep

REFERENCE = Path(
    os.environ.get("ASENNP_REFERENCE", Path(__file__).resolve().parents[2] / "shared" / "reference")
)
MGO = REFERENCE / "mgo" / "mgo64_vasp.extxyz"
needs_mgo = pytest.mark.skipif(not MGO.exists(), reason=f"needs the reference data {MGO}")
CHARGES = {"Mg": 1, "O": -1}
AEV = AEVSettings(
    species=("Mg", "O"),
    radial_cutoff=4.0,
    radial_shifts=tuple(np.arange(1.6, 4.0, 0.3)),
    radial_eta=8.0,
    angular_cutoff=3.0,
    angular_shifts=(1.5, 2.3),
    angular_eta=3.0,
    n_sections=2,
)


def make_frames(charge: float, short_range: float, n: int = 80) -> list[Atoms]:
    """Return MgO crystals whose energy is Coulomb at a known charge and a pair term of short range."""
    rng = np.random.default_rng(3)
    coulomb = CoulombCalculator({"Mg": charge, "O": -charge}) if charge else None
    frames = []
    for k in range(n):
        cells = (1, 1, 1 + k % 2)
        frame = bulk("MgO", "rocksalt", a=4.25 * (1 + 0.02 * rng.normal()), cubic=True) * cells
        frame.rattle(0.08, rng=rng)
        distances = neighbor_list("d", frame, {("Mg", "O"): 3.2}) / 3.2
        energy = short_range * ((1 - distances**2) ** 3).sum()
        if coulomb is not None:
            energy += coulomb.get_property("energy", frame)
        frame.info["REF_energy"] = float(energy) - 7.0 * len(frame)
        frames.append(frame)
    return frames


def test_a_coulomb_crystal_gives_its_charge_exactly():
    result = sweep(make_frames(0.85, 0.0), CHARGES)
    assert result.optimum == pytest.approx(0.85)
    assert result.interval == pytest.approx((0.85, 0.85))
    assert result.mae.min() < 1e-9 and result.mae.shape == result.q.shape == (201,)
    assert not result.contains_zero and result.note == ""
    assert result.gain == pytest.approx(result.mae[0] - result.mae.min())


def test_the_regressed_sweep_sees_through_a_short_range_energy():
    frames = make_frames(0.85, 1.0)
    plain = sweep(frames, CHARGES, samples=50)
    regressed = sweep(frames, CHARGES, method="regressed", aev=AEV, samples=6)
    assert abs(plain.optimum - 0.85) > 0.3  # the short-range energy dominates
    assert regressed.optimum == pytest.approx(0.85, abs=0.08)
    assert regressed.interval[0] > 0.7 and regressed.interval[1] < 1.0
    assert regressed.mae.min() < 0.5 * regressed.mae[0]
    assert len(regressed.penalties) == 6
    again = SweepResult.from_dict(regressed.to_dict())
    assert np.array_equal(again.mae, regressed.mae) and again.interval == regressed.interval


def test_frames_without_charge_say_so():
    result = sweep(make_frames(0.0, 1.0), CHARGES, method="regressed", aev=AEV, samples=6)
    assert result.contains_zero and result.interval[0] == 0.0
    assert "dielectric" in result.note


def test_the_seed_fixes_the_interval_and_windows_choose_frames():
    frames = make_frames(0.85, 1.0)
    one, two = (sweep(frames, CHARGES, samples=20, seed=4) for _ in range(2))
    assert np.array_equal(one.optima, two.optima)
    assert sweep(frames, CHARGES, samples=5, energy_window=0.05).n_frames < len(frames)


def test_a_narrow_sweep_and_bad_input():
    frames = make_frames(0.85, 0.0, n=12)
    assert "end of the sweep" in sweep(frames, CHARGES, q=np.linspace(0, 0.5, 11)).note
    with pytest.raises(InputError, match="not neutral"):
        sweep(frames, {"Mg": 2, "O": -1})
    with pytest.raises(InputError, match="too few"):
        sweep(frames[:5], CHARGES)
    del frames[2].info["REF_energy"]
    with pytest.raises(InputError, match="frame 2"):
        sweep(frames, CHARGES)


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
