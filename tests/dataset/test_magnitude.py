"""Units by order of magnitude: right ones pass, each wrong one is named, crystals at rest tell nothing."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk

from asennp import BuckinghamCoulomb
from asennp.dataset import attach_labels, audit, compute_labels, read_frames
from asennp.dataset.magnitude import doubt_units
from asennp.errors import InputError


@pytest.fixture(scope="module")
def frames() -> list[Atoms]:
    rng = np.random.default_rng(0)
    made = []
    for _ in range(20):
        atoms = bulk("MgO", "rocksalt", a=rng.uniform(4.1, 4.35), cubic=True)
        atoms.rattle(0.08, rng=rng)
        made.append(atoms)
    return compute_labels(made, BuckinghamCoulomb("mgo-lewis-catlow"))


def scaled(frames: list[Atoms], energy: float = 1.0, forces: float = 1.0, stress: float = 1.0) -> list[Atoms]:
    copies = [frame.copy() for frame in frames]
    for copy in copies:
        copy.info["REF_energy"] *= energy
        copy.arrays["REF_forces"] = copy.arrays["REF_forces"] * forces
        copy.info["REF_stress"] = copy.info["REF_stress"] * stress
    return copies


def test_right_units_are_not_doubted(frames) -> None:
    assert doubt_units(frames) == [] and audit(frames).doubts == ()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"energy": 1 / units.Hartree}, "energies or forces"),
        ({"energy": units.mol / units.kJ}, "energies or forces"),
        ({"energy": 1000.0}, "energies or forces"),
        ({"forces": 1000.0}, "energies or forces"),
        ({"stress": 1 / units.GPa}, "stress of Mg4O4"),
    ],
)
def test_wrong_units_are_named(frames, wrong, words) -> None:
    found = audit(scaled(frames, **wrong))
    assert any(words in doubt for doubt in found.doubts)
    assert "! " in found.text()


def test_few_frames_and_crystals_at_rest_tell_nothing(frames) -> None:
    assert doubt_units(scaled(frames, energy=1000.0)[:9]) == []
    assert doubt_units(scaled(frames, forces=1e-4)) == []


@pytest.mark.parametrize("file", ["mgo/mgo64_vasp.extxyz", "zno_qe/zno8_pbe_d3.extxyz"])
def test_real_labels_are_not_doubted(reference: Path, file: str) -> None:
    assert doubt_units(read_frames(reference / file)) == []


def make_set(n: int = 12) -> list[Atoms]:
    rng = np.random.default_rng(3)
    frames = []
    for _ in range(n):
        atoms = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
        atoms.rattle(0.05, rng=rng)
        results = {
            "energy": -27.0 + 0.1 * rng.normal(),
            "forces": rng.normal(size=(8, 3)),
            "stress": np.ones(6) * 0.01,
        }
        frames.append(attach_labels(atoms, results))
    return frames


@pytest.mark.parametrize(("unit", "factor"), [("Hartree", 1 / 27.2114), ("kJ/mol", 96.485), ("meV", 1000.0)])
def test_energies_of_two_units_are_refused(unit, factor):
    frames = make_set()
    for frame in frames[8:]:
        frame.info["REF_energy"] *= factor
    with pytest.raises(InputError, match=rf"Cl4Na4 are in two units[\s\S]*that of {unit}"):
        audit(frames, require=["energy"])
    audit(frames)  # nothing is asked of them


def test_two_phases_are_no_two_units():
    frames = make_set()
    for frame in frames[8:]:
        frame.info["REF_energy"] -= 5.0
    audit(frames, require=["energy", "forces", "stress"])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_labels_that_are_no_numbers_are_refused(value):
    frames = make_set()
    frames[5].arrays["REF_forces"][2, 1] = value
    with pytest.raises(InputError, match=r"frame 5: REF_forces holds NaN or infinity"):
        audit(frames, require=["energy", "forces"])


@pytest.mark.parametrize(("name", "value"), [("forces", 2e3), ("stress", 300.0), ("energy", 1e5)])
def test_huge_labels_are_refused(name, value):
    frames = make_set()
    if name == "forces":
        frames[4].arrays["REF_forces"][0, 0] = value
    else:
        frames[4].info[f"REF_{name}"] = value * np.ones(6) if name == "stress" else value
    with pytest.raises(InputError, match=rf"frame 4: REF_{name} is huge"):
        audit(frames, require=["energy", "forces", "stress"])
