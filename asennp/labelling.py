"""Labels by any calculator: one frame a task, one thread a process, one line of a journal a finished frame.

A frame is labelled or recorded as failed whichever process takes it and in whatever order. What is in the
journal is never done again, so a labelling that was killed loses the frames in flight and no other.
"""

import contextlib
import json
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import all_changes

from asennp.calculators.named import make_calculator
from asennp.dataset import attach_labels
from asennp.dataset.frames import frames_text
from asennp.errors import InputError
from asennp.files import append_jsonl, json_default, read_jsonl
from asennp.processes import run_processes
from asennp.progress import progress

PROPERTIES = ("energy", "free_energy", "forces", "stress", "charges")
#: Key of the journal's first line: whose labels of which frames it holds.
_KEY = "labelling"


@dataclass(frozen=True, eq=False)
class Labelling:
    """What came of labelling frames.

    Attributes
    ----------
    frames
        The labelled ones, in their order; ``info["frame"]`` is their place among all.
    failed
        A record of each frame that has no label: ``frame``, ``error`` and the frame's own ``info``.
    teacher_seconds
        Time spent in the teacher, all processes together.
    """

    frames: list[Atoms]
    failed: list[dict[str, Any]]
    teacher_seconds: float


def label_frames(
    frames: Sequence[Atoms],
    teacher: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    folder: str | Path,
    workers: int = 2,
    max_force: float = np.inf,
    retry_failed: bool = False,
) -> Labelling:
    """Label frames; started again on the same folder, go on.

    Parameters
    ----------
    frames
        The frames; labels they have are dropped, their ``info`` is kept.
    teacher, arguments
        Any calculator by one word (`make_calculator`), and its keyword arguments, plain values. A program
        keeps its files in ``folder/calculations``, or in ``directory`` if that is among the arguments: each
        frame in a sub-folder of its own.
    folder
        Where the journal is.
    workers
        Processes, each of one thread.
    max_force
        A label with a larger force component (eV/Å) counts as failed.
    retry_failed
        Whether frames that failed before are tried again.

    Raises
    ------
    InputError
        For a teacher that cannot be made, and a folder that holds labels of other frames or another teacher.
    """
    given = dict(arguments or {})
    folder = Path(folder)
    calculations = Path(given.pop("directory", None) or folder / "calculations")
    make_calculator(teacher, given)  # an unknown or absent teacher is bad input: say so before any process
    bare = [bare_copy(frame) for frame in frames]
    text = json.dumps(given, sort_keys=True, default=json_default)
    key = {
        "frames_sha256": sha256(frames_text(bare).encode()).hexdigest(),
        "teacher": teacher,
        "arguments": text,
        "max_force": float(max_force),
    }
    journal = folder / "labels.jsonl"
    done = _done_before(journal, key, retry_failed)
    tasks = [
        (k, atoms, teacher, text, calculations / f"{k:05d}", max_force)
        for k, atoms in enumerate(bare)
        if k not in done
    ]
    with progress("label", len(frames)) as show:
        for _, record in run_processes(_label_one, tasks, workers):
            append_jsonl(journal, record)
            done[record["frame"]] = record
            show(len(done), "")
    return _gather(frames, done)


def bare_copy(frame: Atoms) -> Atoms:
    """Return a copy that carries no labels."""
    return Atoms(frame.numbers, frame.positions, cell=frame.cell, pbc=frame.pbc)


@lru_cache(maxsize=1)
def cached_teacher(name: str, arguments: str) -> Any:
    """Make a teacher once a process; its cautions were said in the parent.

    Parameters
    ----------
    name
        As for `make_calculator`.
    arguments
        Keyword arguments as JSON.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make_calculator(name, json.loads(arguments))


def _done_before(journal: Path, key: Mapping[str, Any], retry_failed: bool) -> dict[int, dict[str, Any]]:
    """Return the journal's records by frame; begin a journal where there is none."""
    records = read_jsonl(journal)
    if not records:
        journal.parent.mkdir(parents=True, exist_ok=True)
        append_jsonl(journal, {_KEY: key})
        return {}
    begun = records[0].get(_KEY)
    if begun != key:
        differing = [name for name in key if begun is None or begun.get(name) != key[name]]
        raise InputError(
            f"the folder holds labels of other {' and '.join(differing)}",
            where=journal,
            expected={name: key[name] for name in differing},
            got=begun and {name: begun.get(name) for name in differing},
            do="choose another folder",
        )
    found = {record["frame"]: record for record in records[1:]}  # of a frame tried twice the last counts
    return {k: r for k, r in found.items() if not (retry_failed and "error" in r)}


def _label_one(
    k: int, atoms: Atoms, name: str, arguments: str, place: Path, max_force: float
) -> dict[str, Any]:
    """Label one frame; whatever the teacher raises is recorded, and the others go on."""
    teacher = cached_teacher(name, arguments)
    started = time.perf_counter()
    try:
        if hasattr(teacher, "directory"):
            teacher.directory = place  # where a program works: one place a frame, or processes collide
        if hasattr(teacher, "reset"):
            teacher.reset()  # a label must not depend on the frame before
        teacher.calculate(atoms, ["energy", "forces", "stress"], all_changes)
        results = {"free_energy": teacher.results["energy"], **teacher.results}
        results = {p: np.asarray(results[p]) for p in PROPERTIES if results.get(p) is not None}
        forces = attach_labels(atoms, results).arrays["REF_forces"]
        if (largest := float(np.abs(forces).max())) > max_force:
            raise ValueError(f"force of {largest:.1f} eV/A exceeds max_force_eV_A = {max_force}")
    except Exception as error:
        record: dict[str, Any] = {"error": f"{type(error).__name__}: {error}"[:300]}
    else:
        record = {"results": results}
    with contextlib.suppress(OSError):
        place.rmdir()  # ASE makes it for every calculator; where nothing was written it is not kept
    return {"frame": k, "seconds": time.perf_counter() - started, **record}


def _gather(frames: Sequence[Atoms], done: Mapping[int, Mapping[str, Any]]) -> Labelling:
    """Join frames and records in the order of the frames."""
    labelled, failed = [], []
    for k, frame in enumerate(frames):
        if "error" in done[k]:
            failed.append({**frame.info, "frame": k, "error": done[k]["error"]})
            continue
        one = attach_labels(frame, done[k]["results"])
        one.info["frame"] = k
        labelled.append(one)
    return Labelling(labelled, failed, sum(record["seconds"] for record in done.values()))
