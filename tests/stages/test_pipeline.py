"""The whole protocol on eight atoms: every stage real, nothing done twice, nothing lost to a kill."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asennp import CoulombCalculator, HybridNNPCalculator, PQEqCalculator, SumCalculator
from asennp.config import dump_config, load_config
from asennp.dataset import Store, read_frames
from asennp.errors import InputError
from asennp.files import read_json
from asennp.models import load_model
from asennp.run import RunFolder
from asennp.stages.graph import STAGES
from asennp.stages.label import label

COMMAND = [sys.executable, "-m", "asennp", "run", "zno-tiny", "--out"]


def outputs(folder: Path) -> dict[str, str]:
    """Return the checksum of every file that stages handed on, less the report (it shows times)."""
    run = RunFolder(folder)
    done = {name: run.done(name) for name in STAGES if name != "report"}
    return {file: digest for record in done.values() for file, digest in record["outputs"].items()}


def test_every_stage_is_done_and_the_floor_is_checked(tiny_run: Path) -> None:
    run = RunFolder(tiny_run)
    assert all(run.done(name) for name in STAGES)
    floor = read_json(tiny_run / "report" / "summary.json")["floor"]
    assert len(floor) == 6
    assert all(line["passed"] for line in floor)
    text = (tiny_run / "terminal.txt").read_text()
    assert text.count("pass  ") == 6


def test_report_needs_nothing_but_itself(tiny_run: Path) -> None:
    page = (tiny_run / "report.html").read_text()
    assert page.count("<svg") >= 15
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", page)
    assert "@import" not in page


def test_again_does_nothing_but_say_so(tiny_run: Path) -> None:
    before = (tiny_run / "ledger.jsonl").read_bytes()
    done = subprocess.run([*COMMAND, str(tiny_run)], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.count("done before") == len(STAGES)
    assert (tiny_run / "ledger.jsonl").read_bytes() == before


def test_nothing_has_seen_the_test_frames(tiny_run: Path) -> None:
    """No block of a trajectory is on both sides, and no structure either."""
    config = RunFolder(tiny_run).config
    pool = {name: read_frames(tiny_run / "distill" / f"{name}.extxyz") for name in ("train", "test")}

    def blocks(frames):
        return {(f.info["source"], f.info["step"] // config.distill.block_steps) for f in frames}

    assert not blocks(pool["train"]) & blocks(pool["test"])
    labelled = {use: Store(tiny_run / "label" / use).frames() for use in ("train", "test")}
    share = len(labelled["test"]) / (len(labelled["test"]) + len(labelled["train"]))
    assert share >= 0.14
    places = {use: {f.positions.tobytes() for f in frames} for use, frames in labelled.items()}
    assert not places["train"] & places["test"]


def test_hybrid_model_is_network_plus_coulomb_at_q_eff(tiny_run: Path) -> None:
    model = load_model(tiny_run / "train" / "hybrid.asennp")
    q = read_json(tiny_run / "qeff" / "charge.json")["q_eff"]
    assert model.charges == {"Zn": q, "O": -q}
    assert load_model(tiny_run / "train" / "direct.asennp").charges == {}
    atoms = Store(tiny_run / "label" / "test").frames()[0]
    atoms.calc = HybridNNPCalculator(model, dtype="float64")
    short = HybridNNPCalculator(type(model)(model.aev, model.networks, model.offsets), dtype="float64")
    both = SumCalculator([short, CoulombCalculator(dict(model.charges))])
    np.testing.assert_allclose(atoms.get_forces(), both.get_property("forces", atoms), atol=1e-9)


def test_trained_sweep_measures_every_charge_on_every_set(tiny_run: Path) -> None:
    """Its table is what its models do on the frames: nothing held out was trained on."""
    s = read_json(tiny_run / "trained_sweep" / "summary.json")
    q = read_json(tiny_run / "qeff" / "charge.json")["q_eff"]
    assert set(s["q"]) == {0.0, 1.0, 2.0, round(q, 3)}
    assert all(len(values) == len(s["q"]) for by in s["errors"].values() for values in by.values())
    held = read_frames(tiny_run / "trained_sweep" / "held.extxyz")
    trained = read_frames(tiny_run / "trained_sweep" / "retrained" / "residual.extxyz")
    assert s["retrained"]["n_held"] == len(held) > 0
    assert len(trained) == s["retrained"]["n_added"] + len(Store(tiny_run / "label" / "train").frames())
    assert not {f.positions.tobytes() for f in held} & {f.positions.tobytes() for f in trained}
    model = load_model(tiny_run / "trained_sweep" / "q-1.000" / "1" / "model.asennp")
    assert model.charges == {"Zn": 1.0, "O": -1.0}
    calculator = HybridNNPCalculator(model)
    frames = Store(tiny_run / "label" / "tensile").frames()
    errors = [calculator.get_property("forces", f) - f.arrays["REF_forces"] for f in frames]
    said = s["errors"]["fine-tuned, unseen tensile"]["forces"][s["q"].index(1.0)]
    assert 1e3 * np.abs(np.concatenate(errors)).mean() == pytest.approx(said, rel=1e-4)
    assert "Charge sweep by training" in (tiny_run / "report.html").read_text()


def test_refused_labels_are_recorded_not_lost(tiny_run: Path, tmp_path: Path) -> None:
    config = load_config("zno-tiny", {"label.max_force_eV_A": 2.0})
    upstream = {name: tiny_run / name for name in STAGES}
    summary = label(config, tmp_path, upstream).summary
    failed = read_json(tmp_path / "failed.json")
    assert len(failed) == len(summary["failed"]) > 0
    assert all("exceeds max_force" in record["error"] for record in failed)
    n_frames = len(read_frames(tmp_path / "frames.extxyz"))
    assert sum(summary["counts"].values()) + len(failed) == n_frames


def test_teacher_that_cannot_label_is_said(tiny_run: Path, tmp_path: Path) -> None:
    upstream = {name: tiny_run / name for name in STAGES}
    config = load_config("zno-tiny", {"label.teacher": "chgnets", "label.arguments": {}})
    with pytest.raises(InputError, match="did you mean 'chgnet'"):
        label(config, tmp_path, upstream)
    config = load_config("zno-tiny", {"label.teacher": "no.such:Thing", "label.arguments": {}})
    with pytest.raises(InputError, match=r"cannot load teacher .no\.such:Thing."):
        label(config, tmp_path, upstream)
    assert not (tmp_path / "labels.jsonl").exists()


def test_killed_in_every_stage_it_ends_the_same(tiny_run: Path, tmp_path: Path) -> None:
    """SIGKILL to the whole process group, once in each stage, at a different point of it."""
    folder = tmp_path / "zno-tiny"
    for position, name in enumerate(STAGES):
        process = subprocess.Popen(
            [*COMMAND, str(folder)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        # wait until the stage is at work, then a moment longer than for the stage before
        work = folder / name / "inputs.json"
        deadline = time.monotonic() + 120
        while not work.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.4 + 0.35 * position)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    done = subprocess.run([*COMMAND, str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert outputs(folder) == outputs(tiny_run)


def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    """A terminal sends Ctrl-C to every process of the run."""
    process = subprocess.Popen(
        [sys.executable, "-X", "faulthandler", *COMMAND[1:], str(tmp_path / "run")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # a shell lets what it starts in the background ignore Ctrl-C, and the children of that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not (tmp_path / "run" / "sample" / "SC" / "momt.log").exists():
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    try:
        _, errors = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)  # says where every thread is
        pytest.fail(f"went on after Ctrl-C:\n{process.communicate()[1]}")
    assert process.returncode == 130
    assert "the same command continues from the last checkpoint" in errors
    assert "Traceback" not in errors


def test_full_disk_leaves_a_run_that_continues(tiny_run: Path, tmp_path: Path) -> None:
    """A stage that cannot write fails with the reason; with room again the same command ends the run."""
    folder = tmp_path / "zno-tiny"
    shutil.copytree(tiny_run, folder)
    for name in ("report", "qeff"):
        shutil.rmtree(folder / name)
    limit = "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)); "
    limit += "sys.argv = ['asennp', 'run', 'zno-tiny', '--out', sys.argv[1]]; runpy.run_module('asennp')"
    failed = subprocess.run([sys.executable, "-c", limit, str(folder)], capture_output=True, text=True)
    assert failed.returncode != 0
    done = subprocess.run([*COMMAND, str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert outputs(folder) == outputs(tiny_run)


@pytest.mark.slow
def test_pqeq_as_the_long_range(tiny_run: Path, tmp_path: Path) -> None:
    """`train.electrostatics: pqeq` in a user's file: baseline, model file, evaluation and report follow."""
    config = load_config("zno-tiny", {"train.electrostatics": "pqeq", "pretrain.epochs": 4})
    file, folder = tmp_path / "mine.yaml", tmp_path / "run"
    file.write_text(dump_config(config))
    # what comes before the training does not depend on it
    for name in ("sample", "tensile", "distill", "label", "qeff"):
        shutil.copytree(tiny_run / name, folder / name)
    shutil.copy(file, folder / "config.yaml")
    shutil.copy(tiny_run / "ledger.jsonl", folder / "ledger.jsonl")
    command = [sys.executable, "-m", "asennp", "run", str(file), "--out", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("done before") == 5

    labelled, residual = (read_frames(folder / "train" / f"{name}.extxyz") for name in ("labels", "residual"))
    pqeq = PQEqCalculator()
    for frame, rest in zip(labelled[:3], residual):
        assert frame.info["REF_energy"] - rest.info["REF_energy"] == pytest.approx(
            pqeq.get_property("energy", frame), abs=1e-9
        )
    model, member = (load_model(folder / "train" / f) for f in ("hybrid.asennp", "hybrid/member-0/1"))
    assert (model.electrostatics, member.electrostatics) == ("pqeq", "pqeq")
    assert model.charges == {}
    assert load_model(folder / "train" / "transferred.asennp").electrostatics == "point"
    atoms = Store(folder / "label" / "test").frames()[0]
    hybrid = HybridNNPCalculator(model, dtype="float64")
    short = HybridNNPCalculator(replace(model, electrostatics="point"), dtype="float64")
    both = SumCalculator([short, pqeq])
    np.testing.assert_allclose(
        hybrid.get_property("forces", atoms), both.get_property("forces", atoms), atol=1e-9
    )
    np.testing.assert_array_equal(hybrid.get_property("charges", atoms), pqeq.get_property("charges", atoms))

    figures = read_json(folder / "evaluate" / "figures.json")
    assert figures["parity"]["test"]["hybrid"]["forces"]["mean"] < figures["force_mad_meV_A"]
    assert figures["nvt"]["bounded"]
    page = (folder / "report.html").read_text()
    assert "networks + PQEq" in page
    assert "Coulomb at q_eff" not in page
