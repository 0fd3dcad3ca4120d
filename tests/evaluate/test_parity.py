import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from asennp.errors import InputError
from asennp.evaluate import ParityResult, Predictions, compute_parity, predict
from asennp.units import EV_A3_MPA


@pytest.fixture(scope="module")
def frames():
    rng = np.random.default_rng(0)
    made = []
    for k in range(6):
        atoms = bulk("Cu", cubic=True) * (1 + k % 2, 1, 1)
        atoms.symbols[0] = "Au"
        atoms.rattle(0.05, rng=rng)
        atoms.info["group"] = "a" if k < 4 else "b"
        atoms.calc = EMT()
        atoms.info["REF_energy"] = atoms.get_potential_energy()
        atoms.info["REF_stress"] = atoms.get_stress()
        atoms.arrays["REF_forces"] = atoms.get_forces()
        atoms.calc = None
        made.append(atoms)
    return made


def shifted(frames, energy=0.0, force=0.0, stress=0.0):
    return Predictions(
        np.array([f.info["REF_energy"] + energy * len(f) for f in frames]),
        [f.arrays["REF_forces"] + force for f in frames],
        np.array([f.info["REF_stress"] + stress for f in frames]),
    )


def test_the_labels_own_calculator_has_no_error(frames):
    result = compute_parity(frames, EMT())
    for errors in (result.energy, result.forces, result.stress):
        assert errors.max < 1e-9 and errors.r2 == pytest.approx(1.0)
    assert result.energy.n == 6 and result.forces.n == 3 * result.n_atoms and result.stress.n == 36


def test_known_offsets_come_back_in_reporting_units(frames):
    result = compute_parity(frames, predictions=shifted(frames, 0.002, -0.03, 1e-4))
    assert result.energy.mae == pytest.approx(2.0) and result.energy.bias == pytest.approx(2.0)
    assert result.forces.rmse == pytest.approx(30.0) and result.forces.bias == pytest.approx(-30.0)
    assert result.stress.mae == pytest.approx(1e-4 * EV_A3_MPA)
    assert (result.energy.unit, result.forces.unit, result.stress.unit) == ("meV/atom", "meV/Å", "MPa")


def test_shift_is_removed_only_when_asked_and_always_stated(frames):
    predictions = shifted(frames, energy=0.5)
    kept = compute_parity(frames, predictions=predictions)
    removed = compute_parity(frames, predictions=predictions, remove_shift=True)
    assert kept.energy.mae == pytest.approx(500.0) and not kept.shift_removed
    assert removed.energy.mae == pytest.approx(0.0, abs=1e-9) and removed.shift_removed
    assert kept.shift_meV == removed.shift_meV == pytest.approx(500.0)


def test_groups_and_species_see_their_own_atoms_only(frames):
    predictions = shifted(frames)
    for frame, forces in zip(frames, predictions.forces):
        forces[frame.symbols == "Au"] += 0.1
    predictions.energies[4:] += 1.0
    result = compute_parity(frames, predictions=predictions)
    assert result.species["Au"].mae == pytest.approx(100.0) and result.species["Cu"].mae == 0.0
    assert result.groups["a"]["energy"].mae == 0.0 and result.groups["b"]["energy"].mae > 100.0
    assert result.groups["a"]["energy"].n == 4


def test_absent_labels_are_none_and_partial_ones_refused(frames):
    bare = [f.copy() for f in frames]
    for frame in bare:
        del frame.info["REF_stress"]
    assert compute_parity(bare, predictions=shifted(frames)).stress is None
    del bare[2].info["REF_energy"]
    with pytest.raises(InputError, match="REF_energy is missing on 1 of 6"):
        compute_parity(bare, predictions=shifted(frames))


def test_bad_calls_are_refused(frames):
    with pytest.raises(InputError, match="do not belong"):
        compute_parity(frames[:3], predictions=shifted(frames))
    with pytest.raises(InputError, match="calculator or predictions"):
        compute_parity(frames)
    with pytest.raises(InputError, match="no labels"):
        compute_parity([bulk("Cu")], EMT())


def test_result_survives_json(frames, tmp_path):
    result = compute_parity(frames, predictions=predict(frames, EMT()))
    again = ParityResult.from_json(result.to_json(tmp_path / "parity.json"))
    assert again.to_dict() == result.to_dict()
