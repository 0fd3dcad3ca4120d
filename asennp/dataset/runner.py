"""Frames in the format of RuNNer, as of the charge-state data of Ko et al. (Bohr, Hartree, e)."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.units import Bohr, Hartree

from asennp.errors import InputError

_WORDS = ("begin", "comment", "lattice", "atom", "energy", "charge", "end")
_ATOM = "atom x y z element charge energy fx fy fz"


def iterate_runner(path: str | Path) -> Iterator[Atoms]:
    """Yield the frames of a RuNNer file (``input.data``), in ASE's units.

    Labels are ``REF_energy``, ``REF_forces`` and ``REF_charges``; ``info["total_charge"]`` is what the line
    ``charge`` says, e. Frames with lattice vectors are periodic in three directions.

    Raises
    ------
    InputError
        A line that cannot be read, or a frame that does not end; the message names the line.

    References
    ----------
    T. W. Ko, J. A. Finkler, S. Goedecker, J. Behler, Nat. Commun. 12, 398 (2021),
    doi:10.1038/s41467-020-20427-2.
    """
    lines: list[tuple[int, list[str]]] | None = None
    number = 0
    with open(path) as file:
        for number, line in enumerate(file, 1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            if words[0] not in _WORDS or (lines is None) != (words[0] == "begin"):
                expected = "begin" if lines is None else ", ".join(_WORDS[1:])
                raise InputError(
                    "not a RuNNer file", where=f"{path}, line {number}", expected=expected, got=words[0]
                )
            if lines is None:
                lines = []
            elif words[0] == "end":
                yield _build(lines, f"{path}, frame that ends in line {number}")
                lines = None
            else:
                lines.append((number, words))
    if lines is not None:
        raise InputError(
            "a frame does not end",
            where=f"{path}, line {number}",
            expected="end",
            do="is the file cut short?",
        )


def _numbers(words: list[str], where: str, expected: str) -> list[float]:
    try:
        return [float(word) for word in words]
    except ValueError:
        raise InputError("not numbers", where=where, expected=expected, got=" ".join(words)) from None


def _build(lines: list[tuple[int, list[str]]], place: str) -> Atoms:
    """Turn the lines of one frame into atoms."""
    cell, atoms, symbols, totals = [], [], [], {}
    for number, (key, *words) in lines:
        where = f"{place}: line {number}"
        if key == "lattice":
            cell.append(_numbers(words, where, "lattice x y z"))
        elif key == "atom":
            if len(words) != 9:
                raise InputError("not an atom", where=where, expected=_ATOM, got=" ".join(words))
            symbols.append(words[3])
            atoms.append(_numbers(words[:3] + words[4:], where, _ATOM))
        elif key in ("energy", "charge"):
            totals[key] = _numbers(words[:1], where, f"{key} and a number")[0]
    if not atoms or "energy" not in totals or len(cell) not in (0, 3):
        raise InputError(
            "a frame is not whole",
            where=place,
            expected="atoms, an energy, and three lattice vectors or none",
            got=f"{len(atoms)} atoms, {len(cell)} vectors, {', '.join(totals) or 'no energy'}",
        )
    columns = np.array(atoms)
    try:
        frame = Atoms(
            symbols, Bohr * columns[:, :3], cell=Bohr * np.array(cell) if cell else None, pbc=bool(cell)
        )
    except KeyError as error:
        raise InputError("no such element", where=place, got=str(error.args[0])) from None
    frame.info["REF_energy"] = totals["energy"] * Hartree
    frame.info["total_charge"] = totals.get("charge", 0.0)
    frame.arrays["REF_charges"] = columns[:, 3]
    frame.arrays["REF_forces"] = columns[:, 5:] * (Hartree / Bohr)
    return frame
