"""Trainings from frames to model files, read from top to bottom in `fit_members`."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from ase import Atoms

from asennp.dataset import Store, audit
from asennp.errors import InputError
from asennp.models.aev import AEVSettings
from asennp.models.model import Model
from asennp.models.network import AtomicNetworks
from asennp.models.torch_backend import choose_device
from asennp.train.config import TrainConfig
from asennp.train.data import gather
from asennp.train.epoch import Member, run_epoch
from asennp.train.logbook import FitResult, Logbook, feature_ranges
from asennp.train.losses import compute_loss
from asennp.train.prediction import Errors, Prediction, compute_errors, predict_members
from asennp.train.source import Source, open_source
from asennp.train.start import (
    choose_parts,
    identity_of,
    starting_baseline,
    starting_networks,
    starting_offsets,
)
from asennp.train.storage import keep_descriptors

#: Seconds between checkpoints; the result does not depend on it.
CHECKPOINT_SECONDS = 20.0


def fit(
    config: TrainConfig,
    data: Store | Sequence[Atoms],
    out_dir: str | Path,
    resume: Literal["auto", "never"] = "auto",
    init: Model | None = None,
    *,
    aev: AEVSettings | None = None,
    charges: Mapping[str, float] | None = None,
    electrostatics: str | None = None,
    parts: Mapping[str, Sequence[int]] | None = None,
    threads: int | None = None,
    memory_MB: float | None = None,
    device: str = "auto",
    backend: str = "auto",
    progress: Callable[[dict[str, Any]], None] | None = None,
) -> FitResult:
    """Train the networks of one model.

    Writes ``model.asennp`` (the kept parameters), ``checkpoint.pt``, ``history.jsonl`` (an epoch a
    line), the same as ``history.csv``, and ``result.json`` in `out_dir`. A killed training goes on from
    its checkpoint, and ends with the same bits as one that was not killed (same machine, same number of
    threads). One that diverges leaves the best epoch before in ``model.asennp``.

    Parameters
    ----------
    config
        Settings.
    data
        Labelled frames: the targets themselves (residuals, where a baseline is used).
    out_dir
        Folder of this training alone.
    resume
        ``"auto"`` goes on from a checkpoint that is there; ``"never"`` starts anew.
    init
        One-member model to start from: its networks, descriptor, and offsets (shifted so that the
        new energies have the same mean as the old).
    aev
        Descriptor of a new model; by default the published one for the elements of the frames.
    charges
        Charges of the Coulomb baseline that the model's calculator shall add, {element: e}; by
        default those of `init`, or none.
    electrostatics
        ``"point"``: the charges; ``"pqeq"``: the baseline is PQEq, which the model's calculator shall add;
        by default that of `init`, or the charges.
    parts
        Indices of ``"train"`` and ``"validation"`` frames; by default split by block with the seed.
    threads
        Frames side by side; by default as many as torch uses.
    memory_MB
        What descriptors and their Jacobian may take of the memory, by default half of what is free. More goes
        into a file in `out_dir`, and where half of the free disk would not hold it, is computed anew at every
        step; results are the same.
    device
        ``"cpu"``, ``"cuda"``, or ``"auto"``: a GPU if there is one. On it descriptors and labels stay in its
        memory if 60 % of what is free suffices; sums are in no fixed order there, so that only a training on
        a CPU has the same bits every time. A training begun on one device may go on on another.
    backend
        As for `asennp.HybridNNPCalculator`; ``"torch"`` on a CPU is for comparisons.
    progress
        Called with each epoch's record.

    Raises
    ------
    InputError
        For a missing label, frames that do not fit the model, a torn or foreign checkpoint, and a loss that
        diverges: the message says what to lower.
    """

    def note(_: int, record: dict[str, Any]) -> None:
        if progress is not None:
            progress(record)

    return fit_members(
        [config],
        data,
        [out_dir],
        resume,
        [init],
        aev=aev,
        charges=charges,
        electrostatics=electrostatics,
        parts=[parts],
        threads=threads,
        memory_MB=memory_MB,
        device=device,
        backend=backend,
        progress=note,
    )[0]


def fit_members(
    configs: Sequence[TrainConfig],
    data: Store | Sequence[Atoms],
    folders: Sequence[str | Path],
    resume: Literal["auto", "never"] = "auto",
    inits: Sequence[Model | None] | None = None,
    *,
    aev: AEVSettings | None = None,
    charges: Mapping[str, float] | None = None,
    electrostatics: str | None = None,
    parts: Sequence[Mapping[str, Sequence[int]] | None] | None = None,
    threads: int | None = None,
    memory_MB: float | None = None,
    device: str = "auto",
    backend: str = "auto",
    progress: Callable[[int, dict[str, Any]], None] | None = None,
) -> list[FitResult]:
    """Train several members together: each as `fit` does in its own folder, all in one evaluation a step.

    This is for a GPU, where a step of five takes little longer than that of one. On a CPU members train
    faster, and to bits that do not depend on the others, in processes of their own (`fit_committee`).

    Parameters
    ----------
    configs
        One for each member, alike but for their seeds.
    folders, inits, parts
        One for each member, as ``out_dir``, ``init`` and ``parts`` of `fit`.
    data, resume, aev, charges, electrostatics, threads, memory_MB, device, backend
        As for `fit`.
    progress
        Called with the number of a member and its record of an epoch.

    Raises
    ------
    InputError
        As `fit`; of members that differ in more than their seeds.
    """
    # data
    inits = [None] * len(configs) if inits is None else inits
    parts = [None] * len(configs) if parts is None else parts
    _refuse_differences(configs)
    frames = data.frames() if isinstance(data, Store) else list(data)
    found = audit(frames, require=configs[0].needed_labels)
    chosen = [choose_parts(config, frames, part) for config, part in zip(configs, parts)]
    starts = [starting_networks(config, frames, aev, init) for config, init in zip(configs, inits)]
    aev = starts[0][0]
    if any(start[0] != aev for start in starts):
        raise InputError("initial models of members trained together have one descriptor", where="inits")
    baseline = starting_baseline(charges, electrostatics, inits[0])
    device, backend = choose_device(device, backend)
    threads = threads or torch.get_num_threads()
    dtype = np.dtype(configs[0].dtype).type
    descriptors, storage = keep_descriptors(
        frames, aev, dtype, threads=threads, memory_MB=memory_MB, folder=folders[0]
    )
    prepared = gather(frames, descriptors, [aev.indices(frame) for frame in frames])

    # members and their books
    networks = AtomicNetworks.stack([start[1] for start in starts]).to(device=device)
    averaged = configs[0].ema_decay is not None
    shown = networks.to() if averaged else networks  # what is validated and kept
    averages = shown.members() if averaged else [None] * len(configs)
    members = [
        Member(config, part["train"], start[2], *mine)
        for config, part, start, mine in zip(configs, chosen, starts, zip(networks.members(), averages))
    ]
    books = [
        Logbook(Path(folder), identity_of(config, aev, *start[1:], baseline, frames, part), aev, baseline)
        for config, folder, start, part in zip(configs, folders, starts, chosen)
    ]
    validation, everyone = [part["validation"] for part in chosen], list(range(len(configs)))

    def keep(k: int, errors: Errors | None = None) -> None:
        books[k].keep(members[k], feature_ranges(prepared, members[k].frames, aev), errors)

    with open_source(prepared, threads, device, backend) as source:
        # start, or the checkpoint
        fresh = [k for k in everyone if resume == "never" or not books[k].has_checkpoint]
        for k in everyone:
            if k not in fresh:
                books[k].resume(members[k])
                continue
            books[k].begin()
            start = members[k].networks, source, members[k].frames, members[k].offsets
            members[k].offsets = starting_offsets(configs[k], *start, inits[k] is not None)
        for k, (value, errors) in _validate(members, shown, source, validation, fresh).items():
            books[k].note_start(members[k], value, errors)

        # the loop
        saved = time.monotonic()
        while active := [k for k in everyone if not books[k].is_done(configs[k])]:
            losses = run_epoch(networks, [m if k in active else None for k, m in enumerate(members)], source)
            records: dict[int, dict[str, Any]] = {}
            failure: InputError | None = None
            for k, (value, errors) in _validate(members, shown, source, validation, active).items():
                try:
                    records[k] = books[k].note_epoch(members[k], float(losses[k]), value, errors)
                except InputError as error:
                    keep(k)
                    failure = error
            late = failure is not None or time.monotonic() - saved > CHECKPOINT_SECONDS
            for k in records:
                if late or books[k].is_done(configs[k]):
                    books[k].checkpoint(members[k])
            saved = time.monotonic() if late else saved
            if failure is not None:
                raise failure
            for k, record in records.items():
                if progress is not None:
                    progress(k, record)

        # the kept models
        for member, book in zip(members, books):
            book.restore_best(member.shown)
        training = _validate(members, shown, source, [member.frames for member in members], everyone)
        validated = _validate(members, shown, source, validation, everyone)
        storage = "; ".join(filter(None, (storage, source.storage)))
    results = []
    for k, (member, book) in enumerate(zip(members, books)):
        keep(k, validated[k][1])
        measured: dict[str, Any] = {"validation": validated[k][1], "training": training[k][1]}
        told: dict[str, Any] = {"n_validation": len(validation[k]), "audit": found.text(), "storage": storage}
        results.append(book.finish(member, **measured, **told))
    return results


def _refuse_differences(configs: Sequence[TrainConfig]) -> None:
    """Refuse members whose settings differ in more than the seed."""
    if not configs:
        raise InputError("there is nothing to train", where="configs", expected="one or more settings")
    first = configs[0].todict()
    for k, config in enumerate(configs):
        others = {name: v for name, v in config.todict().items() if name != "seed" and v != first[name]}
        if others:
            raise InputError(
                "members trained together differ in their seeds only",
                where=f"configs[{k}]",
                expected={name: first[name] for name in others},
                got=others,
            )


def _validate(
    members: Sequence[Member],
    networks: AtomicNetworks,
    source: Source,
    frames: Sequence[np.ndarray],
    numbers: Sequence[int],
) -> dict[int, tuple[float, Errors]]:
    """Return loss and errors of some members, each on its own frames."""
    if not numbers:
        return {}
    asked = [mine if k in numbers else mine[:0] for k, mine in enumerate(frames)]
    offsets = np.array([member.offsets for member in members])
    predictions = predict_members(networks, offsets, source, asked)
    return {k: _measure(members[k].config, source, frames[k], predictions[k]) for k in numbers}


def _measure(
    config: TrainConfig, source: Source, frames: np.ndarray, prediction: Prediction
) -> tuple[float, Errors]:
    """Return loss and errors of a prediction of some frames."""
    virial = prediction.virial(source.data.volumes[frames]) if config.stress_weight > 0 else None
    arrays = (prediction.energies, prediction.forces, virial)
    tensors = [None if a is None else torch.from_numpy(a).to(source.device) for a in arrays]
    targets = source.targets(frames, np.zeros(int(source.data.species.max()) + 1))
    loss = compute_loss(config, targets, *tensors)  # type: ignore[arg-type]
    return float(loss.total), compute_errors(prediction, source.data, frames)
