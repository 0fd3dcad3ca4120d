"""The page of an evaluation: every property once, calculators side by side."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from asennp import __version__
from asennp.evaluations.schema import EvaluationConfig
from asennp.evaluations.steps import JOINT, KINDS, result_path
from asennp.report.calibration import plot_calibration, tabulate_calibration
from asennp.report.crystals import (
    plot_elastic,
    plot_enthalpies,
    tabulate_elastic,
    tabulate_eos,
    tabulate_lattices,
    tabulate_pressures,
)
from asennp.report.defects import plot_defects, tabulate_defects
from asennp.report.mechanics import (
    plot_eos,
    plot_stability,
    plot_stress_strain,
    tabulate_stability,
    tabulate_stress_strain,
)
from asennp.report.methods import plot_parity, tabulate_parity
from asennp.report.page import write_report
from asennp.report.phonons import (
    plot_phonons,
    plot_quasiharmonic,
    plot_thermal,
    tabulate_phonons,
    tabulate_quasiharmonic,
)
from asennp.report.sampling import plot_phases
from asennp.report.tables import Block, Details, Figure, Note, Section, Table
from asennp.report.transition import (
    list_checks,
    plot_fixed_cell,
    plot_ladders,
    plot_speed,
    tabulate_changes,
    tabulate_fixed_cell,
    tabulate_rungs,
    tabulate_speed,
    tabulate_static,
)
from asennp.report.transport import plot_diffusion, tabulate_diffusion


def write_page(root: Path, config: EvaluationConfig, failed: Mapping[str, str] | None = None) -> Path:
    """Write ``report.html`` from the results that are there; `failed` steps are named with what they said."""
    sections = []
    if failed:
        notes = [Note(f"{name}: {words}", "warning") for name, words in failed.items()]
        sections.append(Section("Not done", notes))
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


def _parity(found: Found, config: EvaluationConfig) -> list[Block]:
    results = found["all"]
    blocks: list[Block] = [
        Figure(plot_parity({name: {"": r} for name, r in results.items()}), "Predictions against labels."),
        tabulate_parity(results),
    ]
    sure = {name: r for name, r in results.items() if r.calibration}
    if sure:
        words = "Spread of the committees beside their errors; dashed: calibrated."
        blocks += [Figure(plot_calibration(sure), words), tabulate_calibration(sure)]
    return blocks


def _lattices(found: Found, config: EvaluationConfig) -> list[Block]:
    note = f"Reference: {config.reference_source}" if config.reference_source else ""
    return [tabulate_lattices(found, config.reference, note)]


def _elastic(found: Found, config: EvaluationConfig) -> list[Block]:
    figure = Figure(plot_elastic(found, config.reference), "Elastic constants.")
    return [figure, tabulate_elastic(found, config.reference)]


def _eos(found: Found, config: EvaluationConfig) -> list[Block]:
    figures: list[Block] = []
    for calculator in config.calculators:
        mine = {structure: r[calculator] for structure, r in found.items() if calculator in r}
        if mine:
            figures.append(Figure(plot_eos(mine), f"Energy against volume, {calculator}."))
    return [tabulate_eos(found), *figures]


def _phonons(found: Found, config: EvaluationConfig) -> list[Block]:
    heat: list[Block] = [
        Figure(plot_thermal(results), f"Free energy, entropy and heat capacity of {structure}.")
        for structure, results in found.items()
        if results
    ]
    return [*_shown(tabulate_phonons, plot_phonons, "Phonons")(found, config), Details("Thermal", heat)]


def _pressures(found: Found, config: EvaluationConfig) -> list[Block]:
    results = found["all"]
    blocks: list[Block] = [tabulate_pressures(results)]
    if any(r.points for r in results.values()):
        words = "Enthalpies; points are relaxed crystals, dashed lines transitions."
        blocks.append(Figure(plot_enthalpies(results), words))
    return blocks


def _stability(found: Found, config: EvaluationConfig) -> list[Block]:
    runs = {f"{structure}, {name}": r for structure, results in found.items() for name, r in results.items()}
    figures: list[Block] = []
    for name, r in runs.items():
        figures.append(Figure(plot_stability(r), f"{name}."))
        if r.phases:
            times = r.time_ps[: len(next(iter(r.phases.values())))]
            figures.append(Figure(plot_phases(times, r.phases), f"{name}: share of the atoms in each phase."))
    return [tabulate_stability(runs), Details("The runs", figures)]


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
        blocks.append(tabulate_fixed_cell(held))
    timed = {name: r for name, r in results.items() if r.speed is not None}
    if timed and all(np.all(np.isfinite(r.speed.mean)) for r in timed.values()):
        blocks.append(Figure(plot_speed(timed), "Cost of a step; bars are standard deviations."))
        blocks.append(tabulate_speed(timed))
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
    "parity": _parity,
    "lattice": _lattices,
    "elastic": _elastic,
    "eos": _eos,
    "phonons": _phonons,
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
