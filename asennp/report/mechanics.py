"""Figures of crystals under load and heat: equation of state, tension, a thermostatted run."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from asennp.report.sampling import thin
from asennp.report.style import (
    BLUE,
    FULL,
    INK,
    MUTED,
    SLATE,
    TEAL,
    colours,
    house_style,
    legend,
    new_figure,
    panels,
)
from asennp.report.tables import Table, Value


@house_style
def plot_eos(phases: Mapping[str, Any], width: float = 0.72 * FULL) -> Any:
    """Plot energy against volume of every phase, points and fitted curves, above the lowest minimum.

    `width` in inches; `style.HALF` fits two in a row.
    """
    colour = colours(phases)
    lowest = min(eos.energy for eos in phases.values())
    figure, axes = panels(1, 1, width=width, height=3.0)
    ax = axes[0, 0]
    for name, eos in phases.items():
        volumes = np.linspace(eos.volumes.min(), eos.volumes.max(), 80)
        ax.plot(volumes, 1000.0 * (eos.evaluate(volumes) - lowest), color=colour[name], label=name)
        ax.plot(eos.volumes, 1000.0 * (eos.energies - lowest), "o", color=colour[name])
    ax.set_xlabel("Volume (Å³/atom)")
    ax.set_ylabel("Energy (meV/atom)")
    legend(ax, loc="best")
    return figure


@house_style
def plot_stress_strain(curves: Mapping[str, Any], width: float = 0.72 * FULL) -> Any:
    """Plot stress against strain of one or more tensile tests (``strain``, ``stress_GPa``), peak marked.

    `width` in inches; `style.HALF` fits two in a row.
    """
    colour = colours(curves)
    figure, axes = panels(1, 1, width=width, height=3.0)
    ax = axes[0, 0]
    for name, curve in curves.items():
        strain, stress = 100.0 * np.asarray(curve.strain), np.asarray(curve.stress_GPa)
        x, y = thin(strain, stress)
        top = int(np.argmax(stress))
        peak = f"{name}, {'peak' if top < len(stress) - 1 else 'at least'} {stress[top]:.1f} GPa"
        ax.plot(x, y, color=colour[name], label=peak)
        ax.plot([strain[top]], [stress[top]], "o", color=colour[name], markersize=5)
    ax.axhline(0.0, color=MUTED, linewidth=0.8)
    ax.margins(x=0.02, y=0.1)
    ax.set_xlabel("Strain (%)")
    ax.set_ylabel("Stress along the axis (GPa)")
    legend(ax, loc="best")
    return figure


def tabulate_stress_strain(curves: Mapping[str, Any]) -> Table:
    """Tabulate strength and failure of static and dynamic curves (`TensileResult`, `PullResult`)."""
    rows: list[list[Value]] = []
    for name, r in curves.items():
        failed = float(r.failure_strain)
        rows.append(
            [
                name,
                r.strength_GPa,
                100.0 * r.strength_strain,
                "yes" if r.reached_maximum else "no: a lower bound",
                100.0 * failed if np.isfinite(failed) else "not in the range",
                r.mode,
            ]
        )
    head = ("", ("strength", "GPa"), ("at strain", "%"), "maximum reached", ("failure at", "%"), "mode")
    return Table(head, rows)


def tabulate_stability(results: Mapping[str, Any]) -> Table:
    """Tabulate thermostatted runs (`StabilityResult`)."""
    rows: list[list[Value]] = []
    for name, r in results.items():
        state = "bounded" if r.bounded else "; ".join(r.violations)
        late = {phase: float(share[-max(1, len(share) // 5) :].mean()) for phase, share in r.phases.items()}
        seen = ", ".join(f"{100 * share:.0f} % {phase}" for phase, share in late.items() if share >= 0.05)
        rows.append(
            [name, r.mean_temperature_K, r.drift_meV_per_ps, r.max_displacement_A, r.closest_A, seen or None,
             f"melted; {state}" if r.melted else state]
        )  # fmt: skip
    columns = (
        "", ("temperature", "K"), ("drift", "meV/atom/ps"), ("largest displacement", "Å"),
        ("closest pair", "Å"), "phases in the end", "run",
    )  # fmt: skip
    return Table(columns, rows)


@house_style
def plot_stability(result: Any) -> Any:
    """Plot a thermostatted run (`StabilityResult`): temperature, energies, displacement, and the RDF."""
    figure = new_figure(FULL, 3.9)
    left, right = figure.subfigures(1, 2, width_ratios=(1.7, 1.0))
    axes = left.subplots(3, 1, sharex=True)
    t, temperature, energy, conserved, away = thin(
        result.time_ps, result.temperature_K, result.energy_meV, result.conserved_meV, result.displacement_A
    )
    axes[0].plot(t, temperature, color=BLUE, linewidth=1.0)
    axes[0].axhline(result.target_K, color=INK, linewidth=1.0, linestyle=(0, (4, 3)))
    axes[0].set_title("Temperature (K)")
    axes[1].plot(t, energy, color=SLATE, linewidth=1.0, label="potential energy")
    axes[1].plot(t, conserved, color=BLUE, linewidth=1.4, label="conserved quantity")
    axes[1].set_title("Energy (meV/atom)")
    legend(axes[1], loc="upper right", bbox_to_anchor=(1.0, 1.32), ncols=2)
    axes[2].plot(t, away, color=TEAL, linewidth=1.2)
    axes[2].set_ylim(bottom=0.0)
    axes[2].set_title("Largest displacement (Å)")
    axes[2].set_xlabel("Time (ps)")
    rdf = right.subplots()
    rdf.fill_between(result.rdf_r_A, result.rdf, color=BLUE, alpha=0.16)
    rdf.plot(result.rdf_r_A, result.rdf, color=BLUE, linewidth=1.2)
    rdf.axhline(1.0, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    rdf.set_ylim(bottom=0.0)
    rdf.set_xlim(float(result.rdf_r_A[0]), float(result.rdf_r_A[-1]))
    rdf.set_title("Radial distribution g(r)")
    rdf.set_xlabel("Distance r (Å)")
    return figure
