"""The page of an evaluation: every property once, calculators side by side."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from asennp import __version__
from asennp.evaluations.schema import EvaluationConfig
from asennp.evaluations.steps import JOINT, KINDS, result_path
from asennp.report.defects import plot_defects, tabulate_defects
from asennp.report.figures import plot_eos, plot_stability, plot_stress_strain
from asennp.report.mechanics import tabulate_stress_strain
from asennp.report.page import write_report
from asennp.report.phonons import plot_phonons, plot_quasiharmonic, tabulate_phonons, tabulate_quasiharmonic
from asennp.report.tables import Block, Details, Figure, Section, Table, Value
from asennp.report.transition import (
    list_checks,
    plot_fixed_cell,
    plot_ladders,
    plot_speed,
    tabulate_changes,
    tabulate_rungs,
    tabulate_static,
)
from asennp.report.transport import plot_diffusion, tabulate_diffusion

#: Independent elastic constants shown, Voigt indices.
_CONSTANTS = {"C11": (0, 0), "C12": (0, 1), "C13": (0, 2), "C33": (2, 2), "C44": (3, 3), "C66": (5, 5)}


def write_page(root: Path, config: EvaluationConfig) -> Path:
    """Write ``report.html`` from the results that are there."""
    sections = []
    for name, (title, kind, _) in KINDS.items():
        structures = ["all"] if name in JOINT else list(config.structures)
        found = {
            key: {
                calculator: kind.from_json(result_path(root, calculator, name, key))
                for calculator in config.calculators
                if result_path(root, calculator, name, key).is_file()
            }
            for key in structures
        }
        if any(found.values()):
            blocks = _BLOCKS[name](found, config)
            sections.append(Section(title[0].upper() + title[1:], blocks))
    return write_report(
        root / "report.html",
        sections,
        title=config.name,
        subtitle=", ".join(f"{name}: {one.use}" for name, one in config.calculators.items()),
        facts={"asennp": __version__, "seed": config.seed, "structures": ", ".join(config.structures)},
    )


Found = dict[str, dict[str, Any]]


def _lattices(found: Found, config: EvaluationConfig) -> list[Block]:
    rows: list[list[Value]] = []
    lowest = {
        calculator: min(r[calculator].energy_per_atom for r in found.values() if calculator in r)
        for calculator in config.calculators
        if any(calculator in r for r in found.values())
    }
    for structure, results in found.items():
        for calculator, r in results.items():
            above = 1000.0 * (r.energy_per_atom - lowest[calculator])
            state = r.spacegroup if r.converged else f"{r.spacegroup}, not converged"
            rows.append([structure, calculator, r.a, r.b, r.c, r.volume_per_atom, above, state])
        if structure in config.reference:
            v = config.reference[structure]
            rows.append([structure, "reference", v.get("a"), v.get("b", v.get("a")), v.get("c", v.get("a")),
                         v.get("volume"), v.get("energy_meV"), ""])  # fmt: skip
    columns = ("", "", ("a", "Å"), ("b", "Å"), ("c", "Å"), ("volume", "Å³/atom"),
               ("above the lowest", "meV/atom"), "space group")  # fmt: skip
    note = f"Reference: {config.reference_source}" if config.reference_source else ""
    return [Table(columns, rows, digits=5, note=note)]


def _elastic(found: Found, config: EvaluationConfig) -> list[Block]:
    rows: list[list[Value]] = []
    for structure, results in found.items():
        for calculator, r in results.items():
            constants = [float(r.tensor_GPa[index]) for index in _CONSTANTS.values()]
            rows.append([structure, calculator, *constants, r.bulk_GPa, r.shear_GPa, r.is_stable])
        known = config.reference.get(structure, {})
        if any(name in known for name in _CONSTANTS):
            rows.append([structure, "reference", *(known.get(n) for n in _CONSTANTS), known.get("bulk"),
                         known.get("shear"), None])  # fmt: skip
    return [
        Table(
            ("", "", *((n, "GPa") for n in _CONSTANTS), ("bulk", "GPa"), ("shear", "GPa"), "Born stable"),
            rows,
        )
    ]


def _eos(found: Found, config: EvaluationConfig) -> list[Block]:
    rows: list[list[Value]] = [
        [structure, calculator, r.volume, r.energy, r.bulk_GPa, r.bulk_derivative]
        for structure, results in found.items()
        for calculator, r in results.items()
    ]
    table = Table(
        ("", "", ("volume", "Å³/atom"), ("energy", "eV/atom"), ("bulk", "GPa"), "B'"), rows, digits=5
    )
    figures: list[Block] = []
    for calculator in config.calculators:
        mine = {structure: r[calculator] for structure, r in found.items() if calculator in r}
        if mine:
            figures.append(Figure(plot_eos(mine), f"Energy against volume, {calculator}."))
    return [table, *figures]


def _pressures(found: Found, config: EvaluationConfig) -> list[Block]:
    rows: list[list[Value]] = []
    for calculator, r in found["all"].items():
        if len(r.pressures_GPa) == 0:
            rows.append([calculator, f"{r.phases[0]} up to {r.maximum_GPa:g} GPa", None, None])
        for k, pressure in enumerate(r.pressures_GPa):
            rows.append([calculator, f"{r.phases[k]} to {r.phases[k + 1]}", float(pressure),
                         100.0 * float(r.volume_changes[k])])  # fmt: skip
    return [Table(("", "", ("pressure", "GPa"), ("volume", "%")), rows)]


def _stability(found: Found, config: EvaluationConfig) -> list[Block]:
    rows: list[list[Value]] = []
    figures: list[Block] = []
    for structure, results in found.items():
        for calculator, r in results.items():
            state = "bounded" if r.bounded else "; ".join(r.violations)
            numbers = r.mean_temperature_K, r.drift_meV_per_ps, r.max_displacement_A
            rows.append([structure, calculator, *numbers, state])
            figures.append(Figure(plot_stability(r), f"{structure} with {calculator}."))
    columns = ("", "", ("temperature", "K"), ("drift", "meV/atom/ps"), ("largest displacement", "Å"), "run")
    return [Table(columns, rows), Details("The runs", figures)]


def _transition(found: Found, config: EvaluationConfig) -> list[Block]:
    results = found["all"]
    blocks: list[Block] = [list_checks(results), tabulate_static(results, config.reference)]
    if any(r.pressures is not None for r in results.values()):
        pressures = {name: r.pressures for name, r in results.items() if r.pressures is not None}
        blocks += _pressures({"all": pressures}, config)
    phases = dict.fromkeys(phase for r in results.values() for phase in r.phonons)
    for phase in phases:
        mine = {name: r.phonons[phase] for name, r in results.items() if phase in r.phonons}
        blocks += [Figure(plot_phonons(mine), f"Phonons of the {phase} phase."), tabulate_phonons(mine)]
    climbed = {name: r for name, r in results.items() if r.rungs}
    if climbed:
        blocks += [tabulate_changes(climbed), Figure(plot_ladders(climbed), "Along the ladder.")]
        blocks += [Details(f"Every run, {name}", [tabulate_rungs(r)]) for name, r in climbed.items()]
    held = {name: r for name, r in results.items() if r.polarisation}
    if held:
        blocks.append(Figure(plot_fixed_cell(held), "Polarisation at fixed cell; bars are fluctuations."))
    timed = {name: r for name, r in results.items() if r.speed is not None}
    if timed and all(np.all(np.isfinite(r.speed.mean)) for r in timed.values()):
        blocks.append(Figure(plot_speed(timed), "Cost of a step; bars are standard deviations."))
    if config.reference_source:
        blocks.append(f"Reference: {config.reference_source}")
    return blocks


def _shown(
    tabulate: Callable[[Any], Table], plot: Callable[[Any], Any], caption: str
) -> Callable[[Found, EvaluationConfig], list[Block]]:
    """Return a section of one figure and one table a structure, calculators side by side."""

    def blocks(found: Found, config: EvaluationConfig) -> list[Block]:
        return [
            block
            for structure, results in found.items()
            if results
            for block in (Figure(plot(results), f"{caption} of {structure}."), tabulate(results))
        ]

    return blocks


_BLOCKS = {
    "lattice": _lattices,
    "elastic": _elastic,
    "eos": _eos,
    "phonons": _shown(tabulate_phonons, plot_phonons, "Phonons"),
    "transition_pressure": _pressures,
    "quasiharmonic": _shown(tabulate_quasiharmonic, plot_quasiharmonic, "Thermal expansion"),
    "tensile": _shown(tabulate_stress_strain, plot_stress_strain, "Tension"),
    "shear": _shown(tabulate_stress_strain, plot_stress_strain, "Shear"),
    "vacancy": _shown(tabulate_defects, plot_defects, "Vacancies"),
    "surface": _shown(tabulate_defects, plot_defects, "Surfaces"),
    "stability": _stability,
    "diffusion": _shown(tabulate_diffusion, plot_diffusion, "Diffusion"),
    "transition": _transition,
}
