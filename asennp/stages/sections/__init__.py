"""The sections of the report: what each stage left, as text, tables and figures."""

from asennp.stages.sections.charge import charge, trained_charge
from asennp.stages.sections.evaluation import accuracy, crystals, dynamics
from asennp.stages.sections.overview import overview, record
from asennp.stages.sections.sampling import distillation, sampling
from asennp.stages.sections.training import labels, training

__all__ = [
    "accuracy",
    "charge",
    "crystals",
    "distillation",
    "dynamics",
    "labels",
    "overview",
    "record",
    "sampling",
    "trained_charge",
    "training",
]
