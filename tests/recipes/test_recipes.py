"""Recipes: quacc jobs whose inputs and outputs are paths and plain values, wired by one flow."""

import json
import pickle
from pathlib import Path

from asennp.recipes import sample_job, zno_flow
from asennp.recipes.zno import JOBS, stages_until
from asennp.stages.graph import STAGES


def test_every_stage_has_a_job() -> None:
    assert list(JOBS) == list(STAGES)


def test_a_flow_leaves_out_what_it_does_not_need() -> None:
    assert stages_until("distill") == ["sample", "distill"]
    assert stages_until("pretrain") == ["sample", "distill", "pretrain"]
    assert stages_until("report") == list(STAGES)


def test_job_of_a_finished_stage_returns_its_summary(tiny_run: Path) -> None:
    summary = sample_job(str(tiny_run))
    assert summary["name"] == "asennp sample"
    assert Path(summary["dir_name"]) == tiny_run / "sample"
    assert all(Path(file).is_file() for file in summary["outputs"])
    assert json.loads(json.dumps(summary)) == pickle.loads(pickle.dumps(summary)) == summary


def test_a_job_of_ones_own_takes_the_place_of_a_stage(tiny_run: Path) -> None:
    calls = []

    def own(run_folder, *after, submitted=None):
        calls.append([summary["stage"] for summary in after])
        return JOBS["label"](run_folder, *after, submitted=submitted)

    summary = zno_flow(str(tiny_run), until="qeff", custom_jobs={"label": own})
    assert calls == [["distill", "tensile"]]
    assert summary["stage"] == "qeff"
