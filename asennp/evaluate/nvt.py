"""Polarisation against temperature at a fixed cell: Langevin dynamics, one run a temperature."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms

from asennp.evaluate.ladder import block_mean, count_steps, require_length, require_positive
from asennp.evaluate.polarisation import Sites
from asennp.evaluate.runs import RunResult, RunSettings, run_md
from asennp.evaluate.workers import Calculators, as_calculator
from asennp.results import Result


@dataclass(frozen=True)
class FixedCell:
    """What to run.

    Attributes
    ----------
    edges_A
        Edges of the small cell, Å; scaled coordinates are those of the relaxed low phase.
    temperatures_K
        One run each.
    repeat, timestep_fs, equilibration_ps, production_ps, sample_fs, blocks
        See `Ladder`.
    friction_fs
        1/friction of the bath.
    """

    edges_A: tuple[float, float, float]
    temperatures_K: tuple[float, ...]
    repeat: tuple[int, int, int] = (5, 5, 5)
    timestep_fs: float = 2.0
    equilibration_ps: float = 50.0
    production_ps: float = 50.0
    sample_fs: float = 20.0
    friction_fs: float = 100.0
    blocks: int = 10

    def __post_init__(self) -> None:
        require_positive(self, "edges_A", "temperatures_K", "friction_fs")
        require_length(self)


@dataclass(frozen=True, eq=False)
class PolarisationPoint(Result):
    """Polarisation of one run.

    Attributes
    ----------
    temperature_K
        Of the bath.
    polarisation, error, spread
        (3,) C/m^2: mean, standard error from blocks, and thermal fluctuation.
    status, message
        See `RunResult`.
    """

    temperature_K: float
    polarisation: np.ndarray
    error: np.ndarray
    spread: np.ndarray
    status: str
    message: str


@dataclass(frozen=True)
class FixedRun:
    """One run, for one process."""

    plan: FixedCell
    temperature_K: float
    start: Atoms
    sites: Sites
    seed: int
    place: Path


def plan_fixed(plan: FixedCell, cell: Atoms, folder: Path, sites: Sites, seed: int) -> list[FixedRun]:
    """Return one run a temperature."""
    held = cell.copy()
    held.set_cell(plan.edges_A, scale_atoms=True)
    start = held.repeat(plan.repeat)
    return [FixedRun(plan, t, start, sites, seed, folder / f"{t:06.1f}K") for t in plan.temperatures_K]


def climb_fixed(run: FixedRun, calculator: Calculators) -> None:
    """Do one run; what is done is not done again."""
    plan = run.plan
    steps, interval = count_steps(plan)
    settings = RunSettings(
        temperature_K=run.temperature_K,
        steps=steps,
        sample_interval=interval,
        timestep_fs=plan.timestep_fs,
        cell="fixed",
        bath="langevin",
        thermostat_fs=plan.friction_fs,
        seed=(run.seed, round(10 * run.temperature_K), 7),
    )
    polarisation = run.sites.observer(run.start, plan.repeat)
    run_md(
        run.start,
        as_calculator(calculator),
        settings,
        run.place,
        lambda atoms: {"polarisation": polarisation(atoms)},
    )


def read_points(runs: Sequence[FixedRun]) -> list[PolarisationPoint]:
    """Read what the runs left."""
    points = []
    for run in runs:
        result = RunResult.from_json(run.place / "result.json")
        late = result.late(run.plan.equilibration_ps + 0.5e-3 * run.plan.sample_fs)
        p = result.observed["polarisation"]
        p = p[late[: len(p)]] if result.status in ("ok", "melted") else p
        mean, error = block_mean(p, min(run.plan.blocks, len(p)))
        points.append(
            PolarisationPoint(run.temperature_K, mean, error, p.std(axis=0), result.status, result.message)
        )
    return points
