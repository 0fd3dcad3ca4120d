"""Tables and figures of crystals at rest; each takes {structure: {calculator: result}}."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from asennp.report.style import FULL, INK, colours, house_style, legend_above, panels, quiet
from asennp.report.tables import Table, Value

Found = Mapping[str, Mapping[str, Any]]
#: {structure: {property: value}} of other people, by the names of the tables' columns.
Reference = Mapping[str, Mapping[str, float]]

#: Independent elastic constants shown, Voigt indices.
CONSTANTS = {"C11": (0, 0), "C12": (0, 1), "C13": (0, 2), "C33": (2, 2), "C44": (3, 3), "C66": (5, 5)}


def tabulate_lattices(found: Found, reference: Reference | None = None, note: str = "") -> Table:
    """Tabulate relaxed crystals (`LatticeResult`), energies above each calculator's lowest."""
    lowest: dict[str, float] = {}
    for results in found.values():
        for calculator, r in results.items():
            lowest[calculator] = min(lowest.get(calculator, np.inf), r.energy_per_atom)
    rows: list[list[Value]] = []
    for structure, results in found.items():
        for calculator, r in results.items():
            above = 1000.0 * (r.energy_per_atom - lowest[calculator])
            state = r.spacegroup if r.converged else f"{r.spacegroup}, not converged"
            left = "; ".join(r.warnings)
            rows.append([structure, calculator, r.a, r.b, r.c, r.volume_per_atom, above, left or state])
        if v := (reference or {}).get(structure):
            rows.append([structure, "reference", v.get("a"), v.get("b", v.get("a")), v.get("c", v.get("a")),
                         v.get("volume"), v.get("energy_meV"), ""])  # fmt: skip
    columns = ("", "", ("a", "Å"), ("b", "Å"), ("c", "Å"), ("volume", "Å³/atom"),
               ("above the lowest", "meV/atom"), "space group")  # fmt: skip
    return Table(columns, rows, digits=5, note=note)


def tabulate_formation(results: Mapping[str, Any]) -> Table:
    """Tabulate energies above the ground state (`FormationResult`), {calculator: result}."""
    rows: list[list[Value]] = []
    for name, r in results.items():
        unsure = {b if a == r.ground_state else a for a, b in r.unresolved if r.ground_state in (a, b)}
        rows += [
            [name, phase, None if phase in unsure else energy, r.lattices[phase].spacegroup,
             "below the calculator's resolution" if phase in unsure else ""]
            for phase, energy in r.energies_meV.items()
        ]  # fmt: skip
    return Table(("", "phase", ("above the lowest", "meV/atom"), "space group", ""), rows)


def tabulate_elastic(found: Found, reference: Reference | None = None) -> Table:
    """Tabulate elastic constants and moduli (`ElasticResult`)."""
    rows: list[list[Value]] = []
    for structure, results in found.items():
        for calculator, r in results.items():
            constants = [float(r.tensor_GPa[index]) for index in CONSTANTS.values()]
            moduli = r.bulk_GPa, r.shear_GPa, r.young_GPa, r.poisson
            rows.append([structure, calculator, *constants, *moduli, r.is_stable])
        known = (reference or {}).get(structure, {})
        if any(name in known for name in CONSTANTS):
            given = [known.get(name) for name in (*CONSTANTS, "bulk", "shear", "young", "poisson")]
            rows.append([structure, "reference", *given, None])
    head = [(name, "GPa") for name in (*CONSTANTS, "bulk", "shear", "Young")]
    return Table(("", "", *head, "Poisson", "Born stable"), rows)


@house_style
def plot_elastic(found: Found, reference: Reference | None = None, width: float = FULL) -> Any:
    """Plot elastic constants as bars, a panel a structure, calculators side by side, a tick the reference."""
    shown = {structure: results for structure, results in found.items() if results}
    colour = colours(name for results in shown.values() for name in results)
    figure, axes = panels(1, len(shown), width=width, height=2.8)
    for ax, (structure, results) in zip(axes[0], shown.items()):
        share = 0.8 / len(results)
        # a cubic crystal has no C13, C33 and C66 of its own
        tensor = next(iter(results.values())).tensor_GPa
        cubic = np.allclose(tensor[0, 0], tensor[2, 2], rtol=1e-3)
        names = [name for name in CONSTANTS if not cubic or name in ("C11", "C12", "C44")]
        for k, (calculator, r) in enumerate(results.items()):
            heights = [float(r.tensor_GPa[CONSTANTS[name]]) for name in names]
            x = np.arange(len(names)) - 0.4 + share * (k + 0.5)
            ax.bar(x, heights, 0.9 * share, color=colour[calculator], label=calculator)
        known = (reference or {}).get(structure, {})
        marks = [(i, known[name]) for i, name in enumerate(names) if name in known]
        if marks:
            ax.plot(*zip(*marks), "_", color=INK, markersize=16, markeredgewidth=1.4, label="reference")
        ax.axhline(0.0, color=INK, linewidth=0.8)
        ax.set_xticks(range(len(names)), names)
        ax.set_title(f"{structure} (GPa)")
        quiet(ax, x=False)
    legend_above(figure, *axes[0])
    return figure


def tabulate_eos(found: Found) -> Table:
    """Tabulate equations of state (`EosResult`)."""
    rows: list[list[Value]] = [
        [structure, calculator, r.volume, r.energy, r.bulk_GPa, r.bulk_derivative, r.rms_meV]
        for structure, results in found.items()
        for calculator, r in results.items()
    ]
    head = (
        "", "", ("volume", "Å³/atom"), ("energy", "eV/atom"), ("bulk", "GPa"), "B'", ("left", "meV/atom"),
    )  # fmt: skip
    return Table(head, rows, digits=5)


def tabulate_pressures(results: Mapping[str, Any]) -> Table:
    """Tabulate transition pressures at 0 K (`TransitionPressureResult`), {calculator: result}."""
    rows: list[list[Value]] = []
    for calculator, r in results.items():
        if len(r.pressures_GPa) == 0:
            rows.append([calculator, f"{r.phases[0]} up to {r.maximum_GPa:g} GPa", None, None])
        for k, pressure in enumerate(r.pressures_GPa):
            rows.append([calculator, f"{r.phases[k]} to {r.phases[k + 1]}", float(pressure),
                         100.0 * float(r.volume_changes[k])])  # fmt: skip
    return Table(("", "", ("pressure", "GPa"), ("volume", "%")), rows)


@house_style
def plot_enthalpies(results: Mapping[str, Any], width: float = FULL) -> Any:
    """Plot enthalpies against pressure above the first stable phase's, a panel a calculator."""
    shown = {name: r for name, r in results.items() if r.points}
    colour = colours(phase for r in shown.values() for phase in r.points)
    figure, axes = panels(1, len(shown), width=min(width, 0.8 + 3.4 * len(shown)), height=2.8, sharey=True)
    for ax, (name, r) in zip(axes[0], shown.items()):
        first = r.phases[0]
        for phase, points in r.points.items():
            low = max(points[0, 0], r.points[first][0, 0])
            high = min(points[-1, 0], r.points[first][-1, 0])
            inside = points[(points[:, 0] >= low) & (points[:, 0] <= high)]
            x = np.linspace(low, high, 80)
            line, dots = (1000.0 * (r.enthalpy(phase, p) - r.enthalpy(first, p)) for p in (x, inside[:, 0]))
            ax.plot(x, line, color=colour[phase], label=phase)
            if len(inside) < 15:
                ax.plot(inside[:, 0], dots, "o", color=colour[phase])
        for pressure in r.pressures_GPa:
            ax.axvline(pressure, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
        ax.set_title(name)
        ax.set_xlabel("Pressure (GPa)")
    axes[0, 0].set_ylabel("Enthalpy above the first phase's (meV/atom)")
    legend_above(figure, *axes[0])
    return figure


def tabulate_born(results: Mapping[str, Any], symbols: Mapping[str, Any]) -> Table:
    """Tabulate Born charges by species and the dielectric constant (`BornCharges`), diagonal means.

    Parameters
    ----------
    results
        {name: charges}.
    symbols
        {name: symbols of the atoms, in the order of the charges}.
    """
    rows: list[list[Value]] = []
    for name, r in results.items():
        isotropic = np.einsum("iaa->i", r.charges) / 3.0
        each = np.array(list(symbols[name]))
        for species in dict.fromkeys(each.tolist()):
            mine = each == species
            ends = np.linalg.eigvalsh(0.5 * (r.charges + np.swapaxes(r.charges, 1, 2)))[mine]
            rows.append([name, species, float(isotropic[mine].mean()), float(ends.min()), float(ends.max()),
                         float(np.trace(r.dielectric)) / 3.0, r.source])  # fmt: skip
    head = (
        "",
        "species",
        ("Z*, mean", "e"),
        ("least", "e"),
        ("greatest", "e"),
        "dielectric constant",
        "source",
    )
    return Table(head, rows)
