"""The walkers, the pull, and the frames that were distilled from them."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from asennp.config import Config
from asennp.dataset import read_frames
from asennp.files import read_json
from asennp.md.bias import WangLandauBias
from asennp.report import figures
from asennp.report.tables import (
    Block,
    Figure,
    Section,
    Table,
)
from asennp.stages.sample import walker_crystal, walker_orders
from asennp.stages.sections.terms import Row, Summaries
from asennp.units import EV_A3_MPA


def sampling(config: Config, summaries: Summaries, upstream: Mapping[str, Path]) -> Section:
    """Show where the walkers went, the bias they built, and the pull kept aside."""
    blocks: list[Block] = []
    rows: list[Row] = []
    for name, walker in config.sample.walkers.items():
        blocks += _walker_figures(config, name, upstream["sample"] / name)
        s = summaries["sample"][name]
        start = f"{walker.phase}, melted" if walker.melt else walker.phase
        if walker.pool is not None:
            start = f"pool {walker.pool}"
        visited = ", ".join(f"{phase} {100 * share:.0f} %" for phase, share in s["phases"].items())
        rows += [
            [name, start, s["steps"], s["wang_landau_updates"], order, 100 * found["coverage"],
             "{:.1f} to {:.1f}".format(*found["range"]), visited, s["guard_count"]]
            for order, found in s["orders"].items()
        ]  # fmt: skip
    table = Table(
        [
            "Walker",
            "Start",
            "Steps",
            "Updates",
            "Order",
            ("Mesh covered", "%"),
            "Range",
            "Frames by phase",
            "Guard acted",
        ],
        rows,
        note="Guard: pair evaluations inside the inner maximum of the pair potential, where it is spliced. "
        "A frame is of a phase when at least half of its atoms are, by their local environments.",
    )
    pull = config.tensile
    curve = Figure(
        figures.plot_stress_strain({config.potential.name: SimpleNamespace(**summaries["tensile"])}),
        f"The tensile pull kept aside: {pull.phase}, {pull.temperature_K:g} K, {pull.rate_A_per_ps:g} Å/ps, "
        "transverse cell fixed.",
    )
    return Section(
        "Sampling",
        [table, *blocks, curve],
        f"MOMT dynamics with {config.potential.name} at {config.sample.temperature_K:g} K and "
        f"{config.sample.pressure_bar:g} bar. The run explores: its bias grows to the end, so it is a source "
        "of configurations and not of thermodynamic averages.",
    )


def _walker_figures(config: Config, name: str, folder: Path) -> list[Block]:
    """Show one walker: its way, its phases, and for each order parameter the mesh and the bias on it."""
    walker = config.sample.walkers[name]
    frames = read_frames(folder / "frames.extxyz")
    time = np.array([frame.info["step"] for frame in frames]) * config.sample.timestep_fs / 1000.0
    enthalpy = np.array([frame.info["enthalpy"] for frame in frames])
    orders = np.array([np.atleast_1d(frame.info.get("order", ())) for frame in frames])
    history = read_json(folder / "phases.json")
    blocks: list[Block] = [
        Figure(
            figures.plot_phases(time, dict(zip(history["names"], np.transpose(history["fractions"])))),
            f"Walker {name}: phases of the atoms along the run.",
        )
    ]
    start = walker_crystal(config, name)
    bias = None if walker.enthalpy is None else WangLandauBias.load(folder / "bias.npz")
    for axis, (star, order_of) in enumerate(walker_orders(walker, start).items()):
        values = orders[:, axis]
        references = {walker.phase: order_of(start)}
        blocks.append(
            Figure(
                figures.plot_walkers([time], [values], [enthalpy], [name], references=references),
                f"Walker {name}: order parameter {star} and enthalpy along the run.",
            )
        )
        if bias is not None:
            visits, shift = figures.project_bias(bias, 0, axis + 1)
            marks = {"start": (float(enthalpy[0]), float(values[0]))}
            edges = bias.axes[0].edges, bias.axes[axis + 1].edges
            blocks.append(
                Figure(
                    figures.plot_map(*edges, visits, shift, marks=marks),
                    f"Walker {name}: where the Wang-Landau updates fell in {star}, and the partial enthalpy "
                    "they built.",
                )
            )
    return blocks


def distillation(summaries: Summaries) -> Section:
    """Show the learning curve and the scores of the last chunk."""
    s = summaries["distill"]
    columns = {
        "Atomic energy MAE (meV)": ("energies_mae", 1e3),
        "Force MAE (meV/Å)": ("force_mae", 1e3),
        "Stress MAE (MPa)": ("stress_mae", EV_A3_MPA),
    }
    curves = {
        title: {
            f"pool {name}": (curve["n_train"], factor * np.array(curve[column]))
            for name, curve in s["curve"].items()
        }
        for title, (column, factor) in columns.items()
    }
    blocks: list[Block] = [
        Figure(
            figures.plot_curves(curves, "Training frames"),
            "Errors of the committee on frames of the pool, round by round (short-range labels).",
        )
    ]
    screened = {f"pool {name}": found for name, found in s["last_scores"].items() if found}
    if screened:
        scores = {name: 1e3 * np.array(found["scores"]) for name, found in screened.items()}
        thresholds = {
            name: 1e3 * found["threshold"] for name, found in screened.items() if found["threshold"]
        }
        errors = {name: 1e3 * np.array(found["errors"]) for name, found in screened.items()}
        blocks.append(
            Figure(
                figures.plot_scores(scores, thresholds),
                "Scores of the last screened chunk: largest spread of an atomic energy.",
            )
        )
        blocks.append(
            Figure(
                figures.plot_foresight(scores, errors),
                "The same scores beside the largest error of an atomic energy in each frame.",
            )
        )
    return Section(
        "Distillation",
        blocks,
        f"{s['n_train']} of {sum(s['n_pool'].values())} pool frames were chosen by committees of "
        f"{s['settings']['n_members']} that disagreed on an atomic energy; {s['n_test']} test frames come "
        "from blocks of the trajectories that were set aside before any selection.",
    )
