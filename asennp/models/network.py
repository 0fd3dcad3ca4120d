"""Per-species feed-forward networks of a committee, with hand-written first and second derivatives."""

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import gelu
from torch.nn.utils.rnn import pad_sequence

from asennp.errors import InputError
from asennp.models import kernels_network
from asennp.models.kernels_simd import LANES

#: Type by name, of descriptors and of networks.
PRECISIONS = {"float32": (np.float32, torch.float32), "float64": (np.float64, torch.float64)}
#: Atoms that pass the networks at once in a prediction.
_CHUNK = 256
_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)


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


@dataclass(eq=False)
class _Branch:
    """What the forward and the reverse pass over the atoms of one species leave behind.

    Shapes: inputs[l] (M or 1, n, width l), z[l] (M, n, width l+1), energies (M, n); for each hidden layer
    the slope phi'(z), the back-propagated de/da (`upper`) and de/dz (`delta`).
    """

    rows: Tensor
    inputs: list[Tensor]
    z: list[Tensor] = field(default_factory=list)
    slope: list[Tensor] = field(default_factory=list)
    upper: list[Tensor] = field(default_factory=list)
    delta: list[Tensor] = field(default_factory=list)
    energies: Tensor = field(default_factory=lambda: torch.empty(0))


class _Shared:
    """Every member sees every atom: results are (M, N, ...)."""

    def __init__(self, n_members: int, n_atoms: int) -> None:
        self._shape = n_members, n_atoms

    def rows(self, mask: Tensor) -> Tensor:
        """Return the atoms of a species (n,)."""
        return torch.nonzero(mask).squeeze(1)

    def take(self, values: Tensor, rows: Tensor) -> Tensor:
        """Return rows of (N, k) or (M, N, k) as (1 or M, n, k)."""
        return values.index_select(-2, rows).reshape(-1, len(rows), values.shape[-1])

    def gather(self, like: Tensor, parts: Iterable[tuple[Tensor, Tensor]], *width: int) -> Tensor:
        """Put values (M, n, *width) of the species back in the order of the atoms."""
        result = like.new_empty((*self._shape, *width))
        for rows, values in parts:
            result.index_copy_(1, rows, values)
        return result


class _Own:
    """Every atom passes the networks of one member only: results are (N, ...).

    Products of all members are one call, so the shorter ones are filled up with a row of zeros, which adds
    nothing to any gradient.
    """

    def __init__(self, n_members: int, member: Tensor) -> None:
        self._n_members = n_members
        self._member = member

    def rows(self, mask: Tensor) -> Tensor:
        """Return the atoms of a species by their member (M, n); N is the row of zeros."""
        found = [torch.nonzero(mask & (self._member == k)).squeeze(1) for k in range(self._n_members)]
        return pad_sequence(found, batch_first=True, padding_value=len(self._member))

    def take(self, values: Tensor, rows: Tensor) -> Tensor:
        """Return rows of (N, k) as (M, n, k)."""
        return torch.cat([values, values.new_zeros(1, values.shape[1])])[rows]

    def gather(self, like: Tensor, parts: Iterable[tuple[Tensor, Tensor]], *width: int) -> Tensor:
        """Put values (M, n, *width) of the species back in the order of the atoms."""
        result = like.new_empty((len(self._member) + 1, *width))
        for rows, values in parts:
            result.index_copy_(0, rows.flatten(), values.flatten(0, 1))
        return result[:-1]


class Forward:
    """One evaluation of the networks: energies now, gradients and parameter gradients on request.

    Attributes
    ----------
    energies
        Atomic energies e in eV: (M, N), or (N,) where every atom has its member.
    """

    def __init__(
        self, networks: "AtomicNetworks", features: Tensor, species: Tensor, member: Tensor | None = None
    ) -> None:
        n_members = networks.n_members
        self._networks = networks
        self._n_features = features.shape[1]
        self._atoms = _Shared(n_members, len(features)) if member is None else _Own(n_members, member)
        self._branches: list[_Branch | None] = []
        self._gradients: Tensor | None = None
        for number in range(networks.settings.n_species):
            rows = self._atoms.rows(species == number).to(networks.device)
            self._branches.append(self._run(number, rows, features) if rows.numel() else None)
        self.energies = self._gather(lambda _, branch: branch.energies)

    def _run(self, species: int, rows: Tensor, features: Tensor) -> _Branch:
        """Take the atoms of one species through the layers."""
        weights, biases = self._networks.weights[species], self._networks.biases[species]
        branch = _Branch(rows, [self._atoms.take(features, rows)])
        for weight, bias in zip(weights[:-1], biases[:-1]):
            z = self._networks.product(branch.inputs[-1], weight).add_(bias.unsqueeze(1))
            branch.z.append(z)
            branch.inputs.append(gelu(z))
        branch.energies = _affine(branch.inputs[-1], weights[-1], biases[-1]).squeeze(2)
        return branch

    def _gather(self, value: Callable[[int, _Branch], Tensor], *width: int) -> Tensor:
        """Return a quantity of all atoms in their order."""
        like = self._networks.weights[0][0]
        parts = ((b.rows, value(species, b)) for species, b in enumerate(self._branches) if b is not None)
        return self._atoms.gather(like, parts, *width)

    @torch.no_grad()
    def gradients(self) -> Tensor:
        """Return g = de/dG (M, N, F) or (N, F), the gradient of each atom's energy by its own features."""
        if self._gradients is None:
            self._gradients = self._gather(self._reverse, self._n_features)
        return self._gradients

    def _reverse(self, species: int, branch: _Branch) -> Tensor:
        """Back-propagate a unit energy and keep what `accumulate` needs."""
        weights = self._networks.weights[species]
        upper = weights[-1].mT  # (M, 1, width), alike for every atom
        for weight, z in zip(reversed(weights[:-1]), reversed(branch.z)):
            slope = torch.ops.aten.gelu_backward(torch.ones_like(z), z)
            delta = upper * slope
            branch.slope.insert(0, slope)
            branch.upper.insert(0, upper)
            branch.delta.insert(0, delta)
            upper = self._networks.product(delta, weight.mT)
        return upper

    @torch.no_grad()
    def accumulate(
        self, energy_bar: Tensor, tangent: Tensor | None = None, frozen: Sequence[int] = ()
    ) -> None:
        """Add d/dtheta [sum_i energy_bar_i e_i + sum_i tangent_i . de_i/dG_i] to the parameters' ``grad``.

        With dual numbers a' = (da/dG) tangent the bracket is sum(energy_bar e + e'), and one reverse sweep
        over (a, a') gives the gradient: z'-bar is the delta of `gradients`, and
        z-bar = a-bar phi'(z) + a'-bar phi''(z) z'.

        Parameters
        ----------
        energy_bar
            dLoss/de, (N,) for all members alike or (M, N); (N,) where every atom has its member.
        tangent
            dLoss/dg, (N, F) or (M, N, F), alike; None if the loss has no term in g (no forces, no stress).
        frozen
            Layers (0 is the first) that get no gradient.
        """
        self.gradients()
        for species, branch in enumerate(self._branches):
            if branch is None:
                continue
            bar = self._atoms.take(energy_bar.unsqueeze(-1), branch.rows)
            if tangent is None:
                self._accumulate_energy(species, branch, bar, frozen)
            else:
                self._accumulate_dual(species, branch, bar, self._atoms.take(tangent, branch.rows), frozen)

    def _accumulate_energy(self, species: int, branch: _Branch, bar: Tensor, frozen: Sequence[int]) -> None:
        """Reverse sweep of sum(bar e) alone: every z-bar is bar times delta."""
        networks, last = self._networks, len(branch.z)
        for layer in range(last + 1):
            if layer in frozen:
                continue
            z_bar = bar.expand(networks.n_members, -1, -1) if layer == last else bar * branch.delta[layer]
            networks.add_gradient(species, layer, [(branch.inputs[layer], z_bar)], z_bar)

    def _accumulate_dual(
        self, species: int, branch: _Branch, bar: Tensor, tilt: Tensor, frozen: Sequence[int]
    ) -> None:
        """Reverse sweep of sum(bar e + e')."""
        networks, last = self._networks, len(branch.z)
        weights = networks.weights[species]
        dual, z_dual = [tilt], []
        for weight, slope in zip(weights[:-1], branch.slope):
            z_dual.append(networks.product(dual[-1], weight))
            dual.append(slope * z_dual[-1])
        bar = bar.expand(networks.n_members, -1, -1)
        if last not in frozen:
            ones = torch.ones_like(bar)
            networks.add_gradient(species, last, [(branch.inputs[last], bar), (dual[last], ones)], bar)
        lowest = min((layer for layer in range(last) if layer not in frozen), default=last)
        a_bar = bar * weights[last].mT
        for layer in range(last - 1, lowest - 1, -1):
            # a'-bar phi''(z) z' with phi'' = (2 - z^2) exp(-z^2/2) / sqrt(2 pi)
            z = branch.z[layer]
            square = z * z
            curvature = square.mul(-0.5).sub_(_LOG_SQRT_2PI).exp_().mul_(square.sub_(2.0).neg_())
            curvature.mul_(z_dual[layer]).mul_(branch.upper[layer])
            z_bar = curvature.addcmul_(a_bar, branch.slope[layer])
            if layer not in frozen:
                pairs = [(branch.inputs[layer], z_bar), (dual[layer], branch.delta[layer])]
                networks.add_gradient(species, layer, pairs, z_bar)
            if layer > lowest:
                a_bar = networks.product(z_bar, weights[layer].mT)


class AtomicNetworks:
    """Networks e_i = f_species(i)(G_i) of M committee members, evaluated together.

    Attributes
    ----------
    weights, biases
        ``weights[s][l]`` (M, in, out) and ``biases[s][l]`` (M, out) of species s and layer l: plain
        tensors whose ``grad`` is filled by `accumulate`, for any optimiser of torch.
    half_products
        Whether `forward` and what follows from it multiply matrices in bfloat16; the output layer, the
        activations and all sums stay in the parameters' type.
    """

    def __init__(
        self, settings: NetworkSettings, weights: list[list[Tensor]], biases: list[list[Tensor]]
    ) -> None:
        self.settings = settings
        self.weights = weights
        self.biases = biases
        self.half_products = False

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

    def product(self, left: Tensor, right: Tensor) -> Tensor:
        """Return left (M or 1, n, k) times right (M, k, m), rounded as `half_products` says."""
        if self.half_products:
            return _matmul(left.bfloat16(), right.bfloat16()).to(left.dtype)
        return _matmul(left, right)

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

    @torch.no_grad()
    def forward(self, features: Tensor, species: Tensor, member: Tensor | None = None) -> Forward:
        """Evaluate the networks, keeping what the derivatives need.

        Parameters
        ----------
        features
            Descriptors G (N, F).
        species
            Indices of the atoms' species (N,), on the CPU: a GPU would have to be waited for.
        member
            Member whose networks each atom passes (N,), on the CPU; by default every atom passes all.
        """
        features = features.detach().to(device=self.device, dtype=self.dtype)
        return Forward(self, features, species, member)

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
            outputs, slope = activate(_matmul(outputs, weight), bias)
            slopes.append(slope)
        energies, upper = close(_matmul(outputs, weights[-2]), biases[-2], weights[-1], biases[-1])
        for weight, slope in zip(reversed(weights[1:-1]), reversed(slopes)):
            upper = torch.bmm(upper, weight.mT).mul_(slope)
        return energies, torch.bmm(upper, weights[0].mT)

    def accumulate(
        self, features: Tensor, species: Tensor, energy_bar: Tensor, tangent: Tensor | None = None
    ) -> None:
        """Evaluate, then add the parameter gradients (see `Forward.accumulate`)."""
        self.forward(features, species).accumulate(energy_bar, tangent)

    def add_gradient(
        self, species: int, layer: int, pairs: Sequence[tuple[Tensor, Tensor]], bias_bar: Tensor
    ) -> None:
        """Add sum over pairs of left^T right to a weight's gradient and sum_n bias_bar to its bias's."""
        weight, bias = self.weights[species][layer], self.biases[species][layer]
        if weight.grad is None:
            weight.grad = torch.zeros_like(weight)
            bias.grad = torch.zeros_like(bias)
        for left, right in pairs:
            if self.half_products:
                weight.grad += self.product(left.mT, right)
            else:
                weight.grad.baddbmm_(left.mT.expand(self.n_members, -1, -1), right)
        assert bias.grad is not None
        bias.grad += bias_bar.sum(1)


def _affine(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return inputs W + b for every member, (M, n, out)."""
    return torch.baddbmm(bias.unsqueeze(1), inputs.expand(len(weight), -1, -1), weight)


def _matmul(inputs: Tensor, weight: Tensor) -> Tensor:
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
    return _affine(values, weight, last).squeeze(2), slope.mul_(weight.mT)
