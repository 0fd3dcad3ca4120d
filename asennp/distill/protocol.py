"""Distillation: the few frames of a large pool that a committee cannot agree on.

The pool carries short-range labels. It is taken in a seeded random order and in chunks: for every chunk
a committee is trained on the frames chosen so far, and scores the chunk by

    UQ_i = standard deviation of the atomic energy e_i over the members,   score = max_i UQ_i.

Frames above mean + n_sd * (standard deviation) of the chunk's scores are chosen, the worst first, up
to a cap. Options judge the species apart and choose by diversity where the cap cuts
(`asennp.distill.selection`). A second pool may start from what the first one gave.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms

from asennp.dataset import audit, compute_labels
from asennp.distill.committee import Committee, member_runner
from asennp.distill.selection import fingerprints, frame_scores, select, standard_scores
from asennp.distill.settings import DistillSettings
from asennp.errors import InputError
from asennp.files import append_jsonl, read_json, read_jsonl, sha256_json, write_atomic, write_json
from asennp.models.aev import AEVSettings, Descriptor, compute_descriptors
from asennp.models.torch_backend import choose_device
from asennp.results import Result
from asennp.train.data import Features, Prepared, compute_features, data_hash, gather


@dataclass(frozen=True, eq=False)
class DistillRound(Result):
    """One round.

    Attributes
    ----------
    n_train
        Frames the committee was trained on.
    screened
        Indices (into the pool) of the chunk; empty for the closing round that only measures.
    scores
        Score of each of them (eV): the largest spread of an atomic energy.
    errors
        The largest error of an atomic energy of the committee's mean in each of them (eV): what the score
        should foretell.
    threshold
        Score above which frames were chosen (eV); NaN where species are judged apart.
    chosen
        Indices of the frames chosen, the most unusual first (by diversity: in the order of choice).
    energies_mae, energy_mae, force_mae, stress_mae
        Errors of the committee's mean on the pool before the choice: atomic energies (eV), energy
        (eV/atom), forces (eV/Å), stress (eV/Å^3); NaN where the pool lacks the label.
    """

    n_train: int
    screened: np.ndarray
    scores: np.ndarray
    errors: np.ndarray
    threshold: float
    chosen: np.ndarray
    energies_mae: float
    energy_mae: float
    force_mae: float
    stress_mae: float


@dataclass(frozen=True, eq=False)
class DistillResult(Result):
    """What was distilled from a pool.

    Attributes
    ----------
    indices
        Chosen frames of the pool: the initial block, then those of each round.
    n_pool, n_start
        Frames of the pool, and frames that were chosen before and given to start from.
    rounds
        The rounds; their errors over ``n_train`` are the learning curve.
    """

    indices: np.ndarray
    n_pool: int
    n_start: int
    rounds: tuple[DistillRound, ...]


class _Pool:
    """Frames and their descriptors, computed when first needed and kept as small as the training allows."""

    def __init__(
        self, frames: Sequence[Atoms], aev: AEVSettings, settings: DistillSettings, workers: int
    ) -> None:
        self.frames = frames
        self._aev = aev
        self._train = settings.train
        self._workers = workers
        self._jacobian: dict[int, Descriptor] = {}

    @cached_property
    def features(self) -> list[Features]:
        """Descriptors of all frames without their Jacobian."""
        return compute_features(self.frames, self._aev, self._train.dtype, self._workers)

    def with_jacobian(self, indices: np.ndarray, keep: bool = True) -> list[Descriptor]:
        """Return full descriptors of some frames, remembered if `keep`."""
        missing = [k for k in indices.tolist() if k not in self._jacobian]
        dtype = np.dtype(self._train.dtype).type
        computed = compute_descriptors(
            [self.frames[k] for k in missing], self._aev, dtype, n_threads=self._workers
        )
        found = dict(zip(missing, computed))
        if keep:
            self._jacobian |= found
        return [found[k] if k in found else self._jacobian[k] for k in indices.tolist()]

    def for_training(self, indices: np.ndarray) -> Prepared | list[Atoms]:
        """Return chosen frames with their features; bare, if the loss needs the large Jacobian too."""
        chosen = [self.frames[k] for k in indices]
        if self._train.force_weight > 0 or self._train.stress_weight > 0:
            return chosen
        return gather(chosen, [self.features[k] for k in indices])


def distill(
    pool: Sequence[Atoms],
    settings: DistillSettings,
    out_dir: str | Path,
    *,
    start: Sequence[Atoms] = (),
    labeler: Any = None,
    aev: AEVSettings | None = None,
    workers: int | None = None,
    device: str = "auto",
    progress: Callable[[DistillRound], None] | None = None,
) -> DistillResult:
    """Choose the frames of a pool that a committee cannot agree on.

    Writes ``rounds.jsonl``, a ledger of finished rounds from which a killed run goes on to the same
    result, and ``result.json``.

    Parameters
    ----------
    pool
        Frames with ``REF_energy`` and ``REF_energies`` (short range), forces and stress where weighted.
    settings
        See `DistillSettings`.
    out_dir
        Folder of this distillation alone.
    start
        Frames chosen earlier, e.g. from another pool: the committee learns them too, and no initial
        block is taken.
    labeler
        ASE calculator of short-range labels, for frames that have none.
    aev
        Descriptor; by default the published one for the elements of the pool.
    workers
        Processes (for training) and threads; by default as many threads as torch uses.
    device
        Where members are trained and score, as for `asennp.train.fit`; a GPU trains all together. Descriptors
        are computed on the CPU.
    progress
        Called with each finished round.

    Raises
    ------
    InputError
        For missing labels, a pool smaller than its first block, and a folder of another distillation.
    """
    # data
    if labeler is not None:
        wanted = ("energy", "forces", "stress", "energies")
        pool, start = compute_labels(pool, labeler, wanted), compute_labels(start, labeler, wanted)
    frames = [*start, *pool]
    audit(frames, require=settings.train.needed_labels)
    if not start and len(pool) <= settings.initial:
        raise InputError("the pool is smaller than its first block", where="distill", got=len(pool))
    if aev is None:
        aev = AEVSettings(
            species=tuple(sorted({s for frame in frames for s in frame.get_chemical_symbols()}))
        )
    workers, device = workers or torch.get_num_threads(), choose_device(device)[0]
    n_start = len(start)
    order = n_start + np.random.default_rng([settings.seed, 0]).permutation(len(pool))
    n_first = 0 if start else settings.initial
    chunks = [order[k : k + settings.chunk] for k in range(n_first, len(order), settings.chunk)]
    everything = n_start + np.arange(len(pool))
    measured = everything
    if settings.curve_frames is not None and settings.curve_frames < len(pool):
        measured = np.sort(order[-settings.curve_frames :])
    data, committee = _Pool(frames, aev, settings, workers), Committee(settings, aev, workers, device)

    # the ledger
    folder = Path(out_dir)
    identity = sha256_json([_plain(settings), aev.todict(), n_start, data_hash(frames)])
    rounds = _resume(folder, identity)
    if rounds and settings.warm_epochs is not None:
        committee.load(folder / f"members-{len(rounds) - 1}.npz")

    # rounds: one a chunk, and a closing one that completes the learning curve
    with member_runner(workers) as run:
        for number in range(len(rounds), len(chunks) + 1):
            chosen = [n_start + r.chosen for r in rounds]
            known = np.concatenate([np.arange(n_start), order[:n_first], *chosen]).astype(int)
            committee.train(data.for_training(known), number, run)
            errors = _measure(committee, data, measured, settings.curve_frames is not None)
            chunk = chunks[number] if number < len(chunks) else order[:0]
            screened = _screen(committee, data, chunk, known)
            chosen_now = screened.pop("chosen") - n_start
            finished = DistillRound(
                n_train=len(known), screened=chunk - n_start, chosen=chosen_now, **screened, **errors
            )
            if settings.warm_epochs is not None:
                committee.save(folder / f"members-{number}.npz")
            append_jsonl(folder / "rounds.jsonl", finished.to_dict())
            (folder / f"members-{number - 1}.npz").unlink(missing_ok=True)
            rounds.append(finished)
            if progress is not None:
                progress(finished)
    indices = np.concatenate([order[:n_first] - n_start, *(r.chosen for r in rounds)]).astype(int)
    result = DistillResult(indices, len(pool), n_start, tuple(rounds))
    result.to_json(folder / "result.json")
    return result


def _plain(settings: DistillSettings) -> dict[str, Any]:
    return {**asdict(settings), "train": settings.train.todict()}


def _resume(folder: Path, identity: str) -> list[DistillRound]:
    """Return the finished rounds of this distillation; a line torn by a kill is cut off."""
    card = folder / "distill.json"
    if not card.exists():
        write_json(card, {"identity": identity})
        (folder / "rounds.jsonl").unlink(missing_ok=True)
    elif read_json(card).get("identity") != identity:
        raise InputError(
            "the folder belongs to another distillation",
            where=folder,
            expected=f"settings and data {identity[:12]}",
            got=str(read_json(card).get("identity"))[:12],
            do="remove it, or choose another folder",
        )
    records = read_jsonl(folder / "rounds.jsonl")
    write_atomic(folder / "rounds.jsonl", "".join(json.dumps(record) + "\n" for record in records))
    return [DistillRound.from_dict(record) for record in records]


def _measure(committee: Committee, data: _Pool, indices: np.ndarray, keep: bool) -> dict[str, Any]:
    """Return errors on some frames; a whole pool's Jacobians are too large to keep and go by in pieces."""
    pieces = [indices] if keep else [indices[k : k + 256] for k in range(0, len(indices), 256)]
    sums: dict[str, float] = {}
    for piece in pieces:
        errors = committee.measure([data.frames[k] for k in piece], data.with_jacobian(piece, keep))
        for name, value in errors.items():
            sums[name] = sums.get(name, 0.0) + value * len(piece) / len(indices)
    return sums


def _screen(committee: Committee, data: _Pool, chunk: np.ndarray, known: np.ndarray) -> dict[str, Any]:
    """Score a chunk and choose from it: scores, errors, threshold and chosen, as in `DistillRound`."""
    if len(chunk) == 0:
        return {"scores": np.zeros(0), "errors": np.zeros(0), "threshold": float("nan"), "chosen": chunk}
    settings = committee.settings
    prepared = gather([data.frames[k] for k in chunk], [data.features[k] for k in chunk])
    spreads, errors = committee.spreads(prepared)
    scores = frame_scores(spreads, prepared.sizes)[:, 0]
    threshold = float(scores.mean() + settings.n_sd * scores.std())
    judged = scores[:, None]
    if settings.per_species:
        judged, threshold = frame_scores(spreads, prepared.sizes, prepared.species), float("nan")
    points = seen = None
    if settings.diversity:
        points, seen = (
            fingerprints(
                [data.features[k].features for k in some],
                [data.features[k].species for k in some],
                len(committee.aev.species),
            )
            for some in (chunk, known)
        )
    picked = select(standard_scores(judged), settings.n_sd, settings.cap, points, seen)
    largest = frame_scores(errors, prepared.sizes)[:, 0]
    return {"scores": scores, "errors": largest, "threshold": threshold, "chosen": chunk[picked]}
