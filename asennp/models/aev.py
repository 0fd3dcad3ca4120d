"""The ANI atomic environment vector and its Jacobian.

For atom i and neighbours j, k at distances d_ij with angle t_jik (ANI-1, doi:10.1039/C6SC05720A, with the
constants of NeuroChem and TorchANI):

- radial, per species of j: G_k = 1/4 sum_j exp(-eta_R (d_ij - s_k)^2) f(d_ij; R_R);
- angular, per pair of species: G_kz = 2 sum_{j<k} [(1 + cos(t' - t_z))/2]^zeta
  exp(-eta_A ((d_ij + d_ik)/2 - s_k)^2) f(d_ij; R_A) f(d_ik; R_A), t' = arccos(0.95 cos t_jik),
  t_z = (z + 1/2) pi / n_sections;
- f(d; R) = [1 + cos(pi d / R)]/2.

Layout: species-major radial blocks, then the species pairs in upper triangular order, each with the shifts
outside and the sections inside.
"""

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from asennp.errors import InputError
from asennp.models import kernels
from asennp.neighbors import VerletPairs, check_geometry

#: Atoms closer than this (Å) lie on top of each other: the angles between their bonds mean nothing.
CLOSEST_APPROACH = 0.01

_RADIAL_SHIFTS = (*(1.06875 + 0.26875 * k for k in range(15)), 5.10, 5.37, 5.64, 5.91, 6.18, 6.44, 6.71)
_ANGULAR_SHIFTS = tuple(0.8 + 0.3375 * k for k in range(8))


@dataclass(frozen=True)
class AEVSettings:
    """Constants of the descriptor; the defaults are those of the ZnO papers.

    Parameters
    ----------
    species
        Chemical symbols in the order of the features.
    radial_cutoff, angular_cutoff
        Å; the angular one must not be the larger.
    radial_eta, angular_eta
        Widths of the Gaussians, 1/Å^2.
    radial_shifts, angular_shifts
        Centres of the Gaussians, ascending, Å.
    angular_zeta
        Sharpness of the angular sections.
    n_sections
        Number of angular sections.
    """

    species: tuple[str, ...]
    radial_cutoff: float = 6.9
    radial_eta: float = 19.7
    radial_shifts: tuple[float, ...] = _RADIAL_SHIFTS
    angular_cutoff: float = 3.5
    angular_eta: float = 12.5
    angular_zeta: float = 14.1
    angular_shifts: tuple[float, ...] = _ANGULAR_SHIFTS
    n_sections: int = 4

    def __post_init__(self) -> None:
        object.__setattr__(self, "species", tuple(self.species))
        for name in ("radial_shifts", "angular_shifts"):
            object.__setattr__(self, name, tuple(float(shift) for shift in getattr(self, name)))
        problems = {
            "species must be different chemical symbols": not self.species
            or len(set(self.species)) < len(self.species)
            or any(symbol not in atomic_numbers for symbol in self.species),
            "the cut-offs must be positive, the angular one not above the radial one": not (
                0.0 < self.angular_cutoff <= self.radial_cutoff < math.inf
            ),
            "shifts must ascend": any(
                len(shifts) == 0 or not np.all(np.diff(shifts) > 0.0)
                for shifts in (self.radial_shifts, self.angular_shifts)
            ),
            "eta must be positive, zeta at least 1, n_sections at least 1": not (
                self.radial_eta > 0.0
                and self.angular_eta > 0.0
                and self.angular_zeta >= 1.0
                and self.n_sections >= 1
            ),
        }
        for what, holds in problems.items():
            if holds:
                raise InputError(what, where="AEVSettings", got=self.todict())

    @property
    def length(self) -> int:
        """Number of features of an atom."""
        n = len(self.species)
        return n * len(self.radial_shifts) + n * (n + 1) // 2 * len(self.angular_shifts) * self.n_sections

    @property
    def sections(self) -> np.ndarray:
        """Angles t_z of the sections (n_sections,)."""
        return (np.arange(self.n_sections) + 0.5) * math.pi / self.n_sections

    @property
    def pair_columns(self) -> np.ndarray:
        """First angular feature of each pair of species, (S, S), symmetric."""
        n = len(self.species)
        columns = np.zeros((n, n), np.int64)
        rows, cols = np.triu_indices(n)
        starts = n * len(self.radial_shifts) + np.arange(len(rows)) * (
            len(self.angular_shifts) * self.n_sections
        )
        columns[rows, cols] = columns[cols, rows] = starts
        return columns

    def indices(self, atoms: Atoms) -> np.ndarray:
        """Return each atom's index into `species` (N,); an unknown species raises InputError."""
        table = np.full(max(atomic_numbers.values()) + 1, -1, np.int32)
        for index, symbol in enumerate(self.species):
            table[atomic_numbers[symbol]] = index
        species = table[atoms.numbers]
        if len(species) and species.min() < 0:
            unknown = sorted({symbol for symbol, index in zip(atoms.symbols, species) if index < 0})
            raise InputError(
                "species unknown to the descriptor",
                where="atoms",
                expected=", ".join(self.species),
                got=", ".join(unknown),
                do="use a model trained on these species",
            )
        return species

    def todict(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()
        }


@dataclass(frozen=True, eq=False)
class _Edges:
    """Pairs of the half list inside the radial cut-off and directed edges inside the angular one."""

    i: np.ndarray
    j: np.ndarray
    vectors: np.ndarray
    starts: np.ndarray
    pair: np.ndarray
    sign: np.ndarray
    species: np.ndarray


def _find_edges(
    atoms: Atoms,
    species: np.ndarray,
    settings: AEVSettings,
    neighbors: VerletPairs | None,
    n_centres: int | None = None,
) -> tuple[_Edges, np.ndarray]:
    """Return the edges and the distances of the pairs; those of the first `n_centres` atoms if given."""
    positions, cell = atoms.positions, atoms.cell.array
    check_geometry(positions, cell, atoms.pbc)
    if neighbors is None:
        neighbors = VerletPairs(settings.radial_cutoff, skin=0.0)
    listed = neighbors.update(positions, cell, atoms.pbc)
    if n_centres is not None:  # i < j: a pair with a centre begins with one
        listed = tuple(column[: np.searchsorted(listed[0], n_centres)] for column in listed)  # type: ignore[assignment]
    i, j, vectors, distances, starts, pair, sign = kernels.find_edges(
        positions, cell, *listed, settings.radial_cutoff, settings.angular_cutoff
    )
    if n_centres is not None:
        starts = starts[: n_centres + 1]
        pair, sign = pair[: starts[-1]], sign[: starts[-1]]
    if len(distances):
        refuse_overlap(distances, i, j)
    neighbor_species = species[np.where(sign == 1, j[pair], i[pair])]
    return _Edges(i, j, vectors, starts, pair, sign, neighbor_species), distances


def refuse_overlap(distances: Any, i: Any, j: Any) -> None:
    """Refuse pairs of atoms i and j closer than `CLOSEST_APPROACH`; arrays or tensors (P,), P > 0."""
    closest = int(distances.argmin())
    if distances[closest] < CLOSEST_APPROACH:
        raise InputError(
            "atoms overlap",
            where="atoms",
            expected=f"distances above {CLOSEST_APPROACH} Å",
            got=f"{float(distances[closest]):.3g} Å between atoms {int(i[closest])} and {int(j[closest])}",
        )


def _even_step(shifts: Sequence[float]) -> float:
    """Return the spacing of evenly spaced shifts, 0 for any others."""
    steps = np.diff(shifts)
    return float(steps.mean()) if len(steps) and np.ptp(steps) < 1e-14 * shifts[-1] else 0.0


def _evaluate(
    species: np.ndarray, edges: _Edges, distances: np.ndarray, settings: AEVSettings, dtype: type | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return features, and for a `dtype` the radial and angular Jacobian stored in it."""
    features = np.zeros((len(species), settings.length))
    shifts = np.array(settings.radial_shifts)
    # Gaussians below exp(-40) of their height are rounding errors; single precision stores less
    width = 0
    if dtype is not None:
        reach = math.sqrt((40.0 if dtype is np.float64 else 20.0) / settings.radial_eta)
        spacing = float(np.diff(shifts).min()) if len(shifts) > 1 else 1.0
        width = min(len(shifts), 2 * math.ceil(reach / spacing))
    slopes: np.ndarray = np.empty((len(edges.i), width), dtype or np.float64)
    first = np.zeros(len(edges.i), np.int16)
    kernels.radial(
        distances,
        edges.i,
        edges.j,
        species,
        settings.radial_cutoff,
        settings.radial_eta,
        shifts,
        math.sqrt(40.0 / settings.radial_eta),
        features,
        first,
        slopes,
    )
    n_angular = len(settings.angular_shifts) * settings.n_sections
    n_stored = 0 if dtype is None else len(edges.pair)
    jacobian: np.ndarray = np.empty((n_stored, len(settings.species), 3, n_angular), dtype or np.float64)
    kernels.angular(
        edges.vectors,
        distances,
        edges.starts,
        edges.pair,
        edges.sign,
        edges.species,
        settings.pair_columns,
        settings.angular_cutoff,
        settings.angular_eta,
        settings.angular_zeta,
        np.array(settings.angular_shifts),
        _even_step(settings.angular_shifts),
        settings.sections,
        features,
        jacobian,
    )
    return features, first, slopes, jacobian


@dataclass(frozen=True, eq=False)
class Descriptor:
    """Features of a structure with their Jacobian: all that a network needs, computed once.

    The geometry is evaluated in double precision; features and Jacobian are stored in the type asked for.
    Radial derivatives are kept per pair for the few shifts near its distance, angular ones per directed
    edge for the species pairs that involve the neighbour: about 18 kB an atom in single precision for
    rock salt.

    Attributes
    ----------
    settings
        The constants used.
    species
        Indices into `settings.species`, (N,).
    features
        G (N, F).
    """

    settings: AEVSettings
    species: np.ndarray
    features: np.ndarray
    _edges: _Edges
    _first: np.ndarray
    _slopes: np.ndarray
    _jacobian: np.ndarray

    @cached_property
    def _arguments(self) -> tuple[Any, ...]:
        edges = self._edges
        return (
            self.species,
            edges.i,
            edges.j,
            edges.vectors,
            self._first,
            self._slopes,
            edges.starts,
            edges.pair,
            edges.sign,
            edges.species,
            self.settings.pair_columns,
            self._jacobian,
            len(self.settings.radial_shifts),
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all stored arrays by name, for `from_arrays`."""
        edges = {f"edges.{field.name}": getattr(self._edges, field.name) for field in fields(_Edges)}
        own = ("species", "features", "_first", "_slopes", "_jacobian")
        return {name: getattr(self, name) for name in own} | edges

    @classmethod
    def from_arrays(cls, settings: AEVSettings, arrays: Mapping[str, np.ndarray]) -> Self:
        """Put a descriptor together from its `arrays`."""
        edges = {name.removeprefix("edges."): a for name, a in arrays.items() if name.startswith("edges.")}
        own = {name: array for name, array in arrays.items() if not name.startswith("edges.")}
        return cls(settings=settings, _edges=_Edges(**edges), **own)

    @property
    def nbytes(self) -> int:
        """Memory of the stored arrays in bytes."""
        return sum(array.nbytes for array in self.arrays().values())

    @property
    def n_edges(self) -> tuple[int, int]:
        """Pairs within the radial cut-off, and directed edges within the angular one."""
        return len(self._edges.i), len(self._edges.pair)

    def pull_back(self, gradients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Turn dE/dG into dE/dr and the virial dE/deps (strain r -> (1 + eps) r, volume not divided out).

        Parameters
        ----------
        gradients
            dE/dG, (N, F), or (M, N, F) for several energies at once (they share the pass over memory).

        Returns
        -------
        tuple
            dE/dr (N, 3) in eV/Å and dE/deps (3, 3) in eV, or (M, N, 3) and (M, 3, 3).
        """
        stacked = np.ascontiguousarray(gradients, self.features.dtype)
        if stacked.shape[-2:] != self.features.shape or stacked.ndim not in (2, 3):
            raise InputError(
                "gradients do not fit the features",
                where="pull_back",
                expected=f"([M,] {self.features.shape[0]}, {self.features.shape[1]})",
                got=stacked.shape,
            )
        slopes, virial = kernels.pull_back(stacked.reshape(-1, *self.features.shape), *self._arguments)
        return (slopes[0], virial[0]) if stacked.ndim == 2 else (slopes, virial)

    def push_forward(self, displacements: np.ndarray, strain: np.ndarray) -> np.ndarray:
        """Return the change of the features along dr_i = displacements_i + strain r_i.

        This is the adjoint of `pull_back`.

        Parameters
        ----------
        displacements
            (N, 3), Å.
        strain
            (3, 3), need not be symmetric.

        Returns
        -------
        np.ndarray
            (N, F), in the type of the features.
        """
        change = np.zeros_like(self.features)
        motion = np.ascontiguousarray(displacements, float), np.ascontiguousarray(strain, float)
        arguments: tuple[Any, ...] = (*motion, *self._arguments, change)
        kernels.push_forward(*arguments)
        return change


def compute_aev(atoms: Atoms, settings: AEVSettings, *, neighbors: VerletPairs | None = None) -> np.ndarray:
    """Return the atomic environment vectors (N, F) in double precision.

    Parameters
    ----------
    atoms
        Any cell, also thinner than the cut-off, and any periodicity.
    settings
        Constants of the descriptor.
    neighbors
        A list to reuse between calls on moving atoms, of at least the radial cut-off.

    Raises
    ------
    InputError
        Unknown species, overlapping atoms, or a geometry that is not finite.
    """
    species = settings.indices(atoms)
    edges, distances = _find_edges(atoms, species, settings, neighbors)
    return _evaluate(species, edges, distances, settings, None)[0]


def compute_descriptor(
    atoms: Atoms,
    settings: AEVSettings,
    dtype: type = np.float32,
    *,
    neighbors: VerletPairs | None = None,
) -> Descriptor:
    """Compute features and Jacobian; parameters and errors as for `compute_aev`.

    `dtype`, np.float32 or np.float64, is the type of storage; the geometry is always double precision.
    """
    dtype = np.dtype(dtype).type
    if dtype not in (np.float32, np.float64):
        raise InputError("unknown type of storage", where="dtype", expected="float32 or float64", got=dtype)
    species = settings.indices(atoms)
    edges, distances = _find_edges(atoms, species, settings, neighbors)
    features, first, slopes, jacobian = _evaluate(species, edges, distances, settings, dtype)
    kept = replace(edges, vectors=edges.vectors.astype(dtype))
    return Descriptor(settings, species, features.astype(dtype), kept, first, slopes, jacobian)


def compute_descriptors(
    frames: Sequence[Atoms], settings: AEVSettings, dtype: type = np.float32, *, n_threads: int = 1
) -> list[Descriptor]:
    """Compute the descriptors of many frames, in threads (the kernels release the GIL)."""
    if n_threads <= 1 or len(frames) < 2:
        return [compute_descriptor(atoms, settings, dtype) for atoms in frames]
    with ThreadPoolExecutor(n_threads) as pool:
        return list(pool.map(lambda atoms: compute_descriptor(atoms, settings, dtype), frames))
