"""Pools: frames of one composition, to start from without sampling: bare in a compact file, or labelled."""

import zipfile
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from ase import Atoms

from asennp.dataset.frames import read_frames
from asennp.errors import InputError, nearest
from asennp.files import sha256_file, write_atomic

#: Numbers of a frame that a pool keeps beside its geometry, where all frames have them.
_KEPT = ("step", "enthalpy", "order", "strain", "tension_GPa")


def shipped_pools() -> dict[str, Path]:
    """Return the names and files of the pools that come with the package."""
    folder = Path(str(resources.files("asennp.data"))) / "pools"
    return {path.stem: path for path in sorted(folder.iterdir()) if path.suffix in (".npz", ".extxyz")}


def write_pool(path: str | Path, frames: Sequence[Atoms]) -> Path:
    """Write frames of one composition in single precision, with what is known of them (`Atoms.info`).

    Single precision moves atoms by some 1e-6 Å: labels belong to the frames as read back, not to the
    originals.

    Raises
    ------
    InputError
        No frames, or frames of different compositions.
    """
    if not frames:
        raise InputError("a pool needs frames", where="frames", got="none")
    numbers, pbc = frames[0].numbers, frames[0].pbc
    for k, frame in enumerate(frames):
        if not (np.array_equal(frame.numbers, numbers) and np.array_equal(frame.pbc, pbc)):
            raise InputError(
                "a pool holds one composition, its atoms in one order",
                where=f"frame {k}",
                expected=frames[0].get_chemical_formula(),
                got=frame.get_chemical_formula(),
                do="write a pool for each",
            )
    arrays = {
        "numbers": numbers,
        "pbc": pbc,
        "cells": np.array([frame.cell.array for frame in frames], np.float32),
        "positions": np.array([frame.positions for frame in frames], np.float32),
    }
    for key in _KEPT:
        if all(key in frame.info for frame in frames):
            arrays[f"info_{key}"] = np.array([frame.info[key] for frame in frames])
    return write_atomic(path, lambda file: np.savez_compressed(file, **arrays))


def load_pool(source: str | Path, known: Sequence[str] = ()) -> list[Atoms]:
    """Return the frames of a pool; a shipped one is checked against its SHA-256.

    Parameters
    ----------
    source
        A name from `shipped_pools`, or the path of a file: by `write_pool`, or an extended XYZ file, whose
        frames keep their labels.
    known
        What frames must know (`Atoms.info`) beside their geometry.

    Raises
    ------
    InputError
        Unknown name, no pool, a shipped pool that was altered, or one that does not know what is asked.
    """
    shipped = shipped_pools()
    path = shipped.get(str(source), Path(source))
    if not path.is_file():
        raise InputError(
            "no such pool: neither a file nor the name of a shipped pool",
            where="pool",
            got=str(source),
            do=nearest(str(source), shipped),
        )
    if str(source) in shipped:
        expected = describe_pools()[str(source)]["sha256"]
        if sha256_file(path) != expected:
            raise InputError("the pool was altered", where=path, expected=expected, got=sha256_file(path))
    frames = read_frames(path) if path.suffix in (".extxyz", ".xyz") else _unpack(path)
    knowing = set(frames[0].info).intersection(*(frame.info for frame in frames))
    if missing := [key for key in known if key not in knowing]:
        raise InputError(
            f"the frames of this pool do not know their {missing[0]}",
            where=path,
            expected=", ".join(known),
            got=", ".join(sorted(knowing)) or "nothing",
            do="write the pool from frames of a run, with their info",
        )
    return frames


def _unpack(path: Path) -> list[Atoms]:
    """Return the frames of a file by `write_pool`."""
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        numbers, pbc, cells, positions = (arrays[k] for k in ("numbers", "pbc", "cells", "positions"))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError("not a pool", where=path, got=str(error), do="write it with write_pool") from None
    infos = {k.removeprefix("info_"): v for k, v in arrays.items() if k.startswith("info_")}
    return [
        Atoms(
            numbers,
            positions=np.asarray(positions[k], float),
            cell=np.asarray(cells[k], float),
            pbc=pbc,
            info={key: values[k].tolist() for key, values in infos.items()},
        )
        for k in range(len(positions))
    ]


def describe_pools() -> dict[str, dict[str, Any]]:
    """Return what is known of each shipped pool: SHA-256, frames, formula, source, the command for it."""
    text = (resources.files("asennp.data") / "pools" / "pools.yaml").read_text()
    described: dict[str, dict[str, Any]] = yaml.safe_load(text)
    return described
