"""Training: settings, losses, one visible loop, committees, and predictions of many frames."""

from asennp.train.committee import CommitteeResult, fit_committee
from asennp.train.config import PRESETS, TrainConfig, preset
from asennp.train.fit import FitResult, fit
from asennp.train.prediction import Errors, Prediction, compute_errors, predict

__all__ = [
    "PRESETS",
    "CommitteeResult",
    "Errors",
    "FitResult",
    "Prediction",
    "TrainConfig",
    "compute_errors",
    "fit",
    "fit_committee",
    "predict",
    "preset",
]
