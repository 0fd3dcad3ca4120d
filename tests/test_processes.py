"""Side-by-side work: every result once, errors raised here, workers of one thread."""

import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable
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


def test_workers_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    beat = tmp_path / "beat"
    worker = tmp_path / "beats.py"
    worker.write_text(
        f"import pathlib, time\nwhile True:\n    pathlib.Path({str(beat)!r}).write_text(str(time.time()))\n"
        "    time.sleep(0.05)\n"
    )
    parent = tmp_path / "parent.py"
    parent.write_text(
        "import runpy\nfrom asennp.processes import run_processes\n"
        f"if __name__ == '__main__':\n    list(run_processes(runpy.run_path, [({str(worker)!r},)]))\n"
    )
    process = subprocess.Popen([sys.executable, parent], stderr=subprocess.DEVNULL)
    try:
        wait_for(beat.exists)
    finally:
        process.kill()
        process.wait()
    wait_for(lambda: time.time() - float(beat.read_text() or "inf") > 1.0)


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until a condition holds; fail if it does not."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.1)
