"""Adam or Muon with decoupled decay on the weights, descent or Adam on the biases, one schedule for all."""

import math
from typing import Any

import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

from asennp.models.network import AtomicNetworks
from asennp.train.config import TrainConfig
from asennp.train.muon import Muon


class Optimizers:
    """The optimisers of weights and biases and their schedule, stepped and saved together.

    Parameters
    ----------
    networks
        Whose parameters are trained; layers in ``config.frozen_layers`` are left out.
    config
        Rates, decay and schedule.
    """

    def __init__(self, networks: AtomicNetworks, config: TrainConfig) -> None:
        self._config = config
        free = [layer for layer in range(networks.n_layers) if layer + 1 not in config.frozen_layers]
        groups = [
            {
                "params": [species[layer] for species in networks.weights],
                "weight_decay": config.weight_decay[layer] if layer < len(config.weight_decay) else 0.0,
            }
            for layer in free
        ]
        hidden: list[dict[str, Any]] = []
        if config.weight_optimizer == "muon":  # the output layer has no matrix to speak of
            hidden = [group for group, layer in zip(groups, free) if layer < networks.n_layers - 1]
            groups = [group for group, layer in zip(groups, free) if layer == networks.n_layers - 1]
        biases = [species[layer] for layer in free for species in networks.biases]
        rate = config.lr_weights
        self._weights: list[torch.optim.Optimizer] = []
        if hidden:
            self._weights.append(Muon(hidden, lr=rate))
        if groups:
            self._weights.append(torch.optim.AdamW(groups, lr=rate, fused=True))
        self._biases: torch.optim.Optimizer
        if config.bias_optimizer == "sgd":
            self._biases = torch.optim.SGD(biases, lr=config.bias_rate)
        else:
            self._biases = torch.optim.Adam(biases, lr=config.bias_rate, fused=True)
        self._plateaus = [
            ReduceLROnPlateau(
                optimizer,
                factor=config.plateau_factor,
                patience=config.plateau_patience,
                threshold=0.0,
                eps=0.0,
            )
            for optimizer in self._all
        ]

    @property
    def _all(self) -> list[torch.optim.Optimizer]:
        return [*self._weights, self._biases]

    @property
    def learning_rate(self) -> float:
        """Current rate of the weights."""
        return float(self._weights[0].param_groups[0]["lr"])

    def begin_epoch(self, epoch: int) -> None:
        """Set the rates of an epoch (counted from 0) where the schedule fixes them beforehand."""
        if self._config.schedule != "cosine":
            return
        factor = 0.5 * (1.0 + math.cos(math.pi * epoch / self._config.epochs))
        for optimizer in self._all:
            rate = self._config.bias_rate if optimizer is self._biases else self._config.lr_weights
            for group in optimizer.param_groups:
                group["lr"] = factor * rate

    def step(self) -> None:
        """Change the parameters along their gradients, cut to `gradient_clip` where that is set."""
        if self._config.gradient_clip is not None:
            groups = [group for optimizer in self._all for group in optimizer.param_groups]
            tensors = [tensor for group in groups for tensor in group["params"]]
            torch.nn.utils.clip_grad_norm_(tensors, self._config.gradient_clip)
        for optimizer in self._all:
            optimizer.step()

    def end_epoch(self, value: float) -> None:
        """Tell the schedule the selection quantity of the epoch."""
        if self._config.schedule == "plateau":
            for plateau in self._plateaus:
                plateau.step(value)

    def state(self) -> dict[str, Any]:
        """Return what continues the optimisation exactly."""
        return {
            "weights": [optimizer.state_dict() for optimizer in self._weights],
            "biases": self._biases.state_dict(),
            "plateaus": [
                {k: v for k, v in p.state_dict().items() if isinstance(v, (int, float, str, list))}
                for p in self._plateaus
            ],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over a state from `state`."""
        for optimizer, values in zip(self._weights, state["weights"]):
            optimizer.load_state_dict(values)
        self._biases.load_state_dict(state["biases"])
        for plateau, values in zip(self._plateaus, state["plateaus"]):
            plateau.load_state_dict(values)
