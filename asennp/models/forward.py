"""An evaluation of a committee for training: energies, then their derivatives, by the parameters too."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import gelu
from torch.nn.utils.rnn import pad_sequence

from asennp.models.network import AtomicNetworks, affine, multiply

_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)


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

    Parameters
    ----------
    networks
        M members.
    features
        Descriptors G (N, F).
    species
        Indices of the atoms' species (N,), on the CPU: a GPU would have to be waited for.
    member
        Member whose networks each atom passes (N,), on the CPU; by default every atom passes all.
    half_products
        Multiply matrices in bfloat16; the output layer, the activations and all sums stay in the parameters'
        type.

    Attributes
    ----------
    energies
        Atomic energies e in eV: (M, N), or (N,) where every atom has its member.
    """

    @torch.no_grad()
    def __init__(
        self,
        networks: AtomicNetworks,
        features: Tensor,
        species: Tensor,
        member: Tensor | None = None,
        half_products: bool = False,
    ) -> None:
        features = features.detach().to(device=networks.device, dtype=networks.dtype)
        n_members = networks.n_members
        self._networks = networks
        self._half_products = half_products
        self._n_features = features.shape[1]
        self._atoms = _Shared(n_members, len(features)) if member is None else _Own(n_members, member)
        self._branches: list[_Branch | None] = []
        self._gradients: Tensor | None = None
        for number in range(networks.settings.n_species):
            rows = self._atoms.rows(species == number).to(networks.device)
            self._branches.append(self._run(number, rows, features) if rows.numel() else None)
        self.energies = self._gather(lambda _, branch: branch.energies)

    def _product(self, left: Tensor, right: Tensor) -> Tensor:
        """Return left (M or 1, n, k) times right (M, k, m)."""
        if self._half_products:
            return multiply(left.bfloat16(), right.bfloat16()).to(left.dtype)
        return multiply(left, right)

    def _run(self, species: int, rows: Tensor, features: Tensor) -> _Branch:
        """Take the atoms of one species through the layers."""
        weights, biases = self._networks.weights[species], self._networks.biases[species]
        branch = _Branch(rows, [self._atoms.take(features, rows)])
        for weight, bias in zip(weights[:-1], biases[:-1]):
            z = self._product(branch.inputs[-1], weight).add_(bias.unsqueeze(1))
            branch.z.append(z)
            branch.inputs.append(gelu(z))
        branch.energies = affine(branch.inputs[-1], weights[-1], biases[-1]).squeeze(2)
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
            upper = self._product(delta, weight.mT)
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
            self._add_gradient(species, layer, [(branch.inputs[layer], z_bar)], z_bar)

    def _accumulate_dual(
        self, species: int, branch: _Branch, bar: Tensor, tilt: Tensor, frozen: Sequence[int]
    ) -> None:
        """Reverse sweep of sum(bar e + e')."""
        networks, last = self._networks, len(branch.z)
        weights = networks.weights[species]
        dual, z_dual = [tilt], []
        for weight, slope in zip(weights[:-1], branch.slope):
            z_dual.append(self._product(dual[-1], weight))
            dual.append(slope * z_dual[-1])
        bar = bar.expand(networks.n_members, -1, -1)
        if last not in frozen:
            ones = torch.ones_like(bar)
            self._add_gradient(species, last, [(branch.inputs[last], bar), (dual[last], ones)], bar)
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
                self._add_gradient(species, layer, pairs, z_bar)
            if layer > lowest:
                a_bar = self._product(z_bar, weights[layer].mT)

    def _add_gradient(
        self, species: int, layer: int, pairs: Sequence[tuple[Tensor, Tensor]], bias_bar: Tensor
    ) -> None:
        """Add sum over pairs of left^T right to a weight's gradient and sum_n bias_bar to its bias's."""
        weight, bias = self._networks.weights[species][layer], self._networks.biases[species][layer]
        if weight.grad is None:
            weight.grad = torch.zeros_like(weight)
            bias.grad = torch.zeros_like(bias)
        for left, right in pairs:
            if self._half_products:
                weight.grad += self._product(left.mT, right)
            else:
                weight.grad.baddbmm_(left.mT.expand(len(weight), -1, -1), right)
        assert bias.grad is not None
        bias.grad += bias_bar.sum(1)
