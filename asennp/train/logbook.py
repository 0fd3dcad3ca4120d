"""What a training leaves on the disk: its log, its checkpoint, the kept model and the result."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from asennp.errors import InputError
from asennp.files import append_jsonl, cut_back, write_atomic
from asennp.models.aev import AEVSettings
from asennp.models.model import Model
from asennp.models.network import AtomicNetworks
from asennp.results import Result
from asennp.train.checkpoint import load_checkpoint, save_checkpoint
from asennp.train.config import TrainConfig
from asennp.train.data import Prepared
from asennp.train.epoch import Member, refuse_divergence, tensors_of
from asennp.train.prediction import Errors


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


class Logbook:
    """The history of one member and its files.

    Parameters
    ----------
    folder
        Where the files are.
    identity
        Hash of everything that decides the training.
    aev, baseline
        Descriptor of the kept model, and what was taken out of its labels, by `Model`'s names.

    Attributes
    ----------
    history
        A record for each epoch.
    losses
        Validation loss at the start and after each epoch (that of training, where it was the one to diverge).
    best
        Epoch, selection quantity and parameters of the epoch to be kept.
    path
        File of the kept model.
    """

    def __init__(self, folder: Path, identity: str, aev: AEVSettings, baseline: Mapping[str, Any]) -> None:
        self.path = folder / "model.asennp"
        self.history: list[dict[str, Any]] = []
        self.losses: list[float] = []
        self.best: dict[str, Any] = {}
        self._folder, self._identity = folder, identity
        self._aev, self._baseline = aev, baseline
        self._checkpoint, self._log = folder / "checkpoint.pt", folder / "history.jsonl"

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is something to go on from."""
        return self._checkpoint.exists()

    def resume(self, member: Member) -> None:
        """Bring a member, and this book, to the last checkpoint."""
        state = load_checkpoint(self._checkpoint, self._identity)
        member.load_state(state["member"])
        self.history, self.losses, self.best = state["history"], state["losses"], state["best"]
        cut_back(self._log, state["log_size"])

    def begin(self) -> None:
        """Begin with an empty log."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._log.unlink(missing_ok=True)

    def checkpoint(self, member: Member) -> None:
        """Write what `resume` needs."""
        state = {
            "member": member.state(),
            "history": self.history,
            "losses": self.losses,
            "best": self.best,
            "log_size": self._log.stat().st_size,
        }
        save_checkpoint(self._checkpoint, self._identity, state)

    def note_start(self, member: Member, loss: float, errors: Errors) -> None:
        """Take in the validation of the networks before the first epoch."""
        value = _selected(member.config, loss, errors)
        if not np.isfinite(value):
            raise InputError(
                "the selection quantity is not a number",
                where=f"select = {member.config.select}",
                do="select a quantity that is labelled",
            )
        self.best = {"epoch": 0, "value": value, "networks": tensors_of(member.shown)}
        self.losses = [loss]

    def note_epoch(self, member: Member, training_loss: float, loss: float, errors: Errors) -> dict[str, Any]:
        """Take in the validation after an epoch, tell the schedule, and return the record.

        Raises
        ------
        InputError
            The loss has diverged.
        """
        self.losses.append(loss if np.isfinite(training_loss) else training_loss)
        kept = f"epoch {self.best['epoch']} is kept in {self.path}: pass it as init"
        refuse_divergence(member.config, self.losses, kept)
        value = _selected(member.config, loss, errors)
        record = {
            "epoch": member.epoch,
            "lr": member.optimizers.learning_rate,
            "loss": training_loss,
            "validation_loss": loss,
        }
        record |= errors.to_dict()
        member.optimizers.end_epoch(value)
        if value < self.best["value"]:
            self.best = {"epoch": member.epoch, "value": value, "networks": tensors_of(member.shown)}
        self.history.append(record)
        append_jsonl(self._log, record)
        return record

    def is_done(self, config: TrainConfig) -> bool:
        """Say whether all epochs are run, or the last of them brought nothing better."""
        since = len(self.history) - self.best["epoch"]
        stuck = config.early_stop is not None and since >= config.early_stop
        return stuck or len(self.history) >= config.epochs

    def restore_best(self, networks: AtomicNetworks) -> None:
        """Set networks to the parameters of the epoch to be kept."""
        networks.load_state({name: tensor.numpy() for name, tensor in self.best["networks"].items()})

    def keep(self, member: Member, ranges: np.ndarray, validation: Errors | None = None) -> None:
        """Write the model of the epoch to be kept, with its errors where they are known."""
        self.restore_best(member.shown)
        meta: dict[str, Any] = {
            "training": member.config.todict(),
            "training_sha256": self._identity,
            "best_epoch": self.best["epoch"],
            "n_train": len(member.frames),
        }
        if validation is not None:
            errors = validation.to_dict()
            meta["validation"] = {name: value for name, value in errors.items() if np.isfinite(value)}
        offsets = {species: float(value) for species, value in zip(self._aev.species, member.offsets)}
        networks = member.shown.to(device="cpu")
        Model(self._aev, networks, offsets, meta=meta, ranges=ranges, **self._baseline).save(self.path)

    def finish(self, member: Member, **measured: Any) -> FitResult:
        """Write the history as a table and the result (given the rest of its fields), and return it."""
        write_atomic(self._folder / "history.csv", _table(self.history))
        columns = {name: np.array([record[name] for record in self.history]) for name in self.history[0]}
        result = FitResult(
            model=str(self.path),
            best_epoch=self.best["epoch"],
            epochs=len(self.history),
            history=columns,
            n_train=len(member.frames),
            **measured,
        )
        result.to_json(self._folder / "result.json")
        return result


def _selected(config: TrainConfig, loss: float, errors: Errors) -> float:
    return loss if config.select == "loss" else float(getattr(errors, config.select))


def _table(history: Sequence[Mapping[str, Any]]) -> str:
    """Return the history as comma-separated values, a row an epoch."""
    rows = [",".join(history[0]), *(",".join(repr(v) for v in record.values()) for record in history)]
    return "\n".join(rows) + "\n"


def feature_ranges(data: Prepared, frames: np.ndarray, aev: AEVSettings) -> np.ndarray:
    """Return the smallest and largest value of each feature in training, (n_species, 2, length)."""
    ranges = np.full((len(aev.species), 2, aev.length), np.nan)
    for k in frames:
        descriptor = data.descriptors[k]
        for number in np.unique(descriptor.species):
            mine, (low, high) = descriptor.features[descriptor.species == number], ranges[number]
            ranges[number] = np.fmin(low, mine.min(axis=0)), np.fmax(high, mine.max(axis=0))
    return np.nan_to_num(ranges)
