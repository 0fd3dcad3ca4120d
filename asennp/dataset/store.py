"""A data set that only grows: immutable shards of frames and a manifest.

    folder/manifest.json            format, units, one entry a shard
    folder/shards/<sha256>.extxyz   frames, named by their content

A shard is written first and named in the manifest after, each in one atomic step: a kill in between
leaves a shard that nobody names, which is ignored. The same frames always make the same shard.
"""

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from ase import Atoms

from asennp.dataset.frames import LABELS, frames_text, labels_of, read_frames
from asennp.errors import InputError
from asennp.files import read_json, sha256_file, sha256_json, write_atomic, write_json

FORMAT = 1
UNITS = {"length": "A", "energy": "eV", "forces": "eV/A", "stress": "eV/A^3, +(1/V) dE/deps, Voigt"}


class Store:
    """Frames in a folder, kept as immutable shards.

    Parameters
    ----------
    folder
        Where the store is, or will be. An existing one is checked: every shard must be there with
        the bytes that the manifest promises.

    Raises
    ------
    InputError
        For a manifest that cannot be read, and for a missing or altered shard.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._cache: dict[str, list[Atoms]] = {}
        self._manifest = self._read_manifest()
        for shard in self._manifest["shards"]:
            self._check(shard)

    @property
    def shards(self) -> tuple[dict[str, Any], ...]:
        """Manifest entries: file, sha256, n_frames, labels, provenance, provenance_sha256."""
        return tuple(self._manifest["shards"])

    @property
    def sha256(self) -> str:
        """Hash of the whole content, in order."""
        return sha256_json([shard["sha256"] for shard in self.shards])

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels present on every frame."""
        return tuple(name for name in LABELS if all(name in s["labels"] for s in self.shards) and self.shards)

    def __len__(self) -> int:
        return sum(shard["n_frames"] for shard in self.shards)

    def __iter__(self) -> Iterator[Atoms]:
        for shard in self.shards:
            for frame in self._load(shard):
                yield frame.copy()

    def frames(self) -> list[Atoms]:
        """Return copies of all frames, in the order of appending."""
        return list(self)

    def append(self, frames: Sequence[Atoms], provenance: dict[str, Any] | None = None) -> str:
        """Add frames as one shard and return its sha256.

        Frames that are there already, as a shard of the same content, are not added again; the
        provenance of the first time stays.

        Parameters
        ----------
        frames
            What to add; checked as `read_frames` does.
        provenance
            Where the frames and labels come from: labeler, its settings... (plain JSON values).
        """
        if not frames:
            raise InputError("no frames to append", where=self.folder)
        text = frames_text(frames).encode()
        digest = sha256(text).hexdigest()
        with self._locked():
            self._manifest = self._read_manifest()
            if any(shard["sha256"] == digest for shard in self.shards):
                return digest
            name = f"shards/{digest[:24]}.extxyz"
            write_atomic(self.folder / name, text)
            shard = {
                "file": name,
                "sha256": digest,
                "n_frames": len(frames),
                "labels": [label for label in LABELS if all(label in labels_of(f) for f in frames)],
                "provenance": dict(provenance or {}),
                "provenance_sha256": sha256_json(provenance or {}),
            }
            self._manifest["shards"].append(shard)
            write_json(self.folder / "manifest.json", self._manifest)
        return digest

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one process at a time change the manifest."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / ".lock", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _read_manifest(self) -> dict[str, Any]:
        path = self.folder / "manifest.json"
        if not path.exists():
            return {"format": FORMAT, "units": UNITS, "shards": []}
        try:
            manifest = read_json(path)
            if manifest["format"] != FORMAT or manifest["units"] != UNITS:
                raise InputError(
                    "a store of another format or other units",
                    where=path,
                    expected=f"format {FORMAT}, {UNITS}",
                    got=f"format {manifest['format']}, {manifest['units']}",
                )
            [shard["sha256"] for shard in manifest["shards"]]
        except (ValueError, KeyError, TypeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError("the manifest cannot be read", where=path, got=repr(error)) from error
        return dict(manifest)

    def _check(self, shard: dict[str, Any]) -> None:
        path = self.folder / shard["file"]
        if not path.is_file():
            raise InputError("a shard is missing", where=path, do="restore it, or start a new store")
        digest = sha256_file(path)
        if digest != shard["sha256"]:
            raise InputError(
                "a shard was altered after it was written",
                where=path,
                expected=f"sha256 {shard['sha256']}",
                got=digest,
                do="restore the file; shards are never edited",
            )

    def _load(self, shard: dict[str, Any]) -> list[Atoms]:
        if shard["sha256"] not in self._cache:
            self._cache[shard["sha256"]] = read_frames(self.folder / shard["file"])
        return self._cache[shard["sha256"]]
