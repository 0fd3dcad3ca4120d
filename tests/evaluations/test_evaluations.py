"""`asennp evaluate` on an evaluation: skips what is done, grows, refuses what makes no sense."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from ase.build import bulk

from asennp import cli
from asennp.config import preset_names
from asennp.evaluate import EosResult, LatticeResult
from asennp.evaluations.schema import is_evaluation, load_evaluation
from asennp.files import read_jsonl

LJ = {"sigma": 3.4, "epsilon": 0.0104, "rc": 8.5, "smooth": True}
ARGON = {
    "name": "argon",
    "workers": 1,
    "calculators": {"lj": {"use": "lj", "arguments": LJ}},
    "structures": {"fcc": {"file": "ar.xyz", "spacegroup": 225}},
    "properties": {"lattice": {}},
    "reference": {"fcc": {"a": 5.31}},
    "reference_source": "experiment at 4 K",
}


@pytest.fixture
def asennp(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """Call the command line in a folder with a crystal and argon.yaml."""
    monkeypatch.chdir(tmp_path)
    bulk("Ar", a=5.3).write("ar.xyz")
    Path("argon.yaml").write_text(yaml.safe_dump(ARGON))

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["asennp", *arguments])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out, err

    return call


def test_an_evaluation_is_done_once_and_grows(asennp, tmp_path: Path) -> None:
    code, out, err = asennp("evaluate", "argon.yaml")
    assert code == 0, err
    lattice = LatticeResult.from_json(tmp_path / "argon/lj/lattice/fcc.json")
    # the complete fcc sum has its minimum at 1.5422 sigma = 5.244 Å; a smooth end takes attraction away
    assert lattice.a == pytest.approx(5.28, abs=0.05) and lattice.spacegroup_number == 225
    page = (tmp_path / "argon/report.html").read_text()
    assert "reference" in page and "Fm-3m" in page and "http" not in page.split("</style>")[1]
    code, out, _ = asennp("evaluate", "argon.yaml", "-s", "properties.eos={}")
    assert code == 0 and "lattices: done before" in out
    eos = EosResult.from_json(tmp_path / "argon/lj/eos/fcc.json")
    assert eos.volume == pytest.approx(lattice.volume_per_atom, rel=2e-3)
    done = [r["stage"] for r in read_jsonl(tmp_path / "argon/ledger.jsonl") if r["status"] == "done"]
    assert done == ["lj/lattice", "lj/eos"]
    code, _, err = asennp("evaluate", "argon.yaml", "-s", "properties.lattice.pressure_GPa=1")
    assert code == 2 and "another configuration" in err


def test_settings_reach_the_calculators_of_the_command_line(asennp, tmp_path: Path) -> None:
    settings = [f"calculators.pair.arguments.{name}={value}" for name, value in LJ.items()]
    options = [word for setting in settings for word in ("-s", setting)]
    code, _, err = asennp("evaluate", "argon.yaml", *options, "-c", "pair=lj")
    assert code == 0, err
    lattice = LatticeResult.from_json(tmp_path / "argon/pair/lattice/fcc.json")
    assert lattice.a == pytest.approx(5.28, abs=0.05)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="children are listed by /proc")
def test_a_killed_worker_is_one_message_and_the_same_command_continues(asennp, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "asennp", "evaluate", "argon.yaml"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")

    def workers() -> list[int]:
        found = [int(pid) for pid in children.read_text().split()]
        return [pid for pid in found if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()]

    deadline = time.monotonic() + 120.0
    while not workers():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(workers()[0], signal.SIGKILL)
    _, err = process.communicate()
    assert process.returncode == 1 and "Traceback" not in err
    assert "a worker process was killed (SIGKILL)" in err and "the same command continues" in err
    assert str(tmp_path / "argon" / "lj" / "lattice" / "fcc.json") in err
    code, _, err = asennp("evaluate", "argon.yaml")
    assert code == 0 and (tmp_path / "argon/report.html").is_file(), err


def test_a_step_that_fails_leaves_the_others_alone(asennp, tmp_path: Path) -> None:
    asked = ["properties.vacancy.remove={Kr: 1}", "properties.stability={time_ps: 0.05, atoms: 8}"]
    code, _, err = asennp("evaluate", "argon.yaml", *(word for one in asked for word in ("-s", one)))
    assert code == 1 and "1 step(s) failed" in err and "lj/vacancy" in err and "Kr" in err
    assert (tmp_path / "argon/lj/stability/fcc.json").is_file()
    page = (tmp_path / "argon/report.html").read_text()
    assert "Not done" in page and "lj/vacancy" in page


QUICK = {
    "tensile": ({"maximum_strain": 0.04}, "Tension of fcc"),
    "vacancy": ({"atoms": 8}, "V(Ar)"),
}
LONG = {
    "surface": ({"miller": [1, 1, 1], "thickness_A": 8.0}, "(1 1 1) surface"),
    "shear": ({"maximum_strain": 0.08}, "Shear of fcc"),
    "quasiharmonic": (
        {"length_A": 7.0, "maximum_K": 20.0, "n_volumes": 5},
        "Thermal expansion of fcc",
    ),
    "diffusion": ({"temperatures_K": [20, 40], "time_ps": 0.8, "atoms": 8}, "10⁻⁵ cm²/s"),
}


@pytest.mark.parametrize("asked", [QUICK, pytest.param(LONG, marks=pytest.mark.slow)], ids=["quick", "long"])
def test_a_property_has_its_step_and_its_place_on_the_page(asked, asennp, tmp_path: Path) -> None:
    argon = {**ARGON, "calculators": {"pair": {"use": "argon-buckingham", "arguments": {"coulomb": False}}}}
    argon["properties"] = {name: settings for name, (settings, _) in asked.items()}
    Path("all.yaml").write_text(yaml.safe_dump(argon))
    code, _, err = asennp("evaluate", "all.yaml")
    assert code == 0, err
    page = (tmp_path / "argon/report.html").read_text()
    for _, words in asked.values():
        assert words in page


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("evaluate", "argon.yaml", "-s", "properties.latice={}"), "did you mean 'lattice'"),
        (("evaluate", "argon.yaml", "-s", "structures.fcc.spacegroup=227"), "not at the asked symmetry"),
        (("evaluate", "argon.yaml", "-s", "structures.fcc.file=no.cif"), "no such file"),
        (("evaluate", "argon.yaml", "-c", "zno-dem"), "did you mean 'zno-demo'"),
        (
            ("evaluate", "argon.yaml", "-c", "a/x.asennp", "-c", "b/x.asennp"),
            "two calculators are called 'x'",
        ),
        (("evaluate", "zno-tiny", "-c", "lj"), "a run evaluates its own models"),
        (("transition", "pbtio"), "did you mean 'pbtio3'"),
        (("transition", "pbtio3", "-s", "properties.transition.low=tetra"), "did you mean 'tetragonal'"),
        (("transition", "pbtio3", "-s", "properties.transition.ladder.repeats=3"), "did you mean 'repeat'"),
        (
            ("transition", "pbtio3", "-s", "properties.transition.ladder.seeds=0"),
            "must be positive",
        ),
    ],
)
def test_bad_input_is_one_message_and_leaves_nothing(asennp, tmp_path: Path, arguments, words: str) -> None:
    before = sorted(tmp_path.iterdir())
    code, _, err = asennp(*arguments)
    assert code == 2
    assert words in err and "Traceback" not in err
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", preset_names("evaluations"))
def test_shipped_evaluations_are_valid_and_at_their_symmetry(name: str) -> None:
    config = load_evaluation(name)
    for key, structure in config.structures.items():
        assert structure.spacegroup is not None
        structure.build(key)
    if config.properties.transition is not None:
        config.properties.transition.reference(config.structures)
    assert is_evaluation(name)


@pytest.mark.parametrize("name", ["zno-quick", "zno-tiny"])
def test_runs_are_no_evaluations(name: str) -> None:
    assert not is_evaluation(name)
