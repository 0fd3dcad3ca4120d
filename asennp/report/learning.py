"""Figures of learning: errors against data or epochs, and the scores that choose the data."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from asennp.report.sampling import thin
from asennp.report.style import (
    AMBER,
    BLUE,
    INK,
    MUTED,
    SLATE,
    colours,
    house_style,
    legend_above,
    panels,
    plain_log,
)
from asennp.units import EV_A3_MPA


@house_style
def plot_curves(
    panels_of_curves: Mapping[str, Mapping[str, tuple[ArrayLike, ArrayLike]]],
    x_label: str,
    log: bool = False,
    dots: bool | None = None,
    marks: Mapping[str, float] | None = None,
) -> Any:
    """Plot curves in one panel a quantity, sharing x: a distillation's learning curve, training histories.

    Parameters
    ----------
    panels_of_curves
        {"Force MAE (meV/Å)": {curve: (x, y)}}; the key is the axis' label, with its unit. A `y` of shape
        (members, n) is drawn as its mean and a band from least to greatest.
    x_label
        "Training frames", "Epoch", ...
    log
        Logarithmic y.
    dots
        Draw the points; by default where they are few.
    marks
        {"fine-tuning": x} vertical lines.
    """
    names = [name for curves in panels_of_curves.values() for name in curves]
    colour = colours(names)
    figure, axes = panels(1, len(panels_of_curves), height=2.55, sharex=True)
    for ax, (label, curves) in zip(axes[0], panels_of_curves.items()):
        for name, (x, values) in curves.items():
            y = np.asarray(values, float)
            few = len(np.asarray(x)) <= 30
            marker = "o" if (few if dots is None else dots) else ""
            rows = np.atleast_2d(y)
            steps, middle, low, high = thin(x, rows.mean(axis=0), rows.min(axis=0), rows.max(axis=0))
            if len(rows) > 1:
                ax.fill_between(steps, low, high, color=colour[name], alpha=0.18)
            ax.plot(steps, middle, color=colour[name], marker=marker, label=name)
        if log:
            ax.set_yscale("log")
            plain_log(ax.yaxis)
        else:
            ax.set_ylim(bottom=0.0)
        for words, x in (marks or {}).items():
            ax.axvline(x, color=MUTED, linewidth=1.0, linestyle=(0, (1, 2)))
            if ax is axes[0, 0]:
                ax.annotate(words, (x, 1.0), xycoords=("data", "axes fraction"), xytext=(3, -2),
                            textcoords="offset points", va="top", color=MUTED, fontsize=7.0)  # fmt: skip
        quantity, _, unit = label.partition(" (")
        ax.set_title(quantity)
        ax.set_ylabel(unit.rstrip(")"))
        ax.set_xlabel(x_label)
    if len(set(names)) > 1:
        legend_above(figure, *axes[0])
    return figure


def plot_history(histories: Mapping[str, Mapping[str, ArrayLike]]) -> Any:
    """Plot the validation errors of trainings over their epochs.

    Parameters
    ----------
    histories
        {training: `FitResult.history`}; quantities without labels are left out.
    """
    columns = {
        "Energy MAE (meV/atom)": ("energy_mae", 1e3),
        "Force MAE (meV/Å)": ("force_mae", 1e3),
        "Stress MAE (MPa)": ("stress_mae", EV_A3_MPA),
    }
    panels_of_curves: dict[str, dict[str, tuple[ArrayLike, ArrayLike]]] = {}
    for title, (column, factor) in columns.items():
        curves = {name: factor * np.asarray(history[column], float) for name, history in histories.items()}
        if any(np.isfinite(values).any() for values in curves.values()):
            panels_of_curves[title] = {n: (np.arange(1, len(y) + 1), y) for n, y in curves.items()}
    return plot_curves(panels_of_curves, "Epoch", log=True, dots=False)


@house_style
def plot_scores(
    scores: Mapping[str, ArrayLike],
    thresholds: Mapping[str, float] | None = None,
    unit: str = "meV",
    n_bins: int = 60,
) -> Any:
    """Plot histograms of frames' uncertainty scores with the threshold above which frames are kept.

    Parameters
    ----------
    scores
        {round or pool: (n,) scores}, one panel each.
    thresholds
        {the same name: threshold}.
    """
    figure, axes = panels(1, len(scores), height=2.3)
    for ax, (name, given) in zip(axes[0], scores.items()):
        values = np.asarray(given, float)
        edges = np.linspace(0.0, float(np.quantile(values, 0.999)) * 1.05, n_bins + 1)
        clipped = np.minimum(values, edges[-1] * (1 - 1e-9))
        count, _ = np.histogram(clipped, edges)
        threshold = (thresholds or {}).get(name)
        above = edges[:-1] >= (threshold if threshold is not None else np.inf)
        for part, colour in ((~above, SLATE), (above, AMBER)):
            heights = np.where(part, np.maximum(count, 1e-3), 1e-3)
            ax.stairs(heights, edges, baseline=1e-3, fill=True, color=colour)
        ax.set_yscale("log")
        ax.set_ylim(bottom=0.7)
        plain_log(ax.yaxis)
        if threshold is not None:
            ax.axvline(threshold, color=INK, linewidth=1.0)
            chosen = int((values > threshold).sum())
            ax.annotate(
                f"{chosen} of {len(values)} above {threshold:.3g} {unit}",
                (1.0, 1.0),
                xycoords="axes fraction",
                xytext=(0, 7),
                textcoords="offset points",
                ha="right",
                color=MUTED,
                fontsize=7.0,
            )
        ax.grid(False, axis="x")
        ax.set_title(name)
        ax.set_xlabel(f"Score ({unit})")
    axes[0, 0].set_ylabel("Frames")
    return figure


@house_style
def plot_foresight(
    scores: Mapping[str, ArrayLike], errors: Mapping[str, ArrayLike], unit: str = "meV"
) -> Any:
    """Plot what a committee foretold beside what came: error against score, one dot a frame.

    The line is error = score; the title gives the rank correlation (Spearman's), 1 for a committee that
    puts the frames in the right order.

    Parameters
    ----------
    scores, errors
        {round or pool: (n,)}, one panel each, positive.
    """
    figure, axes = panels(1, len(scores), height=2.6)
    for ax, (name, given) in zip(axes[0], scores.items()):
        x, y = np.asarray(given, float), np.asarray(errors[name], float)
        ranks = [np.argsort(np.argsort(values)) for values in (x, y)]
        order = float(np.corrcoef(ranks[0], ranks[1])[0, 1]) if len(x) > 1 else float("nan")
        ax.plot(x, y, ".", color=BLUE, markersize=3.0, alpha=0.5)
        ends = [min(x.min(), y.min()), max(x.max(), y.max())]
        ax.plot(ends, ends, color=INK, linewidth=1.0)
        ax.set_xscale("log")
        ax.set_yscale("log")
        plain_log(ax.xaxis)
        plain_log(ax.yaxis)
        ax.set_title(f"{name}: rank correlation {order:.2f}")
        ax.set_xlabel(f"Score ({unit})")
    axes[0, 0].set_ylabel(f"Largest error ({unit})")
    return figure


@house_style
def plot_stages(seconds: Mapping[str, float]) -> Any:
    """Plot where the time of a run went, one bar a stage, in the order of the run."""
    names = list(seconds)
    figure, axes = panels(1, 1, height=0.45 + 0.24 * len(names))
    ax = axes[0, 0]
    values = np.array([seconds[name] for name in names])
    ax.barh(range(len(names)), values, 0.62, color=BLUE)
    for k, value in enumerate(values):
        ax.annotate(
            f"{value:.0f} s" if value >= 10 else f"{value:.1f} s",
            (value, k),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            color=MUTED,
            fontsize=7.5,
        )
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(axis="y", labelcolor=INK)
    ax.invert_yaxis()
    ax.margins(x=0.08)
    ax.set_xlim(left=0.0)
    ax.grid(False, axis="y")
    ax.set_xlabel("Wall time (s)")
    return figure
