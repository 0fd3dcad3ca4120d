"""Tables and figures of the finite-temperature benchmark, potentials side by side."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from asennp.report.sampling import thin
from asennp.report.style import FULL, MUTED, colours, house_style, legend, panels
from asennp.report.tables import Check, Checks, Measured, Table, Value


def tabulate_static(results: Mapping[str, Any], reference: Mapping[str, Mapping[str, float]]) -> Table:
    """Tabulate relaxed phases: edges, c/a and energy per formula unit.

    Parameters
    ----------
    results
        {potential: TransitionResult}.
    reference
        {phase: {"a", "c", "energy_meV" ...}} of other people.
    """
    rows: list[list[Value]] = []
    for name, result in results.items():
        for phase, static in result.static.items():
            a, _, c = static.edges_A
            above = 1000.0 * static.energy_above
            rows.append([name, phase, float(a), float(c), float(c / a), above, static.left or "as asked"])
    for phase, values in reference.items():
        a, c = values.get("a"), values.get("c", values.get("a"))
        ratio = c / a if a and c else None
        rows.append(["reference", phase, a, c, ratio, values.get("energy_meV"), ""])
    columns = ("", "phase", ("a", "Å"), ("c", "Å"), "c/a", ("energy above", "meV per formula"), "relaxed")
    return Table(columns, rows, caption="Relaxed phases", digits=4)


def tabulate_changes(results: Mapping[str, Any]) -> Table:
    """Tabulate what each ladder showed, also where that is no transition."""
    rows: list[list[Value]] = [
        [name, rule, text] for name, result in results.items() for rule, text in result.summaries.items()
    ]
    note = (
        "A transition lies between the last rung of one phase and the first of the next: middle ± half gap. "
        "An edge is long, an axis polar, beyond a quarter of the largest on the ladder and three errors."
    )
    return Table(("", "judged by", "found"), rows, caption="Transitions", note=note)


def tabulate_rungs(result: Any) -> Table:
    """Tabulate the averages of every run of one potential."""
    rows: list[list[Value]] = []
    for rung in result.rungs:
        order = np.argsort(rung.lengths_A)
        edges = [Measured(float(rung.lengths_A[k]), float(rung.lengths_error_A[k])) for k in order]
        p = None if rung.polarisation is None else float(np.linalg.norm(rung.polarisation))
        value = getattr(rung, result.variable)
        rows.append(
            [f"{value:g}", f"{rung.direction}, {rung.seed}", *edges, p, rung.drift_meV_ps, rung.status]
        )
    unit = "K" if result.variable == "temperature_K" else "GPa"
    columns = (
        ("", unit), "climb, seed", ("shortest edge", "Å"), ("middle", "Å"), ("longest", "Å"), ("|P|", "C/m²"),
        ("drift", "meV/atom/ps"), "run",
    )  # fmt: skip
    return Table(columns, rows, note="± is the standard error from block means.", digits=4)


def list_checks(results: Mapping[str, Any]) -> Checks:
    """List whether derivatives are derivatives, and whether every run stayed whole."""
    checks = []
    for name, result in results.items():
        found = result.check
        got = "; ".join(found.findings) or (
            f"forces to {found.consistency.force_error:.2g} eV/Å, "
            f"stress to {found.consistency.stress_error_GPa:.2g} GPa"
        )
        checks.append(Check(f"{name}: forces and stress derive from the energy", found.conservative, got))
        if result.rungs:
            got = "; ".join(result.failures) or f"{len(result.rungs)} runs"
            checks.append(Check(f"{name}: every run stayed a crystal", not result.failures, got))
    return Checks(checks)


def tabulate_fixed_cell(results: Mapping[str, Any]) -> Table:
    """Tabulate the polarisation of the runs at fixed cell."""
    rows: list[list[Value]] = [
        [
            name,
            f"{p.temperature_K:g}",
            *(Measured(float(v), float(e)) for v, e in zip(p.polarisation, p.error)),
            float(np.linalg.norm(p.spread)),
            p.status,
        ]
        for name, result in results.items()
        for p in result.polarisation
    ]
    unit = "C/m²"
    columns = ("", ("", "K"), ("P_x", unit), ("P_y", unit), ("P_z", unit), ("fluctuation", unit), "run")
    return Table(columns, rows, note="± is the standard error from block means.")


def tabulate_speed(results: Mapping[str, Any]) -> Table:
    """Tabulate the cost of a step."""
    rows: list[list[Value]] = [
        [name, int(n), Measured(1000.0 * float(mean), 1000.0 * float(spread)), 1e6 * float(mean) / int(n)]
        for name, result in results.items()
        for n, mean, spread in zip(result.speed.n_atoms, result.speed.mean, result.speed.spread)
    ]
    return Table(("", "atoms", ("a step", "ms"), ("a step and atom", "µs")), rows, note="± over the repeats.")


@house_style
def plot_runs(runs: Mapping[str, Any], width: float = FULL) -> Any:
    """Plot temperature, edges of the cell and displacement against time (`RunResult`), one colour a run."""
    colour = colours(runs)
    figure, axes = panels(1, 3, width=width, height=2.4)
    for name, run in runs.items():
        t, temperature, away = thin(run.time_ps, run.temperature_K, run.drift_A)
        axes[0, 0].plot(t, temperature, color=colour[name], linewidth=0.9, label=f"{name}: {run.status}")
        edges = np.sort(run.lengths / run.lengths[0], axis=1)
        for k in (0, 2):
            axes[0, 1].plot(*thin(run.time_ps, edges[:, k]), color=colour[name], linewidth=1.0)
        axes[0, 2].plot(t, away, color=colour[name], linewidth=1.0)
    for ax, title in zip(axes[0], ("Temperature (K)", "Edges over the start's", "Displacement (Å, rms)")):
        ax.set_title(title)
        ax.set_xlabel("Time (ps)")
    legend(axes[0, 0], loc="best")
    return figure


@house_style
def plot_ladders(results: Mapping[str, Any], width: float = FULL) -> Any:
    """Plot edges and polarisation (or volume) along the ladder, one colour a potential, down hollow."""
    colour = colours(results)
    figure, axes = panels(1, 2, width=width, height=2.9)
    polar = any(rung.polarisation is not None for r in results.values() for rung in r.rungs)
    variable = "temperature_K"
    for name, result in results.items():
        variable = result.variable
        sound = [rung for rung in result.rungs if rung.status == "ok"]
        for direction in ("up", "down"):
            mine = [rung for rung in sound if rung.direction == direction]
            if not mine:
                continue
            x = np.array([getattr(rung, variable) for rung in mine])
            face = colour[name] if direction == "up" else "none"
            style: dict[str, Any] = {"color": colour[name], "markerfacecolor": face, "linewidth": 1.0}
            order = np.argsort([rung.lengths_A for rung in mine], axis=1)
            lengths = np.take_along_axis(np.array([rung.lengths_A for rung in mine]), order, axis=1)
            errors = np.take_along_axis(np.array([rung.lengths_error_A for rung in mine]), order, axis=1)
            for k in (0, 2):
                label = name if k == 0 and direction == "up" else None
                axes[0, 0].errorbar(x, lengths[:, k], errors[:, k], marker="os"[k // 2], label=label, **style)
            if polar:
                y = [np.linalg.norm(rung.polarisation) for rung in mine]
                spread = [np.linalg.norm(rung.polarisation_error) for rung in mine]
            else:
                y, spread = [rung.volume_A3 for rung in mine], [rung.volume_error_A3 for rung in mine]
            axes[0, 1].errorbar(x, y, spread, marker="o", **style)
        for changes in result.changes.values():
            for change in changes:
                low, high = change.value - change.half_width, change.value + change.half_width
                axes[0, 0].axvspan(low, high, color=colour[name], alpha=0.08, linewidth=0)
    axes[0, 0].set_title("Shortest (circles) and longest (squares) edge (Å)")
    axes[0, 1].set_title("Polarisation |P| (C/m²)" if polar else "Volume (Å³/atom)")
    if polar:
        axes[0, 1].set_ylim(bottom=0.0)
    for ax in axes[0]:
        ax.set_xlabel("Temperature (K)" if variable == "temperature_K" else "Pressure (GPa)")
    legend(axes[0, 0], loc="best")
    return figure


@house_style
def plot_fixed_cell(results: Mapping[str, Any], width: float = 0.72 * FULL) -> Any:
    """Plot P_z against temperature at fixed cell; bars are thermal fluctuations."""
    colour = colours(results)
    figure, axes = panels(1, 1, width=width, height=2.8)
    for name, result in results.items():
        points = [p for p in result.polarisation if p.status == "ok"]
        t = [p.temperature_K for p in points]
        axes[0, 0].errorbar(
            t, [abs(p.polarisation[2]) for p in points], [p.spread[2] for p in points], marker="o",
            color=colour[name], label=name, linewidth=1.0,
        )  # fmt: skip
    axes[0, 0].axhline(0.0, color=MUTED, linewidth=0.8)
    axes[0, 0].set_xlabel("Temperature (K)")
    axes[0, 0].set_ylabel("|P_z| (C/m²)")
    legend(axes[0, 0], loc="best")
    return figure


@house_style
def plot_speed(results: Mapping[str, Any], width: float = 0.72 * FULL) -> Any:
    """Plot seconds a step against the number of atoms, with the exponent of the upper half."""
    colour = colours(results)
    figure, axes = panels(1, 1, width=width, height=2.8)
    for name, result in results.items():
        s = result.speed
        axes[0, 0].errorbar(
            s.n_atoms, s.mean, s.spread, marker="o", color=colour[name], label=f"{name}, N^{s.exponent:.2f}"
        )
    axes[0, 0].set_xscale("log")
    axes[0, 0].set_yscale("log")
    axes[0, 0].set_xlabel("Atoms")
    axes[0, 0].set_ylabel("Seconds a step")
    legend(axes[0, 0], loc="best")
    return figure
