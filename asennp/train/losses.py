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

import numpy as np

from asennp.train.config import TrainConfig
from asennp.units import HARTREE_EV

_PER_HARTREE2 = 1.0 / HARTREE_EV**2


@dataclass(frozen=True, eq=False)
class Targets:
    """What a batch of frames should give, in eV and Å.

    Attributes
    ----------
    sizes
        (n_frames,) atoms of each frame.
    energy
        (n_frames,) total energies.
    energies
        (n_atoms,) atomic energies, or None.
    forces
        (n_atoms, 3), or None.
    virial
        (n_frames, 3, 3) dE/deps = V sigma, or None.
    """

    sizes: np.ndarray
    energy: np.ndarray
    energies: np.ndarray | None
    forces: np.ndarray | None
    virial: np.ndarray | None

    @property
    def frame_of_atom(self) -> np.ndarray:
        """(n_atoms,) frame of each atom."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)


@dataclass(frozen=True, eq=False)
class Loss:
    """A loss and its derivatives by the prediction.

    Attributes
    ----------
    total, energy, forces, stress
        The loss and its three terms.
    energy_bar
        (n_atoms,) dL/de_i.
    force_bar
        (n_atoms, 3) dL/dF, or None without that term.
    virial_bar
        (n_frames, 3, 3) dL/dW, or None without that term.
    """

    total: float
    energy: float
    forces: float
    stress: float
    energy_bar: np.ndarray
    force_bar: np.ndarray | None
    virial_bar: np.ndarray | None


def compute_loss(
    config: TrainConfig,
    targets: Targets,
    energies: np.ndarray,
    forces: np.ndarray | None = None,
    virial: np.ndarray | None = None,
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
    n = targets.sizes.astype(float)
    frame = targets.frame_of_atom
    scale = _PER_HARTREE2 / len(n)
    loss_energy, energy_bar = _energy_term(config, targets, np.asarray(energies, dtype=float), scale)
    loss_forces = loss_stress = 0.0
    force_bar = virial_bar = None
    if config.force_weight > 0:
        assert forces is not None and targets.forces is not None
        difference = forces - targets.forces
        weight = (config.force_weight * scale / n)[frame, None]
        force_bar = 2.0 * weight * difference
        loss_forces = 0.5 * float(np.sum(force_bar * difference))
    if config.stress_weight > 0:
        assert virial is not None and targets.virial is not None
        difference = virial - targets.virial
        virial_bar = 2.0 * config.stress_weight * scale * difference
        loss_stress = 0.5 * float(np.sum(virial_bar * difference))
    total = loss_energy + loss_forces + loss_stress
    return Loss(total, loss_energy, loss_forces, loss_stress, energy_bar, force_bar, virial_bar)


def _energy_term(
    config: TrainConfig, targets: Targets, energies: np.ndarray, scale: float
) -> tuple[float, np.ndarray]:
    n = targets.sizes.astype(float)
    frame = targets.frame_of_atom
    if config.stage == "A-Train" and config.energy_weight > 0:
        assert targets.energies is not None
        difference = energies - targets.energies
        bar = 2.0 * (config.energy_weight * scale / n)[frame] * difference
        return 0.5 * float(np.sum(bar * difference)), bar
    difference = np.bincount(frame, weights=energies, minlength=len(n)) - targets.energy
    frame_bar = 2.0 * config.energy_weight * scale / np.sqrt(n) * difference
    return 0.5 * float(np.sum(frame_bar * difference)), frame_bar[frame]
