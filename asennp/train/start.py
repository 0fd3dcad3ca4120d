"""What a training begins with: networks, offsets, the split of the frames, and a hash of it all."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from ase import Atoms

from asennp.dataset import refuse_shared_frames, split
from asennp.errors import InputError
from asennp.files import sha256_json
from asennp.models.aev import AEVSettings
from asennp.models.model import ELECTROSTATICS, Model
from asennp.models.network import AtomicNetworks, NetworkSettings
from asennp.train.batch import Batch
from asennp.train.config import TrainConfig
from asennp.train.data import data_hash
from asennp.train.source import Source


def starting_networks(
    config: TrainConfig, frames: Sequence[Atoms], aev: AEVSettings | None, init: Model | None
) -> tuple[AEVSettings, AtomicNetworks, np.ndarray]:
    """Return descriptor settings, networks and offsets to begin with."""
    dtype = getattr(torch, config.dtype)
    if init is not None:
        if aev is not None and aev != init.aev:
            raise InputError(
                "the initial model has another descriptor", where="aev", expected=init.aev, got=aev
            )
        if init.networks.n_members != 1:
            raise InputError(
                "a training starts from one member",
                where="init",
                got=f"{init.networks.n_members} members",
                do="pass model.member(k)",
            )
        return init.aev, init.networks.to(dtype=dtype), init.offsets_array.copy()
    if aev is None:
        aev = AEVSettings(
            species=tuple(sorted({s for frame in frames for s in frame.get_chemical_symbols()}))
        )
    settings = NetworkSettings(aev.length, len(aev.species), config.hidden)
    networks = AtomicNetworks.random(settings, torch.Generator().manual_seed(config.seed), dtype=dtype)
    return aev, networks, np.zeros(len(aev.species))


def starting_baseline(
    charges: Mapping[str, float] | None, electrostatics: str | None, init: Model | None
) -> dict[str, Any]:
    """Return what was taken out of the labels, as given or as of the initial model, by `Model`'s names."""
    if electrostatics is None:
        electrostatics = init.electrostatics if init is not None else "point"
    if charges is None:
        charges = init.charges if init is not None and electrostatics == "point" else {}
    if electrostatics not in ELECTROSTATICS or (charges and electrostatics != "point"):
        raise InputError(
            "unknown electrostatics, or charges beside those of PQEq",
            where="electrostatics",
            expected=" or ".join(ELECTROSTATICS),
            got=f"{electrostatics!r} with charges {dict(charges)}",
        )
    return {"charges": dict(charges), "electrostatics": electrostatics}


def starting_offsets(
    config: TrainConfig,
    networks: AtomicNetworks,
    source: Source,
    frames: np.ndarray,
    offsets: np.ndarray,
    known: bool,
) -> np.ndarray:
    """Choose energy offsets (n_species,) so that the networks start with no mean error.

    Networks that learn atomic energies from nothing start from each species' mean; otherwise one
    shift, equal for all atoms, is added: the short-range, total and residual energies of one system
    differ by eV an atom, and what networks learnt before keeps its mean (per formula unit).
    """
    data, atoms = source.data, source.data.atoms_of(frames)
    if config.stage == "A-Train" and config.energy_weight > 0 and not known:
        counts = np.bincount(data.species[atoms], minlength=len(offsets))
        sums = np.bincount(data.species[atoms], weights=data.energies[atoms], minlength=len(offsets))
        mean = sums.sum() / counts.sum()
        offsets = np.where(counts > 0, sums / np.maximum(counts, 1), mean)
    pieces = [frames[k : k + 64] for k in range(0, len(frames), 64)]
    energies = np.concatenate([Batch(networks, source, piece, False).energies.cpu() for piece in pieces])
    predicted = energies.sum() + offsets[data.species[atoms]].sum()
    return offsets + (data.energy[frames].sum() - predicted) / len(atoms)


def choose_parts(
    config: TrainConfig, frames: Sequence[Atoms], parts: Mapping[str, Sequence[int]] | None
) -> dict[str, np.ndarray]:
    """Return the indices of training and validation frames."""
    if parts is None:
        fractions = {"train": 1 - config.validation_fraction, "validation": config.validation_fraction}
        return split(frames, fractions, config.seed)
    chosen = {name: np.asarray(parts[name], dtype=int) for name in ("train", "validation")}
    if not len(chosen["train"]) or not len(chosen["validation"]):
        raise InputError("no frames to train or to validate on", where="parts")
    refuse_shared_frames(frames, chosen)
    return chosen


def identity_of(
    config: TrainConfig,
    aev: AEVSettings,
    networks: AtomicNetworks,
    offsets: np.ndarray,
    baseline: Mapping[str, Any],
    frames: Sequence[Atoms],
    parts: Mapping[str, np.ndarray],
) -> str:
    """Hash everything that decides the training. More epochs may follow, unless the schedule counts them.

    `baseline` holds the charges and the electrostatics that are taken out of the labels.
    """
    settings = config.todict()
    if config.schedule != "cosine":
        settings.pop("epochs")
    start = [array.tolist() for array in networks.state().values()]
    taken_out = baseline["charges"] if baseline["electrostatics"] == "point" else baseline["electrostatics"]
    return sha256_json(
        [settings, aev.todict(), sha256_json(start), offsets, taken_out, data_hash(frames), dict(parts)]
    )
