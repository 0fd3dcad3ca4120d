"""The whole protocol as one flow, named after the compound it was made for; any preset runs through it."""

from typing import Any

from quacc import flow

from asennp.recipes import jobs
from asennp.recipes.jobs import Summary
from asennp.stages.graph import STAGES

#: the job of each stage
JOBS = {
    "sample": jobs.sample_job,
    "tensile": jobs.tensile_job,
    "distill": jobs.distill_job,
    "pretrain": jobs.pretrain_job,
    "label": jobs.label_job,
    "qeff": jobs.sweep_job,
    "train": jobs.train_job,
    "trained_sweep": jobs.trained_sweep_job,
    "evaluate": jobs.evaluate_job,
    "report": jobs.report_job,
}


def stages_until(last: str) -> list[str]:
    """Return the stages that `last` stands on, and itself, in order."""
    needed = {last}
    for name in reversed(STAGES):
        if name in needed:
            needed.update(STAGES[name].after)
    return [name for name in STAGES if name in needed]


@flow
def zno_flow(run_folder: str, until: str = "report", custom_jobs: dict[str, Any] | None = None) -> Summary:
    """Run sampling, distillation, pretraining, labels, charge, training, evaluation and report.

    Parameters
    ----------
    run_folder
        A folder made by ``asennp init``.
    until
        Last stage to run; what it does not stand on is left out.
    custom_jobs
        Jobs to use in place of `JOBS`, by stage name (e.g. a ``label`` job that runs another engine).

    Returns
    -------
    dict
        The summary of the last stage.
    """
    job = {**JOBS, **(custom_jobs or {})}
    summaries: dict[str, Summary] = {}
    for name in stages_until(until):
        after = tuple(summaries[upstream] for upstream in STAGES[name].after)
        summaries[name] = job[name](run_folder, after=after)
    return summaries[until]
