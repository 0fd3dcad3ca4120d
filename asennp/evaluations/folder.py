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
from asennp.processes import WorkerKilled
from asennp.progress import console
from asennp.run import RunFolder
from asennp.stages.graph import Stage


class StepsFailed(RuntimeError):
    """Some steps of an evaluation could not be done."""

    def __init__(self, failed: Mapping[str, Exception], page: Path) -> None:
        lines = [f"{name}: {error}" for name, error in failed.items()]
        super().__init__("\n".join([f"{len(failed)} step(s) failed; the rest is in {page}", *lines]))


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
        """Do what is not done and write the page; a step that fails leaves the others alone.

        Raises
        ------
        StepsFailed
            Some steps could not be done; the page with what could is written first.
        """
        failed: dict[str, Exception] = {}
        for name, stage in self.stages.items():
            if any(before in failed for before in stage.after):
                continue
            try:
                self.execute(name)
            except WorkerKilled:
                raise
            except Exception as error:
                failed[name] = error
                console.print(f"  failed: {error}", style="red")
        page = write_page(self.path, self.config, {name: str(error) for name, error in failed.items()})
        if failed:
            raise StepsFailed(failed, page) from next(iter(failed.values()))
        return page
