"""Figures that set methods side by side: parity, error intervals, properties against the teacher."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from asennp.report.numbers import format_number
from asennp.report.style import FULL, INK, MUTED, RULE, colours, house_style, legend_above, panels, quiet
from asennp.report.tables import Table, Value

#: quantity -> (axis label, unit of the errors)
_QUANTITIES = {
    "energy": ("Energy (eV/atom)", "meV/atom"),
    "forces": ("Force (eV/Å)", "meV/Å"),
    "stress": ("Stress (GPa)", "MPa"),
}


def _pair(result: Any, quantity: str) -> tuple[np.ndarray, np.ndarray]:
    """Return (reference, predicted) of a parity result, stress in GPa."""
    scale = 1e-3 if quantity == "stress" else 1.0
    reference = scale * np.asarray(getattr(result, f"{quantity}_reference"))
    predicted = scale * np.asarray(getattr(result, f"{quantity}_predicted"))
    if quantity == "energy" and result.shift_removed:
        predicted = predicted - result.shift_meV / 1000.0
    return reference, predicted


@house_style
def plot_parity(methods: Mapping[str, Mapping[str, Any]], limit: int = 6000) -> Any:
    """Plot predictions against labels: rows energy, forces, stress; one column a method.

    Parameters
    ----------
    methods
        {method: {set: ParityResult}}; sets are told apart by colour.
    limit
        Points drawn of each cloud (evenly picked).
    """
    results = [result for sets in methods.values() for result in sets.values()]
    rows = [name for name in _QUANTITIES if any(getattr(r, name) is not None for r in results)]
    colour = colours(name for sets in methods.values() for name in sets)
    figure, axes = panels(
        len(rows), len(methods), width=min(FULL, 0.9 + 2.05 * len(methods)), height=0.4 + 2.25 * len(rows),
        sharex="row", sharey="row",
    )  # fmt: skip
    for i, quantity in enumerate(rows):
        label = _QUANTITIES[quantity][0]
        clouds = [_pair(r, quantity) for r in results if getattr(r, quantity) is not None]
        low = min(min(a.min(), b.min()) for a, b in clouds)
        high = max(max(a.max(), b.max()) for a, b in clouds)
        margin = 0.04 * (high - low)
        for j, (method, sets) in enumerate(methods.items()):
            ax = axes[i, j]
            ax.plot([low, high], [low, high], color=RULE, linewidth=1.0, zorder=1)
            _clouds(ax, quantity, sets, colour, limit)
            ax.set_xlim(low - margin, high + margin)
            ax.set_ylim(low - margin, high + margin)
            ax.set_box_aspect(1)
            ax.locator_params(nbins=4)
            if i == 0:
                ax.set_title(method)
            if j == 0:
                ax.set_ylabel(f"Predicted {label[0].lower()}{label[1:]}")
            ax.set_xlabel(f"Reference {label[0].lower()}{label[1:]}")
    _solid_legend(figure, axes[0, 0])
    return figure


def tabulate_parity(results: Mapping[str, Any]) -> Table:
    """Tabulate errors (`ParityResult`): of all frames, by group, and of forces by species."""
    rows: list[list[Value]] = []
    for name, r in results.items():
        parts = [("", {what: getattr(r, what) for what in _QUANTITIES})]
        parts += list(r.groups.items()) if len(r.groups) > 1 else []
        parts += [(f"on {species}", {"forces": errors}) for species, errors in r.species.items()]
        for part, errors in parts:
            for what in _QUANTITIES:
                if (e := errors.get(what)) is not None:
                    words = ", ".join(word for word in (name, part, what) if word)
                    rows.append([words, e.mae, e.rmse, e.max, e.bias, e.r2, e.n, e.unit])
    head = ("", "MAE", "RMSE", "largest", "bias", "R²", "values", "unit")
    return Table(head, rows)


def _clouds(ax: Any, quantity: str, sets: Mapping[str, Any], colour: Mapping[str, str], limit: int) -> None:
    """Draw every set's points and its error, and how the errors are spread in the corner."""
    unit = _QUANTITIES[quantity][1]
    shown = {name: result for name, result in sets.items() if getattr(result, quantity) is not None}
    corner = ax.inset_axes((0.62, 0.115, 0.36, 0.26))
    reach = 4.0 * max((getattr(r, quantity).rmse for r in shown.values()), default=1.0) or 1.0
    for k, (name, result) in enumerate(shown.items()):
        reference, predicted = _pair(result, quantity)
        step = max(1, -(-len(reference) // limit))
        many = len(reference) // step > 400
        ax.plot(
            reference[::step], predicted[::step], "o", color=colour[name], label=name, zorder=2,
            markersize=2.0 if many else 3.2, alpha=0.3 if many else 0.7, markeredgewidth=0,
            rasterized=True,
        )  # fmt: skip
        ax.annotate(
            f"MAE {format_number(getattr(result, quantity).mae)} {unit}", (0.04, 0.965 - 0.085 * k),
            xycoords="axes fraction", va="top", fontsize=7.0, color=colour[name] if len(sets) > 1 else INK,
        )  # fmt: skip
        errors = 1000.0 * (predicted - reference)
        count, edges = np.histogram(errors, np.linspace(-reach, reach, 25))
        middle = 0.5 * (edges[1:] + edges[:-1])
        corner.fill_between(middle, count / max(count.max(), 1), color=colour[name], alpha=0.25, linewidth=0)
        corner.plot(middle, count / max(count.max(), 1), color=colour[name], linewidth=1.0)
    corner.set_xlim(-reach, reach)
    corner.set_ylim(0.0, 1.15)
    corner.set_yticks([])
    corner.spines["left"].set_visible(False)
    corner.grid(False)
    tick = float(f"{0.6 * reach:.0e}")
    corner.set_xticks([-tick, 0.0, tick], [f"−{tick:g}", "0", f"{tick:g}"])
    corner.tick_params(labelsize=6.0, length=2.0, pad=1.5)
    corner.set_title(f"error ({unit})", fontsize=6.0, fontweight="normal", color=MUTED, pad=1.0, loc="center")


def _solid_legend(figure: Any, ax: Any) -> None:
    """Name the sets with dots that can be seen, whatever the clouds' size and opacity."""
    from matplotlib.lines import Line2D

    drawn, labels = ax.get_legend_handles_labels()
    if len(labels) > 1:
        dots = [Line2D([], [], marker="o", linestyle="", color=h.get_color(), markersize=5) for h in drawn]
        figure.legend(dots, labels, loc="outside upper right", ncols=len(labels), handletextpad=0.1)


def _ends(value: Any) -> tuple[float, float, float]:
    """Return (mean, low, high) of an interval, or of a bare number."""
    if hasattr(value, "low"):
        return float(value.mean), float(value.low), float(value.high)
    return float(value), float(value), float(value)


def _dot(ax: Any, value: Any, y: float, colour: str, label: str | None = None) -> float:
    """Draw a dot with its interval and, faintly, the members; return the right end."""
    mean, low, high = _ends(value)
    ax.plot([low, high], [y, y], color=colour, linewidth=2.2, alpha=0.55, solid_capstyle="butt")
    members = np.asarray(getattr(value, "values", ()), float)
    if members.size > 1:
        ax.plot(members, np.full(members.size, y), "|", color=colour, markersize=6, markeredgewidth=0.8)
    ax.plot([mean], [y], "o", color=colour, markersize=5.5, label=label)
    return max(mean, high, float(members.max(initial=-np.inf)))


@house_style
def plot_methods(panels_of_methods: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Any:
    """Plot errors of methods with their committee intervals; intervals that overlap are a tie.

    Parameters
    ----------
    panels_of_methods
        {"Energy MAE (meV/atom)": {set: {method: interval or number}}}; sets are told apart by colour,
        intervals need ``mean``, ``low``, ``high`` and may carry the members' ``values``.
    """
    sets = list(dict.fromkeys(s for panel in panels_of_methods.values() for s in panel))
    methods = list(
        dict.fromkeys(m for panel in panels_of_methods.values() for group in panel.values() for m in group)
    )
    colour = colours(sets)
    figure, axes = panels(
        1, len(panels_of_methods), height=0.95 + 0.2 * len(methods) * max(len(sets), 1.5), sharey=True
    )
    for ax, (label, groups) in zip(axes[0], panels_of_methods.items()):
        for k, name in enumerate(sets):
            offset = 0.26 * (k - 0.5 * (len(sets) - 1))
            for i, method in enumerate(methods):
                if method in groups.get(name, {}):
                    _dot(ax, groups[name][method], i + offset, colour[name], name)
        quantity, _, unit = label.partition(" (")
        ax.set_title(quantity)
        ax.set_xlabel(unit.rstrip(")"))
        ax.set_xlim(left=0.0)
        quiet(ax, y=False)
    axes[0, 0].set_yticks(range(len(methods)), methods)
    axes[0, 0].tick_params(axis="y", labelcolor=INK)
    axes[0, 0].set_ylim(len(methods) - 0.5, -0.5)
    if len(sets) > 1:
        legend_above(figure, *axes[0])
    return figure


@dataclass(frozen=True)
class PropertyRow:
    """One property: the teacher's value and what methods give (numbers or intervals), in one unit."""

    name: str
    reference: float
    values: Mapping[str, Any]
    digits: int = 3


@dataclass(frozen=True)
class _Deviation:
    mean: float
    low: float
    high: float


@house_style
def plot_properties(
    groups: Mapping[str, Sequence[PropertyRow]],
    relative: Sequence[str] = (),
    reference_name: str = "teacher",
) -> Any:
    """Plot deviations from the teacher, a dot and interval a method; the teacher's value stands right.

    Parameters
    ----------
    groups
        {"Lattice (Å)": rows}; the key carries the unit.
    relative
        Groups whose deviations are drawn in percent of the teacher's value.
    """
    names = list(dict.fromkeys(m for rows in groups.values() for row in rows for m in row.values))
    colour = colours(names)
    figure, axes = panels(
        1, len(groups), height=1.0 + 0.17 * max(len(rows) for rows in groups.values()) * (1 + len(names) / 2)
    )
    for ax, (label, rows) in zip(axes[0], groups.items()):
        quantity, _, unit = label.partition(" (")
        unit = unit.rstrip(")")
        percent = label in relative
        ax.axvline(0.0, color=INK, linewidth=1.0)
        for i, row in enumerate(rows):
            scale = 100.0 / abs(row.reference) if percent else 1.0
            for k, name in enumerate(names):
                if name not in row.values:
                    continue
                ends = [scale * (end - row.reference) for end in _ends(row.values[name])]
                offset = 0.5 * (k - 0.5 * (len(names) - 1)) / max(len(names), 1.6)
                _dot(ax, _Deviation(*ends), i + offset, colour[name], name)
            ax.annotate(
                format_number(row.reference, row.digits), (1.0, i), xytext=(4, 0), va="center",
                xycoords=("axes fraction", "data"), textcoords="offset points", annotation_clip=False,
                color=MUTED, fontsize=7.5,
            )  # fmt: skip
        ax.annotate(
            f"{reference_name}\n({unit})" if unit else reference_name, (1.0, -0.5),
            xytext=(4, 3), va="bottom", xycoords=("axes fraction", "data"), textcoords="offset points",
            annotation_clip=False, color=MUTED, fontsize=7.0,
        )  # fmt: skip
        ax.set_title(quantity)
        ax.set_xlabel(f"Deviation ({'%' if percent else unit})")
        ax.set_yticks(range(len(rows)), [row.name for row in rows])
        ax.tick_params(axis="y", labelcolor=INK)
        ax.set_ylim(len(rows) - 0.5, -0.5)
        reach = 1.15 * max(abs(end) for end in ax.get_xlim())
        ax.set_xlim(-reach, reach)
        quiet(ax, y=False)
    legend_above(figure, *axes[0])
    return figure
