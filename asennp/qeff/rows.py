"""What is compared: labels and Coulomb terms as columns of numbers, and a local linear model of them."""

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal, TypedDict, TypeVar, get_args

import numpy as np
from ase import Atoms
from scipy.linalg import cho_factor, cho_solve
from threadpoolctl import threadpool_limits

from asennp.dataset import find_duplicates, require_labels, split
from asennp.electrostatics.charges import assign_charges, check_charges
from asennp.electrostatics.splitting import Splitting
from asennp.errors import InputError
from asennp.models.aev import AEVSettings, compute_aev, compute_descriptor

#: What the sweeps can be made on.
Quantity = Literal["energy", "forces"]
#: Coulomb energy (eV) and forces (eV/Å) of each frame for one choice of charges.
CoulombTerm = list[tuple[float, np.ndarray]]

#: Ridge penalties among which cross-validation chooses (features standardised).
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
#: Features whose spread is below this part of the widest one's carry noise and are left out.
_FLAT = 1e-3
_FOLDS = 4
#: Frames that one Coulomb sum takes; their number, not that of the threads, decides which lists are reused.
_BLOCK = 32

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, eq=False)
class Rows:
    """Numbers to compare, one a frame (energies) or three an atom (forces).

    Attributes
    ----------
    values
        (n, 1 + m): the label and m Coulomb terms, eV/atom or eV/Å.
    features
        (n, p) of the local linear model, or None.
    frame
        (n,) frame of each row.
    group
        (n,) composition of each row, within which energies are shifted; None for forces.
    """

    values: np.ndarray
    features: np.ndarray | None
    frame: np.ndarray
    group: np.ndarray | None

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return int(self.frame[-1]) + 1

    def centred(self, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Return chosen rows of the values, less the mean of their composition."""
        values = self.values[rows]
        if self.group is None:
            return values
        group = self.group[rows]
        counts = np.maximum(np.bincount(group), 1)
        means = np.stack([np.bincount(group, weights=column) / counts for column in values.T], axis=1)
        centred: np.ndarray = values - means[group]
        return centred


class SweepSettings(TypedDict, total=False):
    """What `SweepData` takes besides frames; the functions of this package hand it on."""

    on: Quantity
    energy_window: float | None
    aev: AEVSettings | None
    accuracy: float
    n_threads: int
    seed: int


class SweepData:
    """Labelled frames made ready to be compared with Coulomb terms: gathered once, for many comparisons.

    Each function of this package takes frames, or this in their place; features of the local linear model
    are computed when they are first asked for, and kept.

    Parameters
    ----------
    frames
        Frames with ``REF_energy`` (or ``REF_forces``).
    on
        What is compared: "energy" (shifted within each composition and size) or "forces".
    energy_window
        Use only frames within this energy (eV/atom) above the lowest of their composition.
    aev
        Descriptor of the local linear model, by default the published one.
    accuracy
        Relative force error of the Coulomb sums.
    n_threads
        Threads: frames and divisions of them are taken side by side. Results do not depend on it.
    seed
        Of bootstrap samples and splits.

    Raises
    ------
    InputError
        For missing labels and too few frames.
    """

    def __init__(
        self,
        frames: Sequence[Atoms],
        on: Quantity = "energy",
        energy_window: float | None = None,
        aev: AEVSettings | None = None,
        accuracy: float = 1e-6,
        n_threads: int = 1,
        seed: int = 0,
    ) -> None:
        if on not in get_args(Quantity):
            raise InputError("unknown quantity", where="on", expected="energy or forces", got=on)
        self.frames = lowest(frames, energy_window)
        require_labels(self.frames, [on], where="sweep")
        if len(self.frames) < 10:
            raise InputError("too few frames", where="sweep", expected="at least 10", got=len(self.frames))
        self.on, self.accuracy, self.n_threads, self.seed = on, accuracy, n_threads, seed
        self.aev = default_aev(self.frames) if aev is None else aev
        self._coulomb: dict[tuple[tuple[str, float], ...], CoulombTerm] = {}

    @cached_property
    def features(self) -> np.ndarray:
        """(n, p) features of the local linear model, a row a compared number."""
        if self.on == "energy":
            return summed_features(self.frames, self.aev, self.n_threads)
        return np.concatenate(in_threads(partial(force_features, aev=self.aev), self.frames, self.n_threads))

    def coulomb(self, charges: Mapping[str, float]) -> CoulombTerm:
        """Return the Coulomb term for charges of the species (e); other scales of them cost no sum."""
        model = check_charges(charges)
        unit = max(map(abs, model.values()), default=0.0) or 1.0
        key = tuple(sorted((species, charge / unit) for species, charge in model.items()))
        if key not in self._coulomb:
            assigned = [assign_charges(frame.numbers, model) for frame in self.frames]
            self._coulomb[key] = self.coulomb_of([q / unit for q in assigned])
        return [(unit**2 * energy, unit**2 * forces) for energy, forces in self._coulomb[key]]

    def coulomb_of(self, charges: Sequence[np.ndarray]) -> CoulombTerm:
        """Return the Coulomb term for charges (e) of each frame's atoms."""
        pairs = list(zip(self.frames, charges, strict=True))
        blocks = [pairs[k : k + _BLOCK] for k in range(0, len(pairs), _BLOCK)]
        found = in_threads(partial(_coulomb_sums, accuracy=self.accuracy), blocks, self.n_threads)
        return [one for block in found for one in block]

    def rows(self, terms: Sequence[CoulombTerm], regressed: bool) -> Rows:
        """Gather labels, Coulomb terms and, if asked for, features.

        Parameters
        ----------
        terms
            One for each choice of charges (`coulomb`).
        regressed
            Whether features are wanted.
        """
        frames, found = self.frames, list(zip(*terms, strict=True))
        features = self.features if regressed else None
        if self.on == "energy":
            sizes = np.array([len(frame) for frame in frames], dtype=float)
            label = np.array([frame.info["REF_energy"] for frame in frames])
            coulomb = np.array([[energy for energy, _ in one] for one in found])
            group = np.unique([f.get_chemical_formula() for f in frames], return_inverse=True)[1]
            values = np.column_stack([label, coulomb]) / sizes[:, None]
            return Rows(values, features, frame=np.arange(len(frames)), group=group)
        blocks = [
            np.column_stack([frame.arrays["REF_forces"].ravel(), *(forces.ravel() for _, forces in one)])
            for frame, one in zip(frames, found)
        ]
        frame = np.repeat(np.arange(len(frames)), [len(block) for block in blocks])
        return Rows(np.concatenate(blocks), features, frame, group=None)

    def splits(self, n: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return n random divisions of the frames, 80/20 by block, as (train, test) indices."""
        keep = np.flatnonzero(~find_duplicates(self.frames))
        frames = [self.frames[k] for k in keep]
        parts = [split(frames, {"train": 0.8, "test": 0.2}, self.seed + k, decimals=None) for k in range(n)]
        return [(keep[part["train"]], keep[part["test"]]) for part in parts]


def sweep_data(frames: "Sequence[Atoms] | SweepData", settings: SweepSettings) -> SweepData:
    """Return the frames made ready; what is ready already takes no other settings."""
    if not isinstance(frames, SweepData):
        return SweepData(frames, **settings)
    if settings:
        raise InputError(
            "these settings belong to the SweepData that was given",
            where="frames",
            got=sorted(settings),
            do="pass frames, or make another SweepData",
        )
    return frames


def default_aev(frames: Sequence[Atoms]) -> AEVSettings:
    """Return the published descriptor for the species of these frames."""
    return AEVSettings(species=tuple(sorted({s for f in frames for s in f.get_chemical_symbols()})))


def summed_features(
    frames: Sequence[Atoms], aev: AEVSettings | None = None, n_threads: int = 1
) -> np.ndarray:
    """Return each frame's AEVs summed over the atoms of each species, per atom of the frame.

    Returns
    -------
    numpy.ndarray
        (n_frames, n_species * length): the features in which a local linear model is linear.
    """
    settings = default_aev(frames) if aev is None else aev

    def features(frame: Atoms) -> np.ndarray:
        every = compute_aev(frame, settings)
        symbols = np.array(frame.get_chemical_symbols())
        return np.concatenate([every[symbols == s].sum(axis=0) for s in settings.species]) / len(frame)

    return np.array(in_threads(features, frames, n_threads))


def in_threads(function: Callable[[T], R], items: Sequence[T], n_threads: int) -> list[R]:
    """Apply a function to items in threads (kernels, neighbour search and linear algebra release the GIL).

    Each keeps to one thread: those of the linear algebra would wait for one another's cores.
    """
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(n_threads) as pool:
        return list(pool.map(function, items))


def _coulomb_sums(pairs: Sequence[tuple[Atoms, np.ndarray]], accuracy: float) -> CoulombTerm:
    """Return energy and forces of frames with charges of their atoms."""
    splitting = Splitting("auto", accuracy)
    found = []
    for frame, charges in pairs:
        energies, forces, _ = splitting.compute(frame.positions, frame.cell.array, charges, frame.pbc)
        found.append((float(energies.sum()), forces))
    return found


def force_features(frame: Atoms, aev: AEVSettings) -> np.ndarray:
    """Return minus the derivatives of the summed AEVs by each coordinate, (3N, n_species * length), 1/Å.

    Stored in single precision: 0.2 MB for 64 atoms of two species.
    """
    descriptor = compute_descriptor(frame, aev)
    symbols = np.array(frame.get_chemical_symbols())
    columns = []
    for species in aev.species:
        unit = np.zeros((aev.length, len(frame), aev.length), dtype=np.float32)
        unit[
            np.arange(aev.length)[:, None], np.flatnonzero(symbols == species), np.arange(aev.length)[:, None]
        ] = 1
        slopes, _ = descriptor.pull_back(unit)
        columns.append(-slopes.reshape(aev.length, -1).T)
    return np.concatenate(columns, axis=1, dtype=np.float32)


def regressed_residuals(
    rows: Rows,
    divisions: Sequence[tuple[np.ndarray, np.ndarray]],
    score: Callable[[np.ndarray], float],
    n_threads: int = 1,
) -> list[tuple[np.ndarray, float]]:
    """Return, of each division, what the linear model leaves of the test frames' values, and the penalty.

    The penalty is chosen by cross-validation within the training frames.

    Parameters
    ----------
    rows
        With features.
    divisions
        Indices of frames, (train, test): `SweepData.splits`.
    score
        Turns residuals (n, 1 + m) into the error that the penalty should make small.
    n_threads
        Divisions taken side by side.
    """

    def residuals(division: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, float]:
        train, test = division
        scores = np.zeros(len(PENALTIES))
        for fold in range(_FOLDS):
            held = np.arange(len(train)) % _FOLDS == fold  # indices are sorted: folds interleave the run
            scores += [score(rest) for rest in _ridge(rows, train[~held], train[held], PENALTIES)]
        penalty = PENALTIES[int(np.argmin(scores))]
        (rest,) = _ridge(rows, train, test, (penalty,))
        return rest, penalty

    return in_threads(residuals, divisions, n_threads)


def _ridge(rows: Rows, train: np.ndarray, test: np.ndarray, penalties: Sequence[float]) -> list[np.ndarray]:
    """Return residuals (n_test_rows, 1 + m) of a ridge regression, for each penalty."""
    assert rows.features is not None
    inner, outer = np.isin(rows.frame, train), np.isin(rows.frame, test)
    x, y = _shifted(rows.features, rows.group, inner), _shifted(rows.values, rows.group, inner)
    spread = x[inner].std(axis=0)
    useful = spread > _FLAT * spread.max()
    x = x[:, useful] / spread[useful]
    normal, right = (x[inner].T @ x[inner]).astype(float), (x[inner].T @ y[inner]).astype(float)
    residuals = []
    for penalty in penalties:
        weights = cho_solve(cho_factor(normal + penalty * np.eye(len(normal))), right)
        residuals.append(y[outer] - x[outer] @ weights)
    return residuals


def _shifted(values: np.ndarray, group: np.ndarray | None, train: np.ndarray) -> np.ndarray:
    """Take away the mean of each composition over the training rows (forces have none)."""
    if group is None:
        return values
    n_groups = int(group.max()) + 1
    counts = np.bincount(group[train], minlength=n_groups)
    mean = np.zeros((n_groups, values.shape[1]))
    np.add.at(mean, group[train], values[train])
    mean /= np.maximum(counts, 1)[:, None]
    mean[counts == 0] = values[train].mean(axis=0)
    shifted: np.ndarray = values - mean[group]
    return shifted


def lowest(frames: Sequence[Atoms], window: float | None) -> list[Atoms]:
    """Return the frames within a window (eV/atom) above the lowest energy of their composition."""
    if window is None:
        return list(frames)
    require_labels(frames, ["energy"], where="energy_window")
    energy = [frame.info["REF_energy"] / len(frame) for frame in frames]
    formulas = [frame.get_chemical_formula(empirical=True) for frame in frames]
    least: dict[str, float] = {}
    for formula, value in zip(formulas, energy):
        least[formula] = min(value, least.get(formula, math.inf))
    return [f for f, formula, value in zip(frames, formulas, energy) if value - least[formula] < window]
