"""Figures of the enhanced sampling: where the walkers went and what bias took them there."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from asennp.report.style import (
    COLOUR_MAP,
    FULL,
    HALO,
    MAX_POINTS,
    MUTED,
    PAPER,
    colours,
    house_style,
    legend_above,
    new_figure,
    panels,
    plain_log,
)


def thin(*arrays: ArrayLike, limit: int = MAX_POINTS) -> list[np.ndarray]:
    """Return every k-th entry, so that at most about `limit` are drawn."""
    shaped = [np.asarray(a) for a in arrays]
    step = max(1, -(-len(shaped[0]) // limit))
    return [a[::step] for a in shaped]


@house_style
def plot_walkers(
    time_ps: Sequence[ArrayLike],
    order: Sequence[ArrayLike],
    enthalpy: Sequence[ArrayLike],
    names: Sequence[str] | None = None,
    order_label: str = "Order parameter O",
    enthalpy_label: str = "Enthalpy H (eV)",
    references: Mapping[str, float] | None = None,
) -> Any:
    """Plot order parameter and enthalpy of every walker against time, with how often each value came.

    Parameters
    ----------
    time_ps, order, enthalpy
        One (n,) array a walker.
    references
        {phase: order parameter of the perfect crystal}, drawn as dotted lines.
    """
    names = list(names or [f"walker {k + 1}" for k in range(len(order))])
    colour = colours(names)
    figure = new_figure(FULL, 4.1)
    grid = figure.subplots(2, 2, sharex="col", sharey="row", width_ratios=(6, 1))
    for row, (values, label) in enumerate(((order, order_label), (enthalpy, enthalpy_label))):
        trace, side = grid[row]
        for k, name in enumerate(names):
            t, y = thin(time_ps[k], values[k])
            trace.plot(t, y, color=colour[name], linewidth=0.8, alpha=0.85, label=name)
        everything = np.concatenate([np.asarray(v, float) for v in values])
        edges = np.linspace(everything.min(), everything.max() + 1e-9, 41)
        stacked = [np.histogram(v, edges)[0] for v in values]
        left = np.zeros(40)
        for count, name in zip(stacked, names):
            side.stairs(
                left + count, edges, baseline=left, orientation="horizontal", fill=True, color=colour[name]
            )
            left = left + count
        trace.set_ylabel(label)
        side.grid(False)
        side.set_xticks([])
        side.spines["bottom"].set_visible(False)
    for phase, value in (references or {}).items():
        grid[0, 0].axhline(value, color=MUTED, linewidth=1.0, linestyle=(0, (1, 2)))
        grid[0, 0].annotate(
            phase,
            (1.0, value),
            xycoords=("axes fraction", "data"),
            xytext=(-3, 3),
            textcoords="offset points",
            ha="right",
            va="bottom",
            color=MUTED,
            fontsize=7.0,
            bbox=HALO,
        )
    grid[0, 0].margins(x=0.01)
    grid[0, 0].set_title("Trajectories")
    grid[0, 1].set_title("Visits")
    grid[1, 0].set_xlabel("Time (ps)")
    legend_above(figure, grid[0, 0])
    return figure


def draw_map(
    figure: Any,
    row: Sequence[Any],
    edges: tuple[ArrayLike, ArrayLike],
    visits: ArrayLike,
    surface: ArrayLike,
    labels: Sequence[str],
) -> None:
    """Draw visits and dH of two axes of a mesh on two axes of a figure; nodes never visited stay empty."""
    from matplotlib.colors import LogNorm

    visits = np.asarray(visits, float)
    empty = visits == 0
    for ax, values, norm, title in (
        (row[0], visits, LogNorm(1, max(visits.max(), 2)), "Visits"),
        (row[1], np.asarray(surface, float), None, "Partial enthalpy dH (eV)"),
    ):
        mesh = ax.pcolormesh(
            *edges, np.ma.masked_where(empty, values).T, cmap=COLOUR_MAP, norm=norm, rasterized=True
        )
        bar = figure.colorbar(mesh, ax=ax, pad=0.02, aspect=28)
        bar.outline.set_visible(False)
        if norm is not None:
            plain_log(bar.ax.yaxis)
        ax.set_title(title)
        ax.set_xlabel(labels[0])
        ax.locator_params(axis="x", nbins=5)
    row[0].set_ylabel(labels[1])


@house_style
def plot_map(
    enthalpy_edges: ArrayLike,
    order_edges: ArrayLike,
    visits: ArrayLike,
    surface: ArrayLike,
    enthalpy_label: str = "Enthalpy H (eV)",
    order_label: str = "Order parameter O",
    marks: Mapping[str, tuple[float, float]] | None = None,
) -> Any:
    """Plot the visits of the (H, O) mesh and the bias surface that drove them, side by side.

    Parameters
    ----------
    enthalpy_edges, order_edges
        (n+1,), (m+1,) cell edges.
    visits, surface
        (n, m): count, and partial enthalpy dH in eV (drawn where visited).
    marks
        {phase: (H, O)} of perfect crystals.
    """
    figure, axes = panels(1, 2, height=3.1, sharex=True, sharey=True)
    labels = (enthalpy_label, order_label)
    draw_map(figure, axes[0], (enthalpy_edges, order_edges), visits, surface, labels)
    for ax in axes[0]:
        for name, (h, o) in (marks or {}).items():
            ax.plot([h], [o], marker="D", markersize=4.5, color=MUTED, markeredgecolor=PAPER)
            ax.annotate(
                name, (h, o), xytext=(6, 4), textcoords="offset points", color=MUTED, fontsize=7.0, bbox=HALO
            )
    return figure


@house_style
def plot_phases(time_ps: ArrayLike, fractions: Mapping[str, ArrayLike], n_bins: int = 200) -> Any:
    """Plot the share of the atoms of each phase along a run, stacked; what never reaches 1 % is left out.

    Parameters
    ----------
    time_ps
        (n,) times of the frames.
    fractions
        {phase: (n,) share of the atoms}; averaged over `n_bins` stretches of the run.
    """
    time = np.asarray(time_ps, float)
    bins = np.array_split(np.arange(len(time)), min(n_bins, len(time)))
    shares = {name: np.array([np.mean(np.asarray(f)[b]) for b in bins]) for name, f in fractions.items()}
    shares = {name: share for name, share in shares.items() if share.max() >= 0.01}
    figure, axes = panels(1, 1, height=1.9)
    ax = axes[0, 0]
    colour = colours(shares)
    ax.stackplot(
        [time[b].mean() for b in bins],
        *shares.values(),
        labels=list(shares),
        colors=[colour[name] for name in shares],
        linewidth=0,
    )
    ax.set_ylim(0.0, 1.0)
    ax.margins(x=0.0)
    ax.grid(False)
    ax.set_xlabel("Time (ps)")
    ax.set_ylabel("Share of atoms")
    legend_above(figure, ax)
    return figure
