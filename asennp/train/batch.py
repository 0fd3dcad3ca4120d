"""Energies, forces and virials of many prepared frames at once, and the way back to the parameters."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from asennp.errors import InputError
from asennp.models.aev import Descriptor
from asennp.models.network import AtomicNetworks, Forward
from asennp.train.config import TrainConfig
from asennp.train.data import Features, Prepared
from asennp.train.losses import Loss, compute_loss

Map = Callable[[Callable[[int], None], int], None]


@contextmanager
def mapper(threads: int) -> Iterator[Map]:
    """Give a function that calls ``work(k)`` for k < n, by a pool of threads where there are several."""
    if threads == 1:

        def serial(work: Callable[[int], None], n: int) -> None:
            for k in range(n):
                work(k)

        yield serial
        return
    with ThreadPoolExecutor(threads) as pool:

        def parallel(work: Callable[[int], None], n: int) -> None:
            for _ in pool.map(work, range(n)):
                pass

        yield parallel


class Batch:
    """The prediction of networks for some prepared frames (without offsets).

    Parameters
    ----------
    networks
        One member.
    data
        Prepared frames.
    frames
        Which of them.
    run
        From `mapper`.
    derivatives
        Whether forces and virials are wanted.

    Attributes
    ----------
    energies
        (n_atoms,) in the order of the frames, float64.
    forces, virial
        (n_atoms, 3) and (n_frames, 3, 3) = dE/deps, float64; None without derivatives.
    """

    def __init__(
        self, networks: AtomicNetworks, data: Prepared, frames: np.ndarray, run: Map, derivatives: bool = True
    ) -> None:
        self._networks = networks
        self._run = run
        descriptors: list[Any] = [None] * len(frames)

        def fetch(k: int) -> None:
            descriptors[k] = data.descriptors[frames[k]]

        run(fetch, len(frames))  # side by side, as they may have to be computed
        self._descriptors: list[Descriptor | Features] = descriptors
        self._first = np.concatenate([[0], np.cumsum(data.sizes[frames])])
        features = np.concatenate([descriptor.features for descriptor in self._descriptors])
        species = torch.from_numpy(data.species[data.atoms_of(frames)])
        self._forward: Forward = networks.forward(torch.from_numpy(features), species)
        self.energies: np.ndarray = self._forward.energies[0].numpy().astype(float)
        self.forces: np.ndarray | None = None
        self.virial: np.ndarray | None = None
        if derivatives:
            self._differentiate()

    def _with_jacobian(self) -> list[Descriptor]:
        found = [descriptor for descriptor in self._descriptors if isinstance(descriptor, Descriptor)]
        if len(found) < len(self._descriptors):
            raise InputError("forces and stress need descriptors with their Jacobian", where="Batch")
        return found

    def _differentiate(self) -> None:
        gradients = self._forward.gradients()[0].numpy()
        forces = np.empty((len(gradients), 3))
        virial = np.empty((len(self._descriptors), 3, 3))
        first = self._first

        descriptors = self._with_jacobian()

        def work(k: int) -> None:
            part = slice(first[k], first[k + 1])
            derivative, virial[k] = descriptors[k].pull_back(gradients[part])
            forces[part] = -derivative

        self._run(work, len(self._descriptors))
        self.forces, self.virial = forces, virial

    def accumulate(self, loss: Loss, frozen: tuple[int, ...] = ()) -> None:
        """Add the derivative of a loss to the gradients of the parameters.

        F = -dE/dr and W = dE/deps are linear in g = de/dG: dL/dg is the change of the features along
        the displacements -dL/dF and the strain dL/dW.
        """
        dtype = self._networks.dtype
        energy_bar = torch.from_numpy(loss.energy_bar).to(dtype)
        tangent = None
        if loss.force_bar is not None or loss.virial_bar is not None:
            tangent = torch.from_numpy(self._tangent(loss)).to(dtype)
        self._forward.accumulate(energy_bar, tangent, frozen)

    def _tangent(self, loss: Loss) -> np.ndarray:
        n_atoms, first = self._first[-1], self._first
        still = np.zeros((n_atoms, 3)) if loss.force_bar is None else -loss.force_bar
        strain = loss.virial_bar
        unstrained = np.zeros((3, 3))
        example = self._descriptors[0].features
        tangent = np.empty((n_atoms, example.shape[1]), dtype=example.dtype)

        descriptors = self._with_jacobian()

        def work(k: int) -> None:
            part = slice(first[k], first[k + 1])
            tangent[part] = descriptors[k].push_forward(
                still[part], unstrained if strain is None else strain[k]
            )

        self._run(work, len(self._descriptors))
        return tangent


def loss_and_gradients(
    networks: AtomicNetworks,
    config: TrainConfig,
    data: Prepared,
    frames: np.ndarray,
    offsets: np.ndarray,
    run: Map,
) -> Loss:
    """Compute the loss of a batch and set the gradients of the parameters to its derivative."""
    batch = Batch(networks, data, frames, run, config.force_weight > 0 or config.stress_weight > 0)
    loss = compute_loss(config, data.targets(frames, offsets), batch.energies, batch.forces, batch.virial)
    networks.zero_grad()
    batch.accumulate(loss, tuple(layer - 1 for layer in config.frozen_layers))
    return loss
