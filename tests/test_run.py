"""The run folder: nothing lost, nothing written over, nothing done twice."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from asennp import run as run_module
from asennp.config import load_config
from asennp.errors import InputError
from asennp.files import write_atomic
from asennp.run import RunFolder
from asennp.stages.graph import STAGES, Stage
from asennp.stages.output import StageOutput


class Counting(Stage):
    """A stage that writes its name and counts how often it was really executed."""

    calls: dict[str, int] = {}  # noqa: RUF012

    def function(self) -> Any:
        def stage(config, folder, upstream):
            Counting.calls[self.name] = Counting.calls.get(self.name, 0) + 1
            path = write_atomic(folder / "result.txt", f"{self.name} {config.sample.steps}")
            return StageOutput([path], "counted", {"calls": Counting.calls[self.name]})

        return stage


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    Counting.calls = {}
    stages = {n: Counting(s.name, s.title, s.after, s.sections) for n, s in STAGES.items()}
    monkeypatch.setattr(run_module, "STAGES", stages)
    return RunFolder.create(tmp_path / "run", load_config("zno-quick"))


def test_finished_stage_is_skipped(folder: RunFolder) -> None:
    first = folder.execute("sample")
    assert folder.execute("sample") == first
    assert Counting.calls == {"sample": 1}
    assert [r["status"] for r in folder.ledger] == ["started", "done"]


def test_stage_needs_what_it_stands_on(folder: RunFolder) -> None:
    with pytest.raises(InputError, match="'distill' needs stage 'sample' first"):
        folder.execute("distill")
    with pytest.raises(InputError, match="did you mean 'sample'"):
        folder.execute("samples")


def test_altered_result_is_refused_not_used(folder: RunFolder) -> None:
    folder.execute("sample")
    (folder.path / "sample" / "result.txt").write_text("forged")
    with pytest.raises(InputError, match=r"changed after stage 'sample' wrote it"):
        folder.execute("sample")


def test_lost_result_is_made_again(folder: RunFolder) -> None:
    folder.execute("sample")
    (folder.path / "sample" / "result.txt").unlink()
    folder.execute("sample")
    assert Counting.calls == {"sample": 2}


def test_leftovers_of_other_inputs_are_refused(folder: RunFolder) -> None:
    """A stage that was stopped half way does not continue from checkpoints of another run."""
    write_atomic(folder.path / "sample" / "inputs.json", '{"key": "another"}')
    write_atomic(folder.path / "sample" / "restart.npz", "half a run")
    with pytest.raises(InputError, match="begun with other inputs"):
        folder.execute("sample")
    assert (folder.path / "sample" / "restart.npz").read_text() == "half a run"


def test_folder_of_another_run_is_refused(folder: RunFolder) -> None:
    other = load_config("zno-quick", {"sample.steps": 7})
    with pytest.raises(InputError) as caught:
        RunFolder.create(folder.path, other)
    assert "sample.steps = 100000" in str(caught.value)
    assert "sample.steps = 7" in str(caught.value)
    assert RunFolder(folder.path).config.sample.steps == 100000


def test_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    write_atomic(tmp_path / "mine" / "thesis.tex", "precious")
    with pytest.raises(InputError, match="no run folder"):
        RunFolder.create(tmp_path / "mine", load_config("zno-quick"))
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.tex"]
    with pytest.raises(InputError, match="not a run folder"):
        RunFolder(tmp_path / "mine")


def test_folder_in_use_is_refused(folder: RunFolder) -> None:
    code = (
        "import sys; from asennp.run import RunFolder\n"
        "with RunFolder(sys.argv[1]).lock(): print('held', flush=True); sys.stdin.readline()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, folder.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=rf"in use\n.*process {process.pid}"), folder.lock():
            pass
        process.communicate("go on\n", timeout=30)
    with folder.lock():
        pass


def test_failure_is_in_the_ledger(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self):
        def stage(config, path, upstream):
            raise RuntimeError("the disk is full")

        return stage

    monkeypatch.setattr(Counting, "function", broken)
    with pytest.raises(RuntimeError, match="disk is full"):
        folder.execute("sample")
    assert folder.ledger[-1]["status"] == "failed"
    assert "disk is full" in folder.ledger[-1]["error"]
    assert folder.done("sample") is None
