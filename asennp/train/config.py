"""Settings of one training, and the published stages as named data."""

from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

from asennp.errors import InputError, nearest

STAGES = ("T-Train", "A-Train")
SCHEDULES = ("plateau", "cosine", "constant")
SELECTIONS = ("energy_rmse", "energies_rmse", "force_mae", "force_rmse", "stress_rmse", "loss")
DTYPES = ("float32", "float64")
WEIGHT_OPTIMIZERS = ("adam", "muon")
BIAS_OPTIMIZERS = ("sgd", "adam")


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides the outcome of a training, besides the data.

    Parameters
    ----------
    stage
        ``"T-Train"`` learns total energies, ``"A-Train"`` atomic energies; see `asennp.train.losses`.
    energy_weight, force_weight, stress_weight
        a, b, c of the loss, meant for Hartree, Hartree/Å and Hartree; 0 leaves a term (and its label) out.
    lr_weights, lr_biases
        Learning rates; that of the biases is a tenth of the weights' unless given.
    weight_optimizer
        ``"adam"`` as published, or ``"muon"``: steps along orthogonalised momentum, of Adam's size; the
        output layer goes by Adam. A step costs more and there need to be fewer, see `asennp.train.muon`.
    bias_optimizer
        ``"sgd"`` as published, or ``"adam"`` (then usually with the weights' rate).
    weight_decay
        Decoupled decay of the weights of each layer, the first first; missing ones are 0.
    batch_size, epochs
        Frames a step; passes over the training frames.
    schedule
        ``"plateau"`` multiplies the rates by `plateau_factor` when the selection quantity has not improved
        for `plateau_patience` epochs; ``"cosine"`` goes to zero over the epochs; ``"constant"``.
    select
        Validation quantity whose smallest value picks the kept epoch.
    frozen_layers
        Layers that are not trained, counted from 1; the output layer is the last.
    hidden
        Widths of the hidden layers of a new network (an initial model brings its own).
    early_stop
        Epochs without a better selection quantity after which the training ends; None runs them all.
    ema_decay
        If set, validated and kept are running averages of the parameters, a <- d a + (1 - d) p after step t,
        with d the lesser of this and (1 + t)/(10 + t), so that the first steps do not linger.
    gradient_clip
        If set, the largest norm of the gradient by all trained parameters together; longer ones are scaled.
    amp
        Matrix products of the training in bfloat16, all else in float32.
    validation_fraction
        Of the frames, split by block, where no indices are given to `fit`.
    seed
        Of initial weights, split and order of batches.
    dtype
        ``"float32"`` or ``"float64"``.
    """

    #: an unknown key of a YAML file is an error
    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    stage: str = "T-Train"
    energy_weight: float = 1.0
    force_weight: float = 0.1
    stress_weight: float = 0.025
    lr_weights: float = 1e-4
    lr_biases: float | None = None
    weight_optimizer: str = "adam"
    bias_optimizer: str = "sgd"
    weight_decay: tuple[float, ...] = (0.0, 1e-5, 1e-6)
    batch_size: int = 64
    epochs: int = 400
    schedule: str = "plateau"
    plateau_factor: float = 0.5
    plateau_patience: int = 100
    select: str = "energy_rmse"
    frozen_layers: tuple[int, ...] = ()
    hidden: tuple[int, ...] = (224, 192, 160)
    early_stop: int | None = None
    ema_decay: float | None = None
    gradient_clip: float | None = None
    amp: bool = False
    validation_fraction: float = 0.2
    seed: int = 0
    dtype: str = "float32"

    def __post_init__(self) -> None:
        for name in ("weight_decay", "frozen_layers", "hidden"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        choices = {
            "stage": STAGES,
            "schedule": SCHEDULES,
            "select": SELECTIONS,
            "dtype": DTYPES,
            "weight_optimizer": WEIGHT_OPTIMIZERS,
            "bias_optimizer": BIAS_OPTIMIZERS,
        }
        for name, known in choices.items():
            value = getattr(self, name)
            if value not in known:
                raise InputError("unknown choice", where=name, got=value, do=nearest(value, known))
        self._check_numbers()

    def _check_numbers(self) -> None:
        weights = (self.energy_weight, self.force_weight, self.stress_weight)
        rules = {
            "energy_weight, force_weight, stress_weight": min(weights) >= 0 and max(weights) > 0,
            "lr_weights": self.lr_weights > 0,
            "lr_biases": self.lr_biases is None or self.lr_biases >= 0,
            "weight_decay": all(value >= 0 for value in self.weight_decay),
            "batch_size": self.batch_size >= 1,
            "epochs": self.epochs >= 1,
            "plateau_factor": 0 < self.plateau_factor < 1,
            "plateau_patience": self.plateau_patience >= 0,
            "frozen_layers": all(1 <= layer <= len(self.hidden) + 1 for layer in self.frozen_layers)
            and len(set(self.frozen_layers)) <= len(self.hidden),
            "hidden": len(self.hidden) > 0 and min(self.hidden) >= 1,
            "early_stop": self.early_stop is None or self.early_stop >= 1,
            "ema_decay": self.ema_decay is None or 0 < self.ema_decay < 1,
            "gradient_clip": self.gradient_clip is None or self.gradient_clip > 0,
            "amp, dtype": not self.amp or self.dtype == "float32",
            "validation_fraction": 0 < self.validation_fraction < 1,
        }
        for name, holds in rules.items():
            if not holds:
                got = [getattr(self, part) for part in name.split(", ")]
                raise InputError("value out of range", where=name, got=got[0] if len(got) == 1 else got)

    @property
    def bias_rate(self) -> float:
        """Learning rate of the biases."""
        return self.lr_weights / 10 if self.lr_biases is None else self.lr_biases

    @property
    def needed_labels(self) -> tuple[str, ...]:
        """Labels with weight in the loss, and the energy."""
        names = ["energy"]
        if self.stage == "A-Train" and self.energy_weight > 0:
            names.append("energies")
        if self.force_weight > 0:
            names.append("forces")
        if self.stress_weight > 0:
            names.append("stress")
        return tuple(names)

    def todict(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}


#: The published stages (loss weights, learning rates, epochs, rule of selection), and short ones of ours.
PRESETS: dict[str, TrainConfig] = {
    "buckingham-coulomb-T": TrainConfig(),
    "buckingham-A": TrainConfig(stage="A-Train", energy_weight=8.0),
    "transfer": TrainConfig(energy_weight=0.5, force_weight=0.5, stress_weight=0.002, lr_weights=5e-5),
    "fine-tune": TrainConfig(
        energy_weight=0.6,
        force_weight=0.4,
        stress_weight=0.005,
        lr_weights=5e-5,
        epochs=1000,
        select="stress_rmse",
        frozen_layers=(1, 4),
    ),
    # Ours, for a few hundred frames and tens of epochs: small batches, and less weight on the virial,
    # which is extensive (a 64-atom short-range V sigma is some 10 Hartree) and else drowns the rest.
    "short-A": TrainConfig(
        stage="A-Train",
        energy_weight=8.0,
        stress_weight=1e-4,
        lr_weights=4e-3,
        batch_size=4,
        epochs=40,
        schedule="cosine",
        select="energies_rmse",
        hidden=(96, 80, 64),
    ),
    "short-T": TrainConfig(
        energy_weight=0.5,
        force_weight=1.0,
        stress_weight=5e-4,
        lr_weights=4e-3,
        batch_size=4,
        epochs=60,
        schedule="cosine",
        select="force_mae",
        hidden=(96, 80, 64),
    ),
}

# Ours too: in as many epochs Muon leaves a fifth to two fifths less, and a step costs a third more.
_MUON: dict[str, Any] = {
    "weight_optimizer": "muon",
    "bias_optimizer": "adam",
    "lr_weights": 8e-3,
    "lr_biases": 8e-3,
    "force_weight": 1.0,
    "stress_weight": 5e-4,
    "select": "force_mae",
}
PRESETS |= {f"muon-{stage}": replace(PRESETS[f"short-{stage}"], **_MUON) for stage in "AT"}

_TABLE = ("buckingham-coulomb-T", "buckingham-A", "transfer", "fine-tune")
# The text of the same paper gives other rates than its table of stages.
PRESETS |= {f"{name}-text-rates": replace(PRESETS[name], lr_weights=1e-3, lr_biases=1e-4) for name in _TABLE}

# Low2High's nickel; "-forces" has no stress in the loss and keeps the epoch of the best forces.
_NICKEL = TrainConfig(lr_weights=1e-3, lr_biases=1e-4, plateau_factor=0.8, plateau_patience=50)
_NICKEL_FINE = replace(_NICKEL, lr_weights=1e-4, lr_biases=1e-5)
PRESETS |= {
    "nickel-pretrain": _NICKEL,
    "nickel-pretrain-forces": replace(
        _NICKEL, energy_weight=0.1, force_weight=0.9, stress_weight=0.0, select="force_rmse"
    ),
    "nickel-fine-tune": replace(_NICKEL_FINE, energy_weight=0.2, force_weight=0.4, stress_weight=0.4),
    "nickel-fine-tune-forces": replace(
        _NICKEL_FINE, energy_weight=0.2, force_weight=0.8, stress_weight=0.0, select="force_rmse"
    ),
    "nickel-A": replace(_NICKEL, stage="A-Train", energy_weight=8.0),
}


def preset(name: str, **changes: Any) -> TrainConfig:
    """Return a published stage by name, with changes."""
    if name not in PRESETS:
        raise InputError("unknown training preset", where="preset", got=name, do=nearest(name, PRESETS))
    return replace(PRESETS[name], **changes)
