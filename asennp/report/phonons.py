"""Figures and tables of lattice vibrations; each takes {name: result}, names being calculators or phases."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from asennp.report.style import FULL, MUTED, RULE, colours, house_style, legend, new_figure, panels
from asennp.report.tables import Table, Value


def _label(name: str) -> str:
    return "Γ" if name in ("G", "Γ") else name


@house_style
def plot_phonons(results: Mapping[str, Any], width: float = FULL) -> Any:
    """Plot bands along the path and the density of states beside them (`PhononResult`).

    Results share the axes where their paths are the same; pieces of other paths are stretched to the first
    one's. Imaginary frequencies are drawn below zero.
    """
    colour = colours(results)
    figure = new_figure(width, 3.2)
    bands, dos = figure.subplots(1, 2, sharey=True, width_ratios=(3.4, 1.0))
    first = next(iter(results.values()))
    for name, result in results.items():
        scale = first.path_distance[-1] / result.path_distance[-1]
        edges = [*result.path_ends, len(result.path_distance)]
        for k, (begin, end) in enumerate(itertools.pairwise(edges)):
            lines = bands.plot(
                scale * result.path_distance[begin:end],
                result.path_frequencies_THz[begin:end],
                color=colour[name],
                linewidth=1.1,
            )
            if k == 0:
                lines[0].set_label(name)
        dos.plot(result.dos, result.dos_THz, color=colour[name], linewidth=1.1)
    for position in first.label_positions:
        bands.axvline(position, color=RULE, linewidth=0.7)
    bands.axhline(0.0, color=MUTED, linewidth=0.8)
    labels = ["|".join(_label(part) for part in label.split("|")) for label in first.labels]
    bands.set_xticks(first.label_positions, labels)
    bands.set_xlim(0.0, float(first.label_positions[-1]))
    bands.grid(False, axis="x")
    bands.set_ylabel("Frequency (THz)")
    dos.set_xlabel("States (1/THz)")
    dos.set_xlim(left=0.0)
    dos.axhline(0.0, color=MUTED, linewidth=0.8)
    if len(results) > 1:
        legend(bands, loc="upper right")
    return figure


def _against_temperature(
    results: Mapping[str, Any], quantities: Sequence[tuple[str, float, str]], width: float
) -> Any:
    """Plot one panel a quantity, (field, factor, title), against the results' temperatures."""
    colour = colours(results)
    figure, axes = panels(1, len(quantities), width=width, height=2.4)
    for ax, (field, factor, title) in zip(axes[0], quantities):
        for name, result in results.items():
            ax.plot(result.temperatures_K, factor * getattr(result, field), color=colour[name], label=name)
        ax.set_title(title)
        ax.set_xlabel("Temperature (K)")
    if len(results) > 1:
        legend(axes[0, 0], loc="best")
    return figure


@house_style
def plot_thermal(results: Mapping[str, Any], width: float = FULL) -> Any:
    """Plot vibrational free energy, entropy and heat capacity against temperature (`PhononResult`)."""
    quantities = (
        ("free_energy_eV", 1000.0, "Free energy (meV/atom)"),
        ("entropy_kB", 1.0, "Entropy (k_B/atom)"),
        ("heat_capacity_kB", 1.0, "Heat capacity (k_B/atom)"),
    )
    figure = _against_temperature(results, quantities, width)
    figure.axes[2].axhline(3.0, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    return figure


def tabulate_phonons(results: Mapping[str, Any], temperature_K: float = 300.0) -> Table:
    """Tabulate the optical frequencies at the zone's centre, sound, zero point and stability."""
    rows: list[list[Value]] = []
    for name, r in results.items():
        optical = np.sort(r.gamma_THz)[3:]
        at = int(np.argmin(np.abs(r.temperatures_K - temperature_K)))
        worst = min(r.imaginary, key=lambda mode: mode.frequency_THz, default=None)
        rows.append(
            [
                name,
                float(optical[0]) if len(optical) else None,
                float(np.max(r.path_frequencies_THz)),
                float(r.sound_km_s[0, 0]),
                float(r.sound_km_s[0, -1]),
                1000.0 * r.zero_point_eV,
                float(r.entropy_kB[at]),
                float(r.heat_capacity_kB[at]),
                "none" if worst is None else f"{worst.frequency_THz:.2f} THz at {worst.label}",
            ]
        )
    return Table(
        (
            "",
            ("lowest optical at Γ", "THz"),
            ("highest", "THz"),
            ("sound along x, slowest", "km/s"),
            ("fastest", "km/s"),
            ("zero point", "meV/atom"),
            (f"S({temperature_K:.0f} K)", "k_B/atom"),
            ("C_V", "k_B/atom"),
            "imaginary modes",
        ),
        rows,
        note=" ".join(dict.fromkeys(f"{name}: {w}." for name, r in results.items() for w in r.warnings)),
    )


@house_style
def plot_quasiharmonic(results: Mapping[str, Any], width: float = FULL) -> Any:
    """Plot volume, expansion and bulk modulus against temperature (`QuasiharmonicResult`)."""
    quantities = (
        ("volume", 1.0, "Volume (Å³/atom)"),
        ("expansion_per_K", 1e6, "Expansion (10⁻⁶/K)"),
        ("bulk_GPa", 1.0, "Bulk modulus (GPa)"),
    )
    return _against_temperature(results, quantities, width)


def tabulate_quasiharmonic(results: Mapping[str, Any], temperature_K: float = 300.0) -> Table:
    """Tabulate the crystal at 0 K and at one temperature."""
    rows: list[list[Value]] = []
    for name, r in results.items():
        at = int(np.argmin(np.abs(r.temperatures_K - temperature_K)))
        rows.append(
            [
                name,
                float(r.volume[0]),
                float(r.volume[at]),
                1e6 * float(r.expansion_per_K[at]),
                float(r.bulk_GPa[at]),
                float(r.heat_capacity_kB[at]),
                float(r.gruneisen[at]),
            ]
        )
    t = f"{temperature_K:.0f} K"
    return Table(
        (
            "",
            ("V(0 K)", "Å³/atom"),
            (f"V({t})", "Å³/atom"),
            ("expansion", "10⁻⁶/K"),
            ("B_T", "GPa"),
            ("C_P", "k_B/atom"),
            "Grüneisen",
        ),
        rows,
        note=" ".join(dict.fromkeys(f"{name}: {w}." for name, r in results.items() for w in r.warnings)),
        digits=4,
    )
