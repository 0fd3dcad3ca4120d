"""Trainings side by side, one process each: a chain of stages from frames to a model file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from asennp.config import Config
from asennp.dataset import read_frames
from asennp.models.aev import AEVSettings
from asennp.models.model import load_model
from asennp.processes import run_processes
from asennp.progress import StepFile, watch
from asennp.train.config import TrainConfig
from asennp.train.loop import FitResult, fit
from asennp.train.storage import free_memory_MB


@dataclass(frozen=True)
class Chain:
    """One member's training: stages after each other, each from the model of the one before.

    Parameters
    ----------
    folder
        Where it lives; the stages are sub-folders 0, 1...
    frames
        File with the targets.
    stages
        Settings of each stage.
    init
        Model file to begin with.
    charges
        Charges that the trained model's calculator shall add back, {element: e}.
    electrostatics
        What it shall add back beside them, see `asennp.models.Model`.
    """

    folder: Path
    frames: Path
    stages: tuple[TrainConfig, ...]
    init: Path | None = None
    charges: Mapping[str, float] = field(default_factory=dict)
    electrostatics: str = "point"

    @property
    def epochs(self) -> int:
        """Epochs of all stages."""
        return sum(stage.epochs for stage in self.stages)

    @property
    def results(self) -> list[Path]:
        """The result file of each stage."""
        return [self.folder / str(k) / "result.json" for k in range(len(self.stages))]


def member_seed(config: Config, member: int) -> int:
    """Return the seed of a committee member: initial weights, split and order of batches."""
    return 1000 * config.seed + member


def descriptor(config: Config) -> AEVSettings:
    """Return the descriptor's settings."""
    return AEVSettings(
        species=tuple(sorted(config.system.charges)),
        radial_cutoff=config.descriptor.radial_cutoff,
        angular_cutoff=config.descriptor.angular_cutoff,
    )


def run_chains(config: Config, name: str, chains: Sequence[Chain]) -> list[FitResult]:
    """Run the chains in processes of one thread each; return the last stage's result of each."""
    memory_MB = 0.5 * free_memory_MB() / config.workers
    tasks = [(chain, descriptor(config), memory_MB) for chain in chains]
    with watch(name, sum(chain.epochs for chain in chains), [chain.folder / "steps" for chain in chains]):
        for _ in run_processes(_run_chain, tasks, config.workers):
            pass
    return [FitResult.from_json(chain.results[-1]) for chain in chains]


def _note(made: StepFile, before: int, record: dict[str, Any]) -> None:
    made(before + int(record["epoch"]), f"{1000 * record['force_mae']:.0f} meV/Å")


def _run_chain(chain: Chain, aev: AEVSettings, memory_MB: float) -> None:
    chain.folder.mkdir(parents=True, exist_ok=True)
    frames = read_frames(chain.frames)
    made = StepFile(chain.folder / "steps")
    model = None if chain.init is None else load_model(chain.init)
    before = 0
    for k, stage in enumerate(chain.stages):
        folder = chain.folder / str(k)
        if not (folder / "result.json").exists():
            fit(
                stage,
                frames,
                folder,
                init=model,
                aev=aev if model is None else None,
                charges=chain.charges,
                electrostatics=chain.electrostatics,
                threads=1,
                memory_MB=memory_MB,
                progress=partial(_note, made, before),
            )
        before += stage.epochs
        made(before)
        model = load_model(folder / "model.asennp")
