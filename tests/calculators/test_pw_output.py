"""The reader of pw.x's output: finished, unfinished, not converged, stopped and failed runs."""

import json
from pathlib import Path

import numpy as np
import pytest
from ase import units

from asennp.calculators.pw_output import read_pw_output

NAMES = ("rs8_f0005", "zb8_f0004", "w8_f0002")


@pytest.mark.parametrize("name", NAMES)
def test_recorded_outputs(reference: Path, name: str) -> None:
    """Energies, forces and stress as another reader took them from the same text."""
    folder = reference / "zno_qe" / "raw"
    expected = json.loads((folder / "parsed.json").read_text())[name]
    output = read_pw_output(folder / f"{name}.pwo")
    assert (output.status, output.version, output.n_bands) == ("done", "6.7MaX", 40)
    assert output.n_iterations == expected["scf_iter"]
    assert output.energy == pytest.approx(expected["energy_eV"], abs=1e-6)
    assert output.free_energy == pytest.approx(expected["free_energy_eV"], abs=1e-6)
    np.testing.assert_allclose(output.forces, expected["forces_eV_A"], atol=1e-7)
    np.testing.assert_allclose(output.stress, expected["stress_ase_voigt_eV_A3"], atol=1e-7)


def test_every_cut_of_an_output_is_unfinished_or_complete(reference: Path, tmp_path: Path) -> None:
    """A run killed at any moment is never taken for a finished one, nor breaks the reader."""
    text = (reference / "zno_qe" / "raw" / "w8_f0002.pwo").read_text()
    whole = read_pw_output(reference / "zno_qe" / "raw" / "w8_f0002.pwo")
    end = text.index("JOB DONE.") + len("JOB DONE.")
    part = tmp_path / "part.pwo"
    for cut in np.linspace(0, len(text), 60).astype(int):
        part.write_text(text[:cut])
        output = read_pw_output(part)
        assert output.status == ("done" if cut >= end else "unfinished")
        if output.status == "done":
            assert output.energy == whole.energy
            np.testing.assert_array_equal(output.stress, whole.stress)


HEAD = """     Program PWSCF v.6.7MaX starts on  1Jan2026
     number of Kohn-Sham states=           24
     iteration #  1     ecut=    30.00 Ry     beta= 0.40
     total energy              =     -10.00000000 Ry
     iteration #  2     ecut=    30.00 Ry     beta= 0.40
     total energy              =     -10.50000000 Ry
"""


def test_not_converged_keeps_the_last_energy_and_the_bands(tmp_path: Path) -> None:
    path = tmp_path / "a.pwo"
    path.write_text(HEAD + "     convergence NOT achieved after   2 iterations: stopping\n   JOB DONE.\n")
    output = read_pw_output(path)
    assert (output.status, output.n_iterations, output.n_bands) == ("not converged", 2, 24)
    assert output.free_energy == pytest.approx(-10.5 * units.Ry)
    assert output.forces is None and output.stress is None


def test_stopped_on_request(tmp_path: Path) -> None:
    path = tmp_path / "a.pwo"
    path.write_text(HEAD + "     Calculation stopped in scf loop at iteration #     2\n   JOB DONE.\n")
    assert read_pw_output(path).status == "stopped"


def test_the_error_of_pw_is_quoted(tmp_path: Path) -> None:
    rule = " " + "%" * 80
    block = f"{rule}\n     Error in routine c_bands (1):\n     too many bands are not converged\n{rule}\n"
    path = tmp_path / "a.pwo"
    path.write_text(HEAD + block)
    output = read_pw_output(path)
    assert output.status == "failed"
    assert output.message == "Error in routine c_bands (1): too many bands are not converged"


def test_the_smearing_term_is_taken_out_and_the_last_field_counts(tmp_path: Path) -> None:
    def scf(energy: float, smearing: float) -> str:
        return f"!    total energy = {energy} Ry\n     smearing contrib. (-TS) = {smearing} Ry\n"

    path = tmp_path / "a.pwo"
    path.write_text(scf(-10.0, -0.5) + scf(-11.0, -0.002) + "convergence has been achieved\nJOB DONE.\n")
    output = read_pw_output(path)
    assert output.free_energy == pytest.approx(-11.0 * units.Ry)
    assert output.energy == pytest.approx((-11.0 + 0.002) * units.Ry)


def test_stress_has_the_sign_and_order_of_ase(tmp_path: Path) -> None:
    """pw.x prints the pressure tensor: compressed is positive there, negative in ASE."""
    path = tmp_path / "a.pwo"
    path.write_text(
        "     total   stress  (Ry/bohr**3)                   (kbar)     P=       10.00\n"
        "   0.001   0.006   0.005   1.0 2.0 3.0\n   0.006   0.002   0.004   1.0 2.0 3.0\n"
        "   0.005   0.004   0.003   1.0 2.0 3.0\n"
    )
    stress = read_pw_output(path).stress
    np.testing.assert_allclose(stress, -0.001 * np.arange(1, 7) * units.Ry / units.Bohr**3)
