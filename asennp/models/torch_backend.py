"""The whole short-range part in torch, on any device: TorchANI's descriptor, the networks, and autograd.

The compiled descriptor of `direct.py` is faster on a CPU; this one runs where torch does. Frames of any cells
and sizes go through together, one after another in the tensors.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from ase import Atoms
from torch import Tensor

from asennp.errors import InputError, nearest
from asennp.models.aev import AEVSettings, refuse_overlap
from asennp.models.network import AtomicNetworks
from asennp.neighbors import VerletPairs, check_geometry

#: Memory that descriptor and autograd take for an atom and feature, bytes: 1300 to 1400 were measured in rock
#: salt, in both precisions, as indices of triples are most of it.
_BYTES_PER_FEATURE = 1500


def make_computer(
    aev: AEVSettings, dtype: torch.dtype = torch.float64, device: str | torch.device = "cpu"
) -> torch.nn.Module:
    """Build TorchANI's `AEVComputer` with the constants in full precision.

    Raises
    ------
    InputError
        Cut-offs TorchANI refuses.
    """
    if aev.angular_cutoff >= aev.radial_cutoff:
        raise InputError("TorchANI needs an angular cut-off below the radial one", where="AEVSettings")
    with warnings.catch_warnings():
        # compiled extensions are not needed
        warnings.filterwarnings("ignore", message="The extensions", category=UserWarning)
        from torchani.aev import AEVComputer, ANIAngular, ANIRadial

    angular = (aev.angular_eta, aev.angular_zeta, aev.angular_shifts, aev.sections.tolist())
    computer: torch.nn.Module = AEVComputer(
        ANIRadial(aev.radial_eta, aev.radial_shifts, aev.radial_cutoff),
        ANIAngular(*angular, aev.angular_cutoff),
        num_species=len(aev.species),
        strategy="pyaev",
    ).to(device, dtype)
    # TorchANI makes its buffers in single precision
    for term, values in (
        (computer.radial, {"eta": [aev.radial_eta], "shifts": aev.radial_shifts}),
        (
            computer.angular,
            {
                "eta": [aev.angular_eta],
                "zeta": [aev.angular_zeta],
                "shifts": aev.angular_shifts,
                "sections": aev.sections,
            },
        ),
    ):
        for name, value in values.items():
            getattr(term, name).copy_(torch.as_tensor(np.array(value), dtype=torch.float64))
    return computer


def choose_device(device: str = "auto", backend: str = "auto") -> tuple[str, str]:
    """Return the device (``"cpu"`` or ``"cuda"``) and the backend (``"compiled"`` or ``"torch"``) to use.

    Raises
    ------
    InputError
        Unknown names, a device that is not there, the compiled backend on another device than the CPU.
    """
    for name, given, known in (
        ("device", device, ("auto", "cpu", "cuda")),
        ("backend", backend, ("auto", "compiled", "torch")),
    ):
        if given not in known:
            raise InputError(
                f"unknown {name}", where=name, expected=", ".join(known), got=given, do=nearest(given, known)
            )
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("there is no CUDA device", where="device", got="cuda", do="use device='auto'")
    if device == "cuda" and backend == "compiled":
        raise InputError(
            "the compiled backend runs on the CPU alone", where="backend", do="use backend='auto'"
        )
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() and backend != "compiled" else "cpu"
    if backend == "auto":
        backend = "compiled" if device == "cpu" else "torch"
    return device, backend


class TorchBackend:
    """Networks and descriptor on one device, for one frame or many.

    Parameters
    ----------
    aev
        Descriptor settings.
    networks
        The committee, in the device and type to compute in. Positions, cells and sums over neighbours'
        forces are in double precision.
    """

    def __init__(self, aev: AEVSettings, networks: AtomicNetworks) -> None:
        self.aev, self.networks = aev, networks
        self._computer = make_computer(aev, networks.dtype, networks.device)

    @property
    def bytes_per_atom(self) -> float:
        """Roughly what an evaluation needs for an atom of a dense crystal."""
        width = torch.finfo(self.networks.dtype).bits // 8
        members = self.networks.n_members * (self.aev.length + 4 * sum(self.networks.settings.hidden))
        return _BYTES_PER_FEATURE * self.aev.length + width * members

    def evaluate(
        self, frames: Sequence[Atoms], lists: Sequence[VerletPairs] | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return species, features, energies, slopes dE/dr and virials dE/deps of frames.

        Parameters
        ----------
        frames
            The frames, N atoms in all.
        lists
            Neighbour lists to reuse, one for each frame.

        Returns
        -------
        tuple
            Species (N,), features (N, F), energies of the networks (M, N) eV, dE/dr (M, N, 3) eV/Å, dE/deps
            (M, frames, 3, 3) eV.

        Raises
        ------
        InputError
            Unknown species, overlapping atoms, or a geometry that is not finite.
        """
        species = np.concatenate([self.aev.indices(atoms) for atoms in frames])
        i, j, frame, vectors = self._vectors(frames, lists)
        moving = vectors.to(self.networks.dtype).requires_grad_()
        kinds = self._tensor(species.astype(np.int64))
        features = self._features(kinds, i, j, moving)
        energies, gradients = self.networks.energies_and_gradients(features, kinds)
        shape = self.networks.n_members, len(species), len(frames)
        slopes, virials = vectors.new_zeros(*shape[:2], 3), vectors.new_zeros(shape[0], shape[2], 3, 3)
        for member, gradient in enumerate(gradients):
            if not len(vectors):
                break
            (by_pair,) = torch.autograd.grad(features, moving, gradient, retain_graph=True)
            pull = by_pair.double()
            slopes[member].index_add_(0, j, pull).index_add_(0, i, -pull)
            virials[member].index_add_(0, frame, pull[:, :, None] * vectors[:, None, :])
        values = (t.detach().cpu().numpy() for t in (features, energies, slopes, virials))
        features_, energies_, slopes_, virials_ = values
        return species, features_, energies_, slopes_, virials_

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.as_tensor(array, device=self.networks.device)

    def _vectors(
        self, frames: Sequence[Atoms], lists: Sequence[VerletPairs] | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the pairs within the cut-off: atoms i and j, frame, r_j + S h - r_i."""
        pairs, first = [], 0
        for k, atoms in enumerate(frames):
            check_geometry(atoms.positions, atoms.cell.array, atoms.pbc)
            neighbors = VerletPairs(self.aev.radial_cutoff, skin=0.0) if lists is None else lists[k]
            i, j, shifts = neighbors.update(atoms.positions, atoms.cell.array, atoms.pbc)
            pairs.append((i + first, j + first, np.full(len(i), k), shifts))
            first += len(atoms)
        i, j, frame, shifts = (np.concatenate(part) for part in zip(*pairs))
        indices = [self._tensor(array.astype(np.int64)) for array in (i, j, frame)]
        positions = self._tensor(np.concatenate([atoms.positions for atoms in frames]))
        cells = self._tensor(np.stack([atoms.cell.array for atoms in frames]))
        at, to, of = indices
        offsets = torch.einsum("pa,pab->pb", self._tensor(shifts.astype(float)), cells[of])
        vectors = positions[to] - positions[at] + offsets
        squares = (vectors * vectors).sum(1)
        if len(squares):
            refuse_overlap(squares.sqrt(), at, to)
        inside = squares < self.aev.radial_cutoff**2
        return at[inside], to[inside], of[inside], vectors[inside]

    def _features(self, species: Tensor, i: Tensor, j: Tensor, vectors: Tensor) -> Tensor:
        """Return the descriptors (N, F), differentiable in the vectors."""
        if not len(vectors):
            return vectors.new_zeros(len(species), self.aev.length)
        from torchani.neighbors import Neighbors

        neighbors = Neighbors(torch.stack([i, j]), torch.linalg.vector_norm(vectors, dim=1), -vectors)
        # coordinates are only asked for their shape
        coordinates = vectors.new_zeros(1, len(species), 3)
        computer: Any = self._computer
        features: Tensor = computer.compute_from_neighbors(species[None], coordinates, neighbors)[0]
        return features
