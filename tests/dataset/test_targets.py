import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones

from asennp.dataset import attach_labels, audit, compute_labels, residual_targets
from asennp.errors import InputError


@pytest.fixture
def frames():
    rng = np.random.default_rng(0)
    crystals = [bulk("Cu", cubic=True) for _ in range(3)]
    for crystal in crystals:
        crystal.rattle(0.05, rng=rng)
    return crystals


def test_a_residual_plus_its_baseline_is_the_label(frames):
    lj = LennardJones(sigma=2.3, epsilon=0.2, rc=5.0, smooth=True)
    labelled = compute_labels(frames, EMT(), ("energy", "forces", "stress", "energies"))
    for frame, residual in zip(labelled, residual_targets(labelled, lj)):
        bare = frame.copy()
        bare.calc = lj
        assert residual.info["REF_energy"] == frame.info["REF_energy"] - bare.get_potential_energy()
        assert np.array_equal(residual.arrays["REF_forces"], frame.arrays["REF_forces"] - bare.get_forces())
        assert np.array_equal(residual.info["REF_stress"], frame.info["REF_stress"] - bare.get_stress())
        energies = frame.arrays["REF_energies"] - bare.get_potential_energies()
        assert np.array_equal(residual.arrays["REF_energies"], energies)
    assert labelled[0].calc is None and "REF_energy" not in frames[0].info


def test_atomic_energies_that_the_baseline_lacks_are_dropped_and_missing_stress_is_an_error(frames):
    class Poor(LennardJones):
        implemented_properties = ("energy", "forces")

    labelled = compute_labels(frames, EMT(), ("energy", "forces", "energies"))
    residual = residual_targets(labelled, Poor())[0]
    assert "REF_energies" not in residual.arrays and "REF_forces" in residual.arrays
    with pytest.raises(InputError, match="gives no stress"):
        residual_targets(compute_labels(frames, EMT()), Poor())
    with pytest.raises(InputError, match="REF_energy is missing"):
        residual_targets(frames, Poor())


def test_free_energy_and_energy_lose_the_same_baseline(frames):
    labelled = [attach_labels(f, {"energy": -1.0, "free_energy": -1.5}) for f in frames]
    residual = residual_targets(labelled, LennardJones())[0]
    assert residual.info["REF_energy"] - residual.info["REF_free_energy"] == pytest.approx(0.5)


def test_the_audit_counts_and_refuses(frames):
    labelled = compute_labels(frames, EMT())
    labelled.append(labelled[0].copy())
    del labelled[1].info["REF_stress"]
    result = audit(labelled, require=["energy", "forces"])
    assert result.counts["stress"] == 3 and result.counts["energies"] == 0
    assert result.n_duplicates == 1 and result.compositions == {"Cu4": 4}
    low, high = result.ranges["energy"]
    assert low <= labelled[0].info["REF_energy"] / 4 <= high
    assert "REF_stress: 3 of 4" in result.text()
    with pytest.raises(InputError, match=r"REF_stress is missing[\s\S]*frame 1"):
        audit(labelled, require=["stress"])
    with pytest.raises(InputError, match="REF_energies carries weight"):
        result.require(["energies"])
    assert type(result).from_dict(result.to_dict()).ranges == result.ranges
