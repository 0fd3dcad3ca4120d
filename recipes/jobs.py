"""One job a stage. A job takes and returns paths and numbers; no calculator crosses a job's border.

Every job has the same form: the run folder (made by ``asennp init`` or `asennp.run.RunFolder.create`,
on a file system that all workers see) and the results of the jobs it has to wait for. Stages keep their
own checkpoints, so a job that is retried continues.
"""

from typing import Any

from quacc import job

from asennp.run import RunFolder

Summary = dict[str, Any]


def _execute(stage: str, run_folder: str) -> Summary:
    """Execute a stage and return quacc's kind of summary."""
    run = RunFolder(run_folder)
    record = run.execute(stage)
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
def sample_job(run_folder: str, after: tuple[Summary, ...] = ()) -> Summary:
    """Sample with MOMT, one walker a process."""
    return _execute("sample", run_folder)


@job
def tensile_job(run_folder: str, after: tuple[Summary, ...] = ()) -> Summary:
    """Sample a tensile pull, kept aside as unseen."""
    return _execute("tensile", run_folder)


@job
def distill_job(run_folder: str, after: tuple[Summary, ...] = ()) -> Summary:
    """Select the informative frames of the pools."""
    return _execute("distill", run_folder)


@job
def pretrain_job(run_folder: str, after: tuple[Summary, ...] = ()) -> Summary:
    """Train on short-range atomic energies (A-Train)."""
    return _execute("pretrain", run_folder)


@job
def label_job(run_folder: str, after: tuple[Summary, ...] = ()) -> Summary:
    """Label the distilled and the tensile frames by the teacher."""
    return _execute("label", run_folder)


@job
def sweep_job(run_folder: str, after: tuple[Summary, ...] = ()) -> Summary:
    """Sweep the effective charge without training."""
    return _execute("qeff", run_folder)


@job
def train_job(run_folder: str, after: tuple[Summary, ...] = ()) -> Summary:
    """Transfer the pretrained network to the residual; train its comparisons."""
    return _execute("train", run_folder)


@job
def trained_sweep_job(run_folder: str, after: tuple[Summary, ...] = ()) -> Summary:
    """Sweep the effective charge by short trainings, if the configuration asks for it."""
    return _execute("trained_sweep", run_folder)


@job
def evaluate_job(run_folder: str, after: tuple[Summary, ...] = ()) -> Summary:
    """Measure the models on the test set, the unseen frames, crystals and MD."""
    return _execute("evaluate", run_folder)


@job
def report_job(run_folder: str, after: tuple[Summary, ...] = ()) -> Summary:
    """Write the report."""
    return _execute("report", run_folder)
