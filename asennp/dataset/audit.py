"""The label audit that precedes training: what is there, in which range, and what is missing."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from asennp.dataset.frames import LABELS, label, labels_of, require_labels
from asennp.dataset.magnitude import doubt_units, refuse_odd_labels
from asennp.dataset.splits import find_duplicates
from asennp.errors import InputError
from asennp.results import Result
from asennp.units import EV_A3_MPA

#: Label -> (what its range is of, unit).
_QUANTITIES = {
    "energy": ("energy", "eV/atom"),
    "free_energy": ("free energy", "eV/atom"),
    "stress": ("stress", "MPa"),
    "forces": ("force", "eV/A"),
    "energies": ("atomic energy", "eV"),
    "charges": ("charge", "e"),
}


@dataclass(frozen=True, eq=False)
class LabelAudit(Result):
    """What a list of frames holds.

    Attributes
    ----------
    n_frames, n_duplicates
        Frames, and those among them that repeat an earlier one.
    counts
        Label -> frames that carry it.
    ranges
        Label -> smallest and largest value (energies eV/atom, forces eV/Å, stress MPa).
    compositions
        Formula -> frames.
    energy_ranges
        Formula -> smallest and largest energy (eV/atom), of frames with an energy.
    doubts
        What does not look like eV, eV/Å and eV/Å^3, in words (`asennp.dataset.magnitude`).
    """

    n_frames: int
    n_duplicates: int
    counts: dict[str, int]
    ranges: dict[str, tuple[float, float]]
    compositions: dict[str, int]
    energy_ranges: dict[str, tuple[float, float]]
    doubts: tuple[str, ...] = ()

    def require(self, names: Iterable[str]) -> None:
        """Refuse if one of the labels (``"energy"``, ``"forces"``...) is not on every frame."""
        for name in names:
            if self.counts.get(name, 0) < self.n_frames:
                raise InputError(
                    f"label REF_{name} carries weight but is missing",
                    where="label audit",
                    expected=f"on all {self.n_frames} frames",
                    got=f"on {self.counts.get(name, 0)}",
                    do="label the frames, or give this term no weight",
                )

    def text(self) -> str:
        """Return the audit as lines to print."""
        lines = [f"{self.n_frames} frames, {self.n_duplicates} of them duplicates"]
        for formula, count in self.compositions.items():
            line = f"  {formula}: {count} frames"
            if formula in self.energy_ranges:
                low, high = self.energy_ranges[formula]
                line += f", {low:.4f} to {high:.4f} eV/atom"
            lines.append(line)
        for name in LABELS:
            line = f"  REF_{name}: {self.counts[name]} of {self.n_frames}"
            if name in self.ranges:
                quantity, unit = _QUANTITIES[name]
                low, high = self.ranges[name]
                line += f", {quantity} {low:.6g} to {high:.6g} {unit}"
            lines.append(line)
        return "\n".join([*lines, *(f"  ! {doubt}" for doubt in self.doubts)])


def _values(frame: Atoms, name: str) -> np.ndarray:
    value = np.asarray(label(frame, name), dtype=float)
    if name in ("energy", "free_energy"):
        return value / len(frame)
    return value * EV_A3_MPA if name == "stress" else value


def _range(frames: Sequence[Atoms], name: str) -> tuple[float, float]:
    arrays = [_values(frame, name) for frame in frames]
    return min(float(a.min()) for a in arrays), max(float(a.max()) for a in arrays)


def audit(frames: Sequence[Atoms], require: Iterable[str] = ()) -> LabelAudit:
    """Count and measure the labels of frames.

    Parameters
    ----------
    frames
        The frames.
    require
        Labels that must be on every frame (those with weight in a loss).

    Raises
    ------
    InputError
        For a required label that is missing, not finite or huge, and for energies in two units.
    """
    if len(frames) == 0:
        raise InputError("no frames", where="label audit")
    require = tuple(require)
    require_labels(frames, require, where="label audit")
    refuse_odd_labels(frames, require)
    with_label = {name: [f for f in frames if name in labels_of(f)] for name in LABELS}
    formulas = [frame.get_chemical_formula() for frame in frames]
    by_formula: dict[str, list[Atoms]] = {}
    for frame, formula in zip(frames, formulas):
        if "energy" in labels_of(frame):
            by_formula.setdefault(formula, []).append(frame)
    return LabelAudit(
        n_frames=len(frames),
        n_duplicates=int(find_duplicates(frames).sum()),
        counts={name: len(group) for name, group in with_label.items()},
        ranges={name: _range(group, name) for name, group in with_label.items() if group},
        compositions=dict(sorted(Counter(formulas).items())),
        energy_ranges={formula: _range(group, "energy") for formula, group in sorted(by_formula.items())},
        doubts=tuple(doubt_units(frames)),
    )
