"""Splits by trajectory block, so that neighbours in time never sit on both sides."""

from collections.abc import Hashable, Mapping, Sequence
from hashlib import blake2b

import numpy as np
from ase import Atoms

from asennp.errors import InputError


def _fingerprint(frame: Atoms, decimals: int) -> bytes:
    # adding 0.0 turns -0.0 into 0.0
    parts = [frame.numbers.astype(np.int64), frame.pbc.astype(np.int64)]
    parts += [np.round(a, decimals) + 0.0 for a in (frame.positions, frame.cell.array)]
    digest = blake2b(digest_size=16)
    for part in parts:
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.digest()


def find_duplicates(frames: Sequence[Atoms], decimals: int = 4) -> np.ndarray:
    """Mark frames that repeat an earlier one.

    Two frames are the same if numbers, positions and cell agree after rounding (Å): a copy that went
    through a file counts, a frame shifted or wrapped into another image does not.

    Returns
    -------
    numpy.ndarray
        (n_frames,) bool, False for the first of its kind.
    """
    return _first_of_kind(frames, decimals) < np.arange(len(frames))


def _first_of_kind(frames: Sequence[Atoms], decimals: int) -> np.ndarray:
    """Return for each frame the index of the first that is the same (n_frames,)."""
    seen: dict[bytes, int] = {}
    keys = (_fingerprint(frame, decimals) for frame in frames)
    return np.array([seen.setdefault(key, k) for k, key in enumerate(keys)], dtype=int)


def refuse_shared_frames(
    frames: Sequence[Atoms], parts: Mapping[str, Sequence[int] | np.ndarray], decimals: int = 4
) -> None:
    """Refuse parts that share a frame, be it by index or as a copy (`find_duplicates`).

    Raises
    ------
    InputError
        Naming two parts and the first frame they share.
    """
    first = _first_of_kind(frames, decimals)
    owner: dict[int, tuple[str, int]] = {}
    for name, indices in parts.items():
        for k in np.asarray(indices, dtype=int).tolist():
            other, index = owner.setdefault(int(first[k]), (name, k))
            if other != name:
                copy = "the same" if index == k else f"a copy of frame {index}"
                raise InputError(
                    f"{other} and {name} share frames",
                    where="parts",
                    got=f"frame {k} of {name} is {copy} in {other}",
                    do="split with asennp.dataset.split, which leaves copies out",
                )


def _block_of(frame: Atoms, index: int, window: int) -> Hashable:
    if "block" in frame.info:
        return str(frame.info.get("source", "")), "block", str(frame.info["block"])
    step = int(frame.info.get("step", index))
    return str(frame.info.get("source", "")), "window", step // window


def split(
    frames: Sequence[Atoms],
    fractions: Mapping[str, float],
    seed: int,
    block: Sequence[Hashable] | None = None,
    *,
    window: int = 1,
    decimals: int | None = 4,
) -> dict[str, np.ndarray]:
    """Split frames into named parts that share no block and no duplicate.

    Whole blocks go to the parts in a seeded random order. Every part but the first gets at least its
    fraction; the first (training) gets the rest.

    Parameters
    ----------
    frames
        The frames. A block is one value of ``info["block"]`` (within ``info["source"]``), else
        a window of ``info["step"]`` (within ``info["source"]``), else a window of the frame's index.
    fractions
        Part -> fraction of the frames, adding up to 1; the first takes what is left over.
    seed
        Of the order of blocks.
    block
        One key a frame, instead of the above.
    window
        Length of a window, in steps (or in frames, where frames know no step).
    decimals
        Rounding (Å) under which frames count as the same; later copies enter no part. None: they are
        known to differ.

    Returns
    -------
    dict
        Part -> sorted indices.

    Raises
    ------
    InputError
        If the fractions do not add up to 1, or there are too few blocks to fill every part.
    """
    if not fractions or abs(sum(fractions.values()) - 1.0) > 1e-9 or min(fractions.values()) <= 0:
        raise InputError(
            "fractions must be positive and add up to 1", where="split", got=dict(fractions), do="mend them"
        )
    if window < 1:
        raise InputError("the window must be at least 1", where="split", got=window)
    if block is not None and len(block) != len(frames):
        raise InputError("one block a frame is needed", where="split", expected=len(frames), got=len(block))
    copies = np.zeros(len(frames), bool) if decimals is None else find_duplicates(frames, decimals)
    keep = np.flatnonzero(~copies)
    blocks: dict[Hashable, list[int]] = {}
    for k in keep.tolist():
        key = block[k] if block is not None else _block_of(frames[k], k, window)
        blocks.setdefault(key, []).append(k)
    members = list(blocks.values())
    order = np.random.default_rng(seed).permutation(len(members)).tolist()
    first, *others = fractions
    parts: dict[str, list[int]] = {name: [] for name in fractions}
    for name in others:
        while order and len(parts[name]) < fractions[name] * len(keep) - 1e-9:
            parts[name] += members[order.pop(0)]
    for k in order:
        parts[first] += members[k]
    empty = [name for name, indices in parts.items() if not indices]
    if empty:
        raise InputError(
            f"no block is left for {', '.join(empty)}",
            where="split",
            expected="more blocks than parts",
            got=f"{len(members)} blocks, {len(keep)} different frames",
            do="take smaller blocks (window=) or more frames",
        )
    return {name: np.array(sorted(indices), dtype=int) for name, indices in parts.items()}
