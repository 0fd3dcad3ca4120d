"""The stages, what each stands on, and the sections of the configuration each reads."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Stage:
    """One stage of the run.

    Parameters
    ----------
    name
        Name of its module, its function and its sub-folder.
    title
        What it does, for people.
    after
        Stages whose files it reads.
    sections
        Parts of the configuration that its result depends on, besides the seed.
    """

    name: str
    title: str
    after: tuple[str, ...]
    sections: tuple[str, ...]

    def inputs(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return what the result depends on, of the whole configuration."""
        return {name: values[name] for name in (*self.sections, "seed")}

    def function(self) -> Any:
        """Import and return the stage's function ``(config, folder, upstream) -> StageOutput``."""
        return getattr(import_module(f"asennp.stages.{self.name}"), self.name)


def _table(*rows: tuple[str, str, str, str]) -> dict[str, Stage]:
    return {
        name: Stage(name, title, tuple(after.split()), tuple(sections.split()))
        for name, title, after, sections in rows
    }


STAGES = _table(
    ("sample", "MOMT sampling", "", "system potential sample"),
    ("tensile", "tensile sampling", "", "system potential tensile"),
    ("distill", "distillation", "sample", "system potential descriptor distill"),
    ("pretrain", "pretraining on atomic energies", "distill", "system potential descriptor pretrain train"),
    ("label", "labels by the teacher", "distill tensile", "system potential label tensile"),
    ("qeff", "effective charge", "label", "system charge descriptor"),
    ("train", "transfer to the residual", "pretrain label qeff", "system train charge"),
    ("trained_sweep", "charge sweep by training", "pretrain label qeff", "system train trained_sweep"),
    ("evaluate", "evaluation", "train label", "system label evaluate"),
    (
        "report",
        "report",
        "sample tensile distill pretrain label qeff train trained_sweep evaluate",
        "system sample tensile charge floor",
    ),
)
