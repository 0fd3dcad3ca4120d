"""Frames for other people's trainers, under the keys that each of them reads."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.stress import voigt_6_to_full_3x3_stress

from asennp.dataset.frames import label, labels_of, require_labels, write_frames
from asennp.errors import InputError, nearest

#: Trainer -> names of energy, forces and stress (or virial) in its extended XYZ.
KEYS = {
    "mace": ("REF_energy", "REF_forces", "REF_stress"),
    "nequip": ("energy", "forces", "stress"),
    "deepmd": ("energy", "force", "virial"),
}


def write_training_data(
    path: str | Path,
    frames: Sequence[Atoms],
    trainer: str = "mace",
    isolated_atoms: Mapping[str, float] | None = None,
) -> Path:
    """Write labelled frames (or `residual_targets`) as extended XYZ for another trainer.

    Parameters
    ----------
    path
        The file.
    frames
        Frames with ``REF_energy``, and ``REF_forces`` and ``REF_stress`` where there are any.
    trainer
        - "mace": ``REF_energy`` (eV), ``REF_forces`` (eV/Å), ``REF_stress`` (6, Voigt, eV/Å^3).
        - "nequip", and whatever reads ASE's own names: ``energy``, ``forces``, ``stress`` (3x3, eV/Å^3).
        - "deepmd", by dpdata's format ``quip/gap/xyz``: ``energy``, ``force``, and ``virial`` = -V stress
          (3x3, eV).
    isolated_atoms
        Element -> energy (eV) of the lone atom in the same labels. For MACE, which reads them from the file:
        a frame each, ``config_type=IsolatedAtom``. The others take them in their own input.

    Raises
    ------
    InputError
        For an unknown trainer, a missing energy, or lone atoms for a trainer that reads none from a file.
    """
    if trainer not in KEYS:
        raise InputError("unknown trainer", where="trainer", got=trainer, do=nearest(trainer, KEYS))
    if isolated_atoms and trainer != "mace":
        place = {"nequip": "per_type_energy_shifts of its model", "deepmd": "atom_ener of its fitting net"}
        raise InputError(
            f"{trainer} reads no lone atoms from its frames",
            where="isolated_atoms",
            do=f"give them as {place[trainer]}",
        )
    require_labels(frames, ["energy"], where="write_training_data")
    written = [_renamed(frame, trainer) for frame in frames]
    for symbol, energy in (isolated_atoms or {}).items():
        atom = Atoms(symbol, cell=np.eye(3) * 20.0, pbc=False)
        atom.info.update(config_type="IsolatedAtom", REF_energy=float(energy))
        atom.arrays["REF_forces"] = np.zeros((1, 3))
        written.append(atom)
    return write_frames(path, written)


def fit_offsets(frames: Sequence[Atoms]) -> dict[str, float]:
    """Return the energy per atom of each species (eV) that fits the frames' energies best.

    Least squares of sum_s n_s e_s against ``REF_energy``, as trainers do by "average". Frames of one
    composition determine only the sum over a formula unit: of all solutions the smallest is returned.
    """
    require_labels(frames, ["energy"], where="fit_offsets")
    species = sorted({s for frame in frames for s in frame.get_chemical_symbols()})
    counts = [[frame.get_chemical_symbols().count(s) for s in species] for frame in frames]
    energies = [frame.info["REF_energy"] for frame in frames]
    found = np.linalg.lstsq(np.array(counts, dtype=float), np.array(energies), rcond=None)[0]
    return dict(zip(species, found.tolist()))


def _renamed(frame: Atoms, trainer: str) -> Atoms:
    """Return a copy with the trainer's keys, and no other labels."""
    energy, forces, stress = KEYS[trainer]
    copy = Atoms(frame.numbers, frame.positions, cell=frame.cell, pbc=frame.pbc)
    copy.info = {key: value for key, value in frame.info.items() if not key.startswith("REF_")}
    present = labels_of(frame)
    copy.info[energy] = float(np.asarray(label(frame, "energy")))
    if "forces" in present:
        copy.arrays[forces] = np.array(label(frame, "forces"))
    if "stress" in present:
        voigt = np.array(label(frame, "stress"), dtype=float)
        full = voigt_6_to_full_3x3_stress(voigt)
        values = {"REF_stress": voigt, "stress": full.ravel(), "virial": -frame.cell.volume * full.ravel()}
        copy.info[stress] = values[stress]
    return copy
