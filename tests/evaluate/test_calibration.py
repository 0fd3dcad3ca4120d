"""Calibration of spreads: known widths come back, over-confidence is named, committees give theirs."""

from types import SimpleNamespace

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from asennp.errors import InputError
from asennp.evaluate import ParityResult, compute_calibration, compute_parity, predict

N = 40_000


@pytest.mark.parametrize("sureness", [1.0, 2.5])
def test_errors_of_the_stated_width_are_calibrated(sureness: float) -> None:
    """Errors drawn with `sureness` times the stated spread: the ratio, and the normal law's coverage."""
    rng = np.random.default_rng(0)
    spread = np.exp(rng.normal(0.0, 0.7, N))
    found = compute_calibration(sureness * spread * rng.normal(size=N), spread, "meV/Å")
    assert found.ratio == pytest.approx(sureness, rel=0.03)
    assert found.z_rms == pytest.approx(sureness, rel=0.02)
    assert np.allclose(found.bin_error / found.bin_spread, sureness, rtol=0.06)
    assert found.miscalibration == pytest.approx(sureness - 1.0, abs=0.03)
    if sureness == 1.0:
        assert found.within_one == pytest.approx(0.6827, abs=0.01)
        assert found.within_two == pytest.approx(0.9545, abs=0.005)
        assert np.allclose(found.coverage, found.levels, atol=0.01)
    assert found.rank_correlation > 0.3


def test_spreads_that_know_nothing_of_the_errors_do_not_rank_them() -> None:
    rng = np.random.default_rng(1)
    found = compute_calibration(rng.normal(size=N), rng.uniform(0.5, 1.5, N))
    assert abs(found.rank_correlation) < 0.02


def test_values_without_spread_are_left_out() -> None:
    found = compute_calibration(np.array([0.0, 1.0, -1.0]), np.array([0.0, 1.0, 1.0]))
    assert found.n == 2 and found.ratio == pytest.approx(1.0)


class Committee(EMT):
    """EMT with a stated spread: 50 meV/Å of every force component, 2 meV an atom, 1e-4 eV/Å^3."""

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        n = len(atoms)
        self.committee = SimpleNamespace(
            energy_std=0.002 * n, forces_std=np.full((n, 3), 0.05), stress_std=np.full(6, 1e-4)
        )


def test_parity_of_a_committee_holds_its_calibration(tmp_path) -> None:
    rng, frames = np.random.default_rng(2), []
    for _ in range(12):
        atoms = bulk("Cu", cubic=True).repeat(2)
        atoms.rattle(0.05, rng=rng)
        atoms.calc = EMT()
        labels = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
        atoms.calc = None
        atoms.info["REF_energy"] = labels[0] + 0.004 * len(atoms) * rng.normal()
        atoms.arrays["REF_forces"] = labels[1] + 0.05 * rng.normal(size=(len(atoms), 3))
        atoms.info["REF_stress"] = labels[2] + 1e-4 * rng.normal(size=6)
        frames.append(atoms)
    result = compute_parity(frames, Committee())
    assert result.calibration["forces"].ratio == pytest.approx(1.0, abs=0.07)
    assert result.calibration["forces"].n == 3 * result.n_atoms
    assert result.calibration["stress"].ratio == pytest.approx(1.0, abs=0.3)
    assert 1.0 < result.calibration["energy"].ratio < 3.0
    again = ParityResult.from_json(result.to_json(tmp_path / "parity.json"))
    assert again.to_dict() == result.to_dict()
    plain = predict(frames, EMT())
    assert plain.forces_std is None and compute_parity(frames, predictions=plain).calibration == {}


@pytest.mark.parametrize(
    ("error", "spread", "words"),
    [
        ([1.0, 2.0], [1.0], "one for each error"),
        ([1.0, 2.0], [1.0, -1.0], "not negative"),
        ([1.0, 2.0], [0.0, 1.0], "two spreads above zero"),
    ],
)
def test_bad_input(error, spread, words: str) -> None:
    with pytest.raises(InputError, match=words):
        compute_calibration(np.array(error), np.array(spread))
