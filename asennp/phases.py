"""Phases of atoms and frames from local environments: coordination, bond angles, stacking.

In a compound of two species every atom is looked at through two shells: its nearest unlike neighbours, and
the twelve nearest of its own kind, which form a face-centred or hexagonal close-packed lattice in rock salt,
zincblende and wurtzite. Bond-orientational parameters q_lm(i) = <Y_lm(r_ij)> over a shell, averaged over the
atom and its neighbours, keep apart what thermal motion blurs. Near the melting point they are at their
limits: what is crystalline may count as disordered there; frames relaxed to rest, cell included, tell.

References
----------
Steinhardt, Nelson, Ronchetti, Phys. Rev. B 28 (1983) 784, doi:10.1103/PhysRevB.28.784; averages: Lechner,
Dellago, J. Chem. Phys. 129 (2008) 114707, doi:10.1063/1.2977970; staggered and eclipsed bonds: Moore, de la
Llave, Welke, Scherlis, Molinero, Phys. Chem. Chem. Phys. 12 (2010) 4124, doi:10.1039/b919724a.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
from ase import Atoms
from numpy.polynomial import Legendre, Polynomial

from asennp.errors import InputError
from asennp.neighbors import Pairs, neighbor_pairs
from asennp.results import Result

#: Labels of compounds of two species and of elements; "mixed" names frames alone.
COMPOUND_PHASES = ("rocksalt", "zincblende", "wurtzite", "graphitic", "cesiumchloride", "disordered")
ELEMENT_PHASES = ("fcc", "hcp", "bcc", "disordered")

#: An unlike neighbour is bonded within so many mean distances of the four nearest.
_BOND_REACH = 1.4
#: Limits of the averaged coordination: tetrahedral, five-fold, octahedral, eight-fold.
_COORDINATION = (4.55, 5.35, 6.8)
#: Least averaged q6 of the twelve neighbours of the same kind in a crystal (perfect fcc: 0.575, hcp: 0.485).
_ORDERED_Q6 = 0.36
#: Bond correlation averaged over an atom and its neighbours: zincblende is below, wurtzite above.
_STACKING = -0.86


@dataclass(frozen=True, eq=False)
class PhaseLabels(Result):
    """Phases of the atoms of a frame.

    Attributes
    ----------
    labels
        One of `COMPOUND_PHASES` or `ELEMENT_PHASES` an atom, shape (N,).
    fractions
        Share of the atoms of each phase; all names are there.
    phase
        Of the frame: the label of at least half of the atoms, else "mixed".
    """

    labels: np.ndarray
    fractions: dict[str, float]
    phase: str


@dataclass(frozen=True, eq=False)
class PhaseHistory(Result):
    """Phases along a trajectory.

    Attributes
    ----------
    names
        The phases.
    fractions
        Share of the atoms of each phase in each frame, shape (n_frames, n_names).
    phases
        Phase of each frame.
    """

    names: tuple[str, ...]
    fractions: np.ndarray
    phases: tuple[str, ...]

    def visited(self) -> dict[str, float]:
        """Return the share of the frames that are of each phase, the commonest first."""
        names, counts = np.unique(np.array(self.phases), return_counts=True)
        order = np.argsort(-counts, kind="stable")
        return {str(names[k]): float(counts[k]) / len(self.phases) for k in order}


@dataclass(frozen=True, eq=False)
class _Shell:
    """The k nearest neighbours of every atom; distances (N, k) are inf where there are fewer."""

    distances: np.ndarray
    vectors: np.ndarray
    index: np.ndarray

    def first(self, k: int) -> "_Shell":
        return _Shell(self.distances[:, :k], self.vectors[:, :k], self.index[:, :k])

    def within(self, radius: np.ndarray) -> "_Shell":
        """Return the shell without what lies beyond a radius (N,)."""
        inside = self.distances < radius[:, None]
        return _Shell(np.where(inside, self.distances, np.inf), self.vectors, self.index)

    @property
    def present(self) -> np.ndarray:
        return np.isfinite(self.distances)


def classify(atoms: Atoms) -> PhaseLabels:
    """Name the phase of every atom and of the frame.

    Compounds of two species: rock salt, zincblende, wurtzite, the five-fold graphitic phase (h-BN or h-MgO
    like), caesium chloride, disordered. Elements: fcc, hcp, bcc, disordered. An atom is crystalline by the
    order of the lattice of its own kind, six-fold and so on by its coordination averaged with its
    neighbours', and zincblende or wurtzite by whether its bonds are staggered.

    Parameters
    ----------
    atoms
        One or two elements, at least two atoms in the neighbourhood; any cell, also one of 8 atoms.

    Raises
    ------
    InputError
        More than two elements.
    """
    kinds = np.unique(atoms.numbers)
    if len(kinds) > 2:
        raise InputError(
            "phases are known of elements and of compounds of two species",
            where="atoms",
            expected="one or two elements",
            got=atoms.get_chemical_formula(),
            do="leave the other atoms out: del atoms[[...]]",
        )
    pairs = neighbor_pairs(atoms.positions, atoms.cell.array, atoms.pbc, _search_radius(atoms), full=True)
    if len(kinds) == 1:
        names: tuple[str, ...] = ELEMENT_PHASES
        labels = _label_element(_nearest(pairs, len(atoms), 18))
    else:
        unlike = atoms.numbers[pairs.i] != atoms.numbers[pairs.j]
        bonds = _nearest(pairs, len(atoms), 8, unlike)
        names = COMPOUND_PHASES
        labels = _label_compound(bonds, _nearest(pairs, len(atoms), 12, ~unlike))
    fractions = {name: float(np.mean(labels == name)) for name in names}
    commonest = max(fractions, key=lambda name: fractions[name])
    return PhaseLabels(labels, fractions, commonest if fractions[commonest] >= 0.5 else "mixed")


def phase_fractions(atoms: Atoms) -> dict[str, float]:
    """Return the share of the atoms of each phase, as `classify` names them: for observers of a run."""
    return classify(atoms).fractions


def classify_frames(frames: Iterable[Atoms]) -> PhaseHistory:
    """Classify every frame of a trajectory of one composition."""
    found = [classify(frame) for frame in frames]
    names = tuple(found[0].fractions) if found else ()
    shares = np.array([[one.fractions[name] for name in names] for one in found])
    return PhaseHistory(names, shares.reshape(len(found), len(names)), tuple(one.phase for one in found))


def _label_compound(bonds: _Shell, own: _Shell) -> np.ndarray:
    """Label atoms by their unlike neighbours (8 nearest) and those of their own kind (12 nearest)."""
    four = bonds.first(4)
    reach = _BOND_REACH * four.distances.mean(axis=1)  # inf where there are fewer: all count
    coordination = _average(bonds.within(reach).present.sum(axis=1).astype(float), four)
    order = _norm(_average(_harmonics(own, 6), own))
    stacking = _average(_bond_correlation(four, 3).mean(axis=1), four)
    cube = _bond_correlation(bonds, 4).mean(axis=1)
    tetrahedral, fivefold, octahedral = (coordination < limit for limit in _COORDINATION)
    return np.select(
        [
            ~octahedral & (cube > 0.7),
            octahedral & (order < _ORDERED_Q6) | ~four.present.all(axis=1),
            tetrahedral & (stacking < _STACKING),
            tetrahedral,
            fivefold,
            octahedral,
        ],
        ["cesiumchloride", "disordered", "zincblende", "wurtzite", "graphitic", "rocksalt"],
        "disordered",
    )


def _label_element(near: _Shell) -> np.ndarray:
    """Label atoms of an element by the averaged q4 and q6.

    Blurred directions damp q_l by exp(-l(l + 1) s); q4/q6^(20/42) is free of it: 0.25 fcc, 0.14 hcp,
    0.05 bcc.
    """
    shell = near.within(1.22 * near.first(14).distances.mean(axis=1))
    q4, q6 = (_norm(_average(_harmonics(shell, degree), shell)) for degree in (4, 6))
    shape = q4 / np.maximum(q6, 1e-12) ** (20 / 42)
    return np.select([q6 < 0.32, shape > 0.185, shape > 0.095], ["disordered", "fcc", "hcp"], "bcc")


@cache
def _legendre_derivatives(degree: int) -> np.ndarray:
    """Return coefficients (m, power of z) of sqrt(c_m (l-m)!/(l+m)!) d^m P_l/dz^m; c_0 = 1, else 2."""
    table = np.zeros((degree + 1, degree + 1))
    polynomial = Legendre.basis(degree).convert(kind=Polynomial)
    for m in range(degree + 1):
        coefficients = np.asarray(polynomial.deriv(m).coef if m else polynomial.coef, dtype=float)
        norm = math.sqrt((2 if m else 1) * math.factorial(degree - m) / math.factorial(degree + m))
        table[m, : len(coefficients)] = norm * coefficients
    return table


def _harmonics(shell: _Shell, degree: int) -> np.ndarray:
    """Return q_lm of every atom for m = 0...l, shape (N, l + 1), complex.

    Normed so that Re q(i)·q(j)* is the mean of P_l(cos) over the pairs of bonds: m stands for -m too.
    """
    unit = shell.vectors / np.where(shell.present, shell.distances, 1.0)[..., None]
    x, y, z = np.moveaxis(unit, -1, 0)
    counts = np.maximum(shell.present.sum(axis=1), 1)
    heights = np.vander(z.ravel(), degree + 1, increasing=True) @ _legendre_derivatives(degree).T
    turns = np.vander((x + 1j * y).ravel(), degree + 1, increasing=True)
    values = (heights * turns).reshape(*z.shape, degree + 1)
    summed: np.ndarray = (values * shell.present[..., None]).sum(axis=1) / counts[:, None]
    return summed


def _average(values: np.ndarray, shell: _Shell) -> np.ndarray:
    """Return the mean of a value (N, ...) over each atom and its neighbours."""
    weights = shell.present.reshape(*shell.present.shape, *[1] * (values.ndim - 1))
    total: np.ndarray = values + (weights * values[shell.index]).sum(axis=1)
    return total / (1 + weights.sum(axis=1))


def _norm(q: np.ndarray) -> np.ndarray:
    length: np.ndarray = np.linalg.norm(q, axis=-1)
    return length


def _bond_correlation(shell: _Shell, degree: int) -> np.ndarray:
    """Return Re q(i)·q(j)* / |q(i)||q(j)| of every bond, (N, k); l = 3: -1 staggered, -0.1 eclipsed."""
    q = _harmonics(shell, degree)
    q = q / np.maximum(_norm(q), 1e-12)[:, None]
    return np.where(shell.present, np.real((q[:, None] * q[shell.index].conj()).sum(axis=-1)), 0.0)


def _nearest(pairs: Pairs, n_atoms: int, k: int, chosen: np.ndarray | None = None) -> _Shell:
    """Return the k nearest of the chosen pairs of every atom."""
    i, distances = pairs.i, pairs.distances
    order = np.lexsort((distances, i))
    if chosen is not None:
        order = order[chosen[order]]
    i = i[order]
    rank = np.arange(len(i)) - np.searchsorted(i, np.arange(n_atoms))[i]
    order, i, rank = order[rank < k], i[rank < k], rank[rank < k]
    shell = _Shell(np.full((n_atoms, k), np.inf), np.zeros((n_atoms, k, 3)), np.zeros((n_atoms, k), int))
    shell.distances[i, rank] = distances[order]
    shell.vectors[i, rank] = pairs.vectors[order]
    shell.index[i, rank] = pairs.j[order]
    return shell


def _search_radius(atoms: Atoms) -> float:
    """Return a radius that holds the second shell: from the density; in a cluster from the nearest pairs."""
    if atoms.pbc.all():
        return 2.3 * float(atoms.cell.volume / len(atoms)) ** (1.0 / 3.0)
    radius = 3.0
    while radius < 50.0:
        pairs = neighbor_pairs(atoms.positions, atoms.cell.array, atoms.pbc, radius, full=True)
        if len(pairs) >= len(atoms):
            nearest = np.full(len(atoms), np.inf)
            np.minimum.at(nearest, pairs.i, pairs.distances)
            return 2.6 * float(np.median(nearest))
        radius *= 1.5
    return radius
