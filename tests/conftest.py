"""Shared between test folders: where the reference data are, and one finished tiny run."""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def reference() -> Path:
    """Folder of reference data made by other codes; tests that need it skip by name without it."""
    folder = Path(os.environ.get("ASENNP_REFERENCE", Path(__file__).parents[2] / "shared" / "reference"))
    if not folder.is_dir():
        pytest.skip(f"no reference data at {folder} (set ASENNP_REFERENCE)")
    return folder


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the preset zno-tiny: made once by a user's command, a copy for each worker."""
    own = tmp_path_factory.mktemp("pipeline") / "zno-tiny"
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return make_tiny_run(own)
    shared = tmp_path_factory.getbasetemp().parent / "zno-tiny"
    with open(shared.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another worker may be at it
        if not (shared / "terminal.txt").exists():
            make_tiny_run(shared)
    shutil.copytree(shared, own)
    return own


def make_tiny_run(folder: Path) -> Path:
    """Run zno-tiny and keep what it said."""
    command = [sys.executable, "-m", "asennp", "run", "zno-tiny", "--out", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert str(folder / "report.html") in done.stdout.replace("\n", "")
    (folder / "terminal.txt").write_text(done.stdout)
    return folder


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request):
    """Give the CPU, and a GPU where there is one."""
    import torch

    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return request.param
