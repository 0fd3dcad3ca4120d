"""Where the descriptors of a training stay between epochs: in memory, in a file, or nowhere.

A descriptor with its Jacobian takes some 12 to 20 kB an atom in single precision: 3 400 frames of 64 atoms,
some 3 to 4 GB. The three ways give the same numbers to the bit, so the choice may depend on what is free.
"""

import mmap
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, overload

import numpy as np
from ase import Atoms

from asennp.models.aev import AEVSettings, Descriptor, compute_descriptor, compute_descriptors

_ALIGNMENT = 64
#: Frames whose descriptors are measured to know what all will take.
_SAMPLE = 8
#: Frames computed at a time on the way into a file.
_CHUNK = 32


class _Made(Sequence[Descriptor]):
    """Descriptors that are made when asked for."""

    def _make(self, number: int) -> Descriptor:
        raise NotImplementedError

    @overload
    def __getitem__(self, index: int) -> Descriptor: ...
    @overload
    def __getitem__(self, index: slice) -> list[Descriptor]: ...
    def __getitem__(self, index: int | slice) -> Descriptor | list[Descriptor]:
        if isinstance(index, slice):
            return [self._make(k) for k in range(*index.indices(len(self)))]
        return self._make(range(len(self))[index])


class RecomputedDescriptors(_Made):
    """Descriptors that are computed anew whenever they are needed.

    Parameters
    ----------
    frames, settings, dtype
        As for `compute_descriptor`.
    """

    def __init__(self, frames: Sequence[Atoms], settings: AEVSettings, dtype: type) -> None:
        self._frames, self._settings, self._dtype = frames, settings, dtype

    def __len__(self) -> int:
        return len(self._frames)

    def _make(self, number: int) -> Descriptor:
        return compute_descriptor(self._frames[number], self._settings, self._dtype)


class FiledDescriptors(_Made):
    """Descriptors in a file that is gone when they are.

    Parameters
    ----------
    frames, settings, dtype
        As for `compute_descriptor`.
    folder
        Where the file is.
    threads
        Frames computed side by side.
    """

    def __init__(
        self, frames: Sequence[Atoms], settings: AEVSettings, dtype: type, folder: Path, threads: int
    ) -> None:
        self._settings = settings
        self._places: list[dict[str, tuple[np.dtype[Any], tuple[int, ...], int]]] = []
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder, prefix="descriptors-") as file:
            for begin in range(0, len(frames), _CHUNK):
                chunk = frames[begin : begin + _CHUNK]
                for descriptor in compute_descriptors(chunk, settings, dtype, n_threads=threads):
                    places = {}
                    for name, array in descriptor.arrays().items():
                        file.write(bytes(-file.tell() % _ALIGNMENT))
                        places[name] = (array.dtype, array.shape, file.tell())
                        file.write(np.ascontiguousarray(array).tobytes())
                    self._places.append(places)
            file.write(bytes(_ALIGNMENT))
            file.flush()
            # private pages: the kernels see ordinary arrays, and nothing is ever written back
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)

    def __len__(self) -> int:
        return len(self._places)

    def _make(self, number: int) -> Descriptor:
        arrays = {
            name: np.frombuffer(self._map, dtype, int(np.prod(shape)), offset).reshape(shape)
            for name, (dtype, shape, offset) in self._places[number].items()
        }
        return Descriptor.from_arrays(self._settings, arrays)


def free_memory_MB() -> float:
    """Return the memory that can be had now, in 10^6 bytes; on Linux with what only caches files."""
    counts = Path("/proc/meminfo")
    if counts.is_file():
        available = re.search(r"^MemAvailable:\s+(\d+) kB", counts.read_text(), re.MULTILINE)
        if available is not None:
            return 1.024e-3 * int(available[1])
    return 1e-6 * os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def keep_descriptors(
    frames: Sequence[Atoms],
    settings: AEVSettings,
    dtype: type = np.float32,
    *,
    threads: int = 1,
    memory_MB: float | None = None,
    disk_MB: float | None = None,
    folder: str | Path | None = None,
) -> tuple[Sequence[Descriptor], str]:
    """Compute the descriptors of frames and keep them where they fit.

    Parameters
    ----------
    frames, settings, dtype
        As for `compute_descriptor`.
    threads
        Frames computed side by side.
    memory_MB
        What they may take of the memory; by default half of what is free.
    disk_MB
        What they may take in `folder`; by default half of what is free there.
    folder
        Where a file may be; None allows none.

    Returns
    -------
    tuple
        The descriptors, and in words where they are.
    """
    if memory_MB is None:
        memory_MB = 0.5 * free_memory_MB()
    picked = np.unique(np.linspace(0, len(frames) - 1, _SAMPLE).astype(int)).tolist()
    with ThreadPoolExecutor(threads) as pool:
        sample = list(pool.map(lambda k: compute_descriptor(frames[k], settings, dtype), picked))
    per_atom = max(descriptor.nbytes / max(len(descriptor.species), 1) for descriptor in sample)
    needed = 1e-6 * per_atom * sum(len(frame) for frame in frames)
    if needed <= memory_MB:
        found = compute_descriptors(frames, settings, dtype, n_threads=threads)
        return found, f"descriptors: {needed:.0f} MB in memory (of {memory_MB:.0f})"
    if folder is not None:
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if disk_MB is None:
            disk_MB = 0.5e-6 * shutil.disk_usage(folder).free
        if needed <= disk_MB:
            filed = FiledDescriptors(frames, settings, dtype, folder, threads)
            return filed, f"descriptors: {needed:.0f} MB in a file (of {disk_MB:.0f}; memory {memory_MB:.0f})"
    recomputed = RecomputedDescriptors(frames, settings, dtype)
    return recomputed, f"descriptors: {needed:.0f} MB would be needed; computed anew at every step"
