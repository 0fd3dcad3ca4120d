"""Units by order of magnitude: right ones pass, each wrong one is named, crystals at rest tell nothing."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk

from asennp import BuckinghamCoulomb
from asennp.dataset import audit, compute_labels, read_frames
from asennp.dataset.magnitude import doubt_units


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
