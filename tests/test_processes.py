"""Side-by-side work: every result once, errors raised here, workers of one thread."""

import os
import runpy
import signal
import subprocess
from pathlib import Path

import pytest

from asennp.processes import WorkerKilled, call, process_pool, run_processes


def test_every_result_once_and_one_thread() -> None:
    before = os.environ.get("OMP_NUM_THREADS")
    results = dict(run_processes(os.getenv, [("OMP_NUM_THREADS",), ("NUMBA_NUM_THREADS",), ("HOME",)]))
    assert results == {0: "1", 1: "1", 2: os.environ["HOME"]}
    assert os.environ.get("OMP_NUM_THREADS") == before


def test_every_worker_has_one_thread() -> None:
    """Also one that is started late, when the first are busy."""
    values = dict(run_processes(subprocess.getoutput, [("sleep 0.3; echo $OMP_NUM_THREADS",)] * 4))
    assert values == dict.fromkeys(range(4), "1")


def test_worker_error_is_raised_here() -> None:
    with pytest.raises(FileNotFoundError):
        list(run_processes(os.listdir, [("/nowhere",), ("/",)]))


def test_killed_worker_is_named_with_its_folder_not_a_hang(tmp_path: Path) -> None:
    script = tmp_path / "ends_itself.py"
    script.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    with pytest.raises(WorkerKilled) as caught:
        list(run_processes(call, [(str, "done before"), (runpy.run_path, script), (str, "after")], workers=1))
    words = str(caught.value)
    assert f"at work: run_path in {script}" in words and words.count("at work") == 1
    assert "SIGKILL" in words and "the same command continues" in words


def test_killed_worker_of_an_open_pool() -> None:
    with pytest.raises(WorkerKilled, match="SIGKILL"), process_pool(1) as pool:
        pool.submit(signal.raise_signal, signal.SIGKILL).result()
