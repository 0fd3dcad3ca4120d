"""The whole protocol as one flow, named after the compound it was made for; any preset runs through it."""

from typing import Any

from quacc import flow

from asennp.recipes import jobs
from asennp.recipes.engines import TRAINING, check_workers, engine_name
from asennp.recipes.jobs import Summary, execute_fanned_out
from asennp.run import RunFolder, versions
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
        The summary of the last stage; with an engine what it gives for it, see
        `asennp.recipes.engines.wait`.

    Raises
    ------
    InputError
        Before any work: an engine without workers, or workers that cannot do it.
    """
    job = {**JOBS, **(custom_jobs or {})}
    names = stages_until(until)
    _check(run_folder, names)
    here = versions()
    summaries: dict[str, Summary] = {}
    for name in names:
        after = [summaries[upstream] for upstream in STAGES[name].after]
        summaries[name] = job[name](run_folder, *after, submitted=here)
    return summaries[until]


def fan_out_flow(run_folder: str, until: str = "report") -> Summary:
    """Run the stages one after another here, what each does side by side on the engine's workers.

    Walkers, members of committees, frames to label and the figures of an evaluation are then tasks of their
    own, as many at a time as there are workers; a task that is lost with its worker is done again by the
    engine and goes on from its checkpoint. Without an engine they are processes here. For Parsl and Dask.
    """
    names = stages_until(until)
    _check(run_folder, names)
    with RunFolder(run_folder).lock():
        return [execute_fanned_out(name, run_folder) for name in names][-1]


def sample_flow(run_folder: str) -> Summary:
    """Sample, every walker a task of its own."""
    return fan_out_flow(run_folder, "sample")


def label_flow(run_folder: str) -> Summary:
    """Label (after what that stands on), every frame a task of its own."""
    return fan_out_flow(run_folder, "label")


def committee_flow(run_folder: str) -> Summary:
    """Train the committees (after what that stands on), every member a task of its own."""
    return fan_out_flow(run_folder, "train")


def evaluate_flow(run_folder: str) -> Summary:
    """Evaluate (after what that stands on), every figure a task of its own."""
    return fan_out_flow(run_folder, "evaluate")


def _check(run_folder: str, names: list[str]) -> None:
    """Ask a worker before any work, where there is an engine to ask."""
    if engine_name() in ("parsl", "dask"):
        check_workers(run_folder, trains=any(name in TRAINING for name in names))
    else:
        RunFolder(run_folder)
