"""Energies, forces and virials of many prepared frames at once, and the way back to the parameters."""

import numpy as np
import torch
from torch import Tensor

from asennp.models.forward import Forward
from asennp.models.network import AtomicNetworks
from asennp.train.config import TrainConfig
from asennp.train.losses import Loss, compute_loss
from asennp.train.source import Source


class Batch:
    """The prediction of networks for some prepared frames (without offsets).

    Parameters
    ----------
    networks
        One member; several with `member`.
    source
        The frames.
    frames
        Which of them.
    derivatives
        Whether forces and virials are wanted.
    member
        (n_frames,) the member that each frame is for.
    half_products
        Whether matrices are multiplied in bfloat16.

    Attributes
    ----------
    energies
        (n_atoms,) in the order of the frames, float64.
    forces, virial
        (n_atoms, 3) and (n_frames, 3, 3) = dE/deps, float64; None without derivatives.
    """

    def __init__(
        self,
        networks: AtomicNetworks,
        source: Source,
        frames: np.ndarray,
        derivatives: bool = True,
        member: np.ndarray | None = None,
        half_products: bool = False,
    ) -> None:
        self._networks = networks
        self._descriptors = source.take(frames)
        data = source.data
        species = torch.from_numpy(data.species[data.atoms_of(frames)])
        own = None if member is None else torch.from_numpy(np.repeat(member, data.sizes[frames]))
        self._forward = Forward(networks, self._descriptors.features, species, own, half_products)
        self.energies: Tensor = self._forward.energies.double().reshape(-1)
        self.forces: Tensor | None = None
        self.virial: Tensor | None = None
        if derivatives:
            gradients = self._forward.gradients().reshape(self._descriptors.features.shape)
            slopes, self.virial = self._descriptors.pull_back(gradients)
            self.forces = -slopes

    def accumulate(self, loss: Loss, frozen: tuple[int, ...] = ()) -> None:
        """Add the derivative of a loss to the gradients of the parameters.

        F = -dE/dr and W = dE/deps are linear in g = de/dG: dL/dg is the change of the features along
        the displacements -dL/dF and the strain dL/dW.
        """
        dtype, tangent = self._networks.dtype, None
        if self.forces is not None and self.virial is not None:
            still = torch.zeros_like(self.forces) if loss.force_bar is None else -loss.force_bar
            strain = torch.zeros_like(self.virial) if loss.virial_bar is None else loss.virial_bar
            tangent = self._descriptors.push_forward(still, strain).to(dtype)
        self._forward.accumulate(loss.energy_bar.to(dtype), tangent, frozen)


def loss_and_gradients(
    networks: AtomicNetworks,
    config: TrainConfig,
    source: Source,
    frames: np.ndarray,
    offsets: np.ndarray,
    member: np.ndarray | None = None,
) -> Loss:
    """Compute the loss of a batch and set the gradients of the parameters to its derivative.

    With several members (see `Batch`) `offsets` is (M, n_species), and the loss is each member's own.
    """
    derivatives = config.force_weight > 0 or config.stress_weight > 0
    batch = Batch(networks, source, frames, derivatives, member, config.amp)
    targets = source.targets(frames, offsets, member)
    loss = compute_loss(config, targets, batch.energies, batch.forces, batch.virial)
    networks.zero_grad()
    batch.accumulate(loss, tuple(layer - 1 for layer in config.frozen_layers))
    return loss
