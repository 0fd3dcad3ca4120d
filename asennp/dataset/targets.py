"""Labels from calculators, and residual targets: label minus baseline."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms

from asennp.dataset.frames import ATOM_LABELS, check_frame, label, labels_of, require_labels
from asennp.errors import InputError

_WANTED = ("energy", "forces", "stress", "energies", "free_energy")


def attach_labels(frame: Atoms, results: dict[str, Any]) -> Atoms:
    """Return a copy of a frame with a calculator's results as its ``REF_`` labels.

    Parameters
    ----------
    frame
        The frame; labels it has already are dropped.
    results
        As in ``calculator.results``: energy, free_energy, forces, stress (6 or 3x3), energies, charges.
    """
    copy = frame.copy()
    for name in labels_of(frame):
        (copy.arrays if name in ATOM_LABELS else copy.info).pop(f"REF_{name}")
    for name in (*_WANTED, "charges"):
        if results.get(name) is not None:
            target = copy.arrays if name in ATOM_LABELS else copy.info
            target[f"REF_{name}"] = np.array(results[name], dtype=float)
    check_frame(copy, "attach_labels")
    return copy


def _evaluate(frame: Atoms, calculator: Any, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return properties of a bare copy of a frame (ASE's calculators compute them in one pass)."""
    bare = Atoms(frame.numbers, frame.positions, cell=frame.cell, pbc=frame.pbc)
    if "initial_charges" in frame.arrays:
        bare.set_initial_charges(frame.arrays["initial_charges"])
    return {name: np.asarray(calculator.get_property(name, bare), dtype=float) for name in names}


def compute_labels(
    frames: Sequence[Atoms], calculator: Any, properties: Sequence[str] = ("energy", "forces", "stress")
) -> list[Atoms]:
    """Return copies of frames labelled by an ASE calculator.

    Parameters
    ----------
    calculator
        Any ASE calculator.
    properties
        What to label; add ``"energies"`` for atomic energies, ``"free_energy"`` for smeared DFT.
    """
    return [attach_labels(frame, _evaluate(frame, calculator, properties)) for frame in frames]


def residual_targets(frames: Sequence[Atoms], baseline: Any) -> list[Atoms]:
    """Return copies whose labels are what a baseline leaves over: X_res = X_label - X_baseline.

    Each label among energy, free energy, forces, stress and atomic energies is replaced by its
    residual; atomic energies only where the baseline gives them too, else they are dropped.

    Parameters
    ----------
    frames
        Labelled frames (``REF_energy`` at least).
    baseline
        Any ASE calculator.
    """
    require_labels(frames, ["energy"])
    available = set(getattr(baseline, "implemented_properties", ()))
    residuals = []
    for k, frame in enumerate(frames):
        present = [name for name in _WANTED if name in labels_of(frame)]
        lacking = [n for n in present if n in ("energy", "forces", "stress") and n not in available]
        if lacking:
            raise InputError(
                f"the baseline gives no {lacking[0]}",
                where=f"{type(baseline).__name__}, frame {k}",
                expected=f"a calculator with {', '.join(present)}",
                got=sorted(available),
            )
        try:
            values = _evaluate(frame, baseline, [n for n in present if n in available])
        except InputError as error:
            raise InputError(f"frame {k}: {error}") from error
        values.setdefault("free_energy", values["energy"])  # a baseline without smearing: F = E
        residual = frame.copy()
        for name in present:
            target = residual.arrays if name in ATOM_LABELS else residual.info
            target.pop(f"REF_{name}")
            if name in values:
                target[f"REF_{name}"] = np.asarray(label(frame, name)) - values[name]
        check_frame(residual, f"residual of frame {k}")
        residuals.append(residual)
    return residuals
