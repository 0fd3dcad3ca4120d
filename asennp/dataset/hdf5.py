"""Labelled frames in the HDF5 files of TorchANI's tutorials and of the papers' author.

Every group with ``coordinates`` holds frames of one list of atoms: ``species`` (N,) symbols, ``coordinates``
(n, N, 3) and ``cell`` (n, 3, 3) in Å, ``energies`` (n,) in Hartree, ``forces`` (n, N, 3) in Hartree/Å, and
``virial`` (n, 6) = -dE/deps in Hartree, in the order xx yy zz xy xz yz: neither ASE's sign nor Voigt's
order. Only this module knows.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from asennp.dataset.frames import check_frame, label, require_labels
from asennp.errors import InputError
from asennp.files import write_atomic
from asennp.units import HARTREE_EV

#: Places of xx yy zz yz xz xy in the file's xx yy zz xy xz yz; its own inverse.
_ORDER = [0, 1, 2, 5, 4, 3]
_SHAPES = {"cell": (3, 3), "energies": (), "forces": ("N", 3), "virial": (6,)}


def _h5py() -> Any:
    try:
        import h5py
    except ImportError:
        raise InputError("h5py is not installed", where="HDF5", do="pip install h5py") from None
    return h5py


def read_hdf5(path: str | Path, species: Mapping[str, str] | None = None) -> list[Atoms]:
    """Read labelled frames, turned to eV, Å and ASE's stress.

    Parameters
    ----------
    path
        The file.
    species
        Label in the file -> element, where labels are placeholders, e.g. ``{"C": "Ni"}``.

    Returns
    -------
    list of Atoms
        With ``REF_energy``, ``REF_forces``, ``REF_stress`` as far as the file has them, ``info["source"]``
        (the group) and ``info["step"]`` (the place in it), by which `split` makes blocks.

    Raises
    ------
    InputError
        No such file, no HDF5, no group of frames, unknown species, wrong shapes, or NaN.
    """
    h5py, path = _h5py(), Path(path)
    if not path.is_file():
        raise InputError("no such file", where=path)
    groups: list[str] = []
    frames: list[Atoms] = []
    try:
        with h5py.File(path) as file:
            file.visititems(lambda name, item: groups.append(name) if "coordinates" in _names(item) else None)
            for name in groups:
                frames += _frames_of(
                    f"{path}, {name}", name, {k: file[name][k][()] for k in file[name]}, species
                )
    except OSError as error:
        raise InputError("not an HDF5 file", where=path, got=str(error)) from error
    if not frames:
        raise InputError("no frames", where=path, expected="groups with coordinates, species, energies")
    return frames


def _names(item: Any) -> set[str]:
    return set(item.keys()) if hasattr(item, "keys") else set()


def _frames_of(
    place: str, name: str, arrays: Mapping[str, np.ndarray], species: Mapping[str, str] | None
) -> list[Atoms]:
    if "species" not in arrays:
        raise InputError("no species", where=place)
    found = [s.decode() if isinstance(s, bytes) else str(s) for s in np.ravel(arrays["species"])]
    symbols = [(species or {}).get(symbol, symbol) for symbol in found]
    unknown = sorted({symbol for symbol in symbols if symbol not in atomic_numbers})
    if unknown:
        raise InputError("unknown species", where=place, got=", ".join(unknown), do="name them in species=")
    n, n_frames = len(symbols), len(arrays["coordinates"])
    for key, shape in {"coordinates": ("N", 3), **_SHAPES}.items():
        expected = (n_frames, *(n if size == "N" else size for size in shape))
        if key in arrays and arrays[key].shape != expected:
            raise InputError(f"{key} has a wrong form", where=place, expected=expected, got=arrays[key].shape)
    if "virial" in arrays and "cell" not in arrays:
        raise InputError("a virial without a cell", where=place)
    frames = []
    for k in range(n_frames):
        cell = arrays["cell"][k] if "cell" in arrays else None
        atoms = Atoms(symbols, positions=arrays["coordinates"][k], cell=cell, pbc=cell is not None)
        atoms.info.update(source=name, step=k)
        if "energies" in arrays:
            atoms.info["REF_energy"] = float(arrays["energies"][k]) * HARTREE_EV
        if "forces" in arrays:
            atoms.arrays["REF_forces"] = arrays["forces"][k] * HARTREE_EV
        if "virial" in arrays:
            atoms.info["REF_stress"] = -arrays["virial"][k][_ORDER] * HARTREE_EV / atoms.cell.volume
        check_frame(atoms, f"{place}, frame {k}")
        frames.append(atoms)
    return frames


def write_hdf5(path: str | Path, frames: Sequence[Atoms]) -> Path:
    """Write periodic frames with energy, forces and stress in that form, one group for each list of atoms.

    Raises
    ------
    InputError
        For a missing label, or a frame that is not periodic in all directions.
    """
    h5py = _h5py()
    require_labels(frames, ("energy", "forces", "stress"), where="write_hdf5")
    groups: dict[tuple[str, ...], list[Atoms]] = {}
    for k, frame in enumerate(frames):
        if not frame.pbc.all():
            raise InputError("the form holds periodic frames", where=f"frame {k}", got=frame.pbc.tolist())
        groups.setdefault(tuple(frame.get_chemical_symbols()), []).append(frame)

    def write(stream: Any) -> None:
        with h5py.File(stream, "w") as file:
            for number, (symbols, members) in enumerate(groups.items()):
                group = file.create_group(f"mols/mol{number}")
                group["species"] = np.array(symbols, dtype="S")
                group["coordinates"] = np.array([frame.positions for frame in members])
                group["cell"] = np.array([frame.cell.array for frame in members])
                group["energies"] = np.array([float(label(f, "energy")) / HARTREE_EV for f in members])
                group["forces"] = np.array([label(f, "forces") / HARTREE_EV for f in members])
                virial = [
                    -f.cell.volume * np.asarray(label(f, "stress"))[_ORDER] / HARTREE_EV for f in members
                ]
                group["virial"] = np.array(virial)

    return write_atomic(path, write)
