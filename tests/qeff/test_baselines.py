"""Other people's charges: by species, by atom, by calculator, from a file."""

from pathlib import Path

import numpy as np
import pytest
from ase.calculators.calculator import Calculator, all_changes

from asennp.errors import InputError
from asennp.qeff import ChargeComparison, compare_charges, read_acf, sweep

CHARGES = {"Mg": 1, "O": -1}


class Breathing(Calculator):
    """Charges that follow the volume, as charge equilibration gives them."""

    implemented_properties = ["charges"]  # noqa: RUF012

    def calculate(self, atoms=None, properties=("charges",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        size = 0.85 * atoms.get_volume() / len(atoms) / 9.6
        self.results["charges"] = np.where(atoms.numbers == 12, size, -size)


def test_models_beside_each_other(make_frames, aev):
    """A model at the true charge leaves nothing; one of a fixed scale agrees with the sweep at that scale."""
    frames = make_frames(0.85, 0.0, n=30)
    for frame in frames:
        frame.arrays["REF_charges"] = np.where(frame.numbers == 12, 0.85, -0.85) + 1e-4
    models = {"formal": {"Mg": 2, "O": -2}, "teacher": "REF_charges", "breathing": Breathing()}
    result = compare_charges(frames, models, aev=aev, n_splits=3)
    assert result.names == ["none", "formal", "teacher", "breathing"]
    swept = sweep(frames, CHARGES)
    assert result.plain[:2] == pytest.approx([swept.mae[0], swept.mae[200]], rel=1e-6)
    assert result.plain[2] < 1e-6 < result.plain[3]
    assert result.regressed[2] < 1e-6
    assert result.mean_charges["formal"] == {"Mg": 2.0, "O": -2.0}
    assert result.mean_charges["teacher"]["Mg"] == pytest.approx(0.85)  # the excess is spread away
    assert ChargeComparison.from_dict(result.to_dict()).names == result.names


def test_forces_beside_each_other(make_frames):
    frames = make_frames(0.85, 0.0, n=12)
    result = compare_charges(frames, {"true": {"Mg": 0.85, "O": -0.85}}, on="forces", regressed=False)
    assert result.plain[1] < 1e-5 * result.plain[0]
    assert np.isnan(result.regressed).all()


def test_charges_that_are_not_there_or_not_neutral(make_frames):
    frames = make_frames(0.85, 0.0, n=12)
    with pytest.raises(InputError, match="no such charges"):
        compare_charges(frames, {"Bader": "bader"})
    for frame in frames:
        frame.arrays["bader"] = np.full(len(frame), 0.1)
    with pytest.raises(InputError, match="far from neutral"):
        compare_charges(frames, {"Bader": "bader"})


ACF = """    #         X           Y           Z        CHARGE     MIN DIST    ATOMIC VOL
 --------------------------------------------------------------------------------
    1    0.000000    0.000000    0.000000   10.800000     1.5         9.1
    2    1.000000    1.000000    1.000000    7.200000     1.2        12.3
 --------------------------------------------------------------------------------
    VACUUM CHARGE:               0.0000
    NUMBER OF ELECTRONS:        18.0000
"""


def test_bader_charges_from_acf(tmp_path: Path):
    path = tmp_path / "ACF.dat"
    path.write_text(ACF)
    np.testing.assert_allclose(read_acf(path, ["Zn", "O"], {"Zn": 12, "O": 6}), [1.2, -1.2])
    with pytest.raises(InputError, match="one line an atom"):
        read_acf(path, ["Zn"], {"Zn": 12})
    with pytest.raises(InputError, match="no valence of O"):
        read_acf(path, ["Zn", "O"], {"Zn": 12})
    with pytest.raises(InputError, match="no such file"):
        read_acf(tmp_path / "absent", ["Zn"], {"Zn": 12})
