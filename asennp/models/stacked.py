"""Descriptors of many frames as tensors of one device, contracted for all frames at once.

The kernels of `Descriptor` take one frame each, which suits a CPU; a GPU wants few and long operations. The
arrays of the frames lie one after another, and a batch of frames is cut out of them on the device.
"""

from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
import torch
from torch import Tensor

from asennp.models.aev import AEVSettings, Descriptor

#: Frames whose arrays go to the device at a time.
_CHUNK = 64
#: What the rows of each array belong to: 0 atoms, 1 pairs within the radial cut-off, 2 directed edges within
#: the angular one. Atoms have their number in the frame; `at_i` and `at_j` are the first columns that a pair
#: changes in the features of i and j; `species` is that of the edge's neighbour.
_KINDS = {
    "features": 0,
    **dict.fromkeys(("i", "j", "separation", "at_i", "at_j", "slopes"), 1),
    **dict.fromkeys(("centre", "neighbour", "edge", "species", "jacobian"), 2),
}


def _rows(descriptor: Descriptor) -> dict[str, Tensor]:
    """Return the arrays of one frame, as they are stacked."""
    stored = {name: torch.from_numpy(np.asarray(array)) for name, array in descriptor.arrays().items()}
    i, j, pair, sign = (stored[f"edges.{name}"].int() for name in ("i", "j", "pair", "sign"))
    species, first = stored["species"].int(), stored["_first"].int()
    n_shifts = len(descriptor.settings.radial_shifts)
    vectors, degrees = stored["edges.vectors"], stored["edges.starts"].diff()
    return {
        "features": stored["features"],
        "i": i,
        "j": j,
        "separation": vectors,
        "at_i": species[j] * n_shifts + first,
        "at_j": species[i] * n_shifts + first,
        "slopes": stored["_slopes"],
        "centre": torch.repeat_interleave(torch.arange(len(species), dtype=torch.int32), degrees),
        "neighbour": torch.where(sign == 1, j[pair], i[pair]),
        "edge": sign[:, None].to(vectors.dtype) * vectors[pair],
        "species": stored["edges.species"].int(),
        "jacobian": stored["_jacobian"],
    }


class StackedDescriptors:
    """Descriptors of frames one after another, N atoms in all.

    Parameters
    ----------
    settings
        Their constants.
    rows
        The arrays by name.
    counts
        (n_frames, 3) atoms, pairs and edges of each frame.
    """

    def __init__(self, settings: AEVSettings, rows: Mapping[str, Tensor], counts: np.ndarray) -> None:
        self.settings = settings
        self._rows = rows
        self._counts = counts
        device = self.features.device
        self._lengths = torch.from_numpy(counts.T.copy()).to(device)
        self._starts = self._lengths.cumsum(1) - self._lengths
        self._n_radial = len(settings.species) * len(settings.radial_shifts)
        self._n_angular = len(settings.angular_shifts) * settings.n_sections
        self._n_blocks = (settings.length - self._n_radial) // self._n_angular
        blocks = (settings.pair_columns - self._n_radial) // self._n_angular
        self._blocks = torch.from_numpy(blocks).to(device)

    @classmethod
    def from_descriptors(cls, descriptors: Sequence[Descriptor], device: str | torch.device) -> Self:
        """Take descriptors, all with the same settings and of the same type, to a device."""
        counts = np.array([[len(d.species), *d.n_edges] for d in descriptors], dtype=np.int64)
        totals, done = counts.sum(0), np.zeros(3, np.int64)
        whole: dict[str, Tensor] = {}
        for begin in range(0, len(descriptors), _CHUNK):
            chunk = [_rows(descriptor) for descriptor in descriptors[begin : begin + _CHUNK]]
            after = done + counts[begin : begin + _CHUNK].sum(0)
            for name, kind in _KINDS.items():
                part = torch.cat([rows[name] for rows in chunk])
                if name not in whole:  # made at its full length: joining parts would take the memory twice
                    shape = (int(totals[kind]), *part.shape[1:])
                    whole[name] = torch.empty(shape, dtype=part.dtype, device=device)
                whole[name][done[kind] : after[kind]] = part.to(device)
            done = after
        return cls(descriptors[0].settings, whole, counts)

    def __len__(self) -> int:
        return len(self._counts)

    @property
    def features(self) -> Tensor:
        """G (N, F)."""
        return self._rows["features"]

    @property
    def nbytes(self) -> int:
        """Memory of the arrays, in bytes."""
        return sum(tensor.nbytes for tensor in self._rows.values())

    def select(self, frames: np.ndarray) -> Self:
        """Return some frames, in the order asked for."""
        counts = self._counts[frames]
        picked = torch.from_numpy(np.asarray(frames, dtype=np.int64)).to(self.features.device)
        index = []
        for kind, total in enumerate(counts.sum(0).tolist()):
            lengths = self._lengths[kind, picked]
            # old less new place of a frame's first row
            shift = self._starts[kind, picked] - (lengths.cumsum(0) - lengths)
            shifts = torch.repeat_interleave(shift, lengths, output_size=total)
            index.append(shifts + torch.arange(total, device=shifts.device))
        rows = {name: self._rows[name].index_select(0, index[kind]) for name, kind in _KINDS.items()}
        return type(self)(self.settings, rows, counts)

    def _frame_and_first(self, kind: int) -> tuple[Tensor, Tensor]:
        """Return the frame of each row, and the number of the frame's first atom."""
        lengths, total = self._lengths[kind], int(self._counts[:, kind].sum())
        frames = torch.arange(len(self), device=lengths.device)
        frame = torch.repeat_interleave(frames, lengths, output_size=total)
        return frame, self._starts[0][frame]

    def _radial_columns(self, first: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return i and j of the pairs, and the flat places (P, width) of the features they change."""
        rows, length = self._rows, self.features.shape[1]
        i, j = rows["i"] + first, rows["j"] + first
        width = torch.arange(rows["slopes"].shape[1], device=i.device)
        at_i, at_j = ((a * length + rows[c])[:, None] + width for a, c in ((i, "at_i"), (j, "at_j")))
        return i, j, at_i, at_j

    def _angular_rows(self, first: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return centre and neighbour of the edges, and the rows (E, S) of the angular blocks they change."""
        rows = self._rows
        centre, neighbour = rows["centre"] + first, rows["neighbour"] + first
        return centre, neighbour, centre[:, None] * self._n_blocks + self._blocks[rows["species"].long()]

    def pull_back(self, gradients: Tensor) -> tuple[Tensor, Tensor]:
        """Turn dE/dG (N, F) into dE/dr (N, 3) and dE/deps (n_frames, 3, 3), as `Descriptor.pull_back` does.

        Sums are in double precision, and on a GPU in no fixed order.
        """
        rows = self._rows
        slopes = gradients.new_zeros(len(gradients), 3, dtype=torch.float64)
        virial = gradients.new_zeros(len(self), 3, 3, dtype=torch.float64)
        frame, first = self._frame_and_first(1)
        i, j, at_i, at_j = self._radial_columns(first)
        flat = gradients.flatten()
        total = ((flat[at_i] + flat[at_j]) * rows["slopes"]).sum(1)
        self._pull(slopes, virial, i, j, frame, rows["separation"], total[:, None] * rows["separation"])
        frame, first = self._frame_and_first(2)
        centre, neighbour, blocks = self._angular_rows(first)
        angular = gradients[:, self._n_radial :].reshape(-1, self._n_angular)[blocks]
        force = (angular[:, :, None, :] * rows["jacobian"]).sum((1, 3))
        self._pull(slopes, virial, centre, neighbour, frame, rows["edge"], force)
        return slopes, virial

    @staticmethod
    def _pull(
        slopes: Tensor, virial: Tensor, i: Tensor, j: Tensor, frame: Tensor, vectors: Tensor, force: Tensor
    ) -> None:
        """Add what dE/d(r_j - r_i) (n, 3) gives to dE/dr and dE/deps."""
        pull = force.double()
        slopes.index_add_(0, j, pull).index_add_(0, i, pull, alpha=-1)
        virial.index_add_(0, frame, pull[:, :, None] * vectors[:, None, :])

    def push_forward(self, displacements: Tensor, strain: Tensor) -> Tensor:
        """Return the change of the features (N, F) along dr_i = displacements_i + strain_frame(i) r_i.

        Parameters
        ----------
        displacements
            (N, 3), Å.
        strain
            (n_frames, 3, 3), need not be symmetric.
        """
        rows, change = self._rows, torch.zeros_like(self.features)
        frame, first = self._frame_and_first(1)
        i, j, at_i, at_j = self._radial_columns(first)
        move = self._move(displacements, strain, i, j, frame, rows["separation"])
        radial = (move * rows["separation"]).sum(1).to(change.dtype)[:, None] * rows["slopes"]
        for places in (at_i, at_j):
            change.view(-1).index_add_(0, places.flatten(), radial.flatten())
        frame, first = self._frame_and_first(2)
        centre, neighbour, blocks = self._angular_rows(first)
        move = self._move(displacements, strain, centre, neighbour, frame, rows["edge"]).to(change.dtype)
        angular = (move[:, None, :, None] * rows["jacobian"]).sum(2)
        on_blocks = change.new_zeros(len(change) * self._n_blocks, self._n_angular)
        on_blocks.index_add_(0, blocks.flatten(), angular.flatten(0, 1))
        change[:, self._n_radial :] = on_blocks.view(len(change), -1)
        return change

    @staticmethod
    def _move(
        displacements: Tensor, strain: Tensor, i: Tensor, j: Tensor, frame: Tensor, vectors: Tensor
    ) -> Tensor:
        """Return how r_j - r_i changes (n, 3), in double precision."""
        by_strain = torch.einsum("nab,nb->na", strain[frame], vectors.double())
        return displacements[j] - displacements[i] + by_strain
