"""Files that grow during a run and can be cut back to a checkpoint, byte for byte."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from asennp.errors import InputError

_ULM_HEAD = 48
_XYZ = (".xyz", ".extxyz")


def is_extxyz(path: str | Path) -> bool:
    """Tell whether a file's ending asks for extended XYZ (else it is an ASE trajectory)."""
    return Path(path).suffix in _XYZ


def format_frame(atoms: Atoms, info: dict[str, Any]) -> str:
    """Return one extended-XYZ frame: species and positions in full precision, `info` on the second line.

    Every coordinate is written so that reading it gives back the same 64-bit number; a frame can be
    relabelled or its order parameter recomputed exactly.
    """
    lattice = " ".join(repr(x) for x in atoms.cell.array.ravel().tolist())
    pbc = " ".join("T" if periodic else "F" for periodic in atoms.pbc)
    words = [f'Lattice="{lattice}"', "Properties=species:S:1:pos:R:3", f'pbc="{pbc}"']
    words += [f"{key}={_word(value)}" for key, value in info.items()]
    out = io.StringIO()
    out.write(f"{len(atoms)}\n{' '.join(words)}\n")
    for symbol, (x, y, z) in zip(atoms.get_chemical_symbols(), atoms.positions.tolist()):
        out.write(f"{symbol:2s} {x!r} {y!r} {z!r}\n")
    return out.getvalue()


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "T" if value else "F"
    if isinstance(value, (list, tuple)):
        return '"' + " ".join(repr(x) for x in value) + '"'
    return repr(value)


def mark(path: str | Path) -> dict[str, Any]:
    """Return what `cut_back_to` needs to restore the file as it is now.

    An ASE trajectory rewrites its head and its table of offsets while it grows, so these are kept whole.
    """
    path = Path(path)
    if not path.exists():
        return {"size": 0}
    found: dict[str, Any] = {"size": path.stat().st_size}
    if not is_extxyz(path) and found["size"] >= _ULM_HEAD:
        with open(path, "rb") as file:
            head = file.read(_ULM_HEAD)
            if head.startswith(b"- of Ulm"):
                _, n_items, table = np.frombuffer(head[24:48], dtype=np.int64).tolist()
                file.seek(table)
                found |= {"head": head.hex(), "table": table, "offsets": file.read(8 * n_items).hex()}
    return found


def cut_back_to(path: str | Path, marked: dict[str, Any]) -> None:
    """Restore a grown file to the state `mark` saw; a file shorter than that is not the run's."""
    path = Path(path)
    size = marked["size"]
    if not path.exists():
        if size:
            raise InputError("a file of this run is gone", where=path, expected=f"at least {size} bytes")
        return
    if path.stat().st_size < size:
        raise InputError(
            "this file is shorter than at the checkpoint: it is not the run's",
            where=path,
            expected=f"at least {size} bytes",
            got=path.stat().st_size,
            do="put the file back, or give another trajectory or logfile on restarting",
        )
    with open(path, "r+b") as file:
        os.ftruncate(file.fileno(), size)
        if "head" in marked:
            file.write(bytes.fromhex(marked["head"]))
            file.seek(marked["table"])
            offsets = bytes.fromhex(marked["offsets"])
            file.write(offsets)
            room = _room(len(offsets) // 8)
            # places of frames cut away are empty again
            end = marked["table"] + 8 * room
            file.write(b"\0" * max(0, min(end, size) - file.tell()) if room > 1 else b"")


def _room(n_items: int) -> int:
    """Return how many offsets the table of an ASE trajectory of so many items has room for."""
    room = 1
    while n_items > room:
        room *= 42
    return room
