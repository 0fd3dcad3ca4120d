"""State files: arrays and plain values in one file, written whole, without pickle, checked on reading."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from asennp.errors import InputError
from asennp.files import json_default, sha256_json, write_atomic

_META = "meta.json"


def write_state(
    path: str | Path, kind: str, version: int, values: dict[str, Any], arrays: dict[str, np.ndarray]
) -> Path:
    """Write a state file atomically.

    Parameters
    ----------
    path
        Target.
    kind, version
        What the file is; `read_state` refuses any other.
    values
        Settings and scalars, as JSON knows them (floats come back bit for bit).
    arrays
        Numeric or text arrays, kept in full precision.
    """
    plain = json.loads(json.dumps(values, default=json_default))
    meta = {"kind": kind, "version": version, "sha256": sha256_json(plain), "values": plain}
    buffer = io.BytesIO()
    content: dict[str, Any] = {name: np.asarray(array) for name, array in arrays.items()}
    content[_META] = np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8)
    np.savez(buffer, allow_pickle=False, **content)
    return write_atomic(path, buffer.getvalue())


def read_state(path: str | Path, kind: str, version: int) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read a state file written by `write_state`.

    Raises
    ------
    InputError
        If the file is missing, damaged, of another kind or of a version not known here.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("no such file", where=path, expected=f"a file of kind {kind!r}")
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        meta = json.loads(arrays.pop(_META).tobytes())
        found, found_version = meta["kind"], meta["version"]
        values, digest = meta["values"], meta["sha256"]
    except (OSError, ValueError, KeyError, EOFError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise InputError(
            "this file is damaged or none of ours",
            where=path,
            expected=f"a file of kind {kind!r}",
            got=f"{type(error).__name__}: {error}",
            do="go back to an earlier copy, or start afresh",
        ) from error
    if found != kind or found_version != version:
        raise InputError(
            "another kind of file",
            where=path,
            expected=f"{kind!r}, version {version}",
            got=f"{found!r}, version {found_version}",
        )
    if digest != sha256_json(values):
        raise InputError(
            "the settings in this file were changed after it was written", where=path, do="start afresh"
        )
    return values, arrays


def rng_state(rng: np.random.Generator | None) -> dict[str, Any] | None:
    """Return a generator's state as plain values."""
    if rng is None:
        return None
    return dict(rng.bit_generator.state)


def rng_from_state(state: dict[str, Any] | None) -> np.random.Generator | None:
    """Rebuild a generator from `rng_state`'s form."""
    if state is None:
        return None
    bit_generator = getattr(np.random, str(state["bit_generator"]))(0)
    bit_generator.state = _arrays_like(bit_generator.state, state)
    return np.random.Generator(bit_generator)


def _arrays_like(pattern: Any, value: Any) -> Any:
    """Turn lists back into arrays where the pattern has arrays."""
    if isinstance(pattern, dict):
        return {key: _arrays_like(pattern[key], value[key]) for key in pattern}
    if isinstance(pattern, np.ndarray):
        return np.array(value, dtype=pattern.dtype)
    return value
