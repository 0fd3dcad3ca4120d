"""Pair terms from tables, in blocks of rows that threads may share."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from asennp.electrostatics.kernels_pairs import add_blocks, tabulated_rows
from asennp.electrostatics.sums import Sums
from asennp.neighbors import Rows
from asennp.threads import share

#: Blocks of at least so many atoms, and no more than so many blocks.
BLOCK_ATOMS, MOST_BLOCKS = 64, 16


@dataclass(frozen=True, eq=False)
class PairCurves:
    """Tabulated pair curves, see `asennp.electrostatics.table`.

    Attributes
    ----------
    first
        Row of `table` where the curve of two kinds begins, (kinds, kinds).
    nearest
        Distance, Å, below which the table does not hold, (kinds, kinds).
    table
        Polynomials, (rows, 6).
    reach
        Where the curves end, Å.
    border, beyond
        Beyond the distance `border`, Å, the curve that begins `beyond` rows further on is taken.
    """

    first: np.ndarray
    nearest: np.ndarray
    table: np.ndarray
    reach: float
    border: float = np.inf
    beyond: int = 0


@lru_cache(maxsize=64)
def block_bounds(n_atoms: int) -> np.ndarray:
    """Return where blocks of rows begin and end; they depend on the number of atoms alone."""
    n_blocks = min(max(n_atoms // BLOCK_ATOMS, 1), MOST_BLOCKS)
    return np.arange(n_blocks + 1) * n_atoms // n_blocks


def add_tabulated(
    positions: np.ndarray,
    cell: np.ndarray,
    rows: Rows,
    weights: np.ndarray,
    kinds: np.ndarray,
    curves: PairCurves,
    out: Sums,
    threads: int = 1,
) -> bool:
    """Add w_i w_j V(r) over the pairs in reach, half of each to each atom; the virial in its upper triangle.

    Every block of rows has sums of its own, added in their order: results do not depend on the number of
    threads, and each block adds in the order of the list.

    Parameters
    ----------
    weights, kinds
        Of the atoms, (N,).

    Returns
    -------
    Whether the tables hold for every pair; if not, nothing is added.
    """
    n, bounds = len(positions), block_bounds(len(positions))
    n_blocks = len(bounds) - 1
    sums, virials = np.zeros((n_blocks, n, 4)), np.zeros((n_blocks, 6))
    offsets, close = rows.shifts @ cell, []

    def work(first: int, last: int) -> None:
        close.append(
            tabulated_rows(
                bounds, first, last, positions, rows.start, rows.j, rows.code, offsets, weights, kinds,
                curves.first, curves.nearest, curves.table, curves.border, curves.beyond, curves.reach,
                sums, virials,
            )
        )  # fmt: skip

    share(threads, n_blocks, work, parts=4)
    if any(close):
        return False
    add_blocks(bounds, sums, virials, *out)
    return True
