"""Labelling: the same whatever the order, the number of processes and the kills in between."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import all_changes
from ase.calculators.lj import LennardJones

from asennp.dataset import compute_labels, write_frames
from asennp.errors import InputError
from asennp.files import read_jsonl
from asennp.labelling import label_frames

LJ = {"sigma": 2.3, "epsilon": 0.2, "rc": 5.0, "smooth": True}


class Moody(LennardJones):
    """Raises on frames of three atoms, gives charges, works in its directory, takes its time."""

    implemented_properties = [*LennardJones.implemented_properties, "charges"]  # noqa: RUF012

    def __init__(self, seconds: float = 0.0, **parameters):
        super().__init__(**parameters)
        self.seconds = seconds

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        if len(atoms) == 3:
            raise RuntimeError("three atoms are too many")
        time.sleep(self.seconds)
        self.nl = None  # a list kept from the frame before would change the order of sums
        super().calculate(atoms, properties, system_changes)
        (Path(self.directory) / "out.txt").write_text(f"{self.results['energy']}")
        self.results["charges"] = np.full(len(atoms), 0.25)


@pytest.fixture
def frames() -> list[Atoms]:
    rng = np.random.default_rng(0)
    made = []
    for k in range(9):
        frame = bulk("Cu", cubic=True)[: 3 if k == 4 else 4]
        frame.rattle(0.05, rng=rng)
        frame.info["source"] = f"walker {k % 2}"
        made.append(frame)
    return made


@pytest.fixture
def moody(monkeypatch: pytest.MonkeyPatch) -> str:
    """A teacher that other processes can import from this file's folder."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    return "test_labelling:Moody"


def test_a_slab_and_a_cluster_are_labelled_as_they_are(tmp_path: Path) -> None:
    open_ends = []
    for pbc in (False, (True, True, False)):
        frame = bulk("Cu", cubic=True)
        frame.pbc = pbc
        open_ends.append(frame)
    found = label_frames(open_ends, "ase.calculators.lj:LennardJones", LJ, folder=tmp_path, workers=1).frames
    expected = compute_labels(open_ends, LennardJones(**LJ), ("energy", "forces"))
    for got, want in zip(found, expected, strict=True):
        assert got.pbc.tolist() == want.pbc.tolist()
        assert got.info["REF_energy"] == pytest.approx(want.info["REF_energy"], abs=1e-12)
    assert found[0].info["REF_energy"] > found[1].info["REF_energy"] + 0.1


def test_labels_are_the_teachers_and_failures_are_recorded(frames, moody, tmp_path) -> None:
    found = label_frames(frames, moody, LJ, folder=tmp_path)
    assert [frame.info["frame"] for frame in found.frames] == [0, 1, 2, 3, 5, 6, 7, 8]
    whole = [frame for frame in frames if len(frame) == 4]
    expected = compute_labels(whole, LennardJones(**LJ), ("energy", "forces", "stress"))
    for got, want in zip(found.frames, expected, strict=True):
        assert got.info["REF_energy"] == got.info["REF_free_energy"]
        assert got.info["REF_energy"] == pytest.approx(want.info["REF_energy"], abs=1e-12)
        np.testing.assert_allclose(got.arrays["REF_forces"], want.arrays["REF_forces"], atol=1e-12)
        np.testing.assert_allclose(got.info["REF_stress"], want.info["REF_stress"], atol=1e-12)
        assert got.info["source"] == want.info["source"] and got.arrays["REF_charges"][0] == 0.25
    (failed,) = found.failed
    assert failed["frame"] == 4 and failed["source"] == "walker 0" and "three atoms" in failed["error"]
    assert len(list((tmp_path / "calculations").iterdir())) == 8  # each frame worked in its own folder


def test_done_frames_are_not_done_again_and_failed_ones_only_if_asked(frames, moody, tmp_path) -> None:
    first = label_frames(frames, moody, LJ, folder=tmp_path, workers=1)
    journal = tmp_path / "labels.jsonl"
    text = journal.read_text()
    again = label_frames(frames, moody, LJ, folder=tmp_path)
    assert journal.read_text() == text and len(again.frames) == len(first.frames)
    label_frames(frames, moody, LJ, folder=tmp_path, retry_failed=True)
    assert [record["frame"] for record in read_jsonl(journal)[1:]].count(4) == 2


def test_a_kill_loses_the_frames_in_flight_alone(frames, moody, tmp_path) -> None:
    """SIGKILL in the middle; the journal has every frame that had ended, and the rest comes out the same."""
    frames = [frame for frame in frames if len(frame) == 4] * 5
    write_frames(tmp_path / "frames.extxyz", frames)
    code = (
        "from asennp.labelling import label_frames; from asennp.dataset import read_frames\n"
        "if __name__ == '__main__':\n"
        f"    label_frames(read_frames({str(tmp_path / 'frames.extxyz')!r}), {moody!r}, "
        f"{LJ | {'seconds': 0.1}!r}, folder={str(tmp_path / 'killed')!r})\n"
    )
    script = tmp_path / "go.py"
    script.write_text(code)
    process = subprocess.Popen([sys.executable, script], start_new_session=True, stdout=subprocess.DEVNULL)
    journal = tmp_path / "killed" / "labels.jsonl"
    deadline = time.monotonic() + 600
    while len(read_jsonl(journal)) < 6 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    ended = len(list((tmp_path / "killed" / "calculations").glob("*/out.txt")))
    kept = len(read_jsonl(journal)) - 1
    assert 5 <= kept < len(frames)
    assert ended - kept <= 3  # two at work, and one whose line was being written

    resumed = label_frames(frames, moody, LJ | {"seconds": 0.1}, folder=tmp_path / "killed")
    whole = label_frames(frames, moody, LJ, folder=tmp_path / "whole", workers=1)
    assert not resumed.failed and len(resumed.frames) == len(frames)
    for a, b in zip(resumed.frames, whole.frames, strict=True):
        assert a.info == b.info | {"REF_stress": a.info["REF_stress"]}
        assert np.array_equal(a.info["REF_stress"], b.info["REF_stress"])
        assert np.array_equal(a.arrays["REF_forces"], b.arrays["REF_forces"])


def test_a_folder_belongs_to_its_frames_and_teacher(frames, tmp_path) -> None:
    name = "ase.calculators.lj.LennardJones"
    label_frames(frames, name, LJ, folder=tmp_path, workers=1)
    with pytest.raises(InputError, match="other arguments"):
        label_frames(frames, name, LJ | {"rc": 4.0}, folder=tmp_path)
    frames[0].positions += 0.1
    with pytest.raises(InputError, match="other frames_sha256"):
        label_frames(frames, name, LJ, folder=tmp_path)


def test_a_large_force_is_a_failure(frames, tmp_path) -> None:
    found = label_frames(frames, "ase.calculators.lj:LennardJones", LJ, folder=tmp_path, max_force=1e-3)
    assert not found.frames and "exceeds max_force_eV_A" in found.failed[0]["error"]
    assert json.loads((tmp_path / "labels.jsonl").read_text().splitlines()[1])["seconds"] > 0


@pytest.mark.espresso
def test_programs_side_by_side_work_in_folders_of_their_own(tmp_path) -> None:
    """pw.x twice at once: each frame's input and output stay, the scratch is clean, E is not F."""
    pseudo = Path("/usr/share/espresso/pseudo")
    if shutil.which("pw.x") is None or not (pseudo / "Al.pz-vbc.UPF").is_file():
        pytest.skip("no pw.x with its Al.pz-vbc.UPF (apt-get install quantum-espresso)")
    frames = [bulk("Al", "fcc", a=a) for a in (4.0, 4.1)]
    system = {"ecutwfc": 12.0, "ecutrho": 48.0, "degauss": 0.05, "vdw_corr": "none"}
    arguments = {
        "pseudo_dir": pseudo,
        "pseudopotentials": {"Al": "Al.pz-vbc.UPF"},
        "input_data": {"system": system},
        "kpts": [2, 2, 2],
        "scratch": tmp_path / "scratch",
    }
    found = label_frames(frames, "espresso", arguments, folder=tmp_path)
    assert not found.failed
    energies = [frame.info["REF_energy"] for frame in found.frames]
    assert energies[0] != energies[1]
    for k, frame in enumerate(found.frames):
        assert frame.info["REF_free_energy"] < frame.info["REF_energy"]
        place = tmp_path / "calculations" / f"{k:05d}"
        assert {"espresso-0.pwi", "espresso-0.pwo"} <= {file.name for file in place.iterdir()}
    assert not any((tmp_path / "scratch").iterdir())
