"""Training: settings, losses, one visible loop, committees, and predictions of many frames.

Names are loaded on first use: settings are read (by the command line) without loading torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asennp.train.committee import CommitteeResult, fit_committee
    from asennp.train.config import PRESETS, TrainConfig, preset
    from asennp.train.logbook import FitResult
    from asennp.train.loop import fit, fit_members
    from asennp.train.prediction import Errors, Prediction, compute_errors, evaluate_frames, predict

_HOME = {
    "committee": ("CommitteeResult", "fit_committee"),
    "config": ("PRESETS", "TrainConfig", "preset"),
    "logbook": ("FitResult",),
    "loop": ("fit", "fit_members"),
    "prediction": ("Errors", "Prediction", "compute_errors", "evaluate_frames", "predict"),
}

__all__ = [
    "PRESETS",
    "CommitteeResult",
    "Errors",
    "FitResult",
    "Prediction",
    "TrainConfig",
    "compute_errors",
    "evaluate_frames",
    "fit",
    "fit_committee",
    "fit_members",
    "predict",
    "preset",
]


def __getattr__(name: str) -> Any:
    for module, names in _HOME.items():
        if name in names:
            return getattr(import_module(f"asennp.train.{module}"), name)
    raise AttributeError(f"module 'asennp.train' has no attribute {name!r}")
