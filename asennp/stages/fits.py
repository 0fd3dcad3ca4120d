"""Chains of trainings from frames to model files: side by side in processes, or together on a GPU."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from asennp.config import Config
from asennp.dataset import read_frames
from asennp.models.aev import AEVSettings
from asennp.models.model import load_model
from asennp.models.torch_backend import choose_device
from asennp.processes import run_processes
from asennp.progress import StepFile, watch
from asennp.train.committee import group_alike
from asennp.train.config import TrainConfig
from asennp.train.logbook import FitResult
from asennp.train.loop import fit_members
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
    """Run the chains; return the last stage's result of each.

    On a CPU each runs in a process of one thread; on a GPU those of one file that differ only in their
    seeds run together, one such group after the other.
    """
    device = choose_device()[0] if config.device == "auto" else config.device
    groups, workers = group_alike([_likeness(chain) for chain in chains], device, config.workers)
    memory_MB = 0.5 * free_memory_MB() / workers
    tasks = [([chains[k] for k in group], descriptor(config), memory_MB, device) for group in groups]
    with watch(name, sum(chain.epochs for chain in chains), [chain.folder / "steps" for chain in chains]):
        for _ in run_processes(_run_group, tasks, workers):
            pass
    return [FitResult.from_json(chain.results[-1]) for chain in chains]


def _likeness(chain: Chain) -> str:
    """Return what chains that train together have in common: all but their folder, start and seeds."""
    stages = [replace(stage, seed=0) for stage in chain.stages]
    return repr(
        (chain.frames, stages, chain.init is None, sorted(chain.charges.items()), chain.electrostatics)
    )


def _run_group(chains: Sequence[Chain], aev: AEVSettings, memory_MB: float, device: str) -> None:
    """Run chains of the same frames and settings, those together whose next stage is the same."""
    first = chains[0]
    frames = read_frames(first.frames)
    made = {}
    for chain in chains:
        chain.folder.mkdir(parents=True, exist_ok=True)
        made[chain.folder] = StepFile(chain.folder / "steps")
    before = 0
    for k, stage in enumerate(first.stages):
        missing = [chain for chain in chains if not chain.results[k].exists()]
        inits = [_start(chain, k) for chain in missing]
        if missing:
            fit_members(
                [chain.stages[k] for chain in missing],
                frames,
                [chain.results[k].parent for chain in missing],
                inits=[None if init is None else load_model(init) for init in inits],
                aev=aev if inits[0] is None else None,
                charges=first.charges,
                electrostatics=first.electrostatics,
                threads=1,
                memory_MB=memory_MB,
                device=device,
                progress=partial(_note, [made[chain.folder] for chain in missing], before),
            )
        before += stage.epochs
        for steps in made.values():
            steps(before)


def _note(made: Sequence[StepFile], before: int, number: int, record: dict[str, Any]) -> None:
    made[number](before + int(record["epoch"]), f"{1000 * record['force_mae']:.0f} meV/Å")


def _start(chain: Chain, stage: int) -> Path | None:
    """Return the model file that a stage begins with."""
    return chain.init if stage == 0 else chain.results[stage - 1].parent / "model.asennp"
