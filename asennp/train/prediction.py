"""Predictions of a model for many frames at once, without ASE calculators, and their errors."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.stress import full_3x3_to_voigt_6_stress, voigt_6_to_full_3x3_stress

from asennp.electrostatics.long_range import long_range_terms, make_long_range
from asennp.errors import InputError
from asennp.models.aev import AEVSettings, Descriptor
from asennp.models.direct import DirectDescriptor, compute_direct
from asennp.models.model import Model, load_model
from asennp.models.network import AtomicNetworks
from asennp.models.torch_backend import TorchBackend, choose_device
from asennp.neighbors import VerletPairs
from asennp.results import Result
from asennp.train.batch import Batch
from asennp.train.data import Prepared, gather
from asennp.train.source import Map, Source, mapper, rounds

#: Size of a descriptor per atom before one has been seen, bytes (too much, so the first chunk is small).
_DESCRIPTOR_BYTES = 200_000
#: Places of xx yy zz yz xz xy in a flat 3x3 matrix.
_VOIGT = [0, 4, 8, 5, 2, 1]
#: Arrays the networks keep of each layer: values, slopes, gradients.
_KEPT = 5


@dataclass(frozen=True, eq=False)
class Prediction(Result):
    """Energies, forces and stresses of frames, and how far the members of a committee differ.

    Spreads are standard deviations (n - 1; zero for one member); None where they were not asked for.

    Attributes
    ----------
    sizes
        (n_frames,) atoms of each frame.
    energy, energy_std
        (n_frames,) eV.
    energies, energies_std
        (n_atoms,) eV, in the order of the frames.
    forces, forces_std
        (n_atoms, 3) eV/Å.
    stress, stress_std
        (n_frames, 6) eV/Å^3, Voigt; NaN for frames without a volume.
    """

    sizes: np.ndarray
    energy: np.ndarray
    energies: np.ndarray
    forces: np.ndarray
    stress: np.ndarray
    energy_std: np.ndarray | None = None
    energies_std: np.ndarray | None = None
    forces_std: np.ndarray | None = None
    stress_std: np.ndarray | None = None

    def virial(self, volumes: np.ndarray) -> np.ndarray:
        """Return V sigma (n_frames, 3, 3) for the frames' volumes (Å^3)."""
        return np.asarray(voigt_6_to_full_3x3_stress(self.stress) * volumes[:, None, None])

    def by_frame(self, name: str) -> list[np.ndarray]:
        """Return a field of atoms, such as ``"forces"``, as one array for each frame."""
        values: np.ndarray = getattr(self, name)
        return np.split(values, np.cumsum(self.sizes)[:-1])


@dataclass(frozen=True, eq=False)
class Errors(Result):
    """Errors of a prediction against labels; NaN where the labels are missing.

    Attributes
    ----------
    energy_mae, energy_rmse
        Of the energy per atom (eV/atom).
    energies_mae, energies_rmse
        Of the atomic energies (eV).
    force_mae, force_rmse
        Of the force components (eV/Å).
    stress_mae, stress_rmse
        Of the stress components (eV/Å^3).
    """

    energy_mae: float
    energy_rmse: float
    energies_mae: float
    energies_rmse: float
    force_mae: float
    force_rmse: float
    stress_mae: float
    stress_rmse: float


def predict_networks(
    networks: AtomicNetworks, offsets: np.ndarray, source: Source, frames: np.ndarray
) -> Prediction:
    """Predict some prepared frames with the networks of one member and its offsets (n_species,)."""
    return predict_members(networks, offsets[None], source, [frames])[0]


def predict_members(
    networks: AtomicNetworks, offsets: np.ndarray, source: Source, frames: Sequence[np.ndarray]
) -> list[Prediction]:
    """Predict with every member the prepared frames of its own; none for some is allowed.

    Parameters
    ----------
    networks
        M members.
    offsets
        (M, n_species) energy offsets, eV.
    source
        All frames.
    frames
        Which of them, for each member.
    """
    kept: list[tuple[np.ndarray, ...]] = []
    for chosen, member in rounds(frames, max(1, source.chunk // len(frames))):
        batch = Batch(networks, source, chosen, member=member if len(frames) > 1 else None)
        assert batch.forces is not None and batch.virial is not None
        values = (t.cpu().numpy() for t in (batch.energies, batch.forces, batch.virial))
        kept.append((member, np.repeat(member, source.data.sizes[chosen]), *values))
    member, of_atom, energies, forces, virial = (np.concatenate(parts) for parts in zip(*kept))
    return [
        _prediction(
            source.data, mine, offsets[k], energies[of_atom == k], forces[of_atom == k], virial[member == k]
        )
        for k, mine in enumerate(frames)
    ]


def _prediction(
    data: Prepared,
    frames: np.ndarray,
    offsets: np.ndarray,
    energies: np.ndarray,
    forces: np.ndarray,
    virial: np.ndarray,
) -> Prediction:
    sizes = data.sizes[frames]
    energies = energies + offsets[data.species[data.atoms_of(frames)]]
    frame = np.repeat(np.arange(len(frames)), sizes)
    return Prediction(
        sizes=sizes,
        energy=np.bincount(frame, weights=energies, minlength=len(frames)),
        energies=energies,
        forces=forces,
        stress=full_3x3_to_voigt_6_stress(virial / data.volumes[frames, None, None]),
    )


def compute_errors(
    prediction: Prediction, data: Prepared | Sequence[Atoms], frames: np.ndarray | None = None
) -> Errors:
    """Compare a prediction of frames with their labels.

    Parameters
    ----------
    prediction
        Of the frames, in their order.
    data
        The labelled frames, prepared or not.
    frames
        Which of them were predicted; by default all.
    """
    data = data if isinstance(data, Prepared) else gather(data, [])
    frames = np.arange(len(data)) if frames is None else frames
    atoms = data.atoms_of(frames)
    stress = full_3x3_to_voigt_6_stress(data.virial[frames] / data.volumes[frames, None, None])
    differences = {
        "energy": (prediction.energy - data.energy[frames]) / prediction.sizes,
        "energies": prediction.energies - data.energies[atoms],
        "force": prediction.forces - data.forces[atoms],
        "stress": prediction.stress - stress,
    }
    values = {}
    for name, difference in differences.items():
        values[f"{name}_mae"] = float(np.abs(difference).mean())
        values[f"{name}_rmse"] = float(np.sqrt((difference**2).mean()))
    return Errors(**values)


def predict(
    model: str | Path | Model,
    frames: Sequence[Atoms] | Prepared,
    threads: int | None = None,
    *,
    dtype: str = "float32",
    memory_MB: float | None = None,
    device: str = "cpu",
    backend: str = "auto",
) -> Prediction:
    """Predict energies, forces and stresses of frames by a model's networks and offsets: no Coulomb part.

    Frames of any cells and sizes are taken together, as many as the memory allows.

    Parameters
    ----------
    model
        A model, its shipped name or its file.
    frames
        Frames, or what `prepare` made of them for the model's descriptor.
    threads
        Frames side by side; by default as many threads as torch uses.
    dtype
        ``"float32"`` or ``"float64"``: of the networks and of the descriptors.
    memory_MB
        What descriptors and networks may take at a time, which decides how many frames are taken together; a
        single frame is always done. By default 256, on a GPU 60 % of what is free there.
    device, backend
        As for `asennp.HybridNNPCalculator`.

    Raises
    ------
    InputError
        No frames, or one the model cannot do; the message has its number.
    """
    model = load_model(model)
    if not len(frames):
        raise InputError("no frames to predict", where="predict")
    if dtype not in ("float32", "float64"):
        raise InputError("unknown type", where="dtype", expected="float32 or float64", got=dtype)
    threads = threads or torch.get_num_threads()
    prepared = isinstance(frames, Prepared)  # which has the compiled descriptor
    device, backend = ("cpu", "compiled") if prepared else choose_device(device, backend)
    networks = model.networks.to(dtype=getattr(torch, dtype), device=device)
    if memory_MB is None:
        memory_MB = 256.0 if device == "cpu" else 0.6e-6 * torch.cuda.mem_get_info()[0]
    per_atom = sum(networks.settings.widths) * networks.n_members * _KEPT * np.dtype(dtype).itemsize
    chunks: Iterator[Sequence[Descriptor | DirectDescriptor]]
    with mapper(threads) as run:
        if isinstance(frames, Prepared):
            chunks, volumes = _chunks_of_prepared(frames, per_atom, memory_MB * 1e6), frames.volumes
        else:
            chunks = _chunks(frames, model.aev, dtype, per_atom, memory_MB * 1e6, run)
            volumes = np.array([f.get_volume() if f.pbc.all() else np.nan for f in frames])
        if backend == "torch" and not isinstance(frames, Prepared):
            parts = list(_predict_by_torch(model, networks, frames, memory_MB * 1e6))
        else:
            parts = [_predict_chunk(networks, model.offsets_array, chunk, run) for chunk in chunks]
    sizes, energies, slopes, virials = (np.concatenate([part[k] for part in parts]) for k in range(4))
    volumes = np.where(volumes > 0.0, volumes, np.nan)
    stresses = virials.reshape(*virials.shape[:2], 9)[..., _VOIGT] / volumes[:, None, None]
    # (n, M, ...) -> mean and spread over the members
    values = {
        "energy": np.add.reduceat(energies, np.cumsum(sizes) - sizes),
        "energies": energies,
        "forces": -slopes,
        "stress": stresses,
    }
    ddof = 1 if networks.n_members > 1 else 0
    means = {name: value.mean(axis=1) for name, value in values.items()}
    spreads = {f"{name}_std": value.std(axis=1, ddof=ddof) for name, value in values.items()}
    return Prediction(sizes=sizes, **means, **spreads)


def evaluate_frames(
    model: str | Path | Model,
    frames: Sequence[Atoms],
    threads: int | None = None,
    *,
    dtype: str = "float32",
    memory_MB: float | None = None,
    coulomb_accuracy: float = 1e-6,
    device: str = "auto",
    backend: str = "auto",
) -> Prediction:
    """Evaluate a model, its long range included, on many frames: what its calculator gives for each.

    Frames go side by side in threads on a CPU (the loops let others run), many at once on a GPU. Parameters
    are those of `predict` and of `asennp.HybridNNPCalculator`.

    Raises
    ------
    InputError
        As `predict`, and for a frame that is not neutral, or whose shells run away.
    """
    model = load_model(model)
    device, backend = choose_device(device, backend)
    where: dict[str, Any] = {"device": device, "backend": backend}
    short = predict(model, frames, threads, dtype=dtype, memory_MB=memory_MB, **where)
    if not model.is_long_ranged:
        return short
    energies, forces, stress = short.energies.copy(), short.forces.copy(), short.stress.copy()
    first = np.concatenate([[0], np.cumsum(short.sizes)])
    own = threading.local()

    def work(k: int) -> None:
        if not hasattr(own, "long_range"):
            own.long_range = make_long_range(model.electrostatics, backend, coulomb_accuracy, device)
        frame = frames[k]
        try:
            added = long_range_terms(own.long_range, frame, model.charges)
        except InputError as error:
            raise InputError(f"frame {k}: {error}") from error
        part = slice(first[k], first[k + 1])
        energies[part] += added[0]
        forces[part] += added[1]
        if frame.pbc.all():
            stress[k] += full_3x3_to_voigt_6_stress(added[2] / frame.get_volume())

    with mapper(threads or torch.get_num_threads() if backend == "compiled" else 1) as run:
        run(work, len(frames))
    energy = np.add.reduceat(energies, first[:-1])
    return replace(short, energy=energy, energies=energies, forces=forces, stress=stress)


def _chunks(
    frames: Sequence[Atoms], aev: AEVSettings, dtype: str, per_atom: float, budget: float, run: Map
) -> Iterator[Sequence[DirectDescriptor]]:
    """Compute descriptors of as many frames at a time as fit into `budget` bytes."""
    done, largest = 0, float(_DESCRIPTOR_BYTES)
    own = threading.local()
    while done < len(frames):
        chosen = _fill(done, [len(frame) for frame in frames], largest + per_atom, budget)
        found: dict[int, DirectDescriptor] = {}

        def work(k: int, start: int = done, found: dict[int, DirectDescriptor] = found) -> None:
            # frames of one trajectory share a list as long as they are near
            if not hasattr(own, "neighbors"):
                own.neighbors = VerletPairs(aev.radial_cutoff)
            try:
                frame, kind = frames[start + k], np.dtype(dtype).type
                found[k] = compute_direct(frame, aev, kind, neighbors=own.neighbors)
            except InputError as error:
                raise InputError(f"frame {start + k}: {error}") from error

        run(work, chosen)
        descriptors = [found[k] for k in range(chosen)]
        densest = max(descriptor.nbytes / max(len(descriptor.species), 1) for descriptor in descriptors)
        largest = densest if done == 0 else max(largest, densest)
        done += chosen
        yield descriptors


def _predict_by_torch(
    model: Model, networks: AtomicNetworks, frames: Sequence[Atoms], budget: float
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Do what `_predict_chunk` does with as many frames at a time as fit, fewer where memory runs out."""
    potential, done = TorchBackend(model.aev, networks), 0
    while done < len(frames):
        chosen = _fill(done, [len(frame) for frame in frames], potential.bytes_per_atom, budget)
        try:
            species, _, energies, slopes, virials = potential.evaluate(frames[done : done + chosen])
        except torch.cuda.OutOfMemoryError:
            if chosen == 1:
                raise
            budget *= 0.5
            continue
        except InputError as error:
            raise InputError(f"frames {done} to {done + chosen - 1}: {error}") from error
        sizes = np.array([len(frame) for frame in frames[done : done + chosen]])
        done += chosen
        atomic = energies.T.astype(float) + model.offsets_array[species, None]
        yield sizes, atomic, slopes.transpose(1, 0, 2), virials.transpose(1, 0, 2, 3)


def _chunks_of_prepared(data: Prepared, per_atom: float, budget: float) -> Iterator[Sequence[Descriptor]]:
    """Take prepared descriptors, as many at a time as the networks have memory for."""
    done = 0
    while done < len(data):
        chosen = _fill(done, data.sizes, per_atom, budget)
        found = [d for d in data.descriptors[done : done + chosen] if isinstance(d, Descriptor)]
        if len(found) < chosen:
            raise InputError("forces and stress need descriptors with their Jacobian", where="predict")
        done += chosen
        yield found


def _fill(start: int, sizes: Sequence[int] | np.ndarray, per_atom: float, budget: float) -> int:
    """Return how many frames from `start` on fit into `budget` bytes; at least one."""
    needed = np.cumsum(sizes[start:]) * per_atom
    return max(1, int(np.searchsorted(needed, budget, side="right")))


def _predict_chunk(
    networks: AtomicNetworks,
    offsets: np.ndarray,
    descriptors: Sequence[Descriptor | DirectDescriptor],
    run: Map,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return sizes (n,), energies (N, M), slopes dE/dr (N, M, 3) and virials (n, M, 3, 3) of frames."""
    sizes = np.array([len(descriptor.species) for descriptor in descriptors])
    first = np.concatenate([[0], np.cumsum(sizes)])
    species = np.concatenate([descriptor.species for descriptor in descriptors]).astype(np.int64)
    features = np.concatenate([descriptor.features for descriptor in descriptors])
    energies, tensor = networks.energies_and_gradients(torch.from_numpy(features), torch.from_numpy(species))
    gradients = tensor.numpy()
    slopes = np.empty((len(species), networks.n_members, 3))
    virials = np.empty((len(sizes), networks.n_members, 3, 3))

    def work(k: int) -> None:
        part = slice(first[k], first[k + 1])
        slope, virials[k] = descriptors[k].pull_back(gradients[:, part])
        slopes[part] = slope.transpose(1, 0, 2)

    run(work, len(descriptors))
    return sizes, energies.numpy().T.astype(float) + offsets[species, None], slopes, virials
