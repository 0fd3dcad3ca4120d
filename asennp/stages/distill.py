"""Distillation of the sampled pools, one after the other, with test blocks held out before anything looks."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from asennp.config import Config
from asennp.dataset import compute_labels, read_frames, split, write_frames
from asennp.distill import DistillResult, DistillSettings
from asennp.distill import distill as distill_pool
from asennp.files import read_json
from asennp.processes import run_processes
from asennp.progress import StepFile, watch
from asennp.stages.fits import descriptor
from asennp.stages.output import StageOutput
from asennp.stages.parts import empirical

SHORT_RANGE = ("energy", "energies", "forces", "stress")


def distill(config: Config, folder: Path, upstream: dict[str, Path]) -> StageOutput:
    """Choose training frames from every walker's pool, and test frames from the held-out blocks."""
    names = list(config.sample.walkers)
    settings = config.distill
    rounds = sum(_n_rounds(config, upstream["sample"] / name, first=name == names[0]) for name in names)
    with watch("distill", rounds, [folder / "steps"]):
        for _ in run_processes(_distill_pools, [(config, folder, upstream["sample"])], 1):
            pass
    results = {name: DistillResult.from_json(folder / name / "result.json") for name in names}
    chosen = read_frames(folder / "train.extxyz")
    held = read_frames(folder / "test.extxyz")
    summary = {
        "n_pool": {name: result.n_pool for name, result in results.items()},
        "n_chosen": {name: len(result.indices) for name, result in results.items()},
        "n_train": len(chosen),
        "n_test": len(held),
        "curve": {
            name: {
                column: [getattr(r, column) for r in result.rounds]
                for column in ("n_train", "energies_mae", "energy_mae", "force_mae", "stress_mae")
            }
            for name, result in results.items()
        },
        "last_scores": {name: _scores(result) for name, result in results.items()},
        "settings": settings.model_dump(mode="json"),
    }
    pool = sum(result.n_pool for result in results.values())
    files = [
        folder / "train.extxyz",
        folder / "test.extxyz",
        *(folder / name / "result.json" for name in names),
    ]
    return StageOutput(
        files, f"{len(chosen)} of {pool} frames chosen, {len(held)} held out for the test", summary
    )


def _n_rounds(config: Config, walker: Path, first: bool) -> int:
    """Return how many rounds a walker's pool takes, nearly (for the progress bar)."""
    frames = read_json(walker / "walker.json")["frames"]
    pool = round(frames * (1 - config.distill.test_fraction))
    return math.ceil(max(0, pool - (config.distill.initial if first else 0)) / config.distill.chunk) + 1


def _scores(result: DistillResult) -> dict[str, Any]:
    """Return scores, errors and the threshold of the last round that screened; no threshold by species."""
    screened = [r for r in result.rounds if len(r.scores)]
    if not screened:
        return {}
    last = screened[-1]
    threshold = last.threshold if np.isfinite(last.threshold) else None
    return {"scores": last.scores.tolist(), "errors": last.errors.tolist(), "threshold": threshold}


def _distill_pools(config: Config, folder: Path, sampled: Path) -> None:
    """Distil every pool (in a process of its own), each seeded by what the pools before gave."""
    c = config.distill
    settings = DistillSettings(
        initial=c.initial,
        chunk=c.chunk,
        n_sd=c.n_sd,
        cap=c.cap,
        per_species=c.per_species,
        diversity=c.diversity,
        n_members=c.n_members,
        train=c.train,
        warm_epochs=c.warm_epochs,
        curve_frames=c.curve_frames,
        seed=config.seed,
    )
    short_range = empirical(config, coulomb=False)
    made = StepFile(folder / "steps")
    done = 0

    def count(_: Any) -> None:
        nonlocal done
        done += 1
        made(done)

    chosen: list[Atoms] = []
    held: list[Atoms] = []
    for name in config.sample.walkers:
        frames = read_frames(sampled / name / "frames.extxyz")
        for frame in frames:
            frame.info["source"] = name
        parts = split(
            frames,
            {"pool": 1 - c.test_fraction, "test": c.test_fraction},
            config.seed,
            window=c.block_steps,
        )
        pool = compute_labels([frames[k] for k in parts["pool"]], short_range, SHORT_RANGE)
        result = distill_pool(
            pool,
            settings,
            folder / name,
            start=chosen,
            aev=descriptor(config),
            workers=config.workers,
            device=config.device,
            progress=count,
        )
        chosen += [pool[k] for k in result.indices]
        held += [frames[k] for k in parts["test"]]
    n_test = math.ceil(len(chosen) * c.test_fraction / (1 - c.test_fraction))
    write_frames(folder / "test.extxyz", _evenly(held, n_test))
    write_frames(folder / "train.extxyz", chosen)


def _evenly(frames: Sequence[Atoms], n: int) -> list[Atoms]:
    """Return n frames evenly spaced (all of them, if there are fewer)."""
    picked = np.unique(np.linspace(0, len(frames) - 1, min(n, len(frames))).round().astype(int))
    return [frames[k] for k in picked]
