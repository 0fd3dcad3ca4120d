"""The loss of a batch and its derivatives: the one place where its conventions are fixed.

Per frame of N atoms, averaged over the frames of the batch (E, F, W in Hartree, Hartree/Å, Hartree):

    L = a (E - Eref)^2 / sqrt(N)               T-Train, total energies
     or a (1/N) sum_i (e_i - eref_i)^2         A-Train, atomic energies
      + b (1/N) sum_i |F_i - Fref_i|^2
      + c sum_{ab} (W - Wref)_ab^2             W = V sigma = dE/deps, all nine components

Files, models and everything else here are in eV and Å; the published weights a, b, c are meant for
Hartree, and only this module converts.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from asennp.train.config import TrainConfig
from asennp.units import HARTREE_EV

_PER_HARTREE2 = 1.0 / HARTREE_EV**2


@dataclass(frozen=True, eq=False)
class Targets:
    """What the frames of a batch should give, in eV and Å; tensors of one device, in double precision.

    Attributes
    ----------
    sizes
        (n_frames,) atoms of each frame.
    energy
        (n_frames,) total energies.
    energies
        (n_atoms,) atomic energies.
    forces
        (n_atoms, 3).
    virial
        (n_frames, 3, 3) dE/deps = V sigma.
    frame
        (n_atoms,) frame of each atom.
    member
        (n_frames,) committee member that each frame is for; all have the same weight in the mean over the
        frames of their member.
    n_frames
        (M,) frames of each member.
    """

    sizes: Tensor
    energy: Tensor
    energies: Tensor
    forces: Tensor
    virial: Tensor
    frame: Tensor
    member: Tensor
    n_frames: Tensor

    def by_frame(self, values: Tensor) -> Tensor:
        """Sum values of atoms (n_atoms,) over each frame (n_frames,)."""
        return values.new_zeros(len(self.sizes)).index_add_(0, self.frame, values)

    def by_member(self, values: Tensor) -> Tensor:
        """Sum values of frames (n_frames,) over each member (M,)."""
        return values.new_zeros(len(self.n_frames)).index_add_(0, self.member, values)


@dataclass(frozen=True, eq=False)
class Loss:
    """A loss and its derivatives by the prediction.

    Attributes
    ----------
    total, energy, forces, stress
        The loss of each member (M,) and its three terms.
    energy_bar
        (n_atoms,) dL/de_i.
    force_bar
        (n_atoms, 3) dL/dF, or None without that term.
    virial_bar
        (n_frames, 3, 3) dL/dW, or None without that term.
    """

    total: Tensor
    energy: Tensor
    forces: Tensor
    stress: Tensor
    energy_bar: Tensor
    force_bar: Tensor | None
    virial_bar: Tensor | None


def compute_loss(
    config: TrainConfig,
    targets: Targets,
    energies: Tensor,
    forces: Tensor | None = None,
    virial: Tensor | None = None,
) -> Loss:
    """Compute the loss of a batch and its derivatives.

    Parameters
    ----------
    config
        For stage and weights.
    targets
        The labels.
    energies
        (n_atoms,) predicted atomic energies.
    forces, virial
        (n_atoms, 3) and (n_frames, 3, 3) predictions; needed where their weight is not 0.
    """
    scale = _PER_HARTREE2 / targets.n_frames[targets.member].double()  # of a frame
    loss_energy, energy_bar = _energy_term(config, targets, energies, scale)
    loss_forces = loss_stress = torch.zeros_like(loss_energy)
    force_bar = virial_bar = None
    if config.force_weight > 0:
        assert forces is not None
        difference = forces - targets.forces
        weight = (2.0 * config.force_weight * scale / targets.sizes)[targets.frame, None]
        force_bar = weight * difference
        loss_forces = 0.5 * targets.by_member(targets.by_frame((force_bar * difference).sum(1)))
    if config.stress_weight > 0:
        assert virial is not None
        difference = virial - targets.virial
        virial_bar = 2.0 * config.stress_weight * scale[:, None, None] * difference
        loss_stress = 0.5 * targets.by_member((virial_bar * difference).sum((1, 2)))
    total = loss_energy + loss_forces + loss_stress
    return Loss(total, loss_energy, loss_forces, loss_stress, energy_bar, force_bar, virial_bar)


def _energy_term(
    config: TrainConfig, targets: Targets, energies: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the term of each member (M,) and its derivative by the atomic energies (n_atoms,)."""
    if config.stage == "A-Train" and config.energy_weight > 0:
        difference = energies - targets.energies
        bar = (2.0 * config.energy_weight * scale / targets.sizes)[targets.frame] * difference
        return 0.5 * targets.by_member(targets.by_frame(bar * difference)), bar
    difference = targets.by_frame(energies) - targets.energy
    frame_bar = 2.0 * config.energy_weight * scale / targets.sizes.sqrt() * difference
    return 0.5 * targets.by_member(frame_bar * difference), frame_bar[targets.frame]
