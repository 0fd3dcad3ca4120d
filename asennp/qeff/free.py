"""Several charges at once, free but for neutrality: BaTiO3 has two."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Unpack

import numpy as np
from ase import Atoms
from scipy.optimize import minimize

from asennp.errors import InputError
from asennp.qeff.rows import SweepData, SweepSettings, regressed_residuals, sweep_data
from asennp.qeff.sweep import Method, interval_of
from asennp.results import Result

#: Scales of the formal charges from which the search for the best charges starts.
_STARTS = (0.1, 0.3, 0.5, 0.7, 0.9)


@dataclass(frozen=True, eq=False)
class ChargeFit(Result):
    """The charges that leave the smallest error, each species free under neutrality.

    Attributes
    ----------
    method, on
        As in `SweepResult`.
    charges
        Species -> charge, e.
    intervals
        Species -> 5 and 95 % points over bootstrap samples (plain) or splits (regressed), e.
    optima
        (n_samples, n_species) charges of each sample or split, in the order of `charges`.
    mae, mae_uncharged
        Mean absolute error at these charges and without charges, eV/atom or eV/Å.
    n_frames
        Frames used.
    note
        What to mind; empty if nothing.
    """

    method: str
    on: str
    charges: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    optima: np.ndarray
    mae: float
    mae_uncharged: float
    n_frames: int
    note: str


def fit_charges(
    frames: Sequence[Atoms] | SweepData,
    formal: Mapping[str, float],
    method: Method = "plain",
    *,
    samples: int | None = None,
    **settings: Unpack[SweepSettings],
) -> ChargeFit:
    """Find the charges of all species, neutral together, that leave the smallest error.

    The Coulomb energy is a quadratic form in the charges: n - 1 free charges need n(n-1)/2 evaluations a
    frame, whatever is tried afterwards. The last species closes the neutrality.

    Parameters
    ----------
    frames
        Frames of one composition, with ``REF_energy`` (or ``REF_forces``), or `SweepData`.
    formal
        Formal charges, e.g. ``{"Ba": 2, "Ti": 4, "O": -2}``: where the search starts, and the sign.
    method, samples
        As for `sweep` (40 bootstrap samples if not given).
    **settings
        Of `SweepData`: on, energy_window, aev, accuracy, n_threads, seed.

    Raises
    ------
    InputError
        For frames of several compositions, formal charges that are not neutral, and as for `sweep`.
    """
    data = sweep_data(frames, settings)
    basis = _neutral_basis(data.frames, formal)
    d = len(basis)
    pairs = [(k, k) for k in range(d)] + list(combinations(range(d), 2))
    terms = [data.coulomb(dict(zip(formal, basis[k] if k == l else basis[k] + basis[l]))) for k, l in pairs]
    rows = data.rows(terms, method == "regressed")
    # E(e_k + e_l) - E(e_k) - E(e_l) is the mixed term
    for column, (k, l) in enumerate(pairs, start=1):
        if k != l:
            rows.values[:, column] -= rows.values[:, 1 + k] + rows.values[:, 1 + l]
    start = np.array([formal[species] for species in list(formal)[:-1]], dtype=float)

    def best(values: np.ndarray) -> np.ndarray:
        return _search(lambda free: _error(values, free, pairs), start)

    if method == "plain":
        values = rows.centred()
        optimum, mae, uncharged = best(values), 0.0, _error(values, 0.0 * start, pairs)
        mae = _error(values, optimum, pairs)
        rng = np.random.default_rng(data.seed)
        order = np.argsort(rows.frame, kind="stable")
        starts = np.searchsorted(rows.frame[order], np.arange(rows.n_frames + 1))
        optima = []
        for _ in range(samples or 40):
            drawn = rng.integers(rows.n_frames, size=rows.n_frames)
            optima.append(
                best(rows.centred(np.concatenate([order[starts[f] : starts[f + 1]] for f in drawn])))
            )
    else:
        found = regressed_residuals(
            rows,
            data.splits(samples or 16),
            lambda values: _error(values, best(values), pairs),
            data.n_threads,
        )
        rests = [rest for rest, _ in found]
        optima = [best(rest) for rest in rests]
        optimum = _search(lambda free: float(np.mean([_error(rest, free, pairs) for rest in rests])), start)
        mae = float(np.mean([_error(rest, optimum, pairs) for rest in rests]))
        uncharged = float(np.mean([_error(rest, 0.0 * start, pairs) for rest in rests]))
    every = np.array(optima) @ basis
    charges = dict(zip(formal, (optimum @ basis).tolist()))
    intervals = {species: interval_of(column) for species, column in zip(formal, every.T)}
    open_ = [species for species, (low, high) in intervals.items() if low <= 0.0 <= high]
    note = f"the interval of {', '.join(open_)} contains 0: these frames do not determine it" if open_ else ""
    return ChargeFit(method, data.on, charges, intervals, every, mae, uncharged, len(data.frames), note)


def _neutral_basis(frames: Sequence[Atoms], formal: Mapping[str, float]) -> np.ndarray:
    """Return charge vectors (d, n_species): unit charge on one species, the last one makes it neutral."""
    species = list(formal)
    if len(species) < 2:
        raise InputError("one species cannot be charged and neutral", where="formal", got=dict(formal))
    counts = np.array([[f.get_chemical_symbols().count(s) for s in species] for f in frames], dtype=float)
    ratios = counts / counts[:, -1:].clip(1e-300)
    if np.any(counts.sum(axis=1) != [len(f) for f in frames]) or np.ptp(ratios, axis=0).max() > 1e-12:
        raise InputError(
            "free charges need frames of one composition that `formal` covers",
            where="frames",
            got=sorted({f.get_chemical_formula(empirical=True) for f in frames}),
            do="fix the ratios of the charges instead: sweep(frames, charges=...)",
        )
    if abs(ratios[0] @ np.array(list(formal.values()), dtype=float)) > 1e-9:
        raise InputError("the formal charges are not neutral", where="formal", got=dict(formal))
    return np.column_stack([np.eye(len(species) - 1), -ratios[0, :-1]])


def _error(values: np.ndarray, free: np.ndarray, pairs: Sequence[tuple[int, int]]) -> float:
    coefficients = np.array([free[k] * free[l] for k, l in pairs])
    return float(np.abs(values[:, 0] - values[:, 1:] @ coefficients).mean())


def _search(error: Callable[[np.ndarray], float], formal: np.ndarray) -> np.ndarray:
    """Return the free charges of the smallest error, by the simplex method from scaled formal charges."""
    found = min(
        (
            minimize(error, scale * formal, method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-9})
            for scale in _STARTS
        ),
        key=lambda result: float(result.fun),
    )
    # q and -q give the same energies: the formal charges tell the sign
    best: np.ndarray = found.x if found.x @ formal >= 0 else -found.x
    return best
