"""How many unlike neighbours atoms have: four in wurtzite, six in rock salt, in hot crystals too."""

import numpy as np
from ase import Atoms

from asennp.neighbors import neighbor_pairs

#: A neighbour is bonded within so many mean distances of an atom's four nearest unlike ones.
_REACH = 1.3


def compute_coordination(atoms: Atoms) -> np.ndarray:
    """Return the number of bonded unlike neighbours of each atom, (N,), of a compound of two species."""
    radius = 2.2 * float(atoms.cell.volume / len(atoms)) ** (1 / 3)
    pairs = neighbor_pairs(atoms.positions, atoms.cell.array, atoms.pbc, radius, full=True)
    unlike = atoms.numbers[pairs.i] != atoms.numbers[pairs.j]
    i, distances = pairs.i[unlike], pairs.distances[unlike]
    order = np.lexsort((distances, i))
    i, distances = i[order], distances[order]
    rank = np.arange(len(i)) - np.searchsorted(i, i)
    near = rank < 4
    counts = np.bincount(i[near], minlength=len(atoms))
    mean = np.bincount(i[near], distances[near], minlength=len(atoms)) / np.maximum(counts, 1)
    bonded = distances < _REACH * mean[i]
    return np.bincount(i[bonded], minlength=len(atoms))


def coordination_shares(atoms: Atoms) -> dict[str, float]:
    """Return the share of atoms with four, five, six, eight and other numbers of unlike neighbours."""
    found = compute_coordination(atoms)
    shares = {f"{n}-fold": float(np.mean(found == n)) for n in (4, 5, 6, 8)}
    return {**shares, "other": 1.0 - sum(shares.values())}
