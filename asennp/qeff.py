"""The effective charge: at which charge does a Coulomb baseline leave least to be learnt?

With all species' charges scaled by q, E_Coul(q) = q^2 E_Coul(1): a whole sweep needs one Coulomb
evaluation a frame. Two protocols:

- plain: the mean absolute error of E - E_Coul(q) after a shift (one a composition).
- regressed: first take out what a local linear model explains, a ridge regression on each species'
  summed AEVs. By Frisch and Waugh the residual at charge q is r_E - q^2 r_C, with r_E and r_C the
  residuals of E and E_Coul(1) on the same features, so all charges together cost one solve. What is
  left is long-ranged, and the optimum is sharp where the plain one is not.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from ase import Atoms

from asennp.calculators.coulomb import CoulombCalculator
from asennp.dataset import require_labels, split
from asennp.errors import InputError
from asennp.models.aev import AEVSettings, compute_aev
from asennp.results import Result

#: Ridge penalties among which cross-validation chooses (features standardised).
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
#: Features whose spread is below this part of the widest one's carry noise and are left out.
_FLAT = 1e-3
_FOLDS = 4


@dataclass(frozen=True, eq=False)
class SweepResult(Result):
    """A charge sweep.

    Attributes
    ----------
    method
        ``"plain"`` or ``"regressed"``.
    charges
        Species -> charge (e) at q = 1.
    q
        (n_q,) scale of the charges.
    mae
        (n_q,) mean absolute error, eV/atom; of the regressed sweep on test frames, mean over splits.
    optimum
        q of the smallest error.
    interval
        5 and 95 % points of the optimum: over bootstrap samples (plain) or splits (regressed).
    optima
        Optimum of each sample or split.
    gain
        Error at q = 0 less the smallest, eV/atom.
    n_frames
        Frames used.
    penalties
        Penalty chosen in each split (empty for the plain sweep).
    contains_zero
        Whether the interval contains 0: then the data do not show a charge at all.
    note
        What to mind; empty if nothing.
    """

    method: str
    charges: dict[str, float]
    q: np.ndarray
    mae: np.ndarray
    optimum: float
    interval: tuple[float, float]
    optima: np.ndarray
    gain: float
    n_frames: int
    penalties: tuple[float, ...]
    contains_zero: bool
    note: str


def dielectric_estimate(q_formal: float, eps: float) -> float:
    """Return q_formal / sqrt(eps), the charge at which bare Coulomb gives the screened interaction.

    Parameters
    ----------
    q_formal
        Formal charge (e), e.g. 2 for Zn.
    eps
        Relative permittivity: the high-frequency one for rigid ions, the static one otherwise.
    """
    if eps < 1:
        raise InputError("a permittivity below 1", where="eps", got=eps)
    return q_formal / math.sqrt(eps)


def sweep(
    frames: Sequence[Atoms],
    charges: Mapping[str, float],
    q: np.ndarray | None = None,
    method: Literal["plain", "regressed"] = "plain",
    *,
    energy_window: float | None = None,
    samples: int | None = None,
    seed: int = 0,
    aev: AEVSettings | None = None,
    accuracy: float = 1e-6,
) -> SweepResult:
    """Sweep the scale of the charges and find the one that leaves the smallest error.

    Parameters
    ----------
    frames
        Frames with ``REF_energy``.
    charges
        Charges (e) at q = 1, e.g. ``{"Zn": 1, "O": -1}``; cells must be neutral.
    q
        Scales to try, by default 0 to 2 in steps of 0.01.
    method
        See the head of this module.
    energy_window
        Use only frames within this energy (eV/atom) above the lowest of their composition.
    samples
        Bootstrap samples (plain, 300) or train/test splits of 80/20 by block (regressed, 16).
    seed
        Of samples and splits.
    aev
        Descriptor of the regressed sweep, by default the published one.
    accuracy
        Of the Coulomb sums.

    Raises
    ------
    InputError
        For missing energies, charged cells, and too few frames.
    """
    q = np.arange(0.0, 2.005, 0.01) if q is None else np.asarray(q, dtype=float)
    if method not in ("plain", "regressed"):
        raise InputError("unknown method", where="method", expected="plain or regressed", got=method)
    if q.ndim != 1 or len(q) < 2 or np.any(np.diff(q) <= 0):
        raise InputError("charges must increase", where="q", got=q)
    require_labels(frames, ["energy"], where="sweep")
    frames = _lowest(frames, energy_window)
    if len(frames) < 10:
        raise InputError("too few frames", where="sweep", expected="at least 10", got=len(frames))
    sizes = np.array([len(frame) for frame in frames])
    energy = np.array([frame.info["REF_energy"] for frame in frames]) / sizes
    coulomb = _coulomb(frames, charges, accuracy) / sizes
    groups = np.unique([frame.get_chemical_formula() for frame in frames], return_inverse=True)[1]
    penalties: tuple[float, ...] = ()
    if method == "plain":
        rng = np.random.default_rng(seed)
        mae = _errors(_centred(energy, groups), _centred(coulomb, groups), q)
        optima = np.empty(samples or 300)
        for k in range(len(optima)):
            draw = rng.integers(len(frames), size=len(frames))
            drawn, shadow = (_centred(values[draw], groups[draw]) for values in (energy, coulomb))
            optima[k] = q[np.argmin(_errors(drawn, shadow, q))]
    else:
        features = summed_features(frames, aev)
        curves = []
        chosen = []
        for k in range(samples or 16):
            parts = split(frames, {"train": 0.8, "test": 0.2}, seed + k)
            curve, penalty = _regress(energy, coulomb, groups, features, q, parts["train"], parts["test"])
            curves.append(curve)
            chosen.append(penalty)
        mae, optima = np.mean(curves, axis=0), q[np.argmin(curves, axis=1)]
        penalties = tuple(chosen)
    return _result(method, charges, q, mae, optima, len(frames), penalties)


def summed_features(frames: Sequence[Atoms], aev: AEVSettings | None = None) -> np.ndarray:
    """Return each frame's AEVs summed over the atoms of each species, per atom of the frame.

    Returns
    -------
    numpy.ndarray
        (n_frames, n_species * length): the features in which a local linear model is linear.
    """
    if aev is None:
        aev = AEVSettings(species=tuple(sorted({s for f in frames for s in f.get_chemical_symbols()})))
    rows = []
    for frame in frames:
        features = compute_aev(frame, aev)
        symbols = np.array(frame.get_chemical_symbols())
        sums = [features[symbols == species].sum(axis=0) for species in aev.species]
        rows.append(np.concatenate(sums) / len(frame))
    return np.array(rows)


def _lowest(frames: Sequence[Atoms], window: float | None) -> list[Atoms]:
    """Return the frames within a window above the lowest energy of their composition."""
    if window is None:
        return list(frames)
    energy = [frame.info["REF_energy"] / len(frame) for frame in frames]
    formulas = [frame.get_chemical_formula(empirical=True) for frame in frames]
    lowest: dict[str, float] = {}
    for formula, value in zip(formulas, energy):
        lowest[formula] = min(value, lowest.get(formula, math.inf))
    return [f for f, formula, value in zip(frames, formulas, energy) if value - lowest[formula] < window]


def _coulomb(frames: Sequence[Atoms], charges: Mapping[str, float], accuracy: float) -> np.ndarray:
    calculator = CoulombCalculator(dict(charges), accuracy=accuracy)
    return np.array([calculator.get_property("energy", frame) for frame in frames])


def _centred(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Take the mean of each composition away."""
    counts = np.bincount(groups)
    return values - (np.bincount(groups, weights=values) / np.maximum(counts, 1))[groups]


def _errors(energy: np.ndarray, coulomb: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Return the mean absolute residual at each q, (n_q,)."""
    return np.asarray(np.abs(energy - q[:, None] ** 2 * coulomb).mean(axis=1))


def _regress(
    energy: np.ndarray,
    coulomb: np.ndarray,
    groups: np.ndarray,
    features: np.ndarray,
    q: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
) -> tuple[np.ndarray, float]:
    """Return the test error at each q, and the penalty that cross-validation in `train` chose."""
    scores = np.zeros(len(PENALTIES))
    for fold in range(_FOLDS):
        held = np.arange(len(train)) % _FOLDS == fold  # indices are sorted: folds interleave the run
        residuals = _residuals(energy, coulomb, groups, features, train[~held], train[held], PENALTIES)
        scores += [_errors(*pair, q).min() for pair in residuals]
    penalty = PENALTIES[int(np.argmin(scores))]
    (pair,) = _residuals(energy, coulomb, groups, features, train, test, (penalty,))
    return _errors(*pair, q), penalty


def _residuals(
    energy: np.ndarray,
    coulomb: np.ndarray,
    groups: np.ndarray,
    features: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    penalties: Sequence[float],
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return residuals of energy and Coulomb energy on test frames, for each penalty.

    Features and targets are centred by composition with the means of the training frames.
    """
    n_groups = int(groups.max()) + 1
    counts = np.bincount(groups[train], minlength=n_groups)

    def centred(values: np.ndarray) -> np.ndarray:
        mean = np.zeros((n_groups, values.shape[1]))
        np.add.at(mean, groups[train], values[train])
        mean /= np.maximum(counts, 1)[:, None]
        mean[counts == 0] = values[train].mean(axis=0)
        return np.asarray(values - mean[groups])

    x = centred(features)
    y = centred(np.stack([energy, coulomb], axis=1))
    spread = x[train].std(axis=0)
    useful = spread > _FLAT * spread.max()
    x = x[:, useful] / spread[useful]
    values, vectors = np.linalg.eigh(x[train].T @ x[train])
    projected = vectors.T @ (x[train].T @ y[train])
    shadow = x[test] @ vectors
    pairs = []
    for penalty in penalties:
        rest = y[test] - shadow @ (projected / (np.maximum(values, 0.0) + penalty)[:, None])
        pairs.append((rest[:, 0], rest[:, 1]))
    return pairs


def _result(
    method: str,
    charges: Mapping[str, float],
    q: np.ndarray,
    mae: np.ndarray,
    optima: np.ndarray,
    n_frames: int,
    penalties: tuple[float, ...],
) -> SweepResult:
    low, high = (float(v) for v in np.percentile(optima, [5, 95]))
    best = int(np.argmin(mae))
    notes = []
    contains_zero = bool(low <= 0.0 <= high)
    if contains_zero:
        notes.append(
            "the interval contains 0: these frames do not determine a charge; "
            "use more frames, method='regressed', or the dielectric estimate q_formal/sqrt(eps)"
        )
    elif best in (0, len(q) - 1):
        notes.append("the optimum lies at the end of the sweep: widen q")
    zero = int(np.argmin(np.abs(q)))
    return SweepResult(
        method=method,
        charges={species: float(charge) for species, charge in charges.items()},
        q=q,
        mae=mae,
        optimum=float(q[best]),
        interval=(low, high),
        optima=optima,
        gain=float(mae[zero] - mae[best]),
        n_frames=n_frames,
        penalties=penalties,
        contains_zero=contains_zero,
        note="; ".join(notes),
    )
