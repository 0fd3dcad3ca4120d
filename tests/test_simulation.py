"""A simulation in a folder: killed, interrupted, continued; whatever stops it, nothing is torn."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import bulk
from ase.io import read

from asennp.errors import InputError
from asennp.md.stress_strain import read_stress_strain
from asennp.simulation import Simulation, simulate, simulate_replicas

FILES = ("frames.xyz", "md.log", "restart.npz")


@pytest.fixture
def copper(tmp_path: Path) -> str:
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.05, seed=1)
    atoms.write(tmp_path / "cu.xyz")
    return str(tmp_path / "cu.xyz")


def settings(copper: str, **given: Any) -> Simulation:
    return replace(
        Simulation(copper, "emt", ensemble="npt", steps=300, interval=1, checkpoint=10, pdamp_fs=200.0),
        **given,
    )


def start(structure: str, folder: Path) -> subprocess.Popen[str]:
    """Start the same run as a command of its own."""
    arguments = ["--checkpoint", "10", "--interval", "1", "--steps", "300", "--pdamp", "200"]
    arguments += ["-c", "emt", "-e", "npt", "-o", str(folder)]
    return subprocess.Popen(
        [sys.executable, "-m", "asennp", "md", structure, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def wait_for_frames(folder: Path, n: int, process: subprocess.Popen[str]) -> None:
    path, deadline = folder / "frames.xyz", time.monotonic() + 120
    while not path.exists() or path.read_text().count("Lattice") < n:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_killed_and_interrupted_it_ends_with_the_same_bytes(copper: str, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    simulate(settings(copper), whole)
    process = start(copper, broken)
    wait_for_frames(broken, 37, process)
    process.kill()  # in the middle of whatever it was writing
    process.communicate()
    with open(broken / "frames.xyz", "a") as file:
        file.write('4\nLattice="3.6 0.0 0.0 0.')  # a frame torn by the kill
    made = (broken / "frames.xyz").read_text().count("Lattice") - 1
    process = start(copper, broken)
    # the file is cut back to the checkpoint first
    wait_for_frames(broken, made + 40, process)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert "the same command continues" in process.communicate()[1]
    stopped = len(read(broken / "frames.xyz", index=":"))
    assert made < stopped < 301
    simulate(settings(copper), broken)
    for name in FILES:
        assert (broken / name).read_bytes() == (whole / name).read_bytes(), name
    assert len(read(broken / "frames.xyz", index=":")) == 301


def test_every_ensemble_runs_and_is_raised_to_more_steps(copper: str, tmp_path: Path) -> None:
    cases: dict[str, dict[str, Any]] = {
        "nve": {},
        "nvt": {"integrator": "langevin"},
        "npt": {"integrator": "mtk-flexible", "mask": ("xx", "xy"), "pressure_GPa": 0.1},
        "momt": {"orders": ("fcc=1,1,1", "volume"), "mesh": ("-1:9:20", "-1:5:10", "30:60:9")},
        "tensile": {"rate_per_ps": 0.5, "mode": "uniaxial"},
        "shear": {"strain_step": 0.01, "steps_per_strain": 10},
    }
    for ensemble, given in cases.items():
        simulation = settings(copper, ensemble=ensemble, steps=20, interval=5, **given)
        folder = simulate(simulation, tmp_path / ensemble)
        simulate(replace(simulation, steps=40), folder)
        assert len(read(folder / "frames.xyz", index=":")) == 9, ensemble
        whole = simulate(replace(simulation, steps=40), tmp_path / f"{ensemble}-whole")
        assert (whole / "md.log").read_bytes() == (folder / "md.log").read_bytes(), ensemble
        assert np.isfinite(read(folder / "final.xyz").positions).all()
    assert (tmp_path / "momt" / "bias.npz").is_file()
    assert read_stress_strain(tmp_path / "tensile" / "curve.csv").strain[-1] == pytest.approx(0.02)
    assert len(read_stress_strain(tmp_path / "shear" / "curve.csv").strain) == 4


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"ensemble": "ntp"}, "did you mean 'n"),
        ({"steps": 0}, "must be 1 or more"),
        ({"structure": "nowhere.xyz"}, "no such file"),
        ({"calculator": "emtt"}, "no calculator"),
        ({"temperature_K": 0.02}, "units.kB"),
        ({"pressure_GPa": 1e5}, "pressure"),
        ({"ensemble": "momt", "orders": ("fcc=1,1,1",), "mesh": ("-1:9:20",)}, "a mesh for the enthalpy"),
        ({"ensemble": "momt", "mesh": ("-1:9",)}, "LOW:HIGH:NODES"),
        ({"ensemble": "momt", "mesh": ("5:9:20",)}, "does not contain the start"),
        ({"ensemble": "momt", "mesh": ("5:5:20",)}, "no width"),
        ({"ensemble": "momt", "orders": ("fcc=1,1,3",), "mesh": ("-1:9:20",) * 2}, "incommensurate"),
        ({"ensemble": "momt", "orders": ("hcp=1,1,3",), "mesh": ("-1:9:20",) * 2}, "unknown order"),
        ({"ensemble": "tensile"}, "how fast"),
    ],
)
def test_bad_input_leaves_nothing_behind(
    copper: str, tmp_path: Path, given: dict[str, Any], text: str
) -> None:
    with pytest.raises(InputError, match=text):
        simulate(settings(copper, **given), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_folder_of_another_run_is_left_alone(copper: str, tmp_path: Path) -> None:
    folder = simulate(settings(copper, steps=10), tmp_path / "run")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(InputError, match="another run"):
        simulate(settings(copper, steps=20, seed=5), folder)
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "frames.xyz").write_text("mine")
    with pytest.raises(InputError, match="holds no run"):
        simulate(settings(copper), tmp_path / "other")
    assert (tmp_path / "other" / "frames.xyz").read_text() == "mine"
    (folder / "restart.npz").write_bytes(before["restart.npz"][:-300])
    with pytest.raises(InputError, match="damaged"):
        simulate(settings(copper, steps=20), folder)


def test_the_command_ends_with_2_on_bad_input(copper: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "asennp", "md", copper, "-c", "emt", "--temperature", "0.02"],
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "units.kB" in done.stderr


def test_replicas_are_runs_alone_in_step(tmp_path: Path) -> None:
    """Replica k is the run of seed + k; stopped and given more steps, all go on."""
    structure = tmp_path / "rs.xyz"
    bulk("ZnO", "rocksalt", a=4.3, cubic=True).write(structure)
    given: dict[str, Any] = {"ensemble": "npt", "interval": 2, "checkpoint": 3}
    given |= {"arguments": {"dtype": "float64", "threads": 1}}
    one = Simulation(str(structure), "zno-demo", steps=4, seed=5, **given)
    for steps in (4, 6):
        simulate_replicas(replace(one, steps=steps), tmp_path / "all", 2)
    alone = replace(one, steps=6, seed=6, arguments={"dtype": "float64"})
    simulate(alone, tmp_path / "alone")
    final = read(tmp_path / "all" / "replica-001" / "final.xyz")
    expected = read(tmp_path / "alone" / "final.xyz")
    np.testing.assert_allclose(final.positions, expected.positions, atol=1e-9)
    np.testing.assert_allclose(final.cell, expected.cell, atol=1e-9)
    other = read(tmp_path / "all" / "replica-000" / "final.xyz")
    assert np.abs(other.positions - final.positions).max() > 1e-3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"calculator": "zno-binks"}, "which a model can"),
        ({"arguments": {"dispersion": "pbe"}}, "do not take this argument"),
        ({"structure": "nowhere.xyz"}, "no such file"),
    ],
)
def test_replicas_that_cannot_be(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    structure = tmp_path / "rs.xyz"
    bulk("ZnO", "rocksalt", a=4.3, cubic=True).write(structure)
    simulation = replace(Simulation(str(structure), "zno-demo", steps=2), **changes)
    with pytest.raises(InputError, match=words):
        simulate_replicas(simulation, tmp_path / "all", 2)
