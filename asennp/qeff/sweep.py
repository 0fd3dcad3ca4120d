"""The sweep of one scale of all charges, plain and regressed."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Unpack

import numpy as np
from ase import Atoms

from asennp.errors import InputError
from asennp.qeff.rows import Rows, SweepData, SweepSettings, regressed_residuals, sweep_data
from asennp.results import Result

Method = Literal["plain", "regressed"]
#: Numbers held at once while all charges are tried.
_BLOCK = 200_000


@dataclass(frozen=True, eq=False)
class SweepResult(Result):
    """A charge sweep.

    Attributes
    ----------
    method
        ``"plain"`` or ``"regressed"``.
    on
        ``"energy"`` or ``"forces"``.
    charges
        Species -> charge (e) at q = 1.
    q
        (n_q,) scale of the charges.
    mae
        (n_q,) mean absolute error, eV/atom or eV/Å; of the regressed sweep on test frames, mean over splits.
    optimum
        q of the smallest error.
    interval
        5 and 95 % points of the optimum: over bootstrap samples (plain) or splits (regressed).
    optima
        Optimum of each sample or split.
    gain
        Error at q = 0 less the smallest, in the unit of `mae`.
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
    on: str
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
    frames: Sequence[Atoms] | SweepData,
    charges: Mapping[str, float],
    q: np.ndarray | None = None,
    method: Method = "plain",
    *,
    samples: int | None = None,
    **settings: Unpack[SweepSettings],
) -> SweepResult:
    """Sweep the scale of the charges and find the one that leaves the smallest error.

    Parameters
    ----------
    frames
        Frames with ``REF_energy`` (or ``REF_forces``), or `SweepData`.
    charges
        Charges (e) at q = 1, e.g. ``{"Zn": 1, "O": -1}``; cells must be neutral.
    q
        Scales to try, by default 0 to 2 in steps of 0.01.
    method
        See `asennp.qeff`.
    samples
        Bootstrap samples (plain, 300) or train/test splits of 80/20 by block (regressed, 16).
    **settings
        Of `SweepData`: on, energy_window, aev, accuracy, n_threads, seed.

    Raises
    ------
    InputError
        For missing labels, charged cells, and too few frames.
    """
    q = np.arange(0.0, 2.005, 0.01) if q is None else np.asarray(q, dtype=float)
    if method not in ("plain", "regressed"):
        raise InputError("unknown method", where="method", expected="plain or regressed", got=method)
    if q.ndim != 1 or len(q) < 2 or np.any(np.diff(q) <= 0):
        raise InputError("charges must increase", where="q", got=q)
    data = sweep_data(frames, settings)
    rows = data.rows([data.coulomb(charges)], method == "regressed")
    if method == "plain":
        mae, optima = _bootstrap(rows, q, samples or 300, np.random.default_rng(data.seed))
        penalties: tuple[float, ...] = ()
    else:
        found = regressed_residuals(
            rows,
            data.splits(samples or 16),
            lambda values: float(errors(values, q[[best(values, q)]])[0]),
            data.n_threads,
        )
        curves, penalties = np.array([errors(rest, q) for rest, _ in found]), tuple(p for _, p in found)
        mae, optima = curves.mean(axis=0), q[np.argmin(curves, axis=1)]
    return _result(method, data.on, charges, q, mae, optima, len(data.frames), penalties)


def sweep_by(
    frames: Sequence[Atoms], labels: Sequence[Hashable], charges: Mapping[str, float], **settings: Any
) -> dict[str, SweepResult]:
    """Sweep each sub-set of the frames by itself.

    Parameters
    ----------
    frames
        All frames.
    labels
        One a frame: a phase, a source.
    charges, settings
        As for `sweep`.

    Returns
    -------
    dict
        Label -> result; sub-sets of fewer than ten frames are left out.
    """
    if len(labels) != len(frames):
        raise InputError("not one label a frame", where="labels", expected=len(frames), got=len(labels))
    results = {}
    for name in sorted({str(label) for label in labels}):
        chosen = [frame for frame, label in zip(frames, labels) if str(label) == name]
        if len(chosen) >= 10:
            results[name] = sweep(chosen, charges, **settings)
    return results


def errors(values: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Return the mean absolute residual at each q, (n_q,), of columns label and Coulomb term at q = 1."""
    step = max(1, _BLOCK // len(values))
    blocks = [
        np.abs(values[:, 0] - np.square(q[k : k + step, None]) * values[:, 1]).mean(axis=1)
        for k in range(0, len(q), step)
    ]
    return np.concatenate(blocks)


def best(values: np.ndarray, q: np.ndarray) -> int:
    """Return the index of the q of the smallest mean absolute residual, without trying them all.

    Sum_i |a_i - s b_i| is convex in s = q^2, least at the median of a_i / b_i with weights |b_i|: the best q
    of the list is next to it.
    """
    label, coulomb = values[:, 0], values[:, 1]
    moving = coulomb != 0
    if not moving.any():
        return 0
    ratios, weights = label[moving] / coulomb[moving], np.abs(coulomb[moving])
    order = np.argsort(ratios)
    weight = np.cumsum(weights[order])
    least = ratios[order][np.searchsorted(weight, 0.5 * weight[-1])]
    squares = np.square(q)
    by_square = np.argsort(squares, kind="stable")
    place = int(np.searchsorted(squares[by_square], least))
    near = np.sort(by_square[max(place - 2, 0) : place + 2])  # two each way: q and -q are as good
    return int(near[np.argmin(errors(values, q[near]))])


def _bootstrap(
    rows: Rows, q: np.ndarray, samples: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the error at each q over all frames, and the optimum of each bootstrap sample of frames."""
    n = rows.n_frames
    optima = np.empty(samples)
    if rows.group is None:
        # forces are not shifted: a sample's curve is the weighted mean of the frames' own curves
        curves = np.array([errors(rows.values[rows.frame == k], q) for k in range(n)])
        sizes = np.bincount(rows.frame)
        for k in range(samples):
            weights = sizes * np.bincount(rng.integers(n, size=n), minlength=n)
            optima[k] = q[np.argmin(weights @ curves)]
        return sizes @ curves / sizes.sum(), optima
    for k in range(samples):
        centred = rows.centred(rng.integers(n, size=n))
        optima[k] = q[best(centred, q)]
    return errors(rows.centred(), q), optima


def interval_of(optima: np.ndarray) -> tuple[float, float]:
    """Return the 5 and 95 % points."""
    low, high = (float(value) for value in np.percentile(optima, [5, 95]))
    return low, high


def _result(
    method: str,
    on: str,
    charges: Mapping[str, float],
    q: np.ndarray,
    mae: np.ndarray,
    optima: np.ndarray,
    n_frames: int,
    penalties: tuple[float, ...],
) -> SweepResult:
    low, high = interval_of(optima)
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
        on=on,
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
