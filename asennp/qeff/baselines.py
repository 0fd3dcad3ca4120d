"""Other charges beside the effective one: formal, Bader, a teacher's, frame by frame."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from ase import Atoms

from asennp.electrostatics.charges import assign_charges
from asennp.errors import InputError
from asennp.qeff.rows import SweepData, SweepSettings, regressed_residuals, sweep_data
from asennp.results import Result

#: Charges given atom by atom may miss neutrality by so much an atom (integration grids); it is spread evenly.
_LOOSE = 0.01


@dataclass(frozen=True, eq=False)
class ChargeComparison(Result):
    """What several charge models leave over of the labels.

    Attributes
    ----------
    on
        "energy" or "forces".
    names
        The models; "none" comes first.
    plain
        (n,) mean absolute error of label minus Coulomb, energies shifted within each composition, eV/atom or
        eV/Å.
    regressed
        (n,) the same after a local linear model, on test frames, mean over splits; NaN if not asked for.
    mean_charges
        Model -> species -> mean charge, e.
    n_frames
        Frames used.
    """

    on: str
    names: list[str]
    plain: np.ndarray
    regressed: np.ndarray
    mean_charges: dict[str, dict[str, float]]
    n_frames: int


def compare_charges(
    frames: Sequence[Atoms] | SweepData,
    models: Mapping[str, Any],
    *,
    regressed: bool = True,
    n_splits: int = 8,
    **settings: Unpack[SweepSettings],
) -> ChargeComparison:
    """Compare charge models by what their Coulomb energies or forces leave over.

    Parameters
    ----------
    frames
        Labelled frames, or `SweepData`.
    models
        Name -> charges of the species (``{"Zn": 2, "O": -2}``), or the name of a per-atom array of the frames
        (``"REF_charges"``, e.g. a teacher's or Bader's), or an ASE calculator that gives ``charges`` (QEq).
        Charges that differ from frame to frame count as given there: their response to the positions is left
        out of the forces, as in a baseline of fixed charges.
    regressed
        Whether the regressed error is wanted as well.
    n_splits
        Train/test splits of the regressed error.
    **settings
        Of `SweepData`: on, energy_window, aev, accuracy, n_threads, seed.

    Raises
    ------
    InputError
        For charges that are not there, or far from neutral.
    """
    data = sweep_data(frames, settings)
    frames = data.frames
    charges = {name: [_charges(frame, model, name) for frame in frames] for name, model in models.items()}
    terms = [
        data.coulomb(model) if isinstance(model, Mapping) else data.coulomb_of(charges[name])
        for name, model in models.items()
    ]
    rows = data.rows(terms, regressed)
    names = ["none", *charges]

    def left(values: np.ndarray) -> np.ndarray:
        return np.array([np.abs(values[:, 0]).mean(), *np.abs(values[:, :1] - values[:, 1:]).mean(axis=0)])

    after = np.full(len(names), np.nan)
    if regressed:
        divisions = data.splits(n_splits)
        found = regressed_residuals(
            rows, divisions, lambda values: float(left(values).mean()), data.n_threads
        )
        after = np.mean([left(rest) for rest, _ in found], axis=0)
    symbols = np.concatenate([frame.get_chemical_symbols() for frame in frames])
    means = {
        name: {s: float(np.concatenate(q)[symbols == s].mean()) for s in sorted(set(symbols.tolist()))}
        for name, q in charges.items()
    }
    return ChargeComparison(data.on, names, left(rows.centred()), after, means, len(frames))


def _charges(frame: Atoms, model: Any, name: str) -> np.ndarray:
    """Return the charge of each atom, e, neutral."""
    if isinstance(model, Mapping):
        return assign_charges(frame.numbers, model, where=name)
    if isinstance(model, str):
        if model not in frame.arrays:
            raise InputError(
                "a frame has no such charges", where=name, expected=model, got=sorted(frame.arrays)
            )
        q = np.asarray(frame.arrays[model], dtype=float)
    else:
        bare = Atoms(frame.numbers, frame.positions, cell=frame.cell, pbc=frame.pbc)
        q = np.asarray(model.get_property("charges", bare), dtype=float)
    excess = float(q.sum()) / len(q)
    if not abs(excess) <= _LOOSE:
        raise InputError(
            "charges far from neutral",
            where=name,
            expected=f"within {_LOOSE} e an atom",
            got=f"{excess:+.4f}",
        )
    return q - excess


def read_acf(path: str | Path, symbols: Sequence[str], valence: Mapping[str, float]) -> np.ndarray:
    """Return Bader charges (e), shape (N,), from the ACF.dat of Henkelman's program.

    Parameters
    ----------
    path
        The file: a line an atom, with number, x, y, z, electrons, ...
    symbols
        Chemical symbols in the file's order.
    valence
        Valence electrons of each species in the calculation: charge = valence - electrons.

    Raises
    ------
    InputError
        If the file has not one line an atom, or a species has no valence.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("no such file", where=path, expected="ACF.dat")
    rows = []
    for line in path.read_text().splitlines():
        words = line.split()
        if len(words) >= 5 and words[0].isdigit():
            rows.append(float(words[4]))
    if len(rows) != len(symbols):
        raise InputError("not one line an atom", where=path, expected=len(symbols), got=len(rows))
    missing = sorted(set(symbols) - set(valence))
    if missing:
        raise InputError(f"no valence of {missing[0]}", where="valence", got=dict(valence))
    return np.array([valence[s] for s in symbols]) - np.array(rows)
