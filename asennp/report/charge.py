"""Figures of the effective-charge sweeps."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from asennp.report.style import BLUE, INK, MUTED, SLATE, TEAL, house_style, panels


def _strip(ax: Any, name: str, span: tuple[float, float], height: float, colour: str) -> None:
    """Draw a range of charges as a labelled bar above the data, at a height in axes units."""
    low, high = span
    where = ax.get_xaxis_transform()
    ax.plot([low, high], [height, height], transform=where, color=colour, linewidth=4.0, clip_on=False)
    if low == high:
        ax.plot([low], [height], transform=where, color=colour, marker="D", markersize=4.0, clip_on=False)
    left = high > 0.6 * sum(ax.get_xlim())
    ax.annotate(
        name,
        (low if left else high, height),
        xycoords=("data", "axes fraction"),
        xytext=(-7 if left else 7, 0),
        ha="right" if left else "left",
        textcoords="offset points",
        va="center",
        color=MUTED,
        fontsize=7.0,
    )


@house_style
def plot_sweeps(
    sweeps: Mapping[str, Any],
    unit: str = "meV/atom",
    marks: Mapping[str, float | tuple[float, float]] | None = None,
    formal: float | None = None,
) -> Any:
    """Plot the error left after taking the Coulomb energy at charge q away, one panel a method.

    Parameters
    ----------
    sweeps
        {method: result} with ``q`` (n,), ``mae`` (n,) in `unit`, ``optimum``, ``interval`` (low, high),
        and optionally ``mae_low``, ``mae_high`` (n,).
    marks
        {"√ε∞ estimate": (0.85, 0.88)}: other people's charges, ranges or single values.
    formal
        The formal charge, marked on the axis.
    """
    figure, axes = panels(1, len(sweeps), height=3.0, sharex=True)
    strips = dict(marks or {})
    if formal is not None:
        strips["formal"] = formal
    for ax, (name, sweep) in zip(axes[0], sweeps.items()):
        q, mae = np.asarray(sweep.q), np.asarray(sweep.mae)
        low, high = sweep.interval
        ax.axvspan(low, high, color=BLUE, alpha=0.13, linewidth=0)
        band = getattr(sweep, "mae_low", None), getattr(sweep, "mae_high", None)
        if band[0] is not None and band[1] is not None:
            ax.fill_between(q, band[0], band[1], color=BLUE, alpha=0.18)
        ax.plot(q, mae, color=BLUE)
        best = float(np.interp(sweep.optimum, q, mae))
        ax.plot([sweep.optimum], [best], marker="o", color=BLUE, markersize=6)
        ax.annotate(
            f"q = {sweep.optimum:.2f}\n{low:.2f} to {high:.2f}",
            (sweep.optimum, best),
            xytext=(0, -9),
            textcoords="offset points",
            ha="center",
            va="top",
            color=INK,
            fontsize=7.5,
        )
        top, bottom = float(mae.max()), float(mae.min())
        room = 0.11 * len(strips) + 0.02
        reach = top - bottom or 1.0
        ax.set_ylim(bottom - 0.32 * reach, top + 0.04 * reach + room * 1.4 * reach)
        ax.set_xlim(q.min(), q.max())
        for k, (words, value) in enumerate(strips.items()):
            span = value if isinstance(value, tuple) else (float(value), float(value))
            colour = SLATE if words == "formal" else TEAL
            _strip(ax, words, span, 0.96 - 0.085 * k, colour)
        ax.set_title(name)
        ax.set_xlabel("Charge q (e)")
    axes[0, 0].set_ylabel(f"MAE of the residual energy ({unit})")
    return figure
