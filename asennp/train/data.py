"""Frames made ready for training: descriptors with their Jacobian computed once, labels as flat arrays."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import torch
from ase import Atoms
from ase.stress import voigt_6_to_full_3x3_stress

from asennp.models.aev import AEVSettings, Descriptor, compute_aev, compute_descriptors


@dataclass(frozen=True, eq=False)
class Features:
    """A descriptor without its Jacobian: enough for energies.

    Attributes
    ----------
    features
        (N, F).
    species
        (N,) indices into the descriptor's species.
    """

    features: np.ndarray
    species: np.ndarray

    @property
    def nbytes(self) -> int:
        """Memory of the arrays, in bytes."""
        return self.features.nbytes + self.species.nbytes


@dataclass(frozen=True, eq=False)
class Prepared:
    """Descriptors and labels of frames; energies without the model's offsets.

    Attributes
    ----------
    descriptors
        One a frame; without Jacobian where only energies are learnt.
    sizes, volumes
        (n_frames,) atoms and volume (Å^3) of each frame.
    species
        (n_atoms,) index of each atom's species in the descriptor's settings.
    energy, energies, forces, virial
        Labels as in `asennp.train.losses.Targets`, of the energies with the offsets; NaN where there is none.
    """

    descriptors: Sequence[Descriptor | Features]
    sizes: np.ndarray
    volumes: np.ndarray
    species: np.ndarray
    energy: np.ndarray
    energies: np.ndarray
    forces: np.ndarray
    virial: np.ndarray

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def first(self) -> np.ndarray:
        """(n_frames + 1,) where each frame's atoms begin."""
        return np.concatenate([[0], np.cumsum(self.sizes)])

    def atoms_of(self, frames: np.ndarray) -> np.ndarray:
        """Return the indices of the atoms of some frames, in the order of the frames."""
        sizes = self.sizes[frames]
        ends = np.cumsum(sizes)
        return np.repeat(self.first[frames] - (ends - sizes), sizes) + np.arange(sizes.sum())


def compute_features(frames: Sequence[Atoms], aev: AEVSettings, dtype: str, threads: int) -> list[Features]:
    """Compute the descriptors of frames without their Jacobian."""

    def compute(frame: Atoms) -> Features:
        return Features(compute_aev(frame, aev).astype(dtype), aev.indices(frame))

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(compute, frames))


def prepare(
    frames: Sequence[Atoms], aev: AEVSettings, dtype: str = "float32", threads: int | None = None
) -> Prepared:
    """Compute the descriptors of frames, to be kept in memory, and gather their labels.

    Parameters
    ----------
    frames
        Labelled frames; what is missing becomes NaN (see `asennp.dataset.audit`).
    aev
        Settings of the descriptor.
    dtype
        Of the descriptors.
    threads
        Frames side by side; by default as many as torch uses.
    """
    threads = threads or torch.get_num_threads()
    return gather(frames, compute_descriptors(frames, aev, np.dtype(dtype).type, n_threads=threads))


def gather(
    frames: Sequence[Atoms],
    descriptors: Sequence[Descriptor | Features],
    species: Sequence[np.ndarray] | None = None,
) -> Prepared:
    """Put the labels of frames beside descriptors that are there already (none, for the labels alone).

    `species` are those of the descriptors, where asking them would make each anew.
    """
    if species is None:
        species = [descriptor.species for descriptor in descriptors]
    volumes = np.array([abs(np.linalg.det(frame.cell.array)) for frame in frames])
    nothing = np.full(6, np.nan)
    stresses = np.array([frame.info.get("REF_stress", nothing) for frame in frames])
    energies = [f.arrays.get("REF_energies", np.full(len(f), np.nan)) for f in frames]
    forces = [f.arrays.get("REF_forces", np.full((len(f), 3), np.nan)) for f in frames]
    return Prepared(
        descriptors=descriptors,
        sizes=np.array([len(frame) for frame in frames]),
        volumes=volumes,
        species=np.concatenate([np.zeros(0), *species]).astype(np.int64),
        energy=np.array([frame.info.get("REF_energy", np.nan) for frame in frames], dtype=float),
        energies=np.concatenate(energies),
        forces=np.concatenate(forces),
        virial=voigt_6_to_full_3x3_stress(stresses) * volumes[:, None, None],
    )


def data_hash(frames: Sequence[Atoms]) -> str:
    """Return a hash of everything in frames that a training sees."""
    digest = sha256()
    for frame in frames:
        for value in (
            frame.numbers.astype(np.int64),
            frame.positions,
            frame.cell.array,
            frame.pbc.astype(np.int64),
            *(frame.info.get(f"REF_{name}") for name in ("energy", "stress")),
            *(frame.arrays.get(f"REF_{name}") for name in ("forces", "energies")),
        ):
            array = np.zeros(0) if value is None else np.ascontiguousarray(value)
            digest.update(f"{array.dtype.str}{array.shape}".encode() + array.tobytes())
    return digest.hexdigest()
