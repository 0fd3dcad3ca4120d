"""Figures of thermodynamics by reweighting, and of the bias that made it possible."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from asennp.md.bias import WangLandauBias
from asennp.md.coexistence import PhaseResult, TransitionTemperatureResult
from asennp.md.thermodynamics import FreeEnergyResult, HeatCapacityResult
from asennp.report.sampling import draw_map
from asennp.report.style import (
    BLUE,
    FULL,
    INK,
    MUTED,
    colours,
    house_style,
    legend,
    panels,
)
from asennp.units import KB


def project_bias(bias: WangLandauBias, first: int, second: int) -> tuple[np.ndarray, np.ndarray]:
    """Return visits and dH on two axes of the mesh, (n_first, n_second) each.

    Visits are added up over the other axes; dH is kT0 ln of the sum of exp(dH/kT0) over the visited nodes
    there: after convergence that is the bias which would make the two axes alone even.
    """
    kT = KB * bias.temperature_K
    others = tuple(k for k in range(len(bias.axes)) if k not in (first, second))
    visits = bias.state.visits.sum(axis=others)
    surface = np.where(bias.state.visits > 0, bias.state.coefficients, -np.inf)
    shift = kT * np.logaddexp.reduce(surface / kT, axis=others)
    return (visits, shift) if first < second else (visits.T, shift.T)


@house_style
def plot_bias(bias: WangLandauBias, labels: Sequence[str] | None = None) -> Any:
    """Plot what a bias has learned and where it has been: one row for each pair of axes.

    With one axis dH and visits are curves. Nodes never visited stay empty.

    Parameters
    ----------
    labels
        Of the axes; their names if not given.
    """
    names = list(labels or [axis.name for axis in bias.axes])
    if len(bias.axes) == 1:
        return _plot_curve(bias, names[0])
    pairs = list(combinations(range(len(bias.axes)), 2))
    figure, axes = panels(len(pairs), 2, width=FULL, height=2.7 * len(pairs))
    for row, (first, second) in zip(axes, pairs):
        edges = bias.axes[first].edges, bias.axes[second].edges
        draw_map(figure, row, edges, *project_bias(bias, first, second), (names[first], names[second]))
    return figure


def _plot_curve(bias: WangLandauBias, name: str) -> Any:
    figure, axes = panels(1, 2, height=2.5)
    axis = bias.axes[0]
    axes[0, 0].bar(axis.nodes, bias.state.visits, width=axis.spacing, color=BLUE)
    axes[0, 0].set_title("Visits")
    x = np.linspace(axis.low, axis.high, 400)
    axes[0, 1].plot(x, bias.shifts(x, np.empty((400, 0))), color=BLUE)
    axes[0, 1].set_title("Partial enthalpy dH (eV)")
    for ax in axes[0]:
        ax.set_xlabel(name)
    return figure


@house_style
def plot_heat_capacity(
    results: Mapping[str, HeatCapacityResult],
    direct: Mapping[float, tuple[float, float]] | None = None,
    n_atoms: int | None = None,
) -> Any:
    """Plot <H>(T) and C_P(T) with their errors; dashed where the run does not support them.

    Parameters
    ----------
    results
        {name: result}.
    direct
        {T: (<H>, error)} of plain runs to stand beside.
    n_atoms
        Gives C_P in k per atom instead of eV/K.
    """
    figure, axes = panels(1, 2, height=2.7)
    unit = 1.0 if n_atoms is None else 1.0 / (KB * n_atoms)
    for name, colour in colours(results).items():
        one = results[name]
        t = one.temperatures_K
        for ax, value, error in (
            (axes[0, 0], one.enthalpy, one.enthalpy_error),
            (axes[0, 1], unit * one.heat_capacity, unit * one.heat_capacity_error),
        ):
            solid = np.where(one.supported, value, np.nan)
            ax.plot(t, value, color=colour, linewidth=1.0, linestyle=(0, (2, 2)))
            ax.plot(t, solid, color=colour, label=name)
            ax.fill_between(t, solid - error, solid + error, color=colour, alpha=0.25, linewidth=0)
    if direct:
        values, errors = np.array(list(direct.values())).T
        axes[0, 0].errorbar(list(direct), values, errors, fmt="o", color=INK, label="plain NPT")
    axes[0, 0].set_ylabel("Enthalpy (eV)")
    axes[0, 1].set_ylabel("C_P (eV/K)" if n_atoms is None else "C_P (k per atom)")
    for ax in axes[0]:
        ax.set_xlabel("Temperature (K)")
    legend(axes[0, 0])
    return figure


@house_style
def plot_populations(result: PhaseResult, transition: TransitionTemperatureResult | None = None) -> Any:
    """Plot the share of every phase against temperature, and where two are equally likely."""
    figure, axes = panels(1, 1, width=0.6 * FULL, height=2.6)
    ax, t = axes[0, 0], result.temperatures_K
    for (name, colour), share, error in zip(
        colours(result.phases).items(), result.populations, result.errors
    ):
        ax.plot(t, share, color=colour, label=name)
        ax.fill_between(t, share - error, share + error, color=colour, alpha=0.25, linewidth=0)
    if transition is not None:
        ax.axvline(transition.temperature_K, color=MUTED, linewidth=1.0, linestyle=(0, (1, 2)))
        ax.axvspan(
            transition.temperature_K - transition.error_K, transition.temperature_K + transition.error_K,
            color=MUTED, alpha=0.15, linewidth=0,
        )  # fmt: skip
    ax.set_xlabel("Temperature (K)")
    ax.set_ylabel("Share")
    legend(ax)
    return figure


@house_style
def plot_free_energy(results: Sequence[FreeEnergyResult], label: str = "Order parameter O") -> Any:
    """Plot F(O; T) at one or more temperatures."""
    figure, axes = panels(1, 1, width=0.6 * FULL, height=2.6)
    ax = axes[0, 0]
    names = [f"{one.temperature_K:g} K" for one in results]
    for one, (name, colour) in zip(results, colours(names).items()):
        free = np.where(np.isfinite(one.free_energy), one.free_energy, np.nan)
        ax.plot(one.order, free, color=colour, label=name)
        ax.fill_between(one.order, free - one.error, free + one.error, color=colour, alpha=0.25, linewidth=0)
    ax.set_xlabel(label)
    ax.set_ylabel("F (eV)")
    legend(ax)
    return figure
