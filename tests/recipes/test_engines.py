"""Workflow engines: the same results on each, workers that die, and what is said before work starts."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from asennp.config import load_config
from asennp.errors import InputError
from asennp.recipes import engines
from asennp.run import RunFolder, versions

PROGRAM = Path(__file__).with_name("on_engine.py")
MODULES = {"parsl": "parsl", "dask": "distributed", "jobflow": "jobflow"}


def on_engine(engine: str, how: str, folder: Path, until: str = "label") -> Any:
    """Run the program; return what the engine gave."""
    module = MODULES.get(engine)
    if module is not None and find_spec(module) is None:
        pytest.skip(f"needs {engine} (pip install 'asennp[{engine}]')")
    command = [sys.executable, "-W", "ignore", str(PROGRAM), engine, how, str(folder), until]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "run", load_config("zno-tiny"))


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["parsl", "dask"])
def test_a_task_whose_worker_is_killed_is_done_again(engine: str, tmp_path: Path) -> None:
    answer = on_engine(engine, "kill", tmp_path)
    assert (tmp_path / "killed").exists()
    assert answer["results"] == [k * k for k in range(12)]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the small run gives without an engine."""
    folder = tmp_path_factory.mktemp("none")
    on_engine("none", "flow", folder)
    return outputs(folder)


def outputs(folder: Path) -> dict[str, Any]:
    """Return the content of every file that the stages promise, by its checksum."""
    done = [record for record in RunFolder(folder / "run").ledger if record["status"] == "done"]
    assert len({record["stage"] for record in done}) == len(done), "a stage was done twice"
    return {record["stage"]: record["outputs"] for record in done}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "how"),
    [("parsl", "flow"), ("parsl", "fan-out"), ("dask", "flow"), ("dask", "fan-out"), ("jobflow", "flow")],
)
def test_every_engine_gives_the_same_bytes(
    engine: str, how: str, alone: dict[str, Any], tmp_path: Path
) -> None:
    answer = on_engine(engine, how, tmp_path)
    assert answer["stage"] == "label"
    assert outputs(tmp_path) == alone
    journal = (tmp_path / "run" / "label" / "labels.jsonl").read_text().splitlines()[1:]
    frames = [json.loads(line)["frame"] for line in journal]
    assert sorted(frames) == list(range(len(frames))), "frames lost or doubled"


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["parsl", "dask"])
def test_a_worker_killed_in_the_middle_of_stages_costs_nothing(
    engine: str, alone: dict[str, Any], tmp_path: Path
) -> None:
    answer = on_engine(engine, "killed", tmp_path)
    assert answer["killed"] == ["sample", "label"], "a stage was over before a worker could be killed"
    assert outputs(tmp_path) == alone


def test_other_versions_are_recorded_and_refused_for_training(run: RunFolder) -> None:
    there = versions() | {"torch": "0.1", "parsl-only": "1"}
    engines.check_versions(run, "label", there)
    (record,) = run.ledger
    assert record["status"] == "other versions"
    assert record["versions"] == {"torch": ["0.1", versions()["torch"]], "parsl-only": ["1", None]}
    with pytest.raises(InputError, match="networks are not trained so") as caught:
        engines.check_versions(run, "train", there)
    assert "parsl-only 1" in str(caught.value) and len(run.ledger) == 2
    engines.check_versions(run, "train", versions())
    engines.check_versions(run, "train", None)
    assert len(run.ledger) == 2


def test_calls_of_a_stage_that_trains_are_not_made_by_other_versions() -> None:
    other = versions() | {"numpy": "1.0"}
    assert engines._call_as_submitted(other, True, len, "abc")[1] is None
    differing, result = engines._call_as_submitted(other, False, len, "abc")
    assert (list(differing), result) == (["numpy"], 3)


class Futures:
    """An engine whose worker answers as it is told."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def result(self) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (ModuleNotFoundError("No module named 'asennp'"), "cannot run this package's jobs"),
        (("node7", None, False), "does not see the run folder"),
        (("node7", {"torch": "0.1"}, True), "networks are not trained so"),
    ],
)
def test_workers_are_asked_before_any_work(run: RunFolder, monkeypatch, answer: Any, words: str) -> None:
    if isinstance(answer, tuple) and answer[1] is None:
        answer = (answer[0], versions(), answer[2])
    monkeypatch.setattr(engines, "submit", lambda *_: Futures(answer))
    with pytest.raises(InputError, match=words):
        engines.check_workers(run.path)
    assert not list(run.path.glob(".seen-*"))


def test_an_engine_that_is_not_there_is_named(monkeypatch) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    for engine in MODULES:
        monkeypatch.setattr(engines, "engine_name", lambda engine=engine: engine)
        with pytest.raises(InputError, match=rf"not installed\n.*{engine}\n.*asennp\[{engine}\]"):
            engines.require_engine()


@pytest.mark.parametrize(("engine", "do"), [("parsl", r"parsl\.load"), ("dask", r"distributed\.Client")])
def test_an_engine_without_workers_is_named(engine: str, do: str, monkeypatch) -> None:
    if find_spec(MODULES[engine]) is None:
        pytest.skip(f"needs {engine} (pip install 'asennp[{engine}]')")
    monkeypatch.setattr(engines, "engine_name", lambda: engine)
    with pytest.raises(InputError, match=do):
        engines.submit(len, "abc")


def test_without_an_engine_calls_stay_here(run: RunFolder) -> None:
    with engines.fan_out(run, "label"):
        assert engines.engine_name() == "none"
    with pytest.raises(InputError, match="takes no single calls"):
        engines.submit(len, "abc")
