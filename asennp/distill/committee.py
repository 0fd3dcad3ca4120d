"""The committee of a distillation: members trained side by side, their spread, and their errors."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms

from asennp.distill.settings import DistillSettings
from asennp.files import write_atomic
from asennp.models.aev import AEVSettings, Descriptor
from asennp.models.forward import Forward
from asennp.models.network import AtomicNetworks, NetworkSettings
from asennp.models.torch_backend import choose_device
from asennp.processes import process_pool
from asennp.train.config import TrainConfig
from asennp.train.data import Prepared, gather, prepare
from asennp.train.epoch import Member, refuse_divergence, run_epoch
from asennp.train.prediction import Prediction, compute_errors, predict_networks
from asennp.train.source import Source, open_source
from asennp.train.start import starting_networks, starting_offsets

_SCORING_CHUNK = 64

#: Arrays of the networks by name, and energy offsets.
Parameters = tuple[dict[str, np.ndarray], np.ndarray]
Run = Callable[..., list[Any]]


def _train_members(
    data: Prepared | list[Atoms],
    aev: AEVSettings,
    members: list[tuple[TrainConfig, np.ndarray, Parameters | None]],
    device: str,
) -> list[Parameters]:
    """Train members on the same frames and return their parameters and offsets.

    Each comes with its settings, the indices of its training frames, and its state so far, if any. On a GPU
    they train together, on a CPU one after the other: there, bits must not depend on the company.
    """
    if device == "cpu":
        torch.set_num_threads(1)
    if not isinstance(data, Prepared):
        data = prepare(data, aev, members[0][0].dtype, threads=1)
    groups = [[member] for member in members] if device == "cpu" else [members]
    with open_source(data, 1, *choose_device(device)) as source:
        return [trained for group in groups for trained in _train_together(source, aev, group)]


def _train_together(
    source: Source, aev: AEVSettings, given: list[tuple[TrainConfig, np.ndarray, Parameters | None]]
) -> list[Parameters]:
    shape = NetworkSettings(aev.length, len(aev.species), given[0][0].hidden)
    starts = [
        starting_networks(config, (), aev, None)[1:]
        if before is None
        else (AtomicNetworks.from_state(shape, before[0]), before[1])
        for config, _, before in given
    ]
    networks = AtomicNetworks.stack([start for start, _ in starts]).to(device=source.device)
    members = [
        Member(config, part, offsets, mine)
        for (config, part, _), (_, offsets), mine in zip(given, starts, networks.members())
    ]
    for member, (config, part, before) in zip(members, given):
        if before is None:
            member.offsets = starting_offsets(config, member.networks, source, part, member.offsets, False)
    losses: list[list[float]] = [[] for _ in members]
    for _ in range(given[0][0].epochs):
        for member, kept, loss in zip(members, losses, run_epoch(networks, members, source)):
            kept.append(float(loss))
            refuse_divergence(member.config, kept, "the rounds before are kept")
            member.optimizers.end_epoch(kept[-1])
    return [(member.networks.state(), member.offsets) for member in members]


@contextmanager
def member_runner(workers: int) -> Iterator[Run]:
    """Give a function that calls `function(*arguments)` for each of a list of arguments, in order.

    Several workers are processes that live through all rounds: training in threads of one process
    gains nothing, for its steps are short and mostly Python's.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # here too, so that nothing depends on the number of threads
    try:
        with _pooled(workers) as run:
            yield run
    finally:
        torch.set_num_threads(before)


@contextmanager
def _pooled(workers: int) -> Iterator[Run]:
    if workers == 1:
        yield lambda function, jobs: [function(*job) for job in jobs]
        return
    with process_pool(workers) as pool:

        def run(function: Callable[..., Any], jobs: Sequence[tuple[Any, ...]]) -> list[Any]:
            return [future.result() for future in [pool.submit(function, *job) for job in jobs]]

        yield run


class Committee:
    """Members: their networks and energy offsets.

    Attributes
    ----------
    networks, offsets
        Of the M members, offsets (M, n_species) in eV; M is 0 before the first training.
    """

    def __init__(
        self, settings: DistillSettings, aev: AEVSettings, workers: int, device: str = "cpu"
    ) -> None:
        self.settings = settings
        self.aev = aev
        self.workers = workers
        self.device = device
        self._shape = NetworkSettings(aev.length, len(aev.species), settings.train.hidden)
        self.networks = AtomicNetworks.random(self._shape, torch.Generator(), n_members=0)
        self.offsets = np.zeros((0, len(aev.species)))

    def train(self, data: Prepared | list[Atoms], number: int, run: Run) -> None:
        """Train every member on its own part of the frames, members side by side.

        On a CPU each member's arithmetic runs in one thread, so the result does not depend on the workers.
        """
        config, seed = self.settings.train, self.settings.seed
        warm = self.settings.warm_epochs is not None and len(self.offsets) > 0
        if self.settings.warm_epochs is not None and warm:
            config = replace(config, epochs=self.settings.warm_epochs)
        members: list[tuple[TrainConfig, np.ndarray, Parameters | None]] = []
        for member in range(self.settings.n_members):
            order = np.random.default_rng([seed, 1, number, member]).permutation(len(data))
            part = order[: max(1, round((1.0 - config.validation_fraction) * len(data)))]
            before = (self.networks.member(member).state(), self.offsets[member]) if warm else None
            members.append((replace(config, seed=seed + 1000 * number + member), part, before))
        n_jobs = min(self.workers, len(members)) if self.device == "cpu" else 1
        jobs = [(data, self.aev, members[k::n_jobs], self.device) for k in range(n_jobs)]
        groups = run(_train_members, jobs)
        trained = [groups[k % n_jobs][k // n_jobs] for k in range(len(members))]
        self.networks = AtomicNetworks.stack(
            [AtomicNetworks.from_state(self._shape, state) for state, _ in trained]
        )
        self.offsets = np.array([shift for _, shift in trained])

    def spreads(self, data: Prepared) -> tuple[np.ndarray, np.ndarray]:
        """Return the spread and the error of the mean of every atomic energy, (n_atoms,), eV."""
        networks, first = self.networks.to(device=self.device), data.first
        spreads, errors = [], []
        for begin in range(0, len(data), _SCORING_CHUNK):
            chunk = data.descriptors[begin : begin + _SCORING_CHUNK]
            atoms = slice(first[begin], first[begin + len(chunk)])
            species = data.species[atoms]
            features = torch.from_numpy(np.concatenate([descriptor.features for descriptor in chunk]))
            of_members = Forward(networks, features, torch.from_numpy(species)).energies
            energies = of_members.double().cpu().numpy() + self.offsets[:, species]
            spreads.append(np.std(energies, axis=0))
            errors.append(np.abs(np.mean(energies, axis=0) - data.energies[atoms]))
        return np.concatenate(spreads), np.concatenate(errors)

    def measure(self, frames: Sequence[Atoms], descriptors: Sequence[Descriptor]) -> dict[str, float]:
        """Return the errors of the committee's mean on frames."""
        data = gather(frames, descriptors)
        everything = np.arange(len(data))
        with open_source(data, self.workers) as source:
            parts = [
                predict_networks(self.networks.member(k), shift, source, everything)
                for k, shift in enumerate(self.offsets)
            ]
        names = ("energy", "energies", "forces", "stress")
        mean = {name: np.mean([getattr(part, name) for part in parts], axis=0) for name in names}
        errors = compute_errors(Prediction(sizes=data.sizes, **mean), data, everything)
        return {n: getattr(errors, n) for n in ("energies_mae", "energy_mae", "force_mae", "stress_mae")}

    def save(self, path: Path) -> None:
        """Write the members, for a warm start after a kill."""
        arrays = {**self.networks.state(), "offsets": self.offsets}
        write_atomic(path, lambda file: np.savez(file, **arrays))  # type: ignore[arg-type]

    def load(self, path: Path) -> None:
        """Take the members over from a file."""
        with np.load(path) as arrays:
            self.offsets = arrays["offsets"]
            state = {name: arrays[name] for name in arrays.files if name != "offsets"}
        self.networks = AtomicNetworks.from_state(self._shape, state)
