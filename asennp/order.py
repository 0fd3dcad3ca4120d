"""Order parameters: one number for a structure, with its gradients."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms

from asennp.errors import InputError, nearest
from asennp.kernels_order import structure_factors

#: Spread of the site spacings along the cell edges, and of the angles (degrees), that a cubic star forgives.
_SPACING_TOLERANCE = 0.15
_ANGLE_TOLERANCE = 10.0
#: Every atom counts.
_ALL = np.empty(0, dtype=np.int64)


class OrderParameter(ABC):
    """A smooth function O(r, h) of positions and cell.

    A subclass gives `evaluate`; value and gradients follow from it.
    """

    @abstractmethod
    def evaluate(self, atoms: Atoms) -> tuple[float, np.ndarray]:
        """Return O and dO/dr, shape (N, 3), in 1/Å, in one pass."""

    @abstractmethod
    def strain_derivative(self, atoms: Atoms) -> np.ndarray:
        """Return dO/deps, shape (3, 3), for a homogeneous strain of positions and cell."""

    @abstractmethod
    def todict(self) -> dict[str, Any]:
        """Return what `order_from_dict` rebuilds this object from."""

    def check(self, atoms: Atoms) -> None:  # noqa: B027  (a hook: most orders take any atoms)
        """Raise InputError if the order parameter has no meaning for these atoms."""

    def __call__(self, atoms: Atoms) -> float:
        """Return O."""
        return self.evaluate(atoms)[0]

    def gradient(self, atoms: Atoms) -> np.ndarray:
        """Return dO/dr, shape (N, 3)."""
        return self.evaluate(atoms)[1]


class ReciprocalOrder(OrderParameter):
    """Squared structure factor averaged over a star of reciprocal vectors tied to the cell.

    O = 1/(N_g N) sum_g |sum_i exp(i g·r_i)|^2 with g = 2π h^-T n, so that g·r depends on the scaled
    coordinates alone and dO/deps = 0. A perfect lattice whose reciprocal vectors these are has O = N, an
    ideal gas O = 1 on average. A vector and its opposite count once.

    Parameters
    ----------
    vectors
        Integer triples n in units of the reciprocal cell, shape (N_g, 3).
    atoms_or_n_atoms
        The structure (any frame of it) or its number of atoms.
    species
        Chemical symbols that count; all atoms if not given. Needs atoms, not a number.

    Raises
    ------
    InputError
        If a triple is zero or not of integers: such a wave does not fit the cell.
    """

    def __init__(
        self,
        vectors: Sequence[Sequence[int]] | np.ndarray,
        atoms_or_n_atoms: Atoms | int,
        species: Sequence[str] | None = None,
    ) -> None:
        given = np.atleast_2d(np.asarray(vectors, dtype=float))
        if given.ndim != 2 or given.shape[1] != 3 or not np.array_equal(given, np.rint(given)):
            raise InputError(
                "the star is incommensurate with the cell",
                where="vectors",
                expected="integer triples, one a reciprocal vector of the cell: g = 2π h^-T n",
                got=np.asarray(vectors).tolist(),
                do="choose a supercell that holds a whole number of waves along each edge",
            )
        triples = np.rint(given).astype(int)
        if not np.all(np.any(triples != 0, axis=1)):
            raise InputError("the zero vector measures nothing", where="vectors", got=triples.tolist())
        self.vectors = _unique_up_to_sign(triples)
        self._angles = np.ascontiguousarray(2.0 * np.pi * self.vectors.T)
        self.species = None if species is None else tuple(species)
        if isinstance(atoms_or_n_atoms, Atoms):
            self.n_atoms = len(atoms_or_n_atoms)
            self._chosen = _choose(atoms_or_n_atoms, self.species)
            self.check(atoms_or_n_atoms)
        elif self.species is not None:
            raise InputError("species need atoms to choose from", where="atoms_or_n_atoms")
        else:
            self.n_atoms = int(atoms_or_n_atoms)
            self._chosen = None
        n_counted = self.n_atoms if self._chosen is None else len(self._chosen)
        self._norm = 1.0 / (len(self.vectors) * n_counted)

    @classmethod
    def sc(
        cls, atoms: Atoms, sites: Sequence[int] = (4, 4, 4), species: Sequence[str] | None = None
    ) -> "ReciprocalOrder":
        """Return the {100} star of a simple cubic lattice with so many sites along each edge.

        Rock salt, all atoms alike, is such a lattice: 64 atoms in a cubic cell are sites = (4, 4, 4).
        """
        return cls._cubic(atoms, sites, ((1, 0, 0), (0, 1, 0), (0, 0, 1)), "sites", species)

    @classmethod
    def fcc(
        cls, atoms: Atoms, cells: Sequence[int] = (2, 2, 2), species: Sequence[str] | None = None
    ) -> "ReciprocalOrder":
        """Return the {111} star of a face-centred lattice with so many conventional cells along each edge.

        Perfect zincblende of 64 atoms in 2 x 2 x 2 cells has O = 32, rock salt O = 0.
        """
        return cls._cubic(atoms, cells, ((1, 1, 1), (-1, 1, 1), (1, -1, 1), (1, 1, -1)), "cells", species)

    @classmethod
    def bcc(
        cls, atoms: Atoms, cells: Sequence[int], species: Sequence[str] | None = None
    ) -> "ReciprocalOrder":
        """Return the {110} star of a body-centred lattice with so many conventional cells along each edge."""
        star = ((1, 1, 0), (1, -1, 0), (1, 0, 1), (1, 0, -1), (0, 1, 1), (0, 1, -1))
        return cls._cubic(atoms, cells, star, "cells", species)

    @classmethod
    def of(cls, reference: Atoms, species: Sequence[str] | None = None) -> "ReciprocalOrder":
        """Return the star of a crystal in its own cell: the strong ones of its shortest reciprocal vectors.

        Of the waves with at least a tenth of the power |sum exp(i g·r)|^2 = N^2 of a full lattice, those up
        to 15 % longer than the shortest make the first shell; those with a third of the power of its
        strongest are kept. The shell is widened until they span space. Rock salt gives the SC star,
        zincblende the FCC star, wurtzite {100} and (002).

        Parameters
        ----------
        reference
            The perfect crystal, in the cell that will be sampled.
        species
            Chemical symbols that count; all atoms if not given.
        """
        chosen = _choose(reference, None if species is None else tuple(species))
        scaled = reference.get_scaled_positions(wrap=False)
        return cls(
            _strong_vectors(scaled if chosen is None else scaled[chosen], reference), reference, species
        )

    @classmethod
    def _cubic(
        cls,
        atoms: Atoms,
        counts: Sequence[int],
        star: Sequence[Sequence[int]],
        name: str,
        species: Sequence[str] | None,
    ) -> "ReciprocalOrder":
        numbers = np.asarray(counts, dtype=float)
        if numbers.shape != (3,) or np.any(numbers < 1) or np.any(numbers != np.rint(numbers)):
            raise InputError(
                "the star is incommensurate with the cell",
                where=name,
                expected="three whole numbers, 1 or more",
                got=list(counts),
            )
        *edges, alpha, beta, gamma = atoms.cell.cellpar()
        spacings = np.array(edges) / numbers
        skew = np.max(np.abs(np.array([alpha, beta, gamma]) - 90.0))
        if spacings.max() > (1.0 + _SPACING_TOLERANCE) * spacings.min() or skew > _ANGLE_TOLERANCE:
            raise InputError(
                "a cubic star is incommensurate with this cell",
                where=name,
                expected=f"equal spacings along the edges (within {_SPACING_TOLERANCE:.0%}) and right angles",
                got=f"spacings {np.round(spacings, 3).tolist()} Å, up to {skew:.1f} degrees off",
                do=f"give {name} that match the supercell, or your own integer triples to ReciprocalOrder",
            )
        return cls(np.asarray(star) * numbers.astype(int), atoms, species)

    def check(self, atoms: Atoms) -> None:
        """Raise InputError for another number of atoms or an open boundary along a wave."""
        if len(atoms) != self.n_atoms:
            raise InputError("another number of atoms", where="order", expected=self.n_atoms, got=len(atoms))
        if np.any(self.vectors[:, ~atoms.pbc] != 0):
            raise InputError(
                "the star needs periodic boundaries",
                where="atoms.pbc",
                expected="True along every axis on which a vector has a component",
                got=atoms.pbc.tolist(),
            )

    def evaluate(self, atoms: Atoms) -> tuple[float, np.ndarray]:
        """Return O and dO/dr_i = (2/(N_g N)) sum_g g [D_g cos(g·r_i) - C_g sin(g·r_i)]."""
        chosen = _ALL if self._chosen is None else self._chosen
        value, gradient = structure_factors(
            atoms.positions, chosen, _inverse(atoms.cell.array), self._angles, self._norm
        )
        return value, gradient

    def strain_derivative(self, atoms: Atoms) -> np.ndarray:
        """Return dO/deps = 0: the star deforms with the cell."""
        return np.zeros((3, 3))

    def todict(self) -> dict[str, Any]:
        """Return the star and the atoms that count, as plain values."""
        return {
            "kind": "reciprocal",
            "vectors": self.vectors.tolist(),
            "n_atoms": self.n_atoms,
            "species": None if self.species is None else list(self.species),
            "chosen": None if self._chosen is None else self._chosen.tolist(),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ReciprocalOrder":
        """Rebuild the order parameter from `todict`'s form."""
        order = cls(values["vectors"], values["n_atoms"])
        if values["chosen"] is not None:
            order.species = tuple(values["species"])
            order._chosen = np.array(values["chosen"], dtype=np.int64)
            order._norm = 1.0 / (len(order.vectors) * len(order._chosen))
        return order


class VolumeOrder(OrderParameter):
    """The volume as order parameter, O = V in Å^3: multibaric sampling with the same machine."""

    def evaluate(self, atoms: Atoms) -> tuple[float, np.ndarray]:
        """Return V and dV/dr = 0."""
        return float(atoms.cell.volume), np.zeros((len(atoms), 3))

    def strain_derivative(self, atoms: Atoms) -> np.ndarray:
        """Return dV/deps = V I."""
        return float(atoms.cell.volume) * np.eye(3)

    def todict(self) -> dict[str, Any]:
        """Return the kind; there is nothing else to keep."""
        return {"kind": "volume"}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "VolumeOrder":
        """Rebuild the order parameter from `todict`'s form."""
        return cls()


_KINDS: dict[str, type[ReciprocalOrder] | type[VolumeOrder]] = {
    "reciprocal": ReciprocalOrder,
    "volume": VolumeOrder,
}


def order_from_dict(values: dict[str, Any]) -> OrderParameter:
    """Rebuild an order parameter of this module from its `todict`'s form."""
    kind = str(values.get("kind"))
    if kind not in _KINDS:
        raise InputError("unknown order parameter", where="kind", got=kind, do=nearest(kind, _KINDS))
    return _KINDS[kind].from_dict(values)


def _unique_up_to_sign(triples: np.ndarray) -> np.ndarray:
    """Drop repeated vectors; of n and -n the first stays."""
    kept: list[tuple[int, ...]] = []
    for row in triples:
        n = tuple(int(value) for value in row)
        if n not in kept and tuple(-value for value in n) not in kept:
            kept.append(n)
    return np.array(kept, dtype=int)


def _strong_vectors(scaled: np.ndarray, reference: Atoms) -> np.ndarray:
    """Return the star of `ReciprocalOrder.of` as integer triples."""
    spacing = (reference.cell.volume / len(scaled)) ** (1.0 / 3.0)
    reciprocal = np.asarray(reference.cell.reciprocal())
    reach = 2.0 / spacing  # twice the shortest wave of a simple cubic lattice of this density
    most = np.floor(reach * reference.cell.lengths() + 1e-9).astype(int)
    grid = np.stack(np.meshgrid(*(np.arange(-m, m + 1) for m in most), indexing="ij"), axis=-1).reshape(-1, 3)
    grid = grid[len(grid) // 2 + 1 :]  # n and -n count once
    lengths = np.linalg.norm(grid @ reciprocal, axis=1)
    power = np.abs(np.exp(2j * np.pi * (grid @ scaled.T)).mean(axis=1)) ** 2
    present = power >= 0.1
    for widening in (1.15, 1.3, 1.5, 2.0):
        shell = present & (lengths <= widening * lengths[present].min(initial=np.inf))
        star = shell & (power >= power[shell].max(initial=0.0) / 3.0)
        if star.any() and np.linalg.matrix_rank(grid[star]) == 3:
            return np.asarray(grid[star])
    raise InputError(
        "no strong waves: this is no crystal",
        where="reference",
        expected="a perfect crystal in its own periodic cell",
        got=f"waves with at most {power.max(initial=0.0):.2f} of a lattice's power",
    )


def _choose(atoms: Atoms, species: tuple[str, ...] | None) -> np.ndarray | None:
    """Return the indices of the atoms of these species (None: all)."""
    if species is None:
        return None
    symbols = atoms.get_chemical_symbols()
    for name in species:
        if name not in symbols:
            raise InputError("no such atoms", where="species", got=name, do=nearest(name, set(symbols)))
    return np.array([k for k, symbol in enumerate(symbols) if symbol in species], dtype=int)


def _inverse(h: np.ndarray) -> np.ndarray:
    """Return the inverse of a 3 x 3 matrix by cofactors (a fifth of the time of the general routine)."""
    (a, b, c), (d, e, f), (g, i, j) = h.tolist()
    x, y, z = e * j - f * i, f * g - d * j, d * i - e * g
    scale = 1.0 / (a * x + b * y + c * z)
    return scale * np.array(
        [
            [x, c * i - b * j, b * f - c * e],
            [y, a * j - c * g, c * d - a * f],
            [z, b * g - a * i, a * e - b * d],
        ]
    )
