"""The running average of a network's parameters along its training."""

from typing import Any

import torch

from asennp.models.network import AtomicNetworks


class Average:
    """Exponential moving average a <- d a + (1 - d) p, with d = min(decay, (1 + t)/(10 + t)) after step t.

    Parameters
    ----------
    networks
        Networks that hold the average; it starts from what they are.
    decay
        Limit of d.
    """

    def __init__(self, networks: AtomicNetworks, decay: float) -> None:
        self.networks = networks
        self._decay = decay
        self._steps = 0

    @torch.no_grad()
    def update(self, networks: AtomicNetworks) -> None:
        """Take in the parameters after a step."""
        self._steps += 1
        decay = min(self._decay, (1 + self._steps) / (10 + self._steps))
        for mean, parameter in zip(self.networks.parameters(), networks.parameters()):
            mean.lerp_(parameter.detach(), 1.0 - decay)

    def state(self) -> dict[str, Any]:
        """Return what continues the average exactly."""
        tensors = {name: tensor.clone() for name, tensor in self.networks.named_parameters().items()}
        return {"steps": self._steps, "networks": tensors}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over a state from `state`."""
        self._steps = state["steps"]
        self.networks.load_state({name: tensor.numpy() for name, tensor in state["networks"].items()})
