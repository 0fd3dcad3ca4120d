"""The features of the local linear model: their derivatives, and what they leave."""

import numpy as np

from asennp.calculators.coulomb import CoulombCalculator
from asennp.qeff.rows import SweepData, force_features, regressed_residuals, summed_features


def test_force_features_are_minus_the_gradient_of_the_summed_ones(make_frames, aev):
    frame = make_frames(0.0, 1.0, n=2)[1]
    rows = force_features(frame, aev).reshape(len(frame), 3, -1)
    for atom, axis in ((0, 0), (3, 1), (9, 2)):
        moved = []
        for sign in (1, -1):
            copy = frame.copy()
            copy.positions[atom, axis] += sign * 1e-4
            moved.append(summed_features([copy], aev)[0] * len(frame))
        slope = (moved[0] - moved[1]) / 2e-4
        np.testing.assert_allclose(rows[atom, axis], -slope, atol=2e-4 * np.abs(slope).max())


def test_a_local_energy_is_explained_and_a_long_ranged_one_is_not(make_frames, aev):
    """What is linear in the features goes to nothing; Coulomb does not."""
    frames = make_frames(0.0, 1.0, n=60)
    weights = np.random.default_rng(1).normal(size=2 * aev.length)
    for frame, features in zip(frames, summed_features(frames, aev)):
        frame.info["REF_energy"] = float(features @ weights) * len(frame)
    data = SweepData(frames, aev=aev)
    rows = data.rows([data.coulomb({"Mg": 1, "O": -1})], regressed=True)
    (train, test), *_ = data.splits(1)
    ((rest, penalty),) = regressed_residuals(
        rows, [(train, test)], lambda values: float(np.abs(values[:, 0]).mean())
    )
    before = np.abs(rows.centred(test)).mean(axis=0)
    left = np.abs(rest).mean(axis=0)
    assert left[0] < 0.05 * before[0] and penalty == 1e-3
    assert left[1] > 2 * 0.05 * before[1]


def test_the_sum_of_one_scale_serves_the_others(make_frames):
    data = SweepData(make_frames(0.85, 1.0, n=12), accuracy=1e-8)
    data.coulomb({"Mg": 0.7, "O": -0.7})
    formal = CoulombCalculator({"Mg": 2.0, "O": -2.0}, accuracy=1e-8)
    for frame, (energy, forces) in zip(data.frames, data.coulomb({"O": -2.0, "Mg": 2.0})):
        assert abs(energy - formal.get_property("energy", frame)) < 1e-6 * len(frame)
        np.testing.assert_allclose(forces, formal.get_property("forces", frame), atol=1e-6)
    assert len(data._coulomb) == 1
