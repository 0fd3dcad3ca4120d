"""The descriptor for prediction: features now, the pull-back of a gradient later, no stored Jacobian.

Both passes look the functions of one variable up in tables of polynomials: the Gaussians of a pair's
distance times the cut-off function, the Gaussians of a triple's mean distance, and the angular sections as
functions of the cosine. A table is refined until it is right to rounding in the type asked for.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from ase import Atoms

from asennp.models import kernels_direct
from asennp.models.aev import AEVSettings, _Edges, _find_edges
from asennp.models.kernels_simd import LANES
from asennp.neighbors import VerletPairs

#: Degree of the polynomials and their largest error, relative to the function's largest value.
_QUALITY = {"float64": (7, 2e-14), "float32": (5, 1e-8)}
#: Gaussians below exp(-x) of their height are left out.
_REACH = {"float64": 40.0, "float32": 20.0}

Function = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Table:
    """Polynomials in t = x scale - n - 1/2, -1/2 <= t <= 1/2, on even intervals n from x = 0.

    Attributes
    ----------
    values
        Coefficients, highest first, (intervals, degree + 1, lanes).
    slopes
        The same of the derivatives by x, (intervals, degree, lanes).
    scale
        Intervals per unit of x.
    """

    values: np.ndarray
    slopes: np.ndarray
    scale: float


def _fit(function: Function, width: float, n: int, degree: int) -> tuple[np.ndarray, float]:
    """Interpolate (x,) -> (x, lanes) on n intervals of [0, width]; return the largest error too."""
    nodes = np.cos(np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1)) / 2.0
    between = np.linspace(-0.5, 0.5, 2 * degree + 3)
    centres = np.arange(n)[:, None] + 0.5
    step = width / n
    samples = function(((centres + nodes) * step).ravel()).reshape(n, degree + 1, -1)
    coefficients = np.linalg.inv(np.vander(2.0 * nodes)) @ samples
    coefficients *= (2.0 ** np.arange(degree, -1, -1))[:, None]
    exact = function(((centres + between) * step).ravel()).reshape(n, len(between), -1)
    error = np.abs(np.vander(between, degree + 1) @ coefficients - exact).max() / np.abs(exact).max()
    return coefficients, float(error)


def make_table(function: Function, width: float, dtype: str) -> Table:
    """Tabulate functions of x in [0, width], (x,) -> (x, lanes), to the precision of `dtype`."""
    degree, tolerance = _QUALITY[dtype]
    n, error = 16, np.inf
    while error > tolerance and n < 4096:
        n *= 2
        coefficients, error = _fit(function, width, n, degree)
    slopes = coefficients[:, :-1] * np.arange(degree, 0, -1)[:, None] * (n / width)
    return Table(coefficients.astype(dtype), slopes.astype(dtype), n / width)


def _join(table: Table) -> np.ndarray:
    """Return rows of values, then slopes, as polynomials of one order: (intervals, degree + 1, 2 lanes)."""
    slopes = np.concatenate([np.zeros_like(table.slopes[:, :1]), table.slopes], axis=1)
    return np.concatenate([table.values, slopes], axis=2)


@dataclass(frozen=True, eq=False)
class _Tables:
    """Tables of one descriptor.

    `row`, `shifts`, `sections` and `order` are tuples as long as a row of each table and a polynomial: the
    compiler knows the length of a tuple.
    """

    radial: Table
    first: np.ndarray
    row: tuple[int, ...]
    gauss: Table
    shifts: tuple[int, ...]
    bump: Table
    joined: np.ndarray
    sections: tuple[int, ...]
    order: tuple[int, ...]
    pair_columns: np.ndarray


@lru_cache(maxsize=16)
def _tabulate(settings: AEVSettings, dtype: str) -> _Tables:
    """Make the tables of a descriptor."""
    shifts = np.array(settings.radial_shifts)

    def radial(x: np.ndarray) -> np.ndarray:
        fade = 0.125 * np.cos(np.pi / settings.radial_cutoff * x) + 0.125
        gauss: np.ndarray = np.exp(-settings.radial_eta * (x[:, None] - shifts) ** 2)
        return gauss * fade[:, None]

    def gauss(x: np.ndarray) -> np.ndarray:
        return np.asarray(
            np.exp(-settings.angular_eta * (x[:, None] - np.array(settings.angular_shifts)) ** 2)
        )

    def bump(x: np.ndarray) -> np.ndarray:
        cosine = 0.95 * (x[:, None] - 1.0)
        sine, sections = np.sqrt(1.0 - cosine**2), settings.sections
        half = 0.5 + 0.5 * (cosine * np.cos(sections) + sine * np.sin(sections))
        return np.asarray(2.0 * np.maximum(half, 0.0) ** settings.angular_zeta)

    whole = make_table(radial, settings.radial_cutoff, dtype)
    reach = np.sqrt(_REACH[dtype] / settings.radial_eta)
    centres = (np.arange(len(whole.values)) + 0.5) / whole.scale
    low = np.searchsorted(shifts, centres - reach)
    width = int((np.searchsorted(shifts, centres + reach) - low).max())
    width = min(len(shifts), 8 * -(-width // 8))
    first = np.minimum(low, len(shifts) - width)
    lanes = first[:, None, None] + np.arange(width)
    near = Table(
        np.take_along_axis(whole.values, lanes, axis=2),
        np.take_along_axis(whole.slopes, lanes, axis=2),
        whole.scale,
    )
    sections = make_table(bump, 2.0, dtype)
    return _Tables(
        near,
        first,
        (0,) * width,
        make_table(gauss, settings.angular_cutoff, dtype),
        (0,) * len(settings.angular_shifts),
        sections,
        _join(sections),
        (0,) * settings.n_sections,
        (0,) * (_QUALITY[dtype][0] + 1),
        settings.pair_columns,
    )


@dataclass(frozen=True, eq=False)
class DirectDescriptor:
    """Features of a structure, and the pull-back of gradients computed anew from the geometry.

    Attributes
    ----------
    settings
        The constants used.
    species
        Indices into `settings.species`, (N,).
    features
        G (N, F), in the type asked for.
    """

    settings: AEVSettings
    species: np.ndarray
    features: np.ndarray
    _edges: _Edges
    _distances: np.ndarray
    _envelope: np.ndarray

    @property
    def nbytes(self) -> int:
        """Memory of the arrays in bytes."""
        held = [*vars(self).values(), *vars(self._edges).values()]
        return sum(value.nbytes for value in held if isinstance(value, np.ndarray))

    def pull_back(self, gradients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Turn dE/dG (M, N, F) into dE/dr (M, N, 3) and the virial dE/deps (M, 3, 3), in double precision."""
        gradients = np.ascontiguousarray(gradients, self.features.dtype)
        if gradients.ndim != 3 or gradients.shape[1:] != self.features.shape:
            raise ValueError(f"gradients {gradients.shape} do not fit features {self.features.shape}")
        tables, edges = _tabulate(self.settings, self.features.dtype.name), self._edges
        slopes, virial = np.zeros((*gradients.shape[:2], 3)), np.zeros((len(gradients), 3, 3))
        radial: tuple[Any, ...] = (
            gradients, edges.vectors, self._distances, edges.i, edges.j, self.species,
            len(self.settings.radial_shifts), tables.radial.slopes, tables.first, tables.radial.scale,
            tables.order[:-1], tables.row, slopes, virial,
        )  # fmt: skip
        kernels_direct.pull_back_radial(*radial)
        angular: tuple[Any, ...] = (
            gradients, edges.i, edges.j, edges.vectors, self._distances, self._envelope, edges.starts,
            edges.pair, edges.sign, edges.species, tables.pair_columns,
            (tables.gauss.values, tables.gauss.slopes), 0.5 * tables.gauss.scale, tables.shifts,
            tables.joined, tables.bump.scale, 2 * tables.sections, tables.order, LANES["float64"], slopes,
            virial,
        )  # fmt: skip
        kernels_direct.pull_back_angular(*angular)
        upper = np.triu(virial)
        return slopes, upper + np.triu(virial, 1).transpose(0, 2, 1)


def compute_direct(
    atoms: Atoms,
    settings: AEVSettings,
    dtype: type = np.float32,
    *,
    neighbors: VerletPairs | None = None,
    n_centres: int | None = None,
) -> DirectDescriptor:
    """Compute the features for a prediction; parameters and errors as for `compute_descriptor`.

    With `n_centres` the features of the first so many atoms are computed; the others, such as the ghosts of
    a domain, are neighbours only, and rows of theirs mean nothing.
    """
    species = settings.indices(atoms)
    edges, distances = _find_edges(atoms, species, settings, neighbors, n_centres)
    tables = _tabulate(settings, np.dtype(dtype).name)
    features: np.ndarray = np.zeros((len(species), settings.length), dtype)
    envelope = kernels_direct.envelopes(distances, settings.angular_cutoff)
    radial: tuple[Any, ...] = (
        distances, edges.i, edges.j, species, len(settings.radial_shifts), tables.radial.values, tables.first,
        tables.radial.scale, tables.order, tables.row, features,
    )  # fmt: skip
    kernels_direct.add_radial(*radial)
    angular: tuple[Any, ...] = (
        edges.vectors, distances, envelope, edges.starts, edges.pair, edges.sign, edges.species,
        tables.pair_columns, tables.gauss.values, 0.5 * tables.gauss.scale, tables.shifts, tables.bump.values,
        tables.bump.scale, tables.sections, tables.order, LANES["float64"], features,
    )  # fmt: skip
    kernels_direct.add_angular(*angular)
    return DirectDescriptor(settings, species, features, edges, distances, envelope)
