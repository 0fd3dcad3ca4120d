"""The folder of an evaluation: steps ledgered and skipped as in a run; more can be added."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from asennp.calculators.named import calculator_maker
from asennp.config import dump_config
from asennp.evaluations.page import write_page
from asennp.evaluations.schema import EvaluationConfig, load_evaluation
from asennp.evaluations.steps import plan
from asennp.files import write_atomic
from asennp.run import RunFolder
from asennp.stages.graph import Stage


class EvaluationFolder(RunFolder):
    """A folder that one evaluation lives in (see `RunFolder`)."""

    command = "asennp evaluate"

    @classmethod
    def read_config(cls, path: Path) -> EvaluationConfig:
        """Read an evaluation's configuration."""
        return load_evaluation(path)

    @property
    def stages(self) -> Mapping[str, Stage]:
        """One step a calculator and property."""
        return plan(self.config)

    @classmethod
    def create(cls, path: str | Path, config: Any) -> Self:
        """Make or take up the folder, after every name in the configuration was found to mean something."""
        for one in config.calculators.values():
            calculator_maker(one.use, one.arguments)()
        for name, structure in config.structures.items():
            structure.build(name)
        return super().create(path, config)

    def adopt(self, config: Any) -> bool:
        """Take a configuration that leaves the inputs of every begun step alone: steps may come and go."""
        old, new = self.config.model_dump(mode="json"), config.model_dump(mode="json")
        steps = plan(config)
        same = all(
            step.inputs(old) == steps[name].inputs(new)
            for name, step in self.stages.items()
            if name in steps and (self.path / name).is_dir()
        )
        if same:
            write_atomic(self.path / "config.yaml", dump_config(config))
            self.config = config
        return same

    def run(self) -> Path:
        """Do what is not done and write the page."""
        for name in self.stages:
            self.execute(name)
        return write_page(self.path, self.config)
