"""The labels, and how the networks learnt them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from asennp.config import Config
from asennp.report import figures
from asennp.report.tables import (
    Block,
    Details,
    Figure,
    Note,
    Section,
    Table,
)
from asennp.stages.sections.terms import Summaries
from asennp.stages.train import KINDS
from asennp.units import EV_A3_MPA


def labels(config: Config, summaries: Summaries) -> Section:
    """Show the teacher check and what was labelled."""
    s = summaries["label"]
    check = s["check"]
    blocks: list[Block] = [
        Table(
            ["Teacher check", "Largest difference", "Unit"],
            [
                ["Same crystal in two cells", check["cell_spread_meV"], "meV/atom"],
                ["Forces against differences of the energy", 1e3 * check["force_error"], "meV/Å"],
                ["Stress against differences of the energy", 1e3 * check["stress_error_GPa"], "MPa"],
            ],
        ),
        Table(["Frames", "Labelled"], [[use, count] for use, count in s["counts"].items()]),
    ]
    if s["failed"]:
        text = f"{len(s['failed'])} frames failed and were left out: see label/failed.json."
        blocks.append(Note(text, "warning"))
    n = config.label.crystals
    crystals = f" {n} strained and displaced crystals of each phase are among them." if n else ""
    return Section("Labels", blocks, f"Energies, forces and stress by {s['teacher']}.{crystals}")


def training(config: Config, summaries: Summaries) -> Section:
    """Show validation errors of pretraining and transfer, and the label audit."""
    pretrained, fitted = summaries["pretrain"]["history"], summaries["train"]["history"]
    columns = {
        "Energy MAE (meV/atom)": ("energy_mae", 1e3),
        "Force MAE (meV/Å)": ("force_mae", 1e3),
        "Stress MAE (MPa)": ("stress_mae", EV_A3_MPA),
    }
    before = {title: {"pretraining": _band(pretrained, *column)} for title, column in columns.items()}
    after = {
        title: {kind: _band(fitted[kind], *column) for kind in KINDS} for title, column in columns.items()
    }
    marks = {"fine-tuning": config.train.transfer.epochs} if config.train.fine_tune else None
    audit = summaries["train"]["audit"]
    counts = ", ".join(f"{name} on {count}" for name, count in audit["counts"].items() if count)
    return Section(
        "Training",
        [
            Figure(
                figures.plot_curves(before, "Epoch", log=True, dots=False),
                "Pretraining on short-range atomic energies: validation errors of the members.",
            ),
            Figure(
                figures.plot_curves(after, "Epoch", log=True, dots=False, marks=marks),
                "Transfer: validation errors; direct starts from nothing and has as many epochs.",
            ),
            Details(
                "Label audit before training",
                [f"{audit['n_frames']} frames, {audit['n_duplicates']} duplicates; labels: {counts}"],
            ),
            *(Note(f"Label audit: {doubt}.", "warning") for doubt in audit["doubts"]),
        ],
        f"Committees of {config.train.members}; bands reach from the least to the greatest member.",
    )


def _band(
    histories: Sequence[Mapping[str, Any]], column: str, factor: float
) -> tuple[np.ndarray, np.ndarray]:
    values = factor * np.array([history[column] for history in histories])
    return np.arange(1, values.shape[1] + 1), values
