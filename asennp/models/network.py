"""Per-species feed-forward networks of a committee: parameters, energies and hand-written slopes."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import gelu

from asennp.errors import InputError
from asennp.models import kernels_network
from asennp.models.kernels_simd import LANES

#: Type by name, of descriptors and of networks.
PRECISIONS = {"float32": (np.float32, torch.float32), "float64": (np.float64, torch.float64)}
#: Atoms that pass the networks at once in a prediction.
_CHUNK = 256


@dataclass(frozen=True)
class NetworkSettings:
    """Shape of the atomic networks: the same for every species, with weights of its own.

    Parameters
    ----------
    n_features, n_species
        Length of the descriptor and number of species.
    hidden
        Widths of the hidden layers.
    activation
        ``"gelu"``: phi(z) = z Phi(z) with the exact normal distribution function Phi.
    """

    n_features: int
    n_species: int
    hidden: tuple[int, ...] = (224, 192, 160)
    activation: str = "gelu"

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(int(width) for width in self.hidden))
        if self.n_features < 1 or self.n_species < 1 or not self.hidden or min(self.hidden) < 1:
            raise InputError(
                "a network needs features, species and hidden layers",
                where="NetworkSettings",
                expected="positive integers",
                got=f"n_features={self.n_features}, n_species={self.n_species}, hidden={self.hidden}",
            )
        if self.activation != "gelu":
            raise InputError(
                "unknown activation", where="NetworkSettings", expected="'gelu'", got=self.activation
            )

    @property
    def widths(self) -> tuple[int, ...]:
        """Widths of all layers, from the features to the one output."""
        return (self.n_features, *self.hidden, 1)

    def todict(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        return {**asdict(self), "hidden": list(self.hidden)}


class AtomicNetworks:
    """Networks e_i = f_species(i)(G_i) of M committee members, evaluated together.

    Attributes
    ----------
    weights, biases
        ``weights[s][l]`` (M, in, out) and ``biases[s][l]`` (M, out) of species s and layer l: plain
        tensors whose ``grad`` `asennp.models.forward.Forward` fills, for any optimiser of torch.
    """

    def __init__(
        self, settings: NetworkSettings, weights: list[list[Tensor]], biases: list[list[Tensor]]
    ) -> None:
        self.settings = settings
        self.weights = weights
        self.biases = biases

    @classmethod
    def random(
        cls,
        settings: NetworkSettings,
        generator: torch.Generator,
        n_members: int = 1,
        dtype: torch.dtype = torch.float32,
    ) -> Self:
        """Draw Kaiming normal weights (variance 2/fan-in); biases start at zero."""
        widths = settings.widths
        weights: list[list[Tensor]] = [[] for _ in range(settings.n_species)]
        biases: list[list[Tensor]] = [[] for _ in range(settings.n_species)]
        for species in range(settings.n_species):
            for fan_in, fan_out in itertools.pairwise(widths):
                draw = torch.randn((n_members, fan_in, fan_out), generator=generator, dtype=torch.float64)
                weights[species].append((draw * math.sqrt(2.0 / fan_in)).to(dtype))
                biases[species].append(torch.zeros((n_members, fan_out), dtype=dtype))
        return cls(settings, weights, biases)

    @property
    def n_members(self) -> int:
        """Number of committee members M."""
        return len(self.weights[0][0])

    @property
    def n_layers(self) -> int:
        """Number of layers, the output layer counted."""
        return len(self.settings.hidden) + 1

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the parameters."""
        return self.weights[0][0].dtype

    @property
    def device(self) -> torch.device:
        """Where the parameters live."""
        return self.weights[0][0].device

    def named_parameters(self) -> dict[str, Tensor]:
        """Return the parameter tensors themselves by name, ``weight.S.L`` and ``bias.S.L``."""
        named = {}
        for species in range(self.settings.n_species):
            for layer in range(self.n_layers):
                named[f"weight.{species}.{layer}"] = self.weights[species][layer]
                named[f"bias.{species}.{layer}"] = self.biases[species][layer]
        return named

    def parameters(self) -> list[Tensor]:
        """Return the parameter tensors themselves."""
        return list(self.named_parameters().values())

    def zero_grad(self) -> None:
        """Set the gradients to zero, in place: `members` share them."""
        for parameter in self.parameters():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            else:
                parameter.grad.zero_()

    def state(self) -> dict[str, np.ndarray]:
        """Return copies of the parameters as named arrays."""
        return {name: value.detach().cpu().numpy().copy() for name, value in self.named_parameters().items()}

    @classmethod
    def from_state(cls, settings: NetworkSettings, state: Mapping[str, np.ndarray]) -> Self:
        """Rebuild networks from `state`; a missing, extra or misshapen array raises InputError."""
        widths = settings.widths
        n_members = len(state["bias.0.0"]) if "bias.0.0" in state else 1
        weights: list[list[Tensor]] = [[] for _ in range(settings.n_species)]
        biases: list[list[Tensor]] = [[] for _ in range(settings.n_species)]
        for species in range(settings.n_species):
            for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(widths)):
                shapes = ((n_members, fan_in, fan_out), (n_members, fan_out))
                for target, name, shape in zip((weights, biases), ("weight", "bias"), shapes):
                    key = f"{name}.{species}.{layer}"
                    if key not in state or state[key].shape != shape:
                        got = state[key].shape if key in state else "nothing"
                        raise InputError("parameters do not fit", where=key, expected=shape, got=got)
                    target[species].append(torch.tensor(state[key]))
        networks = cls(settings, weights, biases)
        if extra := sorted(set(state) - set(networks.named_parameters())):
            raise InputError("unknown parameters", where="state", got=", ".join(extra))
        return networks

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Overwrite the parameters in place (an optimiser keeps its hold on them)."""
        other = self.from_state(self.settings, state)
        if other.n_members != self.n_members:
            raise InputError(
                "another number of members", where="state", expected=self.n_members, got=other.n_members
            )
        for mine, theirs in zip(self.parameters(), other.parameters()):
            mine.copy_(theirs)

    def _map(self, function: Any) -> Self:
        weights = [[function(tensor) for tensor in layers] for layers in self.weights]
        biases = [[function(tensor) for tensor in layers] for layers in self.biases]
        return type(self)(self.settings, weights, biases)

    def to(self, dtype: torch.dtype | None = None, device: str | torch.device | None = None) -> Self:
        """Return a copy in another type or on another device."""
        return self._map(lambda tensor: tensor.detach().to(device=device, dtype=dtype, copy=True))

    def member(self, number: int) -> Self:
        """Return a copy of one member as networks of their own."""
        return self._map(lambda tensor: tensor.detach()[number : number + 1].clone())

    def members(self) -> list[Self]:
        """Return the members as networks of their own that share memory with these, gradients too."""
        self.zero_grad()

        def view(number: int) -> Any:
            def part(tensor: Tensor) -> Tensor:
                assert tensor.grad is not None
                mine = tensor[number : number + 1]
                mine.grad = tensor.grad[number : number + 1]
                return mine

            return part

        return [self._map(view(number)) for number in range(self.n_members)]

    @classmethod
    def stack(cls, members: Sequence["AtomicNetworks"]) -> Self:
        """Join networks of equal settings into one committee."""
        first = members[0]
        if any(member.settings != first.settings for member in members):
            raise InputError("members of a committee need the same settings", where="stack")
        parameters = [member.named_parameters() for member in members]
        joined = {
            name: torch.cat([p[name].detach() for p in parameters]).cpu().numpy() for name in parameters[0]
        }
        return cls.from_state(first.settings, joined)

    def energies_and_gradients(self, features: Tensor, species: Tensor) -> tuple[Tensor, Tensor]:
        """Return e (M, N) in eV and g = de/dG (M, N, F), keeping nothing else.

        Atoms pass in chunks: memory stays small, and the layers' outputs in the cache.
        """
        features, species = features.detach().to(self.device, self.dtype), species.to(self.device)
        energies = features.new_empty((self.n_members, len(features)))
        gradients = features.new_empty((self.n_members, *features.shape))
        for number in range(self.settings.n_species):
            for index in torch.nonzero(species == number).squeeze(1).split(_CHUNK):
                e, g = self._predict(number, features.index_select(0, index))
                energies.index_copy_(1, index, e)
                gradients.index_copy_(1, index, g)
        return energies, gradients

    @torch.no_grad()
    def _predict(self, species: int, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return e (M, n) and de/dG (M, n, F) of atoms of one species."""
        weights, biases = self.weights[species], self.biases[species]
        activate, close = (
            (_activate, _close) if self.device.type == "cpu" else (_activate_torch, _close_torch)
        )
        outputs, slopes = features.unsqueeze(0), []
        for weight, bias in zip(weights[:-2], biases[:-2]):
            outputs, slope = activate(multiply(outputs, weight), bias)
            slopes.append(slope)
        energies, upper = close(multiply(outputs, weights[-2]), biases[-2], weights[-1], biases[-1])
        for weight, slope in zip(reversed(weights[1:-1]), reversed(slopes)):
            upper = torch.bmm(upper, weight.mT).mul_(slope)
        return energies, torch.bmm(upper, weights[0].mT)


def affine(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return inputs W + b for every member, (M, n, out)."""
    return torch.baddbmm(bias.unsqueeze(1), inputs.expand(len(weight), -1, -1), weight)


def multiply(inputs: Tensor, weight: Tensor) -> Tensor:
    """Return inputs W for every member, (M, n, out)."""
    return torch.bmm(inputs.expand(len(weight), -1, -1), weight)


def _activate(z: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Return phi(z + b), in the place of z, and its slope (M, n, width)."""
    slope = torch.empty_like(z)
    lanes = LANES[str(z.dtype).removeprefix("torch.")]
    kernels_network.activate(z.numpy(), bias.detach().numpy(), slope.numpy(), lanes, (0,))
    return z, slope


def _close(z: Tensor, bias: Tensor, weight: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    """Return phi(z + b) w + last (M, n) and, in the place of z, its gradient by z (M, n, width)."""
    energies = z.new_empty(z.shape[:2])
    lanes = LANES[str(z.dtype).removeprefix("torch.")]
    tensors = z, bias.detach(), weight.detach().squeeze(2), last.detach().squeeze(1), energies
    arguments: tuple[Any, ...] = (*(tensor.numpy() for tensor in tensors), lanes, (0,))
    kernels_network.close(*arguments)
    return energies, z


def _activate_torch(z: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Do the same by torch, on any device."""
    z = z.add_(bias.unsqueeze(1))
    return gelu(z), torch.ops.aten.gelu_backward(torch.ones_like(z), z)


def _close_torch(z: Tensor, bias: Tensor, weight: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    """Do the same by torch, on any device."""
    values, slope = _activate_torch(z, bias)
    return affine(values, weight, last).squeeze(2), slope.mul_(weight.mT)
