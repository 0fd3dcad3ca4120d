"""quacc recipes: the stages as jobs and the whole protocol as a flow, for any workflow engine quacc knows."""

from asennp.recipes.jobs import (
    distill_job,
    evaluate_job,
    label_job,
    pretrain_job,
    report_job,
    sample_job,
    sweep_job,
    tensile_job,
    train_job,
    trained_sweep_job,
)
from asennp.recipes.zno import zno_flow

__all__ = [
    "distill_job",
    "evaluate_job",
    "label_job",
    "pretrain_job",
    "report_job",
    "sample_job",
    "sweep_job",
    "tensile_job",
    "train_job",
    "trained_sweep_job",
    "zno_flow",
]
