"""Neighbour lists in a canonical order.

A pair (i, j, S) stands for atom `i` and the image of atom `j` shifted by the integers `S` of the
cell vectors, for the positions as given (they may lie outside the cell):
d = r_j + S·cell - r_i.
Pairs are sorted by i, then j, then S, and a half list keeps i < j, or for an atom with its own image
the lexicographically positive S. The order of those pairs that lie inside a cut-off therefore never
depends on the age or the reach of the list they came from, and sums over them are repeatable to the
last bit.
"""

from dataclasses import dataclass

import numpy as np
from ase.geometry import complete_cell

from asennp.errors import InputError
from asennp.kernels_neighbors import list_holds, near_pairs

#: A list that lasted fewer calls than this is filtered from a wide one next time; skins of the two, in skins.
_SHORT_LIVED, _MELT_SKIN, _WIDE_SKIN = 100, 0.5, 2.5
#: Cells of a smaller volume per atom (Å^3) are refused: nothing physical is so dense.
SMALLEST_VOLUME_PER_ATOM = 1e-3


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of atoms within a cut-off.

    Attributes
    ----------
    i, j
        Atom indices, (P,).
    shifts
        Cell shifts of `j`, (P, 3), integers.
    vectors
        r_j + S·cell - r_i, (P, 3), Å.
    distances
        Lengths of `vectors`, (P,), Å.
    """

    i: np.ndarray
    j: np.ndarray
    shifts: np.ndarray
    vectors: np.ndarray
    distances: np.ndarray

    def __len__(self) -> int:
        return len(self.i)


@dataclass(frozen=True, eq=False)
class Rows:
    """Pairs of a half list, packed by the first atom.

    Attributes
    ----------
    start
        Pairs start[i] ... start[i + 1] are those of atom i, (N + 1,).
    j
        Second atoms, (P,).
    code
        Row of `shifts` for each pair, (P,).
    shifts
        The different cell shifts, (K, 3), floats.
    """

    start: np.ndarray
    j: np.ndarray
    code: np.ndarray
    shifts: np.ndarray


def check_geometry(positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray) -> float:
    """Refuse atoms no sum can be made over; return the cell's volume (Å^3, 0 without a cell).

    Raises
    ------
    InputError
        No atoms, positions or cell that are not finite, a periodic cell without volume, or a periodic
        direction without a cell vector of its own.
    """
    if len(positions) == 0:
        raise InputError("there are no atoms", where="atoms", expected="at least one atom", got=0)
    finite = np.isfinite(positions)
    if not finite.all():
        bad = np.flatnonzero(~finite.all(axis=1))
        raise InputError("positions are not finite", where="atoms", got=f"atoms {bad[:10].tolist()}")
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = cell.tolist()
    volume = abs(ax * (by * cz - bz * cy) + ay * (bz * cx - bx * cz) + az * (bx * cy - by * cx))
    if not np.isfinite(volume):
        raise InputError("the cell is not finite", where="atoms.cell", got=cell.tolist())
    if np.all(pbc):
        if volume < SMALLEST_VOLUME_PER_ATOM * len(positions):
            raise InputError(
                "a periodic cell has no volume",
                where="atoms.cell",
                expected=f"at least {SMALLEST_VOLUME_PER_ATOM} Å^3 per atom",
                got=f"{volume:.3g} Å^3 for {len(positions)} atoms",
                do="set the cell, or pbc=False",
            )
    elif np.any(pbc) and np.linalg.matrix_rank(cell[np.asarray(pbc, bool)], tol=1e-6) < np.sum(pbc):
        raise InputError(
            "a periodic direction has no cell vector of its own",
            where="atoms.cell",
            expected=f"independent vectors in the directions {np.flatnonzero(pbc).tolist()}",
            got=cell.tolist(),
            do="set the cell, or pbc=False",
        )
    return volume


def _canonical(
    i: np.ndarray, j: np.ndarray, shifts: np.ndarray, n_atoms: int, full: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Orient (half lists only) and sort pairs; shifts are three rows, (3, P)."""
    if not full:
        s0, s1, s2 = shifts
        negative = (s0 < 0) | ((s0 == 0) & ((s1 < 0) | ((s1 == 0) & (s2 < 0))))
        flip = (i > j) | ((i == j) & negative)
        i, j = np.where(flip, j, i), np.where(flip, i, j)
        shifts = np.where(flip, -shifts, shifts)
    if len(i) == 0:
        return i, j, shifts
    low = shifts.min(axis=1)
    width = [int(w) for w in shifts.max(axis=1) - low + 1]
    if n_atoms * n_atoms * width[0] * width[1] * width[2] < 2**62:
        key = i * n_atoms + j
        for axis in range(3):
            key *= width[axis]
            key += shifts[axis] - low[axis]
        order = np.argsort(key)
    else:
        order = np.lexsort((shifts[2], shifts[1], shifts[0], j, i))
    return i[order], j[order], shifts[:, order]


def _pack(i: np.ndarray, j: np.ndarray, shifts: np.ndarray, n_atoms: int) -> Rows:
    """Pack sorted pairs; shifts are three rows, (3, P)."""
    start = np.searchsorted(i, np.arange(n_atoms + 1, dtype=i.dtype))
    if len(i) == 0:
        return Rows(start, j.astype(np.int32), np.zeros(0, np.int32), np.zeros((1, 3)))
    low = shifts.min(axis=1)
    _, wy, wz = (int(w) for w in shifts.max(axis=1) - low + 1)
    key = (shifts[0] - low[0]) * (wy * wz) + (shifts[1] - low[1]) * wz + (shifts[2] - low[2])
    present = np.zeros(int(key.max()) + 1, bool)
    present[key] = True
    used = np.flatnonzero(present)
    code = (np.cumsum(present, dtype=np.int32) - 1)[key]
    different = np.stack([used // (wy * wz), used // wz % wy, used % wz], axis=1) + low
    return Rows(start, j.astype(np.int32), code.astype(np.int32), different.astype(float))


def _find(positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray, cutoff: float, full: bool) -> Rows:
    """Find all pairs closer than the cut-off, packed."""
    from vesin import NeighborList  # imports torch where there is one: seconds

    pbc = np.broadcast_to(np.asarray(pbc, bool), 3)
    if not pbc.all():
        cell = complete_cell(cell)  # open directions may come without a vector
    i, j, shifts = NeighborList(cutoff=float(cutoff), full_list=full, n_threads=1).compute(
        np.ascontiguousarray(positions, float), np.ascontiguousarray(cell, float), pbc, "ijS"
    )
    n_atoms = len(positions)
    # three long rows: extremes along the short axis of (P, 3) are several times slower
    rows = np.ascontiguousarray(shifts.T, dtype=np.int64)
    return _pack(*_canonical(i.astype(np.int64), j.astype(np.int64), rows, n_atoms, full), n_atoms)


def _unpack(rows: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return i, j and shifts, int32, of packed pairs."""
    i = np.repeat(np.arange(len(rows.start) - 1, dtype=np.int32), np.diff(rows.start))
    return i, rows.j, rows.shifts.astype(np.int32)[rows.code]


def neighbor_pairs(
    positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray | bool, cutoff: float, full: bool = False
) -> Pairs:
    """Find all pairs closer than `cutoff`, in canonical order.

    Parameters
    ----------
    positions
        (N, 3), Å; they need not lie inside the cell.
    cell
        (3, 3), rows are the cell vectors, Å; any shape, also thinner than the cut-off.
    pbc
        Periodicity, one or three booleans.
    cutoff
        Å.
    full
        Each pair in both directions; by default once (an atom and its own image also once).
    """
    positions, cell = np.asarray(positions, float), np.asarray(cell, float)
    # the search rounds otherwise than the distances do, which decide
    rows = _find(positions, cell, np.asarray(pbc), cutoff * (1.0 + 1e-12), full)
    i, j, shifts = (a.astype(np.int64) for a in _unpack(rows))
    vectors = positions[j] + shifts @ cell - positions[i]
    distances = np.sqrt(np.einsum("pa,pa->p", vectors, vectors))
    if len(i) and distances.max() >= cutoff:
        inside = distances < cutoff
        return Pairs(i[inside], j[inside], shifts[inside], vectors[inside], distances[inside])
    return Pairs(i, j, shifts, vectors, distances)


@dataclass(frozen=True, eq=False)
class _Listed:
    """Pairs that were closer than `reach` when the atoms were at `positions` in `cell`."""

    rows: Rows
    reach: float
    positions: np.ndarray
    cell: np.ndarray
    inverse: np.ndarray
    pbc: np.ndarray

    def holds(self, positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray, wanted: float) -> bool:
        """Tell whether every pair closer than `wanted` is still listed."""
        if len(positions) != len(self.positions) or list(pbc) != list(self.pbc):
            return False
        if not self.pbc.all():
            cell = complete_cell(cell) if self.pbc.any() else np.eye(3)
        return bool(list_holds(positions, self.positions, self.inverse, cell, self.reach, wanted))


class VerletPairs:
    """A half list with a skin, reused while no pair can have come inside the cut-off.

    With F = h0^-1 h the deformation of the cell since the list was made and u_i = r_i - r0_i F the
    further displacements (their mean taken out), every pair left out of the list is still longer than
    σ_min(F) (cutoff + skin) - 2 max|u|, with σ_min(F) >= 1 - |F - 1|. The list is made anew before
    that falls below the cut-off; strain counts as well as motion.

    Where lists last only some tens of calls, as in a melt, the search goes further out, and the list is
    filtered from that wide one, in its order, as long as the wide one holds. Crystals never need it.

    The list holds pairs beyond the cut-off: skip them.

    Parameters
    ----------
    cutoff, skin
        Å.
    """

    def __init__(self, cutoff: float, skin: float = 1.2) -> None:
        self.cutoff = float(cutoff)
        self.skin = float(skin)
        #: Searches so far, and lists made, by search or from the wide list.
        self.n_searches = self.n_builds = 0
        self._pairs: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
        self._listed: _Listed | None = None
        self._wide: _Listed | None = None
        self._calls = 0

    def __getstate__(self) -> dict[str, float | int]:
        """Pickle the settings only: the list itself is made anew."""
        return {"cutoff": self.cutoff, "skin": self.skin}

    def __setstate__(self, state: dict[str, float]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def update(
        self, positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return i, j (P,) and shifts (P, 3), all int32, holding every pair within the cut-off."""
        rows = self.rows(positions, cell, pbc)
        if self._pairs is None:
            self._pairs = _unpack(rows)
        return self._pairs

    def rows(self, positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray) -> Rows:
        """Return the same pairs as `update`, packed."""
        self._calls += 1
        if self._listed is None or not self._listed.holds(positions, cell, pbc, self.cutoff):
            self._listed, self._pairs = self._make(positions, cell, pbc), None
            self.n_builds += 1
            self._calls = 0
        return self._listed.rows

    def _make(self, positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray) -> _Listed:
        """Make the list, from the wide one if lists do not last."""
        # a list never used twice was for another frame, not for a step of the same run
        if not 1 < self._calls < _SHORT_LIVED:
            self._wide = None
            return self._search(positions, cell, pbc, self.cutoff + self.skin)
        reach = self.cutoff + _MELT_SKIN * self.skin
        if self._wide is None or not self._wide.holds(positions, cell, pbc, reach):
            self._wide = self._search(positions, cell, pbc, self.cutoff + _WIDE_SKIN * self.skin)
        wide = self._wide.rows
        near = near_pairs(positions, wide.start, wide.j, wide.code, wide.shifts @ cell, reach)
        return _listed(Rows(*near, wide.shifts), reach, positions, cell, pbc)

    def _search(self, positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray, reach: float) -> _Listed:
        self.n_searches += 1
        return _listed(_find(positions, cell, pbc, reach, full=False), reach, positions, cell, pbc)


def _listed(rows: Rows, reach: float, positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray) -> _Listed:
    """Note where the atoms are and how far the list reaches."""
    pbc = np.array(pbc, bool)
    # without periodic directions no cell carries the atoms along
    whole = np.array(cell, float) if pbc.all() else complete_cell(cell) if pbc.any() else np.eye(3)
    return _Listed(rows, reach, np.array(positions, float), whole, np.linalg.inv(whole), pbc)
