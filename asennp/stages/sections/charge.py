"""The effective charge: sweeps without training, and the one that trains."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from asennp.config import Config
from asennp.qeff import ChargeComparison, SweepResult
from asennp.report import figures
from asennp.report.tables import (
    Block,
    Figure,
    Measured,
    Note,
    Section,
    Table,
)
from asennp.stages.parts import long_range
from asennp.stages.sections.terms import QUANTITY, Row, Summaries


def charge(config: Config, summaries: Summaries, upstream: Mapping[str, Path]) -> Section:
    """Show both sweeps beside the dielectric estimates."""
    s = summaries["qeff"]
    shown = {}
    rows: list[Row] = []
    remarks: list[Block] = []
    for method in ("plain", "regressed"):
        result = SweepResult.from_json(upstream["qeff"] / f"{method}.json")
        mae = 1e3 * result.mae
        shown[method] = SimpleNamespace(q=result.q, mae=mae, optimum=result.optimum, interval=result.interval)
        left = [float(np.interp(q, result.q, mae)) for q in (0.0, result.optimum, s["formal"])]
        interval = Measured(result.optimum, 0.5 * (result.interval[1] - result.interval[0]))
        rows.append([method, interval, *left])
        if result.note:
            remarks.append(Note(f"{method} sweep: {result.note}.", "warning"))
    marks = {
        "√ε∞ estimate": tuple(s["dielectric"]["infinity"]),
        "√ε₀ estimate": tuple(s["dielectric"]["zero"]),
    }
    table = Table(
        [
            "Sweep",
            ("Optimum", "e"),
            ("Left at 0", "meV/atom"),
            ("at the optimum", "meV/atom"),
            ("at the formal charge", "meV/atom"),
        ],
        rows,
        note="± is half of the 5 to 95 % range over samples (plain) or splits (regressed). Dielectric "
        f"estimates: formal charge over √ε; {s['dielectric']['source']}.",
    )
    compared = ChargeComparison.from_json(upstream["qeff"] / "compared.json")
    formal = compared.mean_charges["formal"]
    cation = max(formal, key=lambda species: formal[species])
    models = Table(
        ["Charges", (f"of {cation}", "e"), ("Left, plain", "meV/atom"), ("regressed", "meV/atom")],
        [
            [name, compared.mean_charges.get(name, {}).get(cation, 0.0), 1e3 * left, 1e3 * after]
            for name, left, after in zip(compared.names, compared.plain, compared.regressed)
        ],
        note="Each model's own Coulomb energy, taken from the labels; regressed: on test frames.",
    )
    return Section(
        "Effective charge",
        [
            Figure(
                figures.plot_sweeps(shown, "meV/atom", marks=marks, formal=s["formal"]),
                "Mean absolute residual against the charge.",
            ),
            table,
            models,
            *remarks,
        ],
        "What the Coulomb energy at charge q leaves over of the labels, without training a network. The "
        "regressed sweep first takes out what a linear model of the local descriptor explains: the rest is "
        f"long-ranged. Trained on: {_trained_on(config, s)}.",
    )


def _trained_on(config: Config, charge: Mapping[str, Any]) -> str:
    """Name the baseline of the hybrid model, and what chose its charge."""
    chosen = f"q_eff = {charge['q_eff']:.2f} e ({charge['chosen_by']})"
    if config.train.electrostatics == "point":
        return chosen
    return (
        f"{long_range(config)}, whose charges follow the atoms; by fixed charges it would have been {chosen}"
    )


def trained_charge(summaries: Summaries, upstream: Mapping[str, Path]) -> list[Section]:
    """Show the trained sweep beside the optima of those without training; nothing if none was asked for."""
    s = summaries["trained_sweep"]
    if not s:
        return []
    panels = {
        f"{name} MAE ({unit})": {curve: (s["q"], errors[quantity]) for curve, errors in s["errors"].items()}
        for quantity, (name, unit) in QUANTITY.items()
    }
    marks = {
        method: SweepResult.from_json(upstream["qeff"] / f"{method}.json").optimum
        for method in ("plain", "regressed")
    }
    optima = Table(
        ["Least error at", *((f"{name}", "e") for name, _ in QUANTITY.values())],
        [[curve, *(at[quantity] for quantity in QUANTITY)] for curve, at in s["optimum"].items()],
        note=f"Trained at {', '.join(f'{q:g}' for q in s['q'])} e; without training: "
        f"plain {marks['plain']:.2f}, regressed {marks['regressed']:.2f} e.",
    )
    added = s["retrained"]
    words = {"held": f"{added['n_held']} tensile frames held out", "test": "test set"}
    retrained = Table(
        [f"At {added['q']:g} e", *((f"{name} MAE", unit) for name, unit in QUANTITY.values())],
        [
            [f"{words[use]}, {way} tensile frames in training", *(added[use][way][q] for q in QUANTITY)]
            for use in words
            for way in ("without", "with")
        ],
        note=f"{added['n_added']} tensile frames were added, by block of the pull.",
    )
    return [
        Section(
            "Charge sweep by training",
            [
                Figure(
                    figures.plot_curves(panels, "Charge q (e)", marks=marks),
                    "Errors of short trainings on the residual at each charge; dotted: the optima of the "
                    "sweeps without training.",
                ),
                optima,
                retrained,
            ],
            "One network a charge, pretrained, transferred and fine-tuned as the hybrid, only shorter. "
            "Does the cheap protocol find the trained optimum?",
        )
    ]
