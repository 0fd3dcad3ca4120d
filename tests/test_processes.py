"""Side-by-side work: every result once, errors raised here, workers of one thread."""

import os
import signal
import subprocess
from concurrent.futures.process import BrokenProcessPool

import pytest

from asennp.processes import run_processes


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


def test_killed_worker_is_an_error_not_a_hang() -> None:
    with pytest.raises(BrokenProcessPool):
        list(run_processes(signal.raise_signal, [(signal.SIGKILL,)]))
