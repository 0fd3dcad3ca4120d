"""What a run came to, and its record."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from asennp.config import Config
from asennp.files import read_jsonl
from asennp.report import figures
from asennp.report.tables import (
    Check,
    Checks,
    Details,
    Figure,
    Section,
    Table,
    Tile,
    Tiles,
)
from asennp.stages.parts import crystal
from asennp.stages.sections.terms import Summaries, interval_of


def overview(config: Config, summaries: Summaries, floor: Sequence[Mapping[str, Any]]) -> Section:
    """Show headline numbers, the floor, and the phases."""
    test = summaries["evaluate"]["parity"]["test"]["hybrid"]
    label, charge = summaries["label"], summaries["qeff"]
    force = interval_of(test["forces"])
    tiles = Tiles(
        [
            Tile(
                "Force error, test set",
                f"{force.mean:.0f} meV/Å",
                f"± {force.half_width:.0f} over the committee",
            ),
            Tile(
                "Energy error",
                f"{test['energy']['mean']:.1f} meV/atom",
                f"{label['counts']['test']} frames nothing saw",
            ),
            Tile("Long range", "PQEq", "charges and shells that follow the atoms")
            if config.train.electrostatics == "pqeq"
            else Tile("Effective charge", f"{charge['q_eff']:.2f} e", f"by: {charge['chosen_by']}"),
            Tile(
                "Labels",
                f"{label['counts']['train']}",
                f"training frames by {label['teacher']}, {len(label['failed'])} failed",
            ),
        ]
    )
    phases = {
        phase: crystal(config, phase, (3, 2, 2) if p.prototype == "wurtzite" else 2)
        for phase, p in config.system.phases.items()
    }
    return Section(
        "Overview",
        [
            tiles,
            Checks([Check(line["name"], line["passed"], line["got"], line["required"]) for line in floor]),
            Figure(
                figures.plot_structures(phases), "The phases, at the empirical potential's lattice constants."
            ),
        ],
        "From an empirical potential to a trained and tested hybrid potential: sampling in enthalpy and "
        "order, distillation, labels by a better theory, a long range by physics, transfer learning.",
    )


def record(folder: Path) -> Section:
    """Show times, versions and the configuration."""
    done = {r["stage"]: r for r in read_jsonl(folder / "ledger.jsonl") if r["status"] == "done"}
    seconds = {name: float(entry["seconds"]) for name, entry in done.items()}
    versions = next(iter(done.values()))["versions"]
    return Section(
        "Record",
        [
            Figure(figures.plot_stages(seconds), "Seconds a stage took."),
            Details("Versions", [Table(["Package", "Version"], [[k, v] for k, v in versions.items()])]),
            Details("Configuration", [(folder / "config.yaml").read_text()]),
        ],
        f"{sum(seconds.values()) / 60:.1f} minutes; the ledger holds inputs, seeds and checksums.",
    )
