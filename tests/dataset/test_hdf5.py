"""HDF5 files of the Low2High tutorials: units, the virial's sign and order, and what is refused."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.stress import full_3x3_to_voigt_6_stress

from asennp import EAM
from asennp.dataset import attach_labels, read_hdf5, write_hdf5
from asennp.errors import InputError
from asennp.units import HARTREE_EV

h5py = pytest.importorskip("h5py")


def labelled(seed: int, symbols: str = "NaCl") -> Atoms:
    rng = np.random.default_rng(seed)
    atoms = bulk(symbols, "rocksalt", a=5.6)
    atoms.rattle(0.1, rng=rng)
    results = {"energy": rng.normal(), "forces": rng.normal(size=(2, 3)), "stress": rng.normal(size=6)}
    return attach_labels(atoms, results)


def test_what_is_written_is_read_back(tmp_path):
    frames = [labelled(0), labelled(1), labelled(2, "MgO")]
    back = read_hdf5(write_hdf5(tmp_path / "frames.h5", frames))
    assert [f.get_chemical_formula() for f in back] == ["ClNa", "ClNa", "MgO"]
    assert [(f.info["source"], f.info["step"]) for f in back] == [
        ("mols/mol0", 0), ("mols/mol0", 1), ("mols/mol1", 0)
    ]  # fmt: skip
    for frame, other in zip(frames, back):
        assert np.allclose(other.positions, frame.positions) and np.allclose(other.cell, frame.cell)
        assert other.info["REF_energy"] == pytest.approx(frame.info["REF_energy"])
        assert np.allclose(other.info["REF_stress"], frame.info["REF_stress"])
        assert np.allclose(other.arrays["REF_forces"], frame.arrays["REF_forces"])


def test_the_virial_is_minus_the_strain_derivative_in_its_own_order(tmp_path):
    frame = labelled(3)
    tensor = np.array([[1.0, 4.0, 5.0], [4.0, 2.0, 6.0], [5.0, 6.0, 3.0]])  # dE/deps, eV
    frame.info["REF_stress"] = full_3x3_to_voigt_6_stress(tensor) / frame.cell.volume
    with h5py.File(write_hdf5(tmp_path / "one.h5", [frame])) as file:
        xx_yy_zz_xy_xz_yz = file["mols/mol0/virial"][0]
        assert np.allclose(xx_yy_zz_xy_xz_yz * HARTREE_EV, [-1, -2, -3, -4, -5, -6])
        assert file["mols/mol0/energies"][0] * HARTREE_EV == pytest.approx(frame.info["REF_energy"])


def test_the_papers_nickel_is_what_its_potential_says(reference):
    """Guards Hartree, the species' placeholder, sign and order of the virial, on a sheared frame too."""
    folder = reference / "ni"
    frames = read_hdf5(folder / "ni32_eam.h5", {"C": "Ni"})
    assert len(frames) == 2500 and frames[0].get_chemical_formula() == "Ni32"
    calculator = EAM(folder / "NiNb.eam.fs")
    for k in (0, 1700, 2450):
        frame = frames[k]
        calculator.calculate(frame)
        found = calculator.results
        assert found["energy"] == pytest.approx(frame.info["REF_energy"], abs=1e-5)
        assert np.allclose(found["forces"], frame.arrays["REF_forces"], atol=1e-3)
        assert np.allclose(found["stress"], frame.info["REF_stress"], atol=1e-5)
    assert abs(frames[1700].info["REF_stress"][3:]).max() > 1e-3


def test_bad_input_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_hdf5(tmp_path / "nothing.h5")
    (tmp_path / "text.h5").write_text("text")
    with pytest.raises(InputError, match="not an HDF5 file"):
        read_hdf5(tmp_path / "text.h5")
    path = write_hdf5(tmp_path / "frames.h5", [labelled(0)])
    with pytest.raises(InputError, match=r"unknown species[\s\S]*species="):
        read_hdf5(path, {"Na": "Q"})
    with h5py.File(path, "r+") as file:
        file["mols/mol0/energies"][0] = np.nan
    with pytest.raises(InputError, match=r"frame 0: REF_energy holds NaN"):
        read_hdf5(path)
    with h5py.File(path, "r+") as file:
        del file["mols/mol0/forces"]
        file["mols/mol0/forces"] = np.zeros((1, 3, 3))
    with pytest.raises(InputError, match="forces has a wrong form"):
        read_hdf5(path)
    with h5py.File(tmp_path / "empty.h5", "w"):
        pass
    with pytest.raises(InputError, match="no frames"):
        read_hdf5(tmp_path / "empty.h5")
    with pytest.raises(InputError, match="REF_stress is missing"):
        frame = labelled(0)
        del frame.info["REF_stress"]
        write_hdf5(tmp_path / "a.h5", [frame])
    with pytest.raises(InputError, match="periodic frames"):
        frame = labelled(0)
        frame.pbc = (True, True, False)
        write_hdf5(tmp_path / "a.h5", [frame])
