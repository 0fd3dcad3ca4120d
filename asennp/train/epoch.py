"""Passes over the training frames, of one member or of several together."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from asennp.errors import InputError
from asennp.models.network import AtomicNetworks
from asennp.train.average import Average
from asennp.train.batch import loss_and_gradients
from asennp.train.config import TrainConfig
from asennp.train.optimizers import Optimizers
from asennp.train.source import Source, rounds

#: A loss this many times the least so far has left what was learnt.
_RUNAWAY = 1e3


class Member:
    """A member in training.

    Parameters
    ----------
    config
        Its settings.
    frames
        Indices of its training frames.
    offsets
        (n_species,) energy offsets, eV.
    networks
        One member, which may share its memory with others' (`AtomicNetworks.members`).
    average
        Networks to keep the running average of the parameters in, if any.

    Attributes
    ----------
    epoch
        Passes taken.
    """

    def __init__(
        self,
        config: TrainConfig,
        frames: np.ndarray,
        offsets: np.ndarray,
        networks: AtomicNetworks,
        average: AtomicNetworks | None = None,
    ) -> None:
        self.config = config
        self.frames = frames
        self.offsets = offsets
        self.networks = networks
        self.optimizers = Optimizers(networks, config)
        self.average: Average | None = None
        if average is not None:
            assert config.ema_decay is not None
            self.average = Average(average, config.ema_decay)
        self.epoch = 0

    @property
    def shown(self) -> AtomicNetworks:
        """The networks that are validated and kept."""
        return self.networks if self.average is None else self.average.networks

    def order(self) -> np.ndarray:
        """Return the training frames in the order of the next epoch.

        It follows from seed and epoch alone, so a resumed training goes on as it was.
        """
        return np.random.default_rng([self.config.seed, self.epoch]).permutation(self.frames)

    def step(self) -> None:
        """Change the parameters along their gradients."""
        self.optimizers.step()
        if self.average is not None:
            self.average.update(self.networks)

    def state(self) -> dict[str, Any]:
        """Return what continues the training exactly."""
        return {
            "epoch": self.epoch,
            "networks": tensors_of(self.networks),
            "offsets": torch.from_numpy(self.offsets),
            "optimizers": self.optimizers.state(),
            "average": None if self.average is None else self.average.state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over a state from `state`."""
        self.epoch = state["epoch"]
        self.networks.load_state({name: tensor.numpy() for name, tensor in state["networks"].items()})
        self.offsets = state["offsets"].numpy()
        self.optimizers.load_state(state["optimizers"])
        if self.average is not None:
            self.average.load_state(state["average"])


def tensors_of(networks: AtomicNetworks) -> dict[str, torch.Tensor]:
    """Return copies of the parameters, by name, on the CPU."""
    return {name: torch.from_numpy(array) for name, array in networks.state().items()}


def run_epoch(networks: AtomicNetworks, members: Sequence[Member | None], source: Source) -> np.ndarray:
    """Take one pass over the training frames of each member; return their mean losses on the way, (M,).

    Parameters
    ----------
    networks
        Networks of all members, with which those of each share their memory.
    members
        One for each of them; None is left as it is.
    source
        The frames. All members take a step in one evaluation, each on a batch of its own frames. The settings
        that decide the loss are those of the first.

    Raises
    ------
    InputError
        The memory of a GPU is full.
    """
    config = next(member.config for member in members if member is not None)
    nothing = np.zeros(0, np.int64)
    orders = [nothing if member is None else member.order() for member in members]
    offsets = np.array([np.zeros(networks.settings.n_species) if m is None else m.offsets for m in members])
    for member in members:
        if member is not None:
            member.optimizers.begin_epoch(member.epoch)
            member.epoch += 1
    totals = torch.zeros(len(members), dtype=torch.float64, device=networks.device)
    for frames, owner in rounds(orders, config.batch_size):
        own = owner if len(members) > 1 else None
        try:
            loss = loss_and_gradients(networks, config, source, frames, offsets, own)
        except torch.cuda.OutOfMemoryError as error:
            raise InputError(
                "the memory of the GPU is full",
                where="training",
                got=f"a step on {len(frames)} frames for {len(members)} members",
                do="lower batch_size, train fewer members together, or train on the CPU (device='cpu'); the "
                "checkpoints are kept",
            ) from error
        counts = np.bincount(owner, minlength=len(members))
        for member, count in zip(members, counts):
            if member is not None and count:
                member.step()
        totals += loss.total * torch.from_numpy(counts).to(totals)
    return totals.cpu().numpy() / [max(1, len(order)) for order in orders]


def refuse_divergence(config: TrainConfig, losses: Sequence[float], kept: str) -> None:
    """Refuse a training whose last loss is not finite, or far above the least before it.

    Parameters
    ----------
    config
        For the settings to lower.
    losses
        The loss so far, the last the newest.
    kept
        What is left to begin from, in words.

    Raises
    ------
    InputError
        The training has diverged; says which settings to lower.
    """
    last, least = losses[-1], min([np.inf, *losses[:-1]])
    if np.isfinite(last) and last <= _RUNAWAY * least:
        return
    raise InputError(
        "the training has diverged",
        where=f"epoch {len(losses) - 1}",
        expected=f"a finite loss below {_RUNAWAY:g} times the least so far ({least:.3g})",
        got=f"{last:.3g}",
        do=f"lower lr_weights (now {config.lr_weights:g}) and lr_biases (now {config.bias_rate:g}), or set "
        f"gradient_clip; {kept}",
    )
