"""Labelled frames in extended XYZ files, without loss.

A frame is an ``ase.Atoms``; its labels are ``info["REF_energy"]`` (eV, without the smearing term),
``info["REF_free_energy"]`` (eV), ``info["REF_stress"]`` (6, eV/Å^3, +(1/V) dE/deps in Voigt order),
``arrays["REF_forces"]`` (N, 3), ``arrays["REF_energies"]`` (N,) and ``arrays["REF_charges"]`` (N,).

The writer is our own: ASE's keeps eight decimals, so a frame read back would differ from the frame
written, and content hashes and resumed runs with it. Here every number is written with the shortest
text that reads back to the same bits. The files stay ordinary extended XYZ: ASE reads them.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ase import Atoms
from ase.io import iread
from ase.io.extxyz import read_xyz
from ase.stress import full_3x3_to_voigt_6_stress

from asennp.dataset.runner import iterate_runner
from asennp.errors import InputError
from asennp.files import write_atomic

#: Labels of a whole frame (in ``info``) and of each atom (in ``arrays``), without the prefix ``REF_``.
FRAME_LABELS = ("energy", "free_energy", "stress")
ATOM_LABELS = ("forces", "energies", "charges")
LABELS = FRAME_LABELS + ATOM_LABELS

_PLAIN_WORD = re.compile(r"[A-Za-z_./][\w./:+-]*")
_BOOLEANS = {"T", "F", "true", "false", "True", "False", "TRUE", "FALSE"}
_COLUMN_KINDS = {"f": "R", "i": "I", "u": "I", "b": "L", "U": "S"}


def label(frame: Atoms, name: str) -> Any:
    """Return a label of a frame by its bare name (``"energy"``, ``"forces"``...), or None."""
    if name in ATOM_LABELS:
        return frame.arrays.get(f"REF_{name}")
    return frame.info.get(f"REF_{name}")


def labels_of(frame: Atoms) -> tuple[str, ...]:
    """Return the bare names of the labels that a frame carries."""
    return tuple(name for name in LABELS if label(frame, name) is not None)


def require_labels(frames: Sequence[Atoms], names: Iterable[str], *, where: object = "frames") -> None:
    """Refuse frames that lack a label.

    Raises
    ------
    InputError
        Naming the label, the first frame without it, and how many lack it.
    """
    for name in names:
        missing = [k for k, frame in enumerate(frames) if label(frame, name) is None]
        if missing:
            raise InputError(
                f"label REF_{name} is missing",
                where=where,
                expected=f"REF_{name} on each of {len(frames)} frames",
                got=f"{len(missing)} without it, the first is frame {missing[0]}",
                do="label the frames, or give this term no weight",
            )


def _check_shape(value: Any, shape: tuple[int, ...], name: str, place: str) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind not in "fiu" or array.shape != shape:
        raise InputError(
            f"{name} has a wrong form",
            where=place,
            expected=f"numbers of shape {shape}",
            got=f"{array.dtype} of shape {array.shape}",
        )
    if not np.isfinite(array).all():
        raise InputError(f"{name} holds NaN or infinity", where=place, do="drop or recompute this frame")
    return array.astype(float)


def check_frame(frame: Atoms, place: str) -> None:
    """Bring a frame's labels to their standard form, and refuse bad shapes, NaN and infinity.

    A stress given as 9 numbers is turned into Voigt's 6. `place` names the file and frame.
    """
    n = len(frame)
    if n == 0:
        raise InputError("the frame has no atoms", where=place)
    _check_shape(frame.positions, (n, 3), "positions", place)
    _check_shape(frame.cell.array, (3, 3), "the cell", place)
    if frame.info.get("REF_stress") is not None and np.size(frame.info["REF_stress"]) == 9:
        full = _check_shape(np.reshape(frame.info["REF_stress"], (3, 3)), (3, 3), "REF_stress", place)
        if not np.allclose(full, full.T, rtol=1e-4, atol=1e-6):
            raise InputError("REF_stress is not symmetric", where=place, got=full.tolist())
        frame.info["REF_stress"] = full_3x3_to_voigt_6_stress(full)
    shapes: dict[str, tuple[int, ...]] = {
        "energy": (),
        "free_energy": (),
        "stress": (6,),
        "forces": (n, 3),
        "energies": (n,),
        "charges": (n,),
    }
    for name, shape in shapes.items():
        value = label(frame, name)
        if value is None:
            continue
        array = _check_shape(value, shape, f"REF_{name}", place)
        if name in ATOM_LABELS:
            frame.arrays[f"REF_{name}"] = array
        else:
            frame.info[f"REF_{name}"] = array if shape else float(array)


def _is_runner(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(64).split()[:1] == [b"begin"]


def _iterate(path: Path) -> Iterator[Atoms]:
    if _is_runner(path):
        yield from iterate_runner(path)
        return
    if path.suffix in (".extxyz", ".xyz"):
        with open(path) as file:
            yield from read_xyz(file, index=slice(None))
    else:
        yield from iread(path, index=":")


def _take_plain_labels(frame: Atoms) -> None:
    """Move what the file gave under ASE's own names to the ``REF_`` keys."""
    results = dict(frame.calc.results) if frame.calc is not None else {}
    for name in LABELS:
        if results.get(name) is not None and label(frame, name) is None:
            target = frame.arrays if name in ATOM_LABELS else frame.info
            target[f"REF_{name}"] = np.asarray(results[name], dtype=float)


def _take_virial(frame: Atoms, virial: str | None, place: str) -> None:
    keys = [key for key in ("REF_virial", "virial") if key in frame.info]
    if not keys or frame.info.get("REF_stress") is not None:
        return
    if virial is None:
        raise InputError(
            f"{keys[0]} is given without its sign",
            where=place,
            expected="REF_stress = +(1/V) dE/deps, or the meaning of the virial",
            do="pass virial='dE/deps' or virial='-dE/deps' (most codes print the second)",
        )
    tensor = _check_shape(np.reshape(frame.info.pop(keys[0]), (3, 3)), (3, 3), keys[0], place)
    sign = 1.0 if virial == "dE/deps" else -1.0
    frame.info["REF_stress"] = full_3x3_to_voigt_6_stress(sign * (tensor + tensor.T) / 2) / frame.cell.volume


def read_frames(
    path: str | Path,
    *,
    labels: Literal["REF", "plain"] = "REF",
    virial: Literal["dE/deps", "-dE/deps"] | None = None,
) -> list[Atoms]:
    """Read labelled frames from an extended XYZ file, a RuNNer file, or any file that ASE reads.

    Parameters
    ----------
    path
        The file; ``.extxyz`` and ``.xyz`` are read as extended XYZ, what begins with ``begin`` as RuNNer's
        (see `asennp.dataset.runner`), others by ASE's own choice.
    labels
        ``"REF"`` takes the ``REF_`` keys alone; ``"plain"`` also takes energy, forces and stress
        given under ASE's own names as labels.
    virial
        What a virial in the file means, in eV; a virial without this is refused.

    Raises
    ------
    InputError
        For an unreadable or torn file, NaN, infinity or wrong shapes, naming file and frame.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("no such file", where=path)
    if virial not in (None, "dE/deps", "-dE/deps"):
        raise InputError("unknown meaning", where="virial", expected="dE/deps or -dE/deps", got=virial)
    frames: list[Atoms] = []
    iterator = _iterate(path)
    while True:
        place = f"{path}, frame {len(frames)}"
        try:
            frame = next(iterator)
        except StopIteration:
            break
        except InputError:
            raise
        except Exception as error:
            raise InputError(f"cannot be read: {error}", where=place, do="is the file cut short?") from error
        if labels == "plain":
            _take_plain_labels(frame)
        _take_virial(frame, virial, place)
        check_frame(frame, place)
        frame.calc = None
        frames.append(frame)
    if not frames:
        raise InputError("the file holds no frames", where=path)
    return frames


def _info_text(value: Any) -> str:
    """Write one ``info`` value so that ASE's reader returns it with the same bits and type."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool):
        return "T" if value else "F"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str) and _PLAIN_WORD.fullmatch(value) and value not in _BOOLEANS:
        try:
            float(value)  # "nan" and "inf" would come back as numbers
        except ValueError:
            return value
    if isinstance(value, np.ndarray):
        value = value.tolist()
        if len(np.shape(value)) == 1 and len(value) > 1 and all(type(v) in (int, float) for v in value):
            return '"' + " ".join(map(repr, value)) + '"'
    text = "_JSON " + json.dumps(value, sort_keys=True)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _header(frame: Atoms, columns: dict[str, np.ndarray]) -> str:
    parts = ['Lattice="' + " ".join(map(repr, frame.cell.array.ravel().tolist())) + '"']
    kinds = [f"{n}:{_COLUMN_KINDS[a.dtype.kind]}:{a[0].size}" for n, a in columns.items()]
    parts.append("Properties=" + ":".join(kinds))
    for key, value in frame.info.items():
        if not re.fullmatch(r"[A-Za-z_][\w-]*", str(key)):
            raise InputError("an info key must be one plain word", where="write_frames", got=repr(key))
        if value is not None:
            try:
                parts.append(f"{key}={_info_text(value)}")
            except TypeError as error:
                raise InputError(f"info[{key!r}] has no JSON form", got=type(value).__name__) from error
    parts.append('pbc="' + " ".join("T" if p else "F" for p in frame.pbc) + '"')
    return " ".join(parts)


def frames_text(frames: Iterable[Atoms]) -> str:
    """Return frames as the text of an extended XYZ file; the same frames give the same text."""
    blocks: list[str] = []
    for k, frame in enumerate(frames):
        check_frame(frame := frame.copy(), f"frame {k}")
        columns = {"species": np.array(frame.get_chemical_symbols()), "pos": frame.positions}
        extra = {name: a for name, a in sorted(frame.arrays.items()) if name not in ("numbers", "positions")}
        columns.update(extra)
        texts = []
        for name, array in columns.items():
            if array.dtype.kind not in _COLUMN_KINDS:
                raise InputError(f"array {name!r} cannot be written", got=array.dtype, where=f"frame {k}")
            rows = array.reshape(len(frame), -1)
            if array.dtype.kind == "b":
                rows = np.where(rows, "T", "F")
            texts.append([" ".join(map(str, row)) for row in rows.tolist()])
        lines = map(" ".join, zip(*texts))
        blocks.append(f"{len(frame)}\n{_header(frame, columns)}\n" + "\n".join(lines) + "\n")
    return "".join(blocks)


def write_frames(path: str | Path, frames: Sequence[Atoms]) -> Path:
    """Write frames as extended XYZ, whole or not at all, with every number exact.

    Labels under ``REF_`` keys, all of ``info`` and all arrays are written; results of an attached
    calculator are not (see `attach_labels`).
    """
    return write_atomic(path, frames_text(frames))
