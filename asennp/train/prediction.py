"""Predictions of a model for many frames at once, without ASE calculators, and their errors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from ase import Atoms
from ase.stress import full_3x3_to_voigt_6_stress, voigt_6_to_full_3x3_stress

from asennp.models.model import Model
from asennp.models.network import AtomicNetworks
from asennp.results import Result
from asennp.train.batch import Batch, Map, mapper
from asennp.train.data import Prepared, prepare

_CHUNK = 32


@dataclass(frozen=True, eq=False)
class Prediction(Result):
    """What networks and offsets give for frames (no Coulomb energy: add the baseline's where it belongs).

    Attributes
    ----------
    sizes
        (n_frames,) atoms of each frame.
    energy
        (n_frames,) eV.
    energies
        (n_atoms,) eV, in the order of the frames.
    forces
        (n_atoms, 3) eV/Å.
    stress
        (n_frames, 6) eV/Å^3, Voigt.
    """

    sizes: np.ndarray
    energy: np.ndarray
    energies: np.ndarray
    forces: np.ndarray
    stress: np.ndarray

    def virial(self, volumes: np.ndarray) -> np.ndarray:
        """Return V sigma (n_frames, 3, 3) for the frames' volumes (Å^3)."""
        return np.asarray(voigt_6_to_full_3x3_stress(self.stress) * volumes[:, None, None])


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
    networks: AtomicNetworks, offsets: np.ndarray, data: Prepared, frames: np.ndarray, run: Map
) -> Prediction:
    """Predict some prepared frames with the networks of one member."""
    parts = [Batch(networks, data, frames[k : k + _CHUNK], run) for k in range(0, len(frames), _CHUNK)]
    sizes = data.sizes[frames]
    energies = np.concatenate([part.energies for part in parts])
    energies += offsets[data.species[data.atoms_of(frames)]]
    virial = np.concatenate([part.virial for part in parts if part.virial is not None])
    return Prediction(
        sizes=sizes,
        energy=np.add.reduceat(energies, np.cumsum(sizes) - sizes),
        energies=energies,
        forces=np.concatenate([part.forces for part in parts if part.forces is not None]),
        stress=full_3x3_to_voigt_6_stress(virial / data.volumes[frames, None, None]),
    )


def compute_errors(prediction: Prediction, data: Prepared, frames: np.ndarray) -> Errors:
    """Compare a prediction of prepared frames with their labels."""
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


def predict(model: Model, frames: Sequence[Atoms] | Prepared, threads: int | None = None) -> Prediction:
    """Predict energies, atomic energies, forces and stresses of frames by a model's networks and offsets.

    The mean over the members of a committee; no Coulomb part.

    Parameters
    ----------
    model
        The model.
    frames
        Frames, or what `prepare` made of them for the model's descriptor.
    threads
        Threads for the descriptors; by default as many as torch uses.
    """
    threads = threads or torch.get_num_threads()
    data = frames if isinstance(frames, Prepared) else prepare(frames, model.aev, threads=threads)
    everything = np.arange(len(data))
    with mapper(threads) as run:
        members = [
            predict_networks(model.networks.member(k), model.offsets_array, data, everything, run)
            for k in range(model.networks.n_members)
        ]
    mean = {
        name: np.mean([getattr(member, name) for member in members], axis=0)
        for name in ("energy", "energies", "forces", "stress")
    }
    return Prediction(sizes=data.sizes, **mean)
