"""Free charges: found where they are known, neutral together, refused where they mean nothing."""

import numpy as np
import pytest
from ase import Atoms

from asennp.calculators.coulomb import CoulombCalculator
from asennp.errors import InputError
from asennp.qeff import ChargeFit, fit_charges

FORMAL = {"Ba": 2, "Ti": 4, "O": -2}


def perovskites(charges: dict[str, float], n: int = 24) -> list[Atoms]:
    rng = np.random.default_rng(5)
    calculator = CoulombCalculator(charges)
    frames = []
    for _ in range(n):
        scaled = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
        frame = Atoms(
            "BaTiO3", scaled_positions=scaled, cell=4.0 * np.eye(3) * rng.uniform(0.97, 1.03), pbc=True
        )
        frame.rattle(0.1, rng=rng)
        frame.info["REF_energy"] = calculator.get_property("energy", frame) + 3.0
        frame.arrays["REF_forces"] = calculator.get_property("forces", frame)
        frames.append(frame)
    return frames


@pytest.mark.parametrize("on", ["energy", "forces"])
def test_two_free_charges_are_found(on):
    """Not in the ratio of the formal charges: a sweep of one scale could not."""
    truth = {"Ba": 1.6, "Ti": 2.2, "O": -3.8 / 3}
    fit = fit_charges(perovskites(truth), FORMAL, on=on, samples=4)
    assert fit.charges == pytest.approx(truth, abs=0.02)
    assert sum(fit.charges[s] * n for s, n in {"Ba": 1, "Ti": 1, "O": 3}.items()) == pytest.approx(
        0, abs=1e-9
    )
    assert fit.mae < 0.01 * fit.mae_uncharged and fit.note == ""
    assert all(
        low <= fit.charges[s] + 0.03 and high >= fit.charges[s] - 0.03
        for s, (low, high) in fit.intervals.items()
    )
    again = ChargeFit.from_dict(fit.to_dict())
    assert again.intervals == fit.intervals and again.charges == fit.charges


def test_regressed_and_of_one_free_charge_it_is_the_sweep(make_frames, aev):
    frames = make_frames(0.85, 1.0)
    fit = fit_charges(frames, {"Mg": 2, "O": -2}, "regressed", aev=aev, samples=4)
    assert fit.charges["Mg"] == pytest.approx(0.85, abs=0.1)
    assert fit.charges["O"] == -fit.charges["Mg"]
    assert fit.optima.shape == (4, 2)


def test_undetermined_charges_say_so(make_frames, aev):
    fit = fit_charges(make_frames(0.0, 1.0), {"Mg": 2, "O": -2}, "regressed", aev=aev, samples=4)
    assert abs(fit.charges["Mg"]) < 0.4 or "contains 0" in fit.note


def test_bad_input(make_frames):
    frames = perovskites({"Ba": 2, "Ti": 4, "O": -2}, n=12)
    with pytest.raises(InputError, match="not neutral"):
        fit_charges(frames, {"Ba": 2, "Ti": 4, "O": -1})
    with pytest.raises(InputError, match="one composition"):
        fit_charges(frames + make_frames(0.85, 0.0, n=2), FORMAL)
    with pytest.raises(InputError, match="one species"):
        fit_charges(frames, {"Ba": 2})
