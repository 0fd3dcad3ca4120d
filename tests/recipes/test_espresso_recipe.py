"""quacc's own recipe for pw.x as a labeller: the labels are those of our own labeler."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from quacc import change_settings

from asennp.calculators.espresso import EspressoLabeler
from asennp.dataset import read_frames, write_frames
from asennp.recipes import espresso_label_flow

DEBIAN = Path("/usr/share/espresso/pseudo")


@pytest.mark.espresso
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what quacc calls: ASE, spglib
def test_labels_are_those_of_our_labeler(tmp_path: Path) -> None:
    if shutil.which("pw.x") is None or not (DEBIAN / "Al.pz-vbc.UPF").is_file():
        pytest.skip("no pw.x with Debian's pseudopotentials (apt-get install quantum-espresso)")
    frames = [bulk("Al", "fcc", a=a).repeat((1, 1, 2)) for a in (3.9, 4.1)]
    for k, frame in enumerate(frames):
        frame.rattle(0.05, seed=k)
    write_frames(tmp_path / "frames.extxyz", frames)
    system = {"ecutwfc": 12.0, "ecutrho": 48.0, "occupations": "smearing", "smearing": "gaussian",
              "degauss": 0.05}  # fmt: skip
    shared = {"pseudopotentials": {"Al": "Al.pz-vbc.UPF"}, "kpts": (2, 1, 1)}
    electrons = {"conv_thr": 1e-11}
    with change_settings({"ESPRESSO_PSEUDO": DEBIAN, "RESULTS_DIR": tmp_path, "SCRATCH_DIR": tmp_path}):
        summary = espresso_label_flow(
            str(tmp_path / "frames.extxyz"), str(tmp_path / "labelled.extxyz"), preset=None,
            input_data={"system": system, "electrons": electrons}, **shared,
        )  # fmt: skip
    assert (summary["n_labelled"], summary["n_failed"]) == (2, 0)
    ours = EspressoLabeler(
        DEBIAN, input_data={"system": {**system, "vdw_corr": "none"}, "electrons": electrons}, **shared
    )
    for frame, labelled in zip(frames, read_frames(tmp_path / "labelled.extxyz")):
        frame.calc = ours
        assert labelled.info["REF_energy"] == pytest.approx(frame.get_potential_energy(), abs=2e-4)
        assert labelled.info["REF_free_energy"] < labelled.info["REF_energy"] - 1e-4
        np.testing.assert_allclose(labelled.arrays["REF_forces"], frame.get_forces(), atol=1e-3)
