"""Adam with decoupled decay on the weights, plain gradient descent on the biases, one schedule for both."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from asennp.models.network import AtomicNetworks
from asennp.train.config import TrainConfig


def _parameters(networks: AtomicNetworks, config: TrainConfig, kind: str) -> list[list[Tensor]]:
    """Return the trained parameters of each layer, over the species."""
    tensors = networks.weights if kind == "weight" else networks.biases
    free = [layer for layer in range(networks.n_layers) if layer + 1 not in config.frozen_layers]
    return [[species[layer] for species in tensors] for layer in free]


class Optimizers:
    """The two optimisers and their schedule, stepped and saved together.

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
        decay = [config.weight_decay[k] if k < len(config.weight_decay) else 0.0 for k in free]
        groups = [
            {"params": tensors, "weight_decay": value}
            for tensors, value in zip(_parameters(networks, config, "weight"), decay)
        ]
        biases = [tensor for layer in _parameters(networks, config, "bias") for tensor in layer]
        self._weights = torch.optim.AdamW(groups, lr=config.lr_weights, fused=True)
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
            for optimizer in (self._weights, self._biases)
        ]

    @property
    def learning_rate(self) -> float:
        """Current rate of the weights."""
        return float(self._weights.param_groups[0]["lr"])

    def begin_epoch(self, epoch: int) -> None:
        """Set the rates of an epoch (counted from 0) where the schedule fixes them beforehand."""
        if self._config.schedule != "cosine":
            return
        factor = 0.5 * (1.0 + math.cos(math.pi * epoch / self._config.epochs))
        for optimizer, rate in (
            (self._weights, self._config.lr_weights),
            (self._biases, self._config.bias_rate),
        ):
            for group in optimizer.param_groups:
                group["lr"] = factor * rate

    def step(self) -> None:
        """Change the parameters along their gradients, cut to `gradient_clip` where that is set."""
        if self._config.gradient_clip is not None:
            groups = [*self._weights.param_groups, *self._biases.param_groups]
            tensors = [tensor for group in groups for tensor in group["params"]]
            torch.nn.utils.clip_grad_norm_(tensors, self._config.gradient_clip)
        self._weights.step()
        self._biases.step()

    def end_epoch(self, value: float) -> None:
        """Tell the schedule the selection quantity of the epoch."""
        if self._config.schedule == "plateau":
            for plateau in self._plateaus:
                plateau.step(value)

    def state(self) -> dict[str, Any]:
        """Return what continues the optimisation exactly."""
        return {
            "weights": self._weights.state_dict(),
            "biases": self._biases.state_dict(),
            "plateaus": [
                {k: v for k, v in p.state_dict().items() if isinstance(v, (int, float, str, list))}
                for p in self._plateaus
            ],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over a state from `state`."""
        self._weights.load_state_dict(state["weights"])
        self._biases.load_state_dict(state["biases"])
        for plateau, values in zip(self._plateaus, state["plateaus"]):
            plateau.load_state_dict(values)
