"""Figures and tables of motion and local order; each takes {name: result}."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from asennp.report.numbers import format_measured
from asennp.report.style import FULL, MUTED, colours, house_style, legend, panels
from asennp.report.tables import Table, Value
from asennp.units import KB


@house_style
def plot_rdf(results: Mapping[str, Any], width: float = FULL) -> Any:
    """Plot radial distribution functions by pairs of species (`RdfResult`), one panel a pair."""
    colour = colours(results)
    pairs = list(next(iter(results.values())).partial)
    figure, axes = panels(1, len(pairs), width=width, height=2.4, sharey=True)
    for ax, pair in zip(axes[0], pairs, strict=True):
        for name, r in results.items():
            if pair in r.partial:
                ax.plot(r.r_A, r.partial[pair], color=colour[name], label=name, linewidth=1.2)
        ax.axhline(1.0, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
        ax.set_title(pair)
        ax.set_xlabel("Distance (Å)")
        ax.set_ylim(bottom=0.0)
    axes[0, 0].set_ylabel("g(r)")
    if len(results) > 1:
        legend(axes[0, -1], loc="upper right")
    return figure


def tabulate_rdf(results: Mapping[str, Any]) -> Table:
    """Tabulate the first maximum of each pair and the neighbours up to the minimum behind it."""
    rows: list[list[Value]] = []
    for name, r in results.items():
        for pair, g in r.partial.items():
            top = int(np.argmax(g))
            behind = top + int(np.argmin(g[top : top + max(2, int(0.5 * top))]))
            rows.append(
                [f"{name}, {pair}", float(r.r_A[top]), float(g[top]), float(r.coordination[pair][behind])]
            )
    return Table(("", ("first maximum", "Å"), "height", "neighbours"), rows)


@house_style
def plot_msd(results: Mapping[str, Any], width: float = 0.72 * FULL) -> Any:
    """Plot mean-square displacements (`MsdResult`); the window of the slope is shaded."""
    names = [f"{name}, {s}" for name, r in results.items() for s in r.msd_A2]
    colour = colours(names)
    figure, axes = panels(1, 1, width=width, height=2.8)
    ax = axes[0, 0]
    for name, r in results.items():
        for s, msd in r.msd_A2.items():
            key = f"{name}, {s}"
            value = format_measured(1e5 * r.diffusion_cm2_s[s], 1e5 * r.error_cm2_s[s])
            ax.plot(r.lag_ps, msd, color=colour[key], label=f"{key}: D = {value}·10⁻⁵ cm²/s")
        ax.axvspan(*r.window_ps, color=MUTED, alpha=0.08, linewidth=0)
    ax.set_xlabel("Time (ps)")
    ax.set_ylabel("Mean-square displacement (Å²)")
    ax.set_ylim(bottom=0.0)
    legend(ax, loc="upper left")
    return figure


@house_style
def plot_diffusion(results: Mapping[str, Any], width: float = FULL) -> Any:
    """Plot ln D against 1/T with errors and the Arrhenius law (`DiffusionResult`), a colour a species."""
    names = [f"{name}, {s}" for name, r in results.items() for s in r.runs[0].diffusion_cm2_s]
    colour = colours(names)
    figure, axes = panels(1, 2, width=width, height=2.8)
    left, right = axes[0]
    for name, r in results.items():
        for s in r.runs[0].diffusion_cm2_s:
            key, hottest = f"{name}, {s}", r.runs[int(np.argmax(r.temperatures_K))]
            left.plot(hottest.lag_ps, hottest.msd_A2[s], color=colour[key], label=key)
            d, error = r.diffusion(s)
            shown = d > error
            x = 1000.0 / r.temperatures_K
            right.errorbar(x[shown], d[shown], error[shown], fmt="o", color=colour[key])
            if s in r.arrhenius:
                fit, line = r.arrhenius[s], np.linspace(x.min(), x.max(), 50)
                law = fit.prefactor_cm2_s * np.exp(-fit.activation_eV * line / (1000.0 * KB))
                right.plot(line, law, color=colour[key], linewidth=1.0)
    left.set_title(
        f"Mean-square displacement at {max(r.temperatures_K.max() for r in results.values()):.0f} K (Å²)"
    )
    left.set_xlabel("Time (ps)")
    right.set_yscale("log")
    right.set_title("D (cm²/s)")
    right.set_xlabel("1000 K / T")
    legend(left, loc="upper left")
    return figure


def tabulate_diffusion(results: Mapping[str, Any]) -> Table:
    """Tabulate D at every temperature and the activation energies."""
    rows: list[list[Value]] = []
    for name, r in results.items():
        for s in r.runs[0].diffusion_cm2_s:
            fit = r.arrhenius.get(s)
            for t, run in zip(r.temperatures_K, r.runs, strict=True):
                value = format_measured(1e5 * run.diffusion_cm2_s[s], 1e5 * run.error_cm2_s[s])
                rows.append([f"{name}, {s}", float(t), value, run.exponent[s], None])
            if fit is not None:
                rows[-1][-1] = format_measured(fit.activation_eV, fit.activation_error_eV)
    return Table(("", ("T", "K"), ("D", "10⁻⁵ cm²/s"), "exponent", ("E_a", "eV")), rows)
