"""Radial distribution functions, total and by pairs of species, from frames."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list

from asennp.errors import InputError
from asennp.results import Result


@dataclass(frozen=True, eq=False)
class RdfResult(Result):
    """Radial distribution functions, means over frames; 1 where atoms know nothing of each other.

    Attributes
    ----------
    r_A
        (m,) middle of the shells, Å.
    rdf
        (m,) of all atoms.
    partial
        {"A-B": (m,)} by pairs of species, A and B in alphabetical order.
    coordination
        {"A-B": (m,)} mean number of B within the shell's outer edge of an A; for A and B both ways.
    n_frames
        Frames averaged over.
    """

    r_A: np.ndarray
    rdf: np.ndarray
    partial: dict[str, np.ndarray]
    coordination: dict[str, np.ndarray]
    n_frames: int


def compute_rdf(frames: Sequence[Atoms], reach_A: float = 8.0, width_A: float = 0.05) -> RdfResult:
    """Return g(r) = (pairs in a shell) / (pairs an even density would have there), averaged over frames.

    Parameters
    ----------
    frames
        Periodic frames of one composition; images count, so the reach may exceed the cell.
    reach_A, width_A
        Largest distance and width of a shell.

    Raises
    ------
    InputError
        No frames, frames of different composition, or frames without a cell.
    """
    if not frames:
        raise InputError("no frames", where="frames")
    if any(frame.cell.rank < 3 for frame in frames):
        raise InputError("g(r) needs a density, so a cell", where="frames")
    symbols = np.array(frames[0].get_chemical_symbols())
    if any(list(symbols) != frame.get_chemical_symbols() for frame in frames):
        raise InputError("frames must have the same atoms in the same order", where="frames")
    edges = np.arange(0.0, reach_A + 0.5 * width_A, width_A)
    kinds, index = np.unique(symbols, return_inverse=True)
    n = np.bincount(index).astype(float)
    counts = np.zeros((len(kinds), len(kinds), len(edges) - 1))
    ideal = np.zeros(len(edges) - 1)
    for frame in frames:
        i, j, distance = neighbor_list("ijd", frame, float(edges[-1]))
        shell = np.minimum((distance / width_A).astype(int), len(edges) - 2)
        np.add.at(counts, (index[i], index[j], shell), 1.0)
        ideal += 4.0 / 3.0 * np.pi * np.diff(edges**3) / frame.cell.volume
    counts /= len(frames)
    ideal /= len(frames)
    total = counts.sum(axis=(0, 1)) / (ideal * len(symbols) ** 2)
    partial = {
        f"{kinds[a]}-{kinds[b]}": counts[a, b] / (ideal * n[a] * n[b])
        for a, b in combinations_with_replacement(range(len(kinds)), 2)
    }
    coordination = {
        f"{kinds[a]}-{kinds[b]}": np.cumsum(counts[a, b]) / n[a]
        for a in range(len(kinds))
        for b in range(len(kinds))
    }
    return RdfResult(0.5 * (edges[1:] + edges[:-1]), total, partial, coordination, len(frames))
