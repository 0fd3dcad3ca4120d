"""How the time of a molecular-dynamics step grows with the number of atoms."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units

from asennp.evaluate.ladder import require_positive
from asennp.files import read_json, write_json
from asennp.md.momt import MOMT
from asennp.results import Result


@dataclass(frozen=True)
class Speed:
    """What to measure.

    Attributes
    ----------
    sizes
        Supercells S x S x S.
    steps, repeats
        Steps of a measurement, and measurements.
    timestep_fs, temperature_K
        Of the dynamics (NVT).
    """

    sizes: tuple[int, ...] = (1, 2, 3, 4, 5)
    steps: int = 500
    repeats: int = 3
    timestep_fs: float = 2.0
    temperature_K: float = 300.0

    def __post_init__(self) -> None:
        require_positive(self, "sizes", "steps", "repeats", "timestep_fs", "temperature_K")


@dataclass(frozen=True, eq=False)
class SpeedResult(Result):
    """Seconds a step, one thread, the other processes of the machine being as they were.

    Attributes
    ----------
    n_atoms
        (n,) atoms.
    seconds
        (n, repeats) seconds a step.
    mean, spread
        (n,) mean and standard deviation over the repeats.
    exponent
        Slope of log(seconds) against log(atoms) over the upper half of the sizes; nan for one size.
    """

    n_atoms: np.ndarray
    seconds: np.ndarray
    mean: np.ndarray
    spread: np.ndarray
    exponent: float


def compute_speed(
    atoms: Atoms, calculator: Any, settings: Speed | None = None, folder: str | Path | None = None
) -> SpeedResult:
    """Measure seconds a step in growing supercells; with a folder, go on with what is not measured yet.

    The first step of each measurement, which makes neighbour lists and compiles, is not timed.
    """
    settings = settings or Speed()
    seconds = np.array(
        [
            [_measure(atoms, calculator, settings, size, k, folder) for k in range(settings.repeats)]
            for size in settings.sizes
        ]
    )
    n_atoms = len(atoms) * np.array(settings.sizes) ** 3
    mean = seconds.mean(axis=1)
    top = slice(len(n_atoms) // 2 if len(n_atoms) > 2 else 0, None)
    slope = np.polyfit(np.log(n_atoms[top]), np.log(mean[top]), 1)[0] if len(n_atoms[top]) > 1 else np.nan
    spread = seconds.std(axis=1, ddof=1) if settings.repeats > 1 else np.zeros(len(mean))
    return SpeedResult(n_atoms, seconds, mean, spread, float(slope))


def _measure(
    atoms: Atoms, calculator: Any, settings: Speed, size: int, repeat: int, folder: str | Path | None
) -> float:
    path = None if folder is None else Path(folder) / f"{size:02d}-{repeat}.json"
    if path is not None and path.is_file():
        return float(read_json(path)["seconds_a_step"])
    frame = Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc).repeat(size)
    frame.calc = calculator
    dynamics = MOMT(
        frame,
        timestep=settings.timestep_fs * units.fs,
        temperature_K=settings.temperature_K,
        rng=np.random.default_rng([size, repeat]),
    )
    dynamics.run(1)
    started = time.perf_counter()
    dynamics.run(settings.steps)
    seconds = (time.perf_counter() - started) / settings.steps
    if path is not None:
        write_json(path, {"n_atoms": len(frame), "seconds_a_step": seconds})
    return seconds
