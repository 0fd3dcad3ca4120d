"""Distillation: the few frames of a large pool that a committee cannot agree on.

The pool carries short-range labels. It is taken in a seeded random order and in chunks: for every chunk
a committee is trained on the frames chosen so far, and scores the chunk by

    UQ_i = standard deviation of the atomic energy e_i over the members,   score = max_i UQ_i.

Frames above mean + n_sd * (standard deviation) of the chunk's scores are chosen, the worst first, up
to a cap. Options judge the species apart and choose by diversity where the cap cuts
(`asennp.distill.selection`). A second pool may start from what the first one gave.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms

from asennp.dataset import audit, compute_labels
from asennp.distill.selection import fingerprints, frame_scores, select, standard_scores
from asennp.errors import InputError
from asennp.files import append_jsonl, read_json, read_jsonl, sha256_json, write_atomic, write_json
from asennp.models.aev import AEVSettings, Descriptor, compute_descriptors
from asennp.models.network import AtomicNetworks, NetworkSettings
from asennp.processes import process_pool
from asennp.results import Result
from asennp.train.batch import Batch, mapper
from asennp.train.config import TrainConfig
from asennp.train.data import Features, Prepared, compute_features, data_hash, gather, prepare
from asennp.train.loop import refuse_divergence, run_epoch
from asennp.train.optimizers import Optimizers
from asennp.train.prediction import Prediction, compute_errors, predict_networks
from asennp.train.start import starting_offsets

_SCORING_CHUNK = 64


@dataclass(frozen=True)
class DistillSettings:
    """How a pool is distilled.

    Parameters
    ----------
    initial
        Frames of the first, random block (not used where chosen frames are given to start from).
    chunk
        Frames screened in a round.
    n_sd
        The threshold lies this many standard deviations above the mean score.
    cap
        At most this many frames are chosen in a round.
    per_species
        Judge the largest spread among the atoms of each species by the chunk's mean and deviation of that
        species; a frame counts by its most unusual one.
    diversity
        Where more than `cap` frames are above the threshold, take not the worst of them but those that lie
        farthest from each other and from the frames chosen before, in the space of the descriptor.
    n_members
        Committee members.
    train
        Training of each member, by default the A-Train stage of the papers. With weights for forces or
        stress, these are learnt too; without, far cheaper, atomic energies alone. The parameters of the
        last epoch are kept.
    warm_epochs
        If set, members continue from the last round for so many epochs instead of starting anew.
    curve_frames
        Frames of the pool on which the learning curve is measured; None takes the whole pool.
    seed
        Of everything random.
    """

    initial: int = 2000
    chunk: int = 2000
    n_sd: float = 3.0
    cap: int = 100
    per_species: bool = False
    diversity: bool = False
    n_members: int = 5
    train: TrainConfig = field(default_factory=lambda: TrainConfig(stage="A-Train", energy_weight=8.0))
    warm_epochs: int | None = None
    curve_frames: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        positive = ("initial", "chunk", "cap", "warm_epochs", "curve_frames")
        for name in positive:
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise InputError("must be positive", where=f"DistillSettings.{name}", got=getattr(self, name))
        if self.n_members < 2:
            raise InputError(
                "a spread needs two members", where="DistillSettings.n_members", got=self.n_members
            )
        if self.train.stage != "A-Train" or self.train.energy_weight <= 0:
            raise InputError("members learn atomic energies", where="train.stage", expected="A-Train")


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


Parameters = dict[str, np.ndarray]
Run = Callable[..., list[Any]]


Member = tuple[Parameters, np.ndarray]


def _train_members(
    data: Prepared | list[Atoms],
    aev: AEVSettings,
    members: list[tuple[TrainConfig, np.ndarray, Member | None]],
) -> list[Member]:
    """Train members on the same frames, one after the other, and return their parameters and offsets.

    Each comes with its settings, the indices of its training frames, and its state so far, if any.
    """
    torch.set_num_threads(1)
    if not isinstance(data, Prepared):
        data = prepare(data, aev, members[0][0].dtype, threads=1)
    return [_train_member(data, aev, *member) for member in members]


def _train_member(
    data: Prepared, aev: AEVSettings, config: TrainConfig, part: np.ndarray, before: Member | None
) -> Member:
    shape = NetworkSettings(aev.length, len(aev.species), config.hidden)
    with mapper(1) as run:
        if before is not None:
            networks, offsets = AtomicNetworks.from_state(shape, before[0]), before[1]
        else:
            generator = torch.Generator().manual_seed(config.seed)
            networks = AtomicNetworks.random(shape, generator, dtype=getattr(torch, config.dtype))
            zero = np.zeros(len(aev.species))
            offsets = starting_offsets(config, networks, data, part, zero, False, run)
        optimizers = Optimizers(networks, config)
        losses: list[float] = []
        for epoch in range(config.epochs):
            losses.append(run_epoch(networks, config, data, part, offsets, optimizers, epoch, run))
            refuse_divergence(config, losses, "the rounds before are kept")
            optimizers.end_epoch(losses[-1])
    return networks.state(), offsets


@contextmanager
def _runner(workers: int) -> Iterator[Run]:
    """Give a function that calls `function(*arguments)` for each of a list of arguments, in order.

    Several workers are processes that live through all rounds: training in threads of one process
    gains nothing, for its steps are short and mostly Python's.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # here too, so that nothing depends on the number of threads
    try:
        with _pooled(workers) as run:
            yield run
    finally:
        torch.set_num_threads(before)


@contextmanager
def _pooled(workers: int) -> Iterator[Run]:
    if workers == 1:
        yield lambda function, jobs: [function(*job) for job in jobs]
        return
    with process_pool(workers) as pool:

        def run(function: Callable[..., Any], jobs: Sequence[tuple[Any, ...]]) -> list[Any]:
            return [future.result() for future in [pool.submit(function, *job) for job in jobs]]

        yield run


class _Committee:
    """Members: their networks and energy offsets."""

    def __init__(self, settings: DistillSettings, aev: AEVSettings, workers: int) -> None:
        self.settings = settings
        self.aev = aev
        self.workers = workers
        self._shape = NetworkSettings(aev.length, len(aev.species), settings.train.hidden)
        self.members: list[tuple[AtomicNetworks, np.ndarray]] = []

    def train(self, data: Prepared | list[Atoms], number: int, run: Run) -> None:
        """Train every member on its own part of the frames, members side by side.

        Each member's arithmetic runs in one thread, so the result does not depend on the workers.
        """
        config, seed = self.settings.train, self.settings.seed
        warm = self.settings.warm_epochs is not None and len(self.members) > 0
        if self.settings.warm_epochs is not None and warm:
            config = replace(config, epochs=self.settings.warm_epochs)
        members: list[tuple[TrainConfig, np.ndarray, Member | None]] = []
        for member in range(self.settings.n_members):
            order = np.random.default_rng([seed, 1, number, member]).permutation(len(data))
            part = order[: max(1, round((1.0 - config.validation_fraction) * len(data)))]
            before = (self.members[member][0].state(), self.members[member][1]) if warm else None
            members.append((replace(config, seed=seed + 1000 * number + member), part, before))
        n_jobs = min(self.workers, len(members))
        jobs = [(data, self.aev, members[k::n_jobs]) for k in range(n_jobs)]
        groups = run(_train_members, jobs)
        trained = [groups[k % n_jobs][k // n_jobs] for k in range(len(members))]
        self.members = [(AtomicNetworks.from_state(self._shape, state), shift) for state, shift in trained]

    def spreads(self, data: Prepared) -> tuple[np.ndarray, np.ndarray]:
        """Return the spread and the error of the mean of every atomic energy, (n_atoms,), eV."""
        everything = np.arange(len(data))
        spreads, errors = [], []
        with mapper(1) as run:
            for begin in range(0, len(data), _SCORING_CHUNK):
                part = everything[begin : begin + _SCORING_CHUNK]
                atoms = data.atoms_of(part)
                species = data.species[atoms]
                energies = [Batch(n, data, part, run, False).energies + o[species] for n, o in self.members]
                spreads.append(np.std(energies, axis=0))
                errors.append(np.abs(np.mean(energies, axis=0) - data.energies[atoms]))
        return np.concatenate(spreads), np.concatenate(errors)

    def measure(self, frames: Sequence[Atoms], descriptors: Sequence[Descriptor]) -> dict[str, float]:
        """Return the errors of the committee's mean on frames."""
        data = gather(frames, descriptors)
        everything = np.arange(len(data))
        with mapper(self.workers) as run:
            parts = [predict_networks(n, o, data, everything, run) for n, o in self.members]
        names = ("energy", "energies", "forces", "stress")
        mean = {name: np.mean([getattr(part, name) for part in parts], axis=0) for name in names}
        errors = compute_errors(Prediction(sizes=data.sizes, **mean), data, everything)
        return {n: getattr(errors, n) for n in ("energies_mae", "energy_mae", "force_mae", "stress_mae")}

    def save(self, path: Path) -> None:
        """Write the members, for a warm start after a kill."""
        arrays = {
            f"{k}/{name}": array
            for k, (networks, offsets) in enumerate(self.members)
            for name, array in {**networks.state(), "offsets": offsets}.items()
        }
        write_atomic(path, lambda file: np.savez(file, **arrays))  # type: ignore[arg-type]

    def load(self, path: Path) -> None:
        """Take the members over from a file."""
        with np.load(path) as arrays:
            for k in range(self.settings.n_members):
                state = {n.split("/")[1]: arrays[n] for n in arrays.files if n.startswith(f"{k}/")}
                offsets = state.pop("offsets")
                self.members.append((AtomicNetworks.from_state(self._shape, state), offsets))


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
    workers = workers or torch.get_num_threads()
    n_start = len(start)
    order = n_start + np.random.default_rng([settings.seed, 0]).permutation(len(pool))
    n_first = 0 if start else settings.initial
    chunks = [order[k : k + settings.chunk] for k in range(n_first, len(order), settings.chunk)]
    everything = n_start + np.arange(len(pool))
    measured = everything
    if settings.curve_frames is not None and settings.curve_frames < len(pool):
        measured = np.sort(order[-settings.curve_frames :])
    data, committee = _Pool(frames, aev, settings, workers), _Committee(settings, aev, workers)

    # the ledger
    folder = Path(out_dir)
    identity = sha256_json([_plain(settings), aev.todict(), n_start, data_hash(frames)])
    rounds = _resume(folder, identity)
    if rounds and settings.warm_epochs is not None:
        committee.load(folder / f"members-{len(rounds) - 1}.npz")

    # rounds: one a chunk, and a closing one that completes the learning curve
    with _runner(workers) as run:
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


def _measure(committee: _Committee, data: _Pool, indices: np.ndarray, keep: bool) -> dict[str, Any]:
    """Return errors on some frames; a whole pool's Jacobians are too large to keep and go by in pieces."""
    pieces = [indices] if keep else [indices[k : k + 256] for k in range(0, len(indices), 256)]
    sums: dict[str, float] = {}
    for piece in pieces:
        errors = committee.measure([data.frames[k] for k in piece], data.with_jacobian(piece, keep))
        for name, value in errors.items():
            sums[name] = sums.get(name, 0.0) + value * len(piece) / len(indices)
    return sums


def _screen(committee: _Committee, data: _Pool, chunk: np.ndarray, known: np.ndarray) -> dict[str, Any]:
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
