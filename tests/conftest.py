"""Shared between test folders: where the reference data are, and one finished tiny run."""

import os
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


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of the tiny run in one process, which makes it once, and begin with them."""
    uses = [item for item in items if "tiny_run" in getattr(item, "fixturenames", ())]
    for item in uses:
        item.add_marker(pytest.mark.xdist_group("tiny_run"))
    items[:] = uses + [item for item in items if item not in set(uses)]


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the preset zno-tiny, made once by the command a user would give."""
    folder = tmp_path_factory.mktemp("pipeline") / "zno-tiny"
    command = [sys.executable, "-m", "asennp", "run", "zno-tiny", "--out", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "terminal.txt").write_text(done.stdout)
    return folder
