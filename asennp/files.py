"""Files that survive a kill: written whole or not at all, and named by their content."""

import fcntl
import hashlib
import json
import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import IO, Any

import numpy as np

from asennp.errors import InputError


def write_atomic(path: str | Path, content: str | bytes | Callable[[IO[bytes]], None]) -> Path:
    """Write a file in one step: a reader sees the old content or the new, never a part.

    Parameters
    ----------
    path
        Target; its folder is made.
    content
        Text, bytes, or a function that writes to the open binary file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            if callable(content):
                content(file)
            else:
                file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


@contextmanager
def hold_folder(folder: str | Path) -> Iterator[None]:
    """Hold a folder for one process; a second one is told who has it (InputError)."""
    with open(Path(folder) / "run.lock", "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            raise InputError(
                "the run folder is in use", where=folder, got=file.read().strip(), do="wait for that run"
            ) from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}")
        file.flush()
        yield


def json_default(value: Any) -> Any:
    """Turn NumPy and path values into what JSON knows (the ``default`` of `json.dumps`)."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"no JSON form for {type(value).__name__}")


def write_json(path: str | Path, value: Any) -> Path:
    """Write `value` as indented JSON, atomically; NumPy values become plain lists and numbers."""
    return write_atomic(path, json.dumps(value, indent=1, default=json_default) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file."""
    return json.loads(Path(path).read_text())


def append_jsonl(path: str | Path, record: dict[str, Any]) -> None:
    """Append one record as a line of its own and wait until it is on the disk."""
    with open(path, "ab+") as file:
        if file.tell() > 0:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":  # a line torn by a kill: end it, so that it spoils no other
                file.write(b"\n")
        file.write(json.dumps(record, default=json_default).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_jsonl(path: str | Path) -> list[dict[str, Any]]:
    """Read records; a line torn by a kill is left out (it was never promised)."""
    path = Path(path)
    if not path.exists():
        return []
    records = []
    for line in path.read_text().splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return records


def cut_back(path: str | Path, size: int) -> None:
    """Cut a growing file back to the length it had at a checkpoint."""
    path = Path(path)
    if path.exists() and path.stat().st_size > size:
        os.truncate(path, size)


def sha256_file(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """Return the SHA-256 of a value's canonical JSON form (sorted keys)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=json_default)
    return hashlib.sha256(text.encode()).hexdigest()


def shipped_models() -> dict[str, Path]:
    """Return the names and files of the models that come with the package."""
    folder = Path(str(resources.files("asennp.data"))) / "models"
    return {path.parent.name: path for path in sorted(folder.glob("*/model.asennp"))}
