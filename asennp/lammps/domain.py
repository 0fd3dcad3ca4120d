"""The networks on one rank's atoms: those it owns, with the ghosts around them as neighbours only."""

import numpy as np
import torch
from ase import Atoms
from ase.data import atomic_numbers

from asennp.models.direct import compute_direct
from asennp.models.model import Model
from asennp.models.network import PRECISIONS
from asennp.neighbors import VerletPairs


class DomainNetworks:
    """Energy of the owned atoms of a domain, and what it does to every atom in reach.

    The energy is a sum over owned atoms, so it, the virial and the forces of all domains add up to those of
    the whole system; a ghost's force belongs to its owner on another rank.

    Parameters
    ----------
    model
        Its networks and offsets are used; its charges are not.
    dtype
        ``"float32"`` or ``"float64"``, see `asennp.calculators.hybrid.HybridNNPCalculator`.
    """

    def __init__(self, model: Model, dtype: str = "float32") -> None:
        self._aev = model.aev
        self._storage, precision = PRECISIONS[dtype]
        self._networks = model.networks.to(dtype=precision)
        self._offsets = model.offsets_array
        self._numbers = np.array([atomic_numbers[symbol] for symbol in model.species])
        self._tags = np.zeros(0, np.int64)
        self._atoms = Atoms()
        self._neighbors = VerletPairs(model.aev.radial_cutoff)

    def compute(
        self, positions: np.ndarray, species: np.ndarray, tags: np.ndarray, n_owned: int
    ) -> tuple[float, np.ndarray, np.ndarray]:
        """Return the energy of the owned atoms (eV), forces (N, 3) eV/Å, and dE/deps (3, 3) eV.

        Parameters
        ----------
        positions
            Of the owned atoms, then of the ghosts within the radial cut-off of them, (N, 3), Å.
        species
            Indices into the model's species, (N,).
        tags
            Names of the atoms, (N,): while they stay the same, the list of neighbours may.
        n_owned
            Number of owned atoms.
        """
        if n_owned == 0:  # a rank may own empty space
            return 0.0, np.zeros((len(positions), 3)), np.zeros((3, 3))
        if not np.array_equal(tags, self._tags):
            self._tags = tags.copy()
            self._atoms = Atoms(self._numbers[species], positions)
            self._neighbors = VerletPairs(self._aev.radial_cutoff)
        self._atoms.positions[:] = positions
        descriptor = compute_direct(
            self._atoms, self._aev, self._storage, neighbors=self._neighbors, n_centres=n_owned
        )
        energies, slopes = self._networks.energies_and_gradients(
            torch.from_numpy(descriptor.features[:n_owned]), torch.from_numpy(descriptor.species[:n_owned])
        )
        gradients = np.zeros((1, *descriptor.features.shape), self._storage)
        gradients[0, :n_owned] = slopes.mean(dim=0).numpy()  # one pull-back for the whole committee
        pulled, virial = descriptor.pull_back(gradients)
        energy = energies.double().mean(dim=0).sum().item() + self._offsets[species[:n_owned]].sum()
        return float(energy), -pulled[0], virial[0]
