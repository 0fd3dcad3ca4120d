"""What the potentials are worth: held-out frames, crystals, dynamics."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from ase import Atoms

from asennp.config import Config
from asennp.evaluate import ParityResult, StabilityResult
from asennp.files import read_json
from asennp.report import figures
from asennp.report.calibration import tabulate_calibration
from asennp.report.tables import (
    Block,
    Figure,
    Measured,
    Note,
    Section,
    Table,
)
from asennp.stages.parts import long_range
from asennp.stages.sections.terms import QUANTITY, SET, Row, Summaries, interval_of
from asennp.stages.train import KINDS


def accuracy(config: Config, summaries: Summaries, upstream: Mapping[str, Path]) -> Section:
    """Compare the three committees on the test set and on the unseen pull."""
    s = summaries["evaluate"]["parity"]
    panels = {
        f"{name} MAE ({unit})": {
            SET[use]: {kind: interval_of(s[use][kind][q]) for kind in KINDS} for use in s
        }
        for q, (name, unit) in QUANTITY.items()
    }
    rows: list[Row] = []
    for use in s:
        for kind in KINDS:
            found = s[use][kind]
            cells = [Measured.of(interval_of(found[q]), found["against_direct"][q]) for q in QUANTITY]
            against = "transferred" if kind == "hybrid" else "direct"
            verdicts = ", ".join(f"{q} {verdict}" for q, verdict in found[f"against_{against}"].items())
            words = "" if kind == "direct" else f"{against}: {verdicts}"
            rows.append([f"{SET[use]}, {kind}", *cells, words])
    table = Table(
        ["Set, model", *((f"{name} MAE", unit) for name, unit in QUANTITY.values()), "Against"],
        rows,
        note="Mean over the members ± half of the 90 % Student interval; overlapping intervals are a tie. "
        f"Direct: no pretraining, no Coulomb. Transferred: pretrained, no Coulomb. Hybrid: pretrained, "
        f"{long_range(config)}. Colours compare with direct.",
    )
    clouds = {
        kind: {
            SET[use]: ParityResult.from_json(upstream["evaluate"] / f"parity-{kind}-{use}-mean.json")
            for use in s
        }
        for kind in KINDS
    }
    return Section(
        "Accuracy",
        [
            table,
            Figure(figures.plot_methods(panels), "Errors with committee intervals; ticks are the members."),
            Figure(figures.plot_parity(clouds), "Committee means against the labels."),
            *_calibration(clouds["hybrid"]),
        ],
        "On frames that no training, selection or fine-tuning has seen.",
    )


def _calibration(results: Mapping[str, ParityResult]) -> list[Block]:
    """Show the hybrid committee's spread beside its error; nothing for evaluations that did not note it."""
    known = {name: r for name, r in results.items() if r.calibration}
    if not known:
        return []
    return [
        Figure(figures.plot_calibration(known), "Spread of the hybrid committee beside its errors."),
        tabulate_calibration(known),
    ]


def crystals(summaries: Summaries) -> Section:
    """Compare lattices, energies and elastic constants with the teacher's own."""
    s = summaries["evaluate"]["crystals"]
    rows: list[Row] = []
    remarks: list[Block] = []
    groups: dict[str, list[figures.PropertyRow]] = {"Lattice": [], "Elastic constants": []}
    for phase, found in s["phases"].items():
        for name, row in found["rows"].items():
            if "refused" in row:
                rows.append([f"{phase}, {name}", None, None, f"refused: {row['refused']}"])
                continue
            interval = interval_of(row)
            verdict = "within the interval" if row["agrees"] else "differs"
            rows.append([f"{phase}, {name}", row["teacher"], Measured.of(interval), verdict])
            group = "Lattice" if "Å" in name else "Elastic constants" if "GPa" in name else None
            if group:
                label = f"{phase} {name.split(' ')[0]}"
                groups[group].append(figures.PropertyRow(label, row["teacher"], {"hybrid": interval}, 4))
        for flag, words in (
            ("same_spacegroup", "left its space group in a relaxation"),
            ("converged", "did not reach the tolerances of the relaxation"),
            ("is_stable", "violates Born's criterion with a member"),
        ):
            if not found[flag]:
                remarks.append(Note(f"{phase} {words}.", "warning"))
    return Section(
        "Crystals",
        [
            *remarks,
            Figure(
                figures.plot_properties({k: v for k, v in groups.items() if v}, relative=tuple(groups)),
                "Deviation from the teacher, with the committee's interval.",
            ),
            Table(
                ["Property", "Teacher", "Hybrid", "Teacher's value"],
                rows,
                digits=4,
                note=f"Energies are relative to {s['ground_state']}, the teacher's ground state.",
            ),
        ],
        "Relaxed lattices, energies between phases and elastic constants, against the teacher itself.",
    )


def dynamics(config: Config, upstream: Mapping[str, Path]) -> Section:
    """Show the NVT run and the pull with the hybrid potential."""
    nvt = StabilityResult.from_json(upstream["evaluate"] / "nvt.json")
    pull = read_json(upstream["evaluate"] / "pull.json")
    strain = np.array(pull["strain"])
    curve = SimpleNamespace(strain=strain, stress_GPa=np.array(pull["stress_GPa"]))
    frames = [pull["frames"][k] for k in np.linspace(0, len(pull["frames"]) - 1, 4).round().astype(int)]
    pictures = {
        f"{100 * frame['strain']:.0f} % strain": Atoms(
            pull["symbols"], positions=frame["positions"], cell=frame["cell"], pbc=True
        )
        for frame in frames
    }
    spread = {"Largest spread (meV)": {"of an atomic energy": (100 * strain, pull["uncertainty_meV"])}}
    return Section(
        "Molecular dynamics",
        [
            Figure(figures.plot_stability(nvt), f"{config.evaluate.nvt_ps:g} ps NVT at {nvt.target_K:g} K."),
            Figure(
                figures.plot_stress_strain({"hybrid": curve}),
                f"A tensile pull at {config.evaluate.pull_rate_A_per_ps:g} Å/ps.",
            ),
            Figure(figures.plot_structures(pictures), "Frames of the pull."),
            Figure(
                figures.plot_curves(spread, "Strain (%)", dots=False),
                "The committee says where it leaves what it has learnt.",
            ),
        ],
        f"{config.tensile.phase}, {len(nvt.final)} atoms, with HybridNNPCalculator in ASE's drivers.",
    )
