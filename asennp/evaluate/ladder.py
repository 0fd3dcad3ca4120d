"""A ladder of molecular-dynamics runs: one variable climbs, temperature or pressure, the rest is held."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ase import Atoms

from asennp.errors import InputError
from asennp.evaluate.polarisation import Sites
from asennp.evaluate.runs import RunResult, RunSettings, run_md
from asennp.evaluate.workers import Calculators, as_calculator
from asennp.results import Result

Direction = Literal["up", "down"]
Classify = Callable[[Atoms], Mapping[str, float]]


@dataclass(frozen=True)
class Ladder:
    """What to run.

    Attributes
    ----------
    temperatures_K, pressures_GPa
        Rungs, rising; one of the two has a single value.
    repeat
        Supercell.
    seeds
        Independent runs of every rung.
    directions
        "up" starts from the phase of the low end (heating, compression), "down" from that of the high end.
    chained
        Start each rung from the last frame of the one before instead of from the relaxed crystal.
    timestep_fs, equilibration_ps, production_ps
        Only the production is averaged.
    sample_fs
        Time between two samples.
    cell
        "diagonal" (edges of a right-angled cell), "full" (angles too) or "isotropic".
    thermostat_fs, barostat_fs
        Time constants of the chains.
    blocks
        Blocks of the production that errors are taken from.
    """

    temperatures_K: tuple[float, ...] = (300.0,)
    pressures_GPa: tuple[float, ...] = (0.0,)
    repeat: tuple[int, int, int] = (5, 5, 5)
    seeds: int = 1
    directions: tuple[Direction, ...] = ("up",)
    chained: bool = False
    timestep_fs: float = 2.0
    equilibration_ps: float = 50.0
    production_ps: float = 50.0
    sample_fs: float = 20.0
    cell: Literal["diagonal", "full", "isotropic"] = "diagonal"
    thermostat_fs: float = 100.0
    barostat_fs: float = 1000.0
    blocks: int = 10

    def __post_init__(self) -> None:
        rungs = {"temperatures_K": self.temperatures_K, "pressures_GPa": self.pressures_GPa}
        for name, values in rungs.items():
            if not values or list(values) != sorted(set(values)):
                raise InputError("rungs must rise", where=name, got=list(values))
        if min(map(len, rungs.values())) > 1:
            raise InputError(
                "a ladder climbs one variable",
                where="temperatures_K, pressures_GPa",
                expected="one of them with a single value",
                got=f"{len(self.temperatures_K)} and {len(self.pressures_GPa)} values",
                do="make a ladder for each temperature",
            )
        if not set(self.directions) <= {"up", "down"} or not self.directions:
            raise InputError(
                "no such direction", where="directions", expected="up, down", got=self.directions
            )
        require_positive(self, "seeds")
        require_length(self)

    @property
    def variable(self) -> Literal["temperature_K", "pressure_GPa"]:
        """What climbs."""
        return "pressure_GPa" if len(self.pressures_GPa) > 1 else "temperature_K"

    def rungs(self, direction: Direction) -> list[tuple[float, float]]:
        """Return (temperature, pressure) in the order of the climb."""
        pairs = [(t, p) for t in self.temperatures_K for p in self.pressures_GPa]
        return pairs if direction == "up" else pairs[::-1]

    def settings(self, temperature_K: float, pressure_GPa: float, seed: tuple[int, ...]) -> RunSettings:
        """Return one run."""
        steps, interval = count_steps(self)
        return RunSettings(
            temperature_K=temperature_K,
            pressure_GPa=pressure_GPa,
            steps=steps,
            sample_interval=interval,
            timestep_fs=self.timestep_fs,
            cell=self.cell,
            thermostat_fs=self.thermostat_fs,
            barostat_fs=self.barostat_fs,
            seed=seed,
        )


def require_positive(plan: Any, *names: str) -> None:
    """Refuse values of a plan that are not positive."""
    for name in names:
        if not np.all(np.asarray(getattr(plan, name)) > 0) or not np.size(getattr(plan, name)):
            raise InputError("must be positive", where=name, got=getattr(plan, name))


def require_length(plan: Any) -> None:
    """Refuse times of a plan of averaged runs that leave nothing to average."""
    require_positive(plan, "repeat", "timestep_fs", "production_ps", "sample_fs")
    if plan.blocks < 3 or plan.production_ps * 1000.0 < plan.blocks * plan.sample_fs:
        raise InputError(
            "too few samples for the blocks",
            where="blocks",
            expected="3 or more blocks, a sample or more in each",
            got=f"{plan.blocks} blocks of {plan.production_ps} ps sampled every {plan.sample_fs} fs",
        )


def count_steps(plan: Any) -> tuple[int, int]:
    """Return the steps of a plan's run and those between two samples."""
    interval = max(1, round(plan.sample_fs / plan.timestep_fs))
    samples = round(1000.0 * (plan.equilibration_ps + plan.production_ps) / (interval * plan.timestep_fs))
    return interval * samples, interval


@dataclass(frozen=True, eq=False)
class Rung(Result):
    """Averages over the production of one run; errors are standard errors of block means.

    Attributes
    ----------
    direction, seed, temperature_K, pressure_GPa
        Which run.
    status, message
        See `RunResult`; averages of a run that is not "ok" mean nothing.
    lengths_A, lengths_error_A
        (3,) mean edges of the small cell, in the order of the axes.
    volume_A3, volume_error_A3
        Per atom.
    energy, energy_error
        Potential energy, eV/atom.
    mean_temperature_K
        What the thermostat kept.
    polarisation, polarisation_error, polarisation_spread
        (3,) C/m^2: mean, its error, and the standard deviation of the thermal fluctuation; None without
        Born charges.
    fractions
        Mean share of the atoms in each phase; None where no classifier knows the compound.
    drift_meV_ps
        Slope of the conserved quantity, meV/atom/ps: what a model or a time step that does not conserve
        energy shows.
    """

    direction: str
    seed: int
    temperature_K: float
    pressure_GPa: float
    status: str
    message: str
    lengths_A: np.ndarray
    lengths_error_A: np.ndarray
    volume_A3: float
    volume_error_A3: float
    energy: float
    energy_error: float
    mean_temperature_K: float
    polarisation: np.ndarray | None
    polarisation_error: np.ndarray | None
    polarisation_spread: np.ndarray | None
    fractions: dict[str, float] | None
    drift_meV_ps: float


@dataclass(frozen=True)
class Climb:
    """One chain of runs, for one process.

    Attributes
    ----------
    starts
        First frame of every rung (of the first alone, if chained).
    """

    ladder: Ladder
    direction: Direction
    seed: int
    rungs: tuple[tuple[float, float], ...]
    start: Atoms
    sites: Sites | None
    root_seed: int
    folder: Path
    classify: Classify | None = None

    def places(self) -> list[Path]:
        """Return the folder of each rung."""
        name = "{:06.1f}K" if self.ladder.variable == "temperature_K" else "{1:+07.2f}GPa"
        return [self.folder / f"{self.direction}-{self.seed}" / name.format(*rung) for rung in self.rungs]


def plan_climbs(
    ladder: Ladder,
    starts: dict[Direction, Atoms],
    folder: Path,
    sites: Sites | None = None,
    seed: int = 0,
    classify: Classify | None = None,
) -> list[Climb]:
    """Cut a ladder into what can run side by side: every rung, or whole chains.

    Parameters
    ----------
    starts
        Small cell of the phase each direction begins with.
    classify
        Function (atoms) -> {phase: share of the atoms}, importable by name; noted where there are no sites.
    """
    climbs = []
    for direction in ladder.directions:
        big = starts[direction].repeat(ladder.repeat)
        rungs = ladder.rungs(direction)
        groups = [tuple(rungs)] if ladder.chained else [(rung,) for rung in rungs]
        climbs += [
            Climb(ladder, direction, k, group, big, sites, seed, folder, classify)
            for k in range(ladder.seeds)
            for group in groups
        ]
    return climbs


def climb(plan: Climb, calculator: Calculators) -> None:
    """Run a chain of rungs, each in its folder; what is done is not done again."""
    made = as_calculator(calculator)
    frame = plan.start
    observe = _observer(plan)
    for (temperature, pressure), place in zip(plan.rungs, plan.places()):
        seed = (
            plan.root_seed,
            plan.seed,
            round(10 * temperature),
            round(1000 * pressure) % 2**32,
            len(plan.direction),
        )
        result = run_md(frame, made, plan.ladder.settings(temperature, pressure, seed), place, observe)
        if plan.ladder.chained:
            if result.status != "ok":
                return
            frame = result.final
            frame.set_momenta(result.momenta)


def _observer(plan: Climb) -> Callable[[Atoms], Mapping[str, Any]] | None:
    """Note what the compound lets be noted: the polarisation, or the phase of every atom."""
    if plan.sites is not None:
        polarisation = plan.sites.observer(plan.start, plan.ladder.repeat)
        return lambda atoms: {"polarisation": polarisation(atoms)}
    return plan.classify


def read_rungs(plans: Sequence[Climb]) -> Iterator[tuple[Rung, RunResult]]:
    """Read what the climbs left, in the order of the plans; rungs behind a broken one are left out."""
    for plan in plans:
        for (temperature, pressure), place in zip(plan.rungs, plan.places()):
            if (place / "result.json").is_file():
                run = RunResult.from_json(place / "result.json")
                yield _average(plan, temperature, pressure, run), run


def block_mean(values: np.ndarray, blocks: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean over axis 0 and its standard error from the means of equal blocks."""
    size = len(values) // blocks
    kept = values[len(values) - size * blocks :]
    means = kept.reshape(blocks, size, *values.shape[1:]).mean(axis=1)
    return means.mean(axis=0), means.std(axis=0, ddof=1) / np.sqrt(blocks)


def _average(plan: Climb, temperature: float, pressure: float, run: RunResult) -> Rung:
    ladder, n = plan.ladder, len(plan.start)
    late = run.late(ladder.equilibration_ps + 0.5e-3 * ladder.sample_fs)
    if run.status not in ("ok", "melted") or late.sum() < ladder.blocks:
        late = np.ones(len(run.time_ps), bool)
    blocks = min(ladder.blocks, int(late.sum()))

    def mean(values: np.ndarray) -> tuple[Any, Any]:
        if blocks < 2:
            return values[late].mean(axis=0), np.full(values.shape[1:], np.nan)
        return block_mean(values[late], blocks)

    lengths, lengths_error = mean(run.lengths / np.array(ladder.repeat))
    volume, volume_error = mean(np.abs(np.linalg.det(run.cells)) / n)
    energy, energy_error = mean(run.energy / n)
    seen = {name: values for name, values in run.observed.items() if len(values) == len(late)}
    p = seen.get("polarisation")
    polarisation, polarisation_error = (None, None) if p is None else mean(p)
    return Rung(
        direction=plan.direction,
        seed=plan.seed,
        temperature_K=temperature,
        pressure_GPa=pressure,
        status=run.status,
        message=run.message,
        lengths_A=lengths,
        lengths_error_A=lengths_error,
        volume_A3=float(volume),
        volume_error_A3=float(volume_error),
        energy=float(energy),
        energy_error=float(energy_error),
        mean_temperature_K=float(run.temperature_K[late].mean()),
        polarisation=polarisation,
        polarisation_error=polarisation_error,
        polarisation_spread=None if p is None else p[late].std(axis=0),
        fractions=None
        if p is not None or not seen
        else {name: float(values[late].mean()) for name, values in seen.items()},
        drift_meV_ps=_slope(run.time_ps, 1000.0 * run.conserved / n),
    )


def _slope(time: np.ndarray, values: np.ndarray) -> float:
    known = np.isfinite(values)
    return float(np.polyfit(time[known], values[known], 1)[0]) if known.sum() > 2 else 0.0
