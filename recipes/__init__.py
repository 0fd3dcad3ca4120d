"""quacc recipes: the stages as jobs and the whole protocol as a flow, for any workflow engine quacc knows."""

from asennp.recipes.engines import check_workers, require_engine, wait

require_engine()

from asennp.recipes.espresso import espresso_label_flow  # noqa: E402
from asennp.recipes.jobs import (  # noqa: E402 (decorates, which needs the engine)
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
from asennp.recipes.zno import (  # noqa: E402
    committee_flow,
    evaluate_flow,
    fan_out_flow,
    label_flow,
    sample_flow,
    zno_flow,
)

__all__ = [
    "check_workers",
    "committee_flow",
    "distill_job",
    "espresso_label_flow",
    "evaluate_flow",
    "evaluate_job",
    "fan_out_flow",
    "label_flow",
    "label_job",
    "pretrain_job",
    "report_job",
    "sample_flow",
    "sample_job",
    "sweep_job",
    "tensile_job",
    "train_job",
    "trained_sweep_job",
    "wait",
    "zno_flow",
]
