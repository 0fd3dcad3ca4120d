"""One training, from frames to a model file, read from top to bottom in `fit`."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from ase import Atoms

from asennp.dataset import Store, audit
from asennp.errors import InputError
from asennp.files import append_jsonl, cut_back, write_atomic
from asennp.models.aev import AEVSettings
from asennp.models.model import Model
from asennp.models.network import AtomicNetworks
from asennp.results import Result
from asennp.train.average import Average
from asennp.train.batch import Map, loss_and_gradients, mapper
from asennp.train.checkpoint import load_checkpoint, save_checkpoint
from asennp.train.config import TrainConfig
from asennp.train.data import Prepared, gather
from asennp.train.losses import compute_loss
from asennp.train.optimizers import Optimizers
from asennp.train.prediction import Errors, compute_errors, predict_networks
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
#: A loss this many times the least so far has left what was learnt.
_RUNAWAY = 1e3


@dataclass(frozen=True, eq=False)
class FitResult(Result):
    """What a training gave.

    Attributes
    ----------
    model
        File of the kept model.
    best_epoch
        Epoch (counted from 1) whose parameters were kept; 0 is the start.
    epochs
        Epochs run.
    validation, training
        Errors of the kept model.
    history
        Column -> values, one an epoch: loss, validation loss and errors, learning rate.
    n_train, n_validation
        Frames.
    audit
        The label audit, as text.
    storage
        Where the descriptors were, in words.
    """

    model: str
    best_epoch: int
    epochs: int
    validation: Errors
    training: Errors
    history: dict[str, np.ndarray]
    n_train: int
    n_validation: int
    audit: str
    storage: str = ""


def run_epoch(
    networks: AtomicNetworks,
    config: TrainConfig,
    data: Prepared,
    frames: np.ndarray,
    offsets: np.ndarray,
    optimizers: Optimizers,
    epoch: int,
    run: Map,
    average: Average | None = None,
) -> float:
    """Take one pass over the training frames and return their mean loss on the way.

    The order of the frames follows from seed and epoch alone, so a resumed run goes on as it was.
    """
    networks.half_products = config.amp
    order = np.random.default_rng([config.seed, epoch]).permutation(frames)
    optimizers.begin_epoch(epoch)
    total = 0.0
    for begin in range(0, len(order), config.batch_size):
        batch = order[begin : begin + config.batch_size]
        loss = loss_and_gradients(networks, config, data, batch, offsets, run)
        optimizers.step()
        if average is not None:
            average.update(networks)
        total += loss.total * len(batch)
    networks.half_products = False
    return total / len(order)


def _tensors(networks: AtomicNetworks) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in networks.state().items()}


def _arrays(tensors: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def _ranges(data: Prepared, frames: np.ndarray, aev: AEVSettings) -> np.ndarray:
    """Return the smallest and largest value of each feature in training, (n_species, 2, length)."""
    ranges = np.full((len(aev.species), 2, aev.length), np.nan)
    for k in frames:
        descriptor = data.descriptors[k]
        for number in np.unique(descriptor.species):
            mine, (low, high) = descriptor.features[descriptor.species == number], ranges[number]
            ranges[number] = np.fmin(low, mine.min(axis=0)), np.fmax(high, mine.max(axis=0))
    return np.nan_to_num(ranges)


def _validate(
    config: TrainConfig,
    networks: AtomicNetworks,
    offsets: np.ndarray,
    data: Prepared,
    frames: np.ndarray,
    run: Map,
) -> tuple[float, Errors]:
    """Return the loss and the errors on some frames."""
    prediction = predict_networks(networks, offsets, data, frames, run)
    virial = None
    shift = offsets[data.species[data.atoms_of(frames)]]
    if config.stress_weight > 0:
        virial = prediction.virial(data.volumes[frames])
    energies = prediction.energies - shift
    loss = compute_loss(config, data.targets(frames, offsets), energies, prediction.forces, virial)
    return loss.total, compute_errors(prediction, data, frames)


def _selected(config: TrainConfig, loss: float, errors: Errors) -> float:
    return loss if config.select == "loss" else float(getattr(errors, config.select))


def refuse_divergence(config: TrainConfig, losses: Sequence[float], kept: str) -> None:
    """Refuse a training whose last loss is not finite, or far above the least before it.

    Parameters
    ----------
    config
        For the settings to lower.
    losses
        The loss so far, the last the newest.
    kept
        What is left to begin from, in words.

    Raises
    ------
    InputError
        The training has diverged; says which settings to lower.
    """
    last, least = losses[-1], min([np.inf, *losses[:-1]])
    if np.isfinite(last) and last <= _RUNAWAY * least:
        return
    raise InputError(
        "the training has diverged",
        where=f"epoch {len(losses) - 1}",
        expected=f"a finite loss below {_RUNAWAY:g} times the least so far ({least:.3g})",
        got=f"{last:.3g}",
        do=f"lower lr_weights (now {config.lr_weights:g}) and lr_biases (now {config.bias_rate:g}), or set "
        f"gradient_clip; {kept}",
    )


def _table(history: Sequence[Mapping[str, Any]]) -> str:
    """Return the history as comma-separated values, a row an epoch."""
    rows = [",".join(history[0]), *(",".join(repr(v) for v in record.values()) for record in history)]
    return "\n".join(rows) + "\n"


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
    progress
        Called with each epoch's record.

    Raises
    ------
    InputError
        For a missing label, frames that do not fit the model, a torn or foreign checkpoint, and a loss that
        diverges: the message says what to lower.
    """
    # data
    frames = data.frames() if isinstance(data, Store) else list(data)
    found = audit(frames, require=config.needed_labels)
    chosen = choose_parts(config, frames, parts)
    train, validation = chosen["train"], chosen["validation"]
    aev, networks, offsets = starting_networks(config, frames, aev, init)
    baseline = starting_baseline(charges, electrostatics, init)
    identity = identity_of(config, aev, networks, offsets, baseline, frames, chosen)
    threads = threads or torch.get_num_threads()
    descriptors, storage = keep_descriptors(
        frames, aev, np.dtype(config.dtype).type, threads=threads, memory_MB=memory_MB, folder=out_dir
    )
    prepared = gather(frames, descriptors, [aev.indices(frame) for frame in frames])

    # start, or the checkpoint
    folder = Path(out_dir)
    checkpoint, log = folder / "checkpoint.pt", folder / "history.jsonl"
    optimizers = Optimizers(networks, config)
    average = None if config.ema_decay is None else Average(networks, config.ema_decay)
    shown = networks if average is None else average.networks  # what is validated and kept
    history: list[dict[str, Any]] = []
    path = folder / "model.asennp"

    def keep(best: dict[str, Any], **measured: Any) -> None:
        """Write the best epoch's model."""
        shown.load_state(_arrays(best["networks"]))
        meta = {
            "training": config.todict(),
            "training_sha256": identity,
            "best_epoch": best["epoch"],
            "n_train": len(train),
            **measured,
        }
        energies = {species: float(value) for species, value in zip(aev.species, offsets)}
        Model(aev, shown, energies, meta=meta, ranges=_ranges(prepared, train, aev), **baseline).save(path)

    with mapper(threads) as run:
        if resume == "auto" and checkpoint.exists():
            state = load_checkpoint(checkpoint, identity)
            networks.load_state(_arrays(state["networks"]))
            optimizers.load_state(state["optimizers"])
            if average is not None:
                average.load_state(state["average"])
            history, best, offsets = state["history"], state["best"], state["offsets"].numpy()
            losses = state["losses"]
            cut_back(log, state["log_size"])
        else:
            folder.mkdir(parents=True, exist_ok=True)
            log.unlink(missing_ok=True)
            offsets = starting_offsets(config, networks, prepared, train, offsets, init is not None, run)
            value, errors = _validate(config, networks, offsets, prepared, validation, run)
            best = {"epoch": 0, "value": _selected(config, value, errors), "networks": _tensors(networks)}
            losses = [value]
            if not np.isfinite(best["value"]):
                raise InputError(
                    "the selection quantity is not a number",
                    where=f"select = {config.select}",
                    do="select a quantity that is labelled",
                )

        # the loop
        saved = time.monotonic()
        for epoch in range(len(history), config.epochs):
            if config.early_stop is not None and epoch - best["epoch"] >= config.early_stop:
                break
            loss = run_epoch(networks, config, prepared, train, offsets, optimizers, epoch, run, average)
            value, errors = _validate(config, shown, offsets, prepared, validation, run)
            losses.append(value if np.isfinite(loss) else loss)
            try:
                kept = f"epoch {best['epoch']} is kept in {path}: pass it as init"
                refuse_divergence(config, losses, kept)
            except InputError:
                keep(best)
                raise
            selected = _selected(config, value, errors)
            record = {
                "epoch": epoch + 1,
                "lr": optimizers.learning_rate,
                "loss": loss,
                "validation_loss": value,
            }
            record |= errors.to_dict()
            optimizers.end_epoch(selected)
            if selected < best["value"]:
                best = {"epoch": epoch + 1, "value": selected, "networks": _tensors(shown)}
            history.append(record)
            append_jsonl(log, record)
            if time.monotonic() - saved > CHECKPOINT_SECONDS or epoch + 1 == config.epochs:
                state = {
                    "networks": _tensors(networks),
                    "optimizers": optimizers.state(),
                    "average": None if average is None else average.state(),
                    "history": history,
                    "losses": losses,
                    "best": best,
                    "offsets": torch.from_numpy(offsets),
                    "log_size": log.stat().st_size,
                }
                save_checkpoint(checkpoint, identity, state)
                saved = time.monotonic()
            if progress is not None:
                progress(record)

        # the kept model
        shown.load_state(_arrays(best["networks"]))
        training = _validate(config, shown, offsets, prepared, train, run)[1]
        validated = _validate(config, shown, offsets, prepared, validation, run)[1]
    errors_found = {name: value for name, value in validated.to_dict().items() if np.isfinite(value)}
    keep(best, validation=errors_found)
    write_atomic(folder / "history.csv", _table(history))
    result = FitResult(
        model=str(path),
        best_epoch=best["epoch"],
        epochs=len(history),
        validation=validated,
        training=training,
        history={name: np.array([record[name] for record in history]) for name in history[0]},
        n_train=len(train),
        n_validation=len(validation),
        audit=found.text(),
        storage=storage,
    )
    result.to_json(folder / "result.json")
    return result
