"""A committee: members trained side by side in processes or together on a GPU, stacked into one model."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from ase import Atoms

from asennp.dataset import Store
from asennp.errors import InputError
from asennp.models.aev import AEVSettings
from asennp.models.model import Model, load_model
from asennp.models.torch_backend import choose_device
from asennp.processes import run_processes
from asennp.results import Result
from asennp.train.config import TrainConfig
from asennp.train.logbook import FitResult
from asennp.train.loop import fit_members
from asennp.train.storage import free_memory_MB


@dataclass(frozen=True, eq=False)
class CommitteeResult(Result):
    """What the training of a committee gave.

    Attributes
    ----------
    model
        File of the committee.
    members
        Results of the members, in order.
    """

    model: str
    members: tuple[FitResult, ...]

    def best(self, quantity: str = "force_mae") -> FitResult:
        """Return the member with the lowest validation error, a field of `Errors`: the one that goes on."""
        return min(self.members, key=lambda member: float(getattr(member.validation, quantity)))


def _fit_group(
    configs: Sequence[TrainConfig],
    frames: list[Atoms],
    folders: Sequence[str],
    resume: Literal["auto", "never"],
    inits: Sequence[str | None],
    device: str,
    given: dict[str, Any],
) -> list[FitResult]:
    if device == "cpu":
        torch.set_num_threads(1)
    starts = [None if init is None else load_model(init) for init in inits]
    return fit_members(configs, frames, folders, resume, starts, device=device, threads=1, **given)


def fit_committee(
    configs: Sequence[TrainConfig],
    data: Store | Sequence[Atoms],
    out_dir: str | Path,
    resume: Literal["auto", "never"] = "auto",
    init: Sequence[str | Path] | str | Path | None = None,
    *,
    aev: AEVSettings | None = None,
    charges: Mapping[str, float] | None = None,
    parts: Sequence[Mapping[str, Sequence[int]]] | None = None,
    workers: int = 2,
    memory_MB: float | None = None,
    device: str = "auto",
) -> CommitteeResult:
    """Train one member for each configuration and stack them.

    Member k trains in ``out_dir/member-k`` as `fit` does, and resumes by itself; the committee is written to
    ``out_dir/model.asennp``. On a CPU each has a process of one thread, and the result does not depend on
    `workers`; on a GPU members that differ only in their seeds train together (`fit_members`).

    Parameters
    ----------
    configs
        One for each member; they should differ in their seed.
    data, resume, aev, charges
        As for `fit`.
    init
        Model file to start from, for all members or one for each.
    parts
        Training and validation indices of each member; by default by the member's seed.
    workers
        Processes side by side.
    memory_MB
        What the descriptors of all workers together may take, see `fit`.
    device
        As for `fit`.
    """
    if not configs:
        raise InputError("a committee needs members", where="fit_committee")
    frames = data.frames() if isinstance(data, Store) else list(data)
    starts = [init] * len(configs) if init is None or isinstance(init, (str, Path)) else list(init)
    splits = [None] * len(configs) if parts is None else list(parts)
    if len(starts) != len(configs) or len(splits) != len(configs):
        raise InputError(
            "one start and one split for each member are needed",
            where="fit_committee",
            expected=len(configs),
            got=f"{len(starts)} starts, {len(splits)} splits",
        )
    folder = Path(out_dir)
    device = choose_device(device)[0]
    groups, workers = group_alike([replace(config, seed=0) for config in configs], device, workers)
    memory_MB = (0.5 * free_memory_MB() if memory_MB is None else memory_MB) / max(1, workers)
    jobs = []
    for group in groups:
        given: dict[str, Any] = {"aev": aev, "charges": None if charges is None else dict(charges)}
        given |= {"parts": [splits[k] for k in group], "memory_MB": memory_MB}
        folders = [str(folder / f"member-{k}") for k in group]
        inits = [None if starts[k] is None else str(starts[k]) for k in group]
        jobs.append(([configs[k] for k in group], frames, folders, resume, inits, device, given))
    done = dict(run_processes(_fit_group, jobs, workers))
    results = {k: result for number, group in enumerate(groups) for k, result in zip(group, done[number])}
    members = tuple(results[k] for k in range(len(configs)))
    path = folder / "model.asennp"
    Model.stack([load_model(member.model) for member in members]).save(path)
    result = CommitteeResult(str(path), members)
    result.to_json(folder / "result.json")
    return result


def group_alike(keys: Sequence[Hashable], device: str, workers: int) -> tuple[list[list[int]], int]:
    """Return the numbers of the trainings that go together, and how many groups side by side.

    On a CPU each training is a group; on a GPU those of equal keys are one, and one group runs at a time.
    """
    if device == "cpu":
        return [[k] for k in range(len(keys))], workers
    groups: dict[Hashable, list[int]] = {}
    for k, key in enumerate(keys):
        groups.setdefault(key, []).append(k)
    return list(groups.values()), 1
