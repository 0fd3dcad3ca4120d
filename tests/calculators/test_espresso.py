"""pw.x as a labeler: the smearing term is taken out, a missing program or file is said."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from ase import units
from ase.io import read

from asennp.calculators.espresso import SmearingFreeEspresso, smearing_term
from asennp.errors import InputError

PSEUDO = {"Zn": "Zn.pbe-dn-kjpaw_psl.1.0.0.UPF", "O": "O.pbe-n-kjpaw_psl.1.0.0.UPF"}


def test_the_last_smearing_term_counts() -> None:
    line = "     smearing contrib. (-TS)   = {:15.8f} Ry\n"
    text = line.format(-0.5) + "...\n" + line.format(-0.002)
    assert smearing_term(text) == pytest.approx(-0.002 * units.Ry)
    assert smearing_term("!    total energy              =     -10.0 Ry") == 0.0


def test_missing_program_and_files_are_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no program 'pw-that-is-not-there'"):
        SmearingFreeEspresso(str(tmp_path), PSEUDO, command="pw-that-is-not-there")
    with pytest.raises(InputError, match="no pseudopotential of Zn"):
        SmearingFreeEspresso(str(tmp_path), PSEUDO, command="true")


@pytest.mark.espresso
@pytest.mark.slow
def test_recorded_calculation_is_reproduced(reference: Path) -> None:
    """One of the recorded 8-atom cells, at its own settings (about a minute)."""
    if shutil.which("pw.x") is None:
        pytest.skip("no pw.x (apt-get install quantum-espresso)")
    folder = reference / "zno_qe"
    atoms = read(folder / "raw" / "rs8_f0005.pwi")
    expected = json.loads((folder / "raw" / "parsed.json").read_text())["rs8_f0005"]
    atoms.calc = SmearingFreeEspresso(
        str(folder / "pseudo"),
        PSEUDO,
        input_data={"system": {"ecutwfc": 45.0, "ecutrho": 320.0, "nbnd": 40}},
        kpts=(3, 3, 3),
        koffset=(1, 1, 1),
    )
    # ASE's reader has the units of CODATA 2006: a few meV a cell apart
    np.testing.assert_allclose(atoms.get_potential_energy(), expected["energy_eV"], atol=5e-3)
    np.testing.assert_allclose(atoms.get_forces(), expected["forces_eV_A"], atol=2e-3)
    assert atoms.calc.results["free_energy"] == pytest.approx(expected["free_energy_eV"], abs=5e-3)
