"""One job a stage. A job takes and returns paths and numbers; no calculator crosses a job's border.

Every job has the same form: the run folder (made by ``asennp init`` or `asennp.run.RunFolder.create`,
on a file system that all workers see), the results of the jobs it has to wait for (each an argument of its
own: what an engine waits for), and the versions of the submitter, against which the worker's are held.
Stages keep their own checkpoints, so a job that is retried continues.
"""

from collections.abc import Mapping
from typing import Any

from quacc import job

from asennp.recipes.engines import check_versions, fan_out
from asennp.run import RunFolder

Summary = dict[str, Any]
Versions = Mapping[str, str] | None


def _execute(stage: str, run_folder: str, submitted: Mapping[str, str] | None) -> Summary:
    """Execute a stage and return quacc's kind of summary."""
    run = RunFolder(run_folder)
    check_versions(run, stage, submitted)
    return _summarize(run, stage, run.execute(stage))


def execute_fanned_out(stage: str, run_folder: str) -> Summary:
    """Execute a stage here, its side-by-side calls on the engine's workers."""
    run = RunFolder(run_folder)
    with fan_out(run, stage):
        return _summarize(run, stage, run.execute(stage))


def _summarize(run: RunFolder, stage: str, record: Mapping[str, Any]) -> Summary:
    return {
        "name": f"asennp {stage}",
        "dir_name": str(run.path / stage),
        "run_folder": str(run.path),
        "stage": stage,
        "key": record["key"],
        "seconds": record["seconds"],
        "outputs": [str(run.path / file) for file in record["outputs"]],
    }


@job
def sample_job(run_folder: str, *after: Summary, submitted: Versions = None) -> Summary:
    """Sample with MOMT, one walker a process."""
    return _execute("sample", run_folder, submitted)


@job
def tensile_job(run_folder: str, *after: Summary, submitted: Versions = None) -> Summary:
    """Sample a tensile pull, kept aside as unseen."""
    return _execute("tensile", run_folder, submitted)


@job
def distill_job(run_folder: str, *after: Summary, submitted: Versions = None) -> Summary:
    """Select the informative frames of the pools."""
    return _execute("distill", run_folder, submitted)


@job
def pretrain_job(run_folder: str, *after: Summary, submitted: Versions = None) -> Summary:
    """Train on short-range atomic energies (A-Train)."""
    return _execute("pretrain", run_folder, submitted)


@job
def label_job(run_folder: str, *after: Summary, submitted: Versions = None) -> Summary:
    """Label the distilled and the tensile frames by the teacher."""
    return _execute("label", run_folder, submitted)


@job
def sweep_job(run_folder: str, *after: Summary, submitted: Versions = None) -> Summary:
    """Sweep the effective charge without training."""
    return _execute("qeff", run_folder, submitted)


@job
def train_job(run_folder: str, *after: Summary, submitted: Versions = None) -> Summary:
    """Transfer the pretrained network to the residual; train its comparisons."""
    return _execute("train", run_folder, submitted)


@job
def trained_sweep_job(run_folder: str, *after: Summary, submitted: Versions = None) -> Summary:
    """Sweep the effective charge by short trainings, if the configuration asks for it."""
    return _execute("trained_sweep", run_folder, submitted)


@job
def evaluate_job(run_folder: str, *after: Summary, submitted: Versions = None) -> Summary:
    """Measure the models on the test set, the unseen frames, crystals and MD."""
    return _execute("evaluate", run_folder, submitted)


@job
def report_job(run_folder: str, *after: Summary, submitted: Versions = None) -> Summary:
    """Write the report."""
    return _execute("report", run_folder, submitted)
