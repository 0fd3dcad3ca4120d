"""Prepared frames as tensors: where their labels lie and how their descriptors are contracted."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from asennp.errors import InputError
from asennp.models.aev import Descriptor
from asennp.models.stacked import StackedDescriptors
from asennp.train.data import Features, Prepared
from asennp.train.losses import Targets
from asennp.train.storage import free_memory_MB

Map = Callable[[Callable[[int], None], int], None]

#: Frames predicted at a time by the compiled kernels: the layers' outputs stay in the cache.
_CHUNK = 32
#: What a prediction by tensors may take at a time, bytes, and how often it holds the arrays of a frame: cut
#: out of all, multiplied, and summed.
_AT_A_TIME, _COPIES = 1e9, 3.0
#: Frames whose arrays are measured to know what all will take.
_SAMPLE = 8


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


def rounds(frames: Sequence[np.ndarray], size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Give the frames of several members, so many of each at a time: frames (n,), and whose each is (n,)."""
    for begin in range(0, max(map(len, frames)), size):
        parts = [mine[begin : begin + size] for mine in frames]
        yield np.concatenate(parts), np.repeat(np.arange(len(parts)), [len(part) for part in parts])


class Contraction(Protocol):
    """Descriptors of some frames, N atoms in all, as `asennp.models.stacked.StackedDescriptors` has them."""

    @property
    def features(self) -> Tensor:
        """G (N, F)."""

    def pull_back(self, gradients: Tensor) -> tuple[Tensor, Tensor]:
        """Turn dE/dG (N, F) into dE/dr (N, 3) and dE/deps (n_frames, 3, 3)."""

    def push_forward(self, displacements: Tensor, strain: Tensor) -> Tensor:
        """Return the change of the features (N, F) along displacements and strains (n_frames, 3, 3)."""


class _ByFrame:
    """Descriptors contracted by the compiled kernels, a frame at a time and frames side by side."""

    def __init__(self, descriptors: Sequence[Descriptor | Features], run: Map) -> None:
        self._descriptors = descriptors
        self._run = run
        self._first = np.cumsum([0, *(len(descriptor.species) for descriptor in descriptors)])
        self.features = torch.from_numpy(np.concatenate([d.features for d in descriptors]))

    def _with_jacobian(self) -> list[Descriptor]:
        found = [descriptor for descriptor in self._descriptors if isinstance(descriptor, Descriptor)]
        if len(found) < len(self._descriptors):
            raise _without_jacobian()
        return found

    def pull_back(self, gradients: Tensor) -> tuple[Tensor, Tensor]:
        descriptors, first, given = self._with_jacobian(), self._first, gradients.numpy()
        slopes, virial = np.empty((len(given), 3)), np.empty((len(descriptors), 3, 3))

        def work(k: int) -> None:
            part = slice(first[k], first[k + 1])
            slopes[part], virial[k] = descriptors[k].pull_back(given[part])

        self._run(work, len(descriptors))
        return torch.from_numpy(slopes), torch.from_numpy(virial)

    def push_forward(self, displacements: Tensor, strain: Tensor) -> Tensor:
        descriptors, first = self._with_jacobian(), self._first
        moves, strains, change = displacements.numpy(), strain.numpy(), torch.empty_like(self.features)
        rows = change.numpy()

        def work(k: int) -> None:
            part = slice(first[k], first[k + 1])
            rows[part] = descriptors[k].push_forward(moves[part], strains[k])

        self._run(work, len(descriptors))
        return change


class _Bare:
    """Features alone, which are enough for energies."""

    def __init__(self, features: Tensor) -> None:
        self.features = features

    def pull_back(self, gradients: Tensor) -> tuple[Tensor, Tensor]:
        raise _without_jacobian()

    def push_forward(self, displacements: Tensor, strain: Tensor) -> Tensor:
        raise _without_jacobian()


def _without_jacobian() -> InputError:
    return InputError("forces and stress need descriptors with their Jacobian", where="training")


class Source(ABC):
    """Prepared frames and the device on which they are used.

    Parameters
    ----------
    data
        The frames.
    device
        Of the tensors.

    Attributes
    ----------
    chunk
        Frames to predict at a time.
    storage
        Where the device has the descriptors, in words.
    """

    chunk: int
    storage: str = ""

    def __init__(self, data: Prepared, device: str) -> None:
        self.data = data
        self.device = device
        names = ("energy", "energies", "forces", "virial", "sizes")
        self._labels = {name: self._tensor(getattr(data, name)).double() for name in names}

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.device)

    @abstractmethod
    def take(self, frames: np.ndarray) -> Contraction:
        """Return the descriptors of some frames."""

    def targets(self, frames: np.ndarray, offsets: np.ndarray, member: np.ndarray | None = None) -> Targets:
        """Return the labels of some frames, less the offsets of the energies.

        Parameters
        ----------
        frames
            Which.
        offsets
            (n_species,), or (M, n_species) with `member`.
        member
            (n_frames,) committee member that each frame is for; one member by default.
        """
        data, labels = self.data, self._labels
        member = np.zeros(len(frames), np.int64) if member is None else member
        offsets = np.atleast_2d(offsets)
        atoms, frame = data.atoms_of(frames), np.repeat(np.arange(len(frames)), data.sizes[frames])
        shift = offsets[member[frame], data.species[atoms]]
        shifts = np.bincount(frame, weights=shift, minlength=len(frames))
        which, rows = self._tensor(frames), self._tensor(atoms)
        return Targets(
            sizes=labels["sizes"][which],
            energy=labels["energy"][which] - self._tensor(shifts),
            energies=labels["energies"][rows] - self._tensor(shift),
            forces=labels["forces"][rows],
            virial=labels["virial"][which],
            frame=self._tensor(frame),
            member=self._tensor(member),
            n_frames=self._tensor(np.bincount(member, minlength=len(offsets))),
        )


class CompiledSource(Source):
    """Descriptors where they are, contracted by the compiled kernels.

    Parameters
    ----------
    data
        The frames; descriptors without Jacobian are enough for energies.
    run
        From `mapper`.
    """

    chunk = _CHUNK

    def __init__(self, data: Prepared, run: Map) -> None:
        super().__init__(data, "cpu")
        self._run = run

    def take(self, frames: np.ndarray) -> Contraction:
        """Return the descriptors of some frames; where they have to be computed, side by side."""
        found: list[Descriptor | Features] = [Features(np.empty(0), np.empty(0))] * len(frames)

        def fetch(k: int) -> None:
            found[k] = self.data.descriptors[frames[k]]

        self._run(fetch, len(frames))
        return _ByFrame(found, self._run)


class TorchSource(Source):
    """Descriptors as tensors, all on the device if they fit there, else brought a batch at a time.

    Parameters
    ----------
    data
        The frames; descriptors without Jacobian are enough for energies.
    device
        ``"cuda"`` or ``"cpu"``.
    memory_MB
        What they may take on the device; by default 60 % of what is free there.
    """

    def __init__(self, data: Prepared, device: str, memory_MB: float | None = None) -> None:
        super().__init__(data, device)
        if memory_MB is None:
            memory_MB = 0.6 * (1e-6 * torch.cuda.mem_get_info()[0] if device == "cuda" else free_memory_MB())
        self._features: Tensor | None = None
        self._all: StackedDescriptors | None = None
        if isinstance(data.descriptors[0], Features):
            bare = torch.from_numpy(np.concatenate([descriptor.features for descriptor in data.descriptors]))
            self._features, self.chunk = bare.to(device), len(data)
            return
        picked = np.unique(np.linspace(0, len(data) - 1, _SAMPLE).astype(int))
        sample = StackedDescriptors.from_descriptors(self._descriptors(picked), "cpu")
        per_atom = sample.nbytes / max(1, len(sample.features))
        needed = 1e-6 * per_atom * int(data.sizes.sum())
        self.chunk = max(1, int(_AT_A_TIME / (_COPIES * per_atom * data.sizes.max())))
        self.storage = f"{needed:.0f} MB to {device} a batch at a time (room for {memory_MB:.0f})"
        if needed <= memory_MB:
            everything = self._descriptors(np.arange(len(data)))
            self._all = StackedDescriptors.from_descriptors(everything, device)
            self.storage = f"{needed:.0f} MB on {device} (room for {memory_MB:.0f})"

    def _descriptors(self, frames: np.ndarray) -> list[Descriptor]:
        found = [d for d in (self.data.descriptors[k] for k in frames) if isinstance(d, Descriptor)]
        assert len(found) == len(frames)
        return found

    def take(self, frames: np.ndarray) -> Contraction:
        """Return the descriptors of some frames."""
        if self._features is not None:
            return _Bare(self._features[self._tensor(self.data.atoms_of(frames))])
        if self._all is None:
            return StackedDescriptors.from_descriptors(self._descriptors(frames), self.device)
        return self._all.select(frames)


@contextmanager
def open_source(
    data: Prepared, threads: int = 1, device: str = "cpu", backend: str = "compiled"
) -> Iterator[Source]:
    """Give the source of a device and a backend that `asennp.models.torch_backend.choose_device` returned."""
    if backend == "torch":
        yield TorchSource(data, device)
        return
    with mapper(threads) as run:
        yield CompiledSource(data, run)
