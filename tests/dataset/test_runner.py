"""RuNNer's format: units, labels, errors."""

import numpy as np
import pytest
from ase.units import Bohr, Hartree

from asennp.dataset import read_frames
from asennp.errors import InputError

FRAME = """begin
comment a chain
lattice 10.0 0.0 0.0
lattice 0.0 11.0 0.0
lattice 0.0 0.0 12.0
atom 0.0 0.0 0.0 Na 0.8 0.0 0.01 0.02 -0.03
atom 4.5 0.0 0.0 Cl -0.7 0.0 -0.01 -0.02 0.03
energy -622.5
charge 0.1
end
"""


def test_units_and_labels(tmp_path):
    file = tmp_path / "input.data"
    cluster = "\n".join(line for line in FRAME.splitlines() if not line.startswith("lattice")) + "\n"
    file.write_text(FRAME + cluster)
    crystal, molecule = read_frames(file)
    assert crystal.get_chemical_formula() == "ClNa"
    assert crystal.pbc.all()
    assert not molecule.pbc.any()
    np.testing.assert_allclose(crystal.cell.lengths(), Bohr * np.array([10, 11, 12]))
    assert molecule.positions[1, 0] == pytest.approx(4.5 * Bohr)
    assert molecule.info["REF_energy"] == pytest.approx(-622.5 * Hartree)
    assert molecule.info["total_charge"] == 0.1
    np.testing.assert_allclose(
        molecule.arrays["REF_forces"][0], np.array([0.01, 0.02, -0.03]) * Hartree / Bohr
    )
    np.testing.assert_allclose(molecule.arrays["REF_charges"], [0.8, -0.7])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("end\n", "", "does not end"),
        ("energy -622.5\n", "", "not whole"),
        ("lattice 0.0 0.0 12.0\n", "", "2 vectors"),
        ("atom 0.0 0.0", "atom 0.0 zero", "not numbers"),
        ("Na 0.8 0.0", "Na 0.8", "line 6: not an atom"),
        ("comment", "remark", "line 2: not a RuNNer file"),
        (" Na ", " Qq ", "no such element"),
    ],
)
def test_bad_files_are_named(tmp_path, old, new, message):
    file = tmp_path / "input.data"
    file.write_text(FRAME.replace(old, new))
    with pytest.raises(InputError, match=message):
        read_frames(file)
