"""Frames for other trainers, read back as these read them."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import read

from asennp import CoulombCalculator, PQEqCalculator
from asennp.dataset import (
    compute_labels,
    fit_offsets,
    read_frames,
    residual_targets,
    write_training_data,
)
from asennp.errors import InputError


@pytest.fixture
def frames():
    rng = np.random.default_rng(0)
    crystals = [bulk("Cu", cubic=True) for _ in range(3)]
    for crystal in crystals:
        crystal.rattle(0.05, rng=rng)
        crystal.set_cell(crystal.cell.array @ (np.eye(3) + rng.normal(0.0, 0.02, (3, 3))), scale_atoms=True)
        crystal.info["source"] = "test"
    return compute_labels(crystals, EMT())


def test_mace_reads_its_own_keys_and_the_lone_atoms(frames, tmp_path) -> None:
    path = write_training_data(tmp_path / "train.extxyz", frames, isolated_atoms={"Cu": -0.25})
    *whole, atom = read(path, ":")
    for got, want in zip(whole, frames, strict=True):
        assert got.info["REF_energy"] == want.info["REF_energy"] and got.info["source"] == "test"
        assert np.array_equal(got.arrays["REF_forces"], want.arrays["REF_forces"])
        assert np.array_equal(got.info["REF_stress"], want.info["REF_stress"])
    assert len(atom) == 1 and atom.info["config_type"] == "IsolatedAtom"
    assert atom.info["REF_energy"] == -0.25 and not atom.pbc.any()


def test_nequip_reads_what_ase_reads(frames, tmp_path) -> None:
    path = write_training_data(tmp_path / "train.extxyz", frames, "nequip")
    for got, want in zip(read(path, ":"), frames, strict=True):
        assert got.get_potential_energy() == want.info["REF_energy"]
        assert np.array_equal(got.get_forces(), want.arrays["REF_forces"])
        np.testing.assert_allclose(got.get_stress(), want.info["REF_stress"], rtol=1e-15)


def test_deepmd_reads_forces_and_a_virial_of_its_sign(frames, tmp_path) -> None:
    """The virial against finite strain: dE = -tr(virial deps)."""
    path = write_training_data(tmp_path / "train.extxyz", frames, "deepmd")
    frame, got = frames[0], read(path, 0)
    strain = np.diag([1e-4, 0.0, 0.0])
    energies = []
    for sign in (1, -1):
        moved = frame.copy()
        moved.set_cell(frame.cell.array @ (np.eye(3) + sign * strain), scale_atoms=True)
        energies.append(EMT().get_property("energy", moved))
    virial = np.reshape(got.info["virial"], (3, 3))
    assert virial[0, 0] == pytest.approx(-(energies[0] - energies[1]) / 2e-4, rel=1e-5)
    dpdata = pytest.importorskip("dpdata", reason="needs dpdata (pip install dpdata)")
    system = dpdata.MultiSystems.from_file(str(path), fmt="quip/gap/xyz")[0]
    np.testing.assert_allclose(system["energies"], [f.info["REF_energy"] for f in frames], rtol=1e-12)
    np.testing.assert_allclose(system["forces"][0], frame.arrays["REF_forces"], rtol=1e-7)
    np.testing.assert_allclose(system["virials"][0], virial, rtol=1e-7)


@pytest.mark.parametrize("baseline", [CoulombCalculator({"Mg": 1.0, "O": -1.0}), PQEqCalculator()])
def test_a_residual_of_any_baseline_adds_up_again(baseline, tmp_path) -> None:
    atoms = bulk("MgO", "rocksalt", a=4.2, cubic=True)
    atoms.rattle(0.05, seed=2)
    labelled = compute_labels([atoms], CoulombCalculator({"Mg": 1.7, "O": -1.7}))
    path = write_training_data(tmp_path / "residual.extxyz", residual_targets(labelled, baseline))
    (residual,) = read_frames(path)
    total = residual.info["REF_energy"] + baseline.get_property("energy", atoms)
    assert total == pytest.approx(labelled[0].info["REF_energy"], abs=1e-10)
    forces = residual.arrays["REF_forces"] + baseline.get_property("forces", atoms)
    np.testing.assert_allclose(forces, labelled[0].arrays["REF_forces"], atol=1e-10)


def test_offsets_are_found_where_the_compositions_tell_them() -> None:
    rng = np.random.default_rng(1)
    frames = []
    for _ in range(12):
        atoms = bulk("MgO", "rocksalt", a=4.2, cubic=True)
        del atoms[rng.integers(8)]
        symbols = atoms.get_chemical_symbols()
        atoms.info["REF_energy"] = -2.0 * symbols.count("Mg") - 5.0 * symbols.count("O")
        frames.append(atoms)
    assert fit_offsets(frames) == pytest.approx({"Mg": -2.0, "O": -5.0})
    alike = [frame for frame in frames if len(frame) == 7][:1] * 3
    counts = [alike[0].get_chemical_symbols().count(s) for s in ("Mg", "O")]
    assert np.dot(list(fit_offsets(alike).values()), counts) == pytest.approx(alike[0].info["REF_energy"])


def test_bad_input_is_said(frames, tmp_path) -> None:
    with pytest.raises(InputError, match="did you mean 'mace'"):
        write_training_data(tmp_path / "x.extxyz", frames, "mase")
    with pytest.raises(InputError, match="per_type_energy_shifts"):
        write_training_data(tmp_path / "x.extxyz", frames, "nequip", isolated_atoms={"Cu": 0.0})
    del frames[1].info["REF_energy"]
    with pytest.raises(InputError, match="frame 1"):
        write_training_data(tmp_path / "x.extxyz", frames)
