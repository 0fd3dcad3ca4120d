"""The report: one page of figures and tables from what the other stages left, and the floor of the run."""

from pathlib import Path

from asennp import __version__
from asennp.config import Config
from asennp.files import read_json
from asennp.report.page import write_report
from asennp.stages import sections
from asennp.stages.floor import check_floor
from asennp.stages.output import StageOutput
from asennp.stages.parts import formula, long_range


def report(config: Config, folder: Path, upstream: dict[str, Path]) -> StageOutput:
    """Check the floor and write ``report.html`` beside the stages."""
    summaries = {
        name: read_json(path / "summary.json") for name, path in upstream.items() if name != "report"
    }
    floor = check_floor(config, summaries)
    page = write_report(
        folder.parent / "report.html",
        [
            sections.overview(config, summaries, floor),
            sections.sampling(config, summaries, upstream),
            sections.distillation(summaries),
            sections.labels(config, summaries),
            sections.charge(config, summaries, upstream),
            *sections.trained_charge(summaries, upstream),
            sections.training(config, summaries),
            sections.accuracy(config, summaries, upstream),
            sections.crystals(summaries),
            sections.dynamics(config, upstream),
            sections.record(folder.parent),
        ],
        title=f"{config.name}: a hybrid potential for {formula(config)}",
        subtitle=f"{config.potential.name} → {config.label.teacher} → networks + {long_range(config)}",
        facts={"asennp": __version__, "seed": config.seed, "teacher": config.label.teacher},
    )
    failed = [line["text"] for line in floor if not line["passed"]]
    headline = f"{page}" if not failed else f"{page}; below the floor: {'; '.join(failed)}"
    return StageOutput([page], headline, {"floor": floor})
