"""One molecular-dynamics run that is sampled, watched, and continued bit for bit wherever it was stopped."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ase import Atoms, units

from asennp.errors import InputError
from asennp.evaluate.watch import Watch
from asennp.files import read_jsonl, write_atomic
from asennp.md.momt import MOMT
from asennp.progress import StepFile
from asennp.results import Result

#: What a caller wants noted of a frame besides the standard columns: {name: number or list of numbers}.
Observe = Callable[[Atoms], Mapping[str, Any]]

#: Integrator and free components of the cell.
_CELLS: Mapping[str, tuple[str, tuple[str, ...] | None]] = {
    "fixed": ("nose-hoover", None),
    "isotropic": ("mtk-isotropic", None),
    "diagonal": ("mtk-flexible", ("xx", "yy", "zz")),
    "full": ("mtk-flexible", None),
}
_PS = 1000.0 * units.fs


@dataclass(frozen=True)
class RunSettings:
    """One run at constant temperature, and pressure unless the cell is fixed.

    Attributes
    ----------
    temperature_K, pressure_GPa
        Pressure is not used by a fixed cell.
    steps, sample_interval
        Length, and steps between two samples.
    timestep_fs
        Time step.
    cell
        What the cell may do: "fixed", "isotropic", "diagonal" (three edges of a right-angled cell) or "full".
    bath
        "chains" (Nose-Hoover, Martyna-Tobias-Klein) or "langevin".
    thermostat_fs, barostat_fs
        Time constants; 1/friction of Langevin's bath.
    seed
        Of velocities and noise.
    """

    temperature_K: float
    pressure_GPa: float = 0.0
    steps: int = 1000
    sample_interval: int = 10
    timestep_fs: float = 2.0
    cell: Literal["fixed", "isotropic", "diagonal", "full"] = "diagonal"
    bath: Literal["chains", "langevin"] = "chains"
    thermostat_fs: float = 100.0
    barostat_fs: float = 1000.0
    seed: tuple[int, ...] = (0,)

    def integrator(self) -> tuple[str, tuple[str, ...] | None]:
        """Return the integrator's name and mask."""
        name, mask = _CELLS[self.cell]
        if self.bath == "langevin":
            name = name.replace("mtk", "langevin").replace("nose-hoover", "langevin")
        return name, mask


@dataclass(frozen=True, eq=False)
class RunResult(Result):
    """What a run gave; n samples, the start included.

    Attributes
    ----------
    time_ps, temperature_K, energy, conserved
        (n,) time, kinetic temperature, potential energy and conserved quantity (eV).
    cells
        (n, 3, 3) cell vectors, Å.
    drift_A, farthest_A, closest_A
        (n,) root mean square and largest displacement of the atoms from the start, in scaled coordinates
        times the cell, without the crystal's drift; shortest distance of a pair.
    observed
        {name: (n, ...)} the caller's columns.
    status
        "ok", "melted", or what broke: "lost numbers", "overheated", "collapsed", "ran away"
        (volume, shape of the cell, mean temperature).
    message
        When and by what the status was decided, in words; empty if ok.
    settings
        Temperature and pressure asked for.
    final
        Last frame, with momenta in ``momenta``.
    momenta
        (N, 3) of the last frame, ASE units.
    """

    time_ps: np.ndarray
    temperature_K: np.ndarray
    energy: np.ndarray
    conserved: np.ndarray
    cells: np.ndarray
    drift_A: np.ndarray
    farthest_A: np.ndarray
    closest_A: np.ndarray
    observed: dict[str, np.ndarray]
    status: str
    message: str
    settings: dict[str, float]
    final: Atoms
    momenta: np.ndarray = field(repr=False)

    @property
    def lengths(self) -> np.ndarray:
        """Edges of the cell, (n, 3), Å."""
        return np.asarray(np.linalg.norm(self.cells, axis=2))

    def late(self, start_ps: float) -> np.ndarray:
        """Mask of the samples from a time on."""
        return np.asarray(self.time_ps >= start_ps - 1e-9)


def run_md(
    start: Atoms,
    calculator: Any,
    settings: RunSettings,
    folder: str | Path,
    observe: Observe | None = None,
    checkpoint_s: float = 15.0,
) -> RunResult:
    """Run, or go on with, molecular dynamics in a folder; a finished run is read.

    The folder holds ``samples.jsonl`` and ``md.restart`` while the run goes and ``result.json`` after it.
    Samples beyond the last checkpoint are dropped and made again, so a killed run ends with the bits of one
    that was not.

    Parameters
    ----------
    start
        First frame; momenta that it has are kept, else they are drawn.
    calculator
        Any ASE calculator with energy and forces, and stress unless the cell is fixed.
    observe
        What else to note of each sampled frame.
    checkpoint_s
        Seconds between two checkpoints; no influence on the result.
    """
    folder = Path(folder)
    done = folder / "result.json"
    if done.is_file():
        return RunResult.from_json(done)
    folder.mkdir(parents=True, exist_ok=True)
    dynamics, rows = _open(start, calculator, settings, folder)
    watch = Watch(start, settings.temperature_K)
    made, saved = StepFile(folder / "steps"), time.monotonic()
    unsaved: list[dict[str, Any]] = []
    note = f"{settings.temperature_K:g} K" if settings.cell == "fixed" or not settings.pressure_GPa else (
        f"{settings.temperature_K:g} K {settings.pressure_GPa:g} GPa")  # fmt: skip
    while True:
        if not rows or rows[-1]["step"] < dynamics.nsteps:
            with np.errstate(all="ignore"):
                row = _sample(dynamics, watch, observe)
            rows.append(row)
            unsaved.append(row)
        made(dynamics.nsteps, note)
        broken = watch.broken(rows[-1])
        if broken or dynamics.nsteps >= settings.steps:
            break
        if time.monotonic() - saved > checkpoint_s:
            _checkpoint(folder, unsaved, dynamics)
            saved = time.monotonic()
        broken = _advance(dynamics, min(settings.sample_interval, settings.steps - dynamics.nsteps))
        if broken:
            break
    result = _collect(dynamics.atoms, rows, broken or watch.verdict(rows), settings)
    result.to_json(done)
    for name in ("samples.jsonl", "md.restart", "steps"):
        (folder / name).unlink(missing_ok=True)
    return result


def is_done(folders: Sequence[Path]) -> bool:
    """Tell whether the runs in these folders have ended."""
    return all((folder / "result.json").is_file() for folder in folders)


def _advance(dynamics: MOMT, steps: int) -> tuple[str, str] | None:
    """Make steps; return (status, message) where the run cannot go on: that is a finding, not an error."""
    try:
        with np.errstate(all="ignore"):
            dynamics.run(steps)
    except (ArithmeticError, np.linalg.LinAlgError, InputError) as error:
        if dynamics.nsteps == 0:  # not the run's fault
            raise
        words = str(error).replace("\n ", ";")
        return "lost numbers", f"{words} at {dynamics.get_time() / _PS:.2f} ps"
    return None


def _open(
    start: Atoms, calculator: Any, settings: RunSettings, folder: Path
) -> tuple[MOMT, list[dict[str, Any]]]:
    """Return dynamics and samples as they were at the last checkpoint, or at the start."""
    restart, samples = folder / "md.restart", folder / "samples.jsonl"
    if restart.is_file():
        dynamics = MOMT.restart(restart, calculator=calculator)
        rows = [row for row in read_jsonl(samples) if row["step"] <= dynamics.nsteps]
        write_atomic(samples, "".join(json.dumps(row) + "\n" for row in rows))
        return dynamics, rows
    samples.unlink(missing_ok=True)
    atoms = Atoms(start.symbols, positions=start.positions, cell=start.cell, pbc=start.pbc)
    if start.has("momenta"):
        atoms.set_momenta(start.get_momenta())
    atoms.calc = calculator
    name, mask = settings.integrator()
    dynamics = MOMT(
        atoms,
        timestep=settings.timestep_fs * units.fs,
        temperature_K=settings.temperature_K,
        pressure_au=None if settings.cell == "fixed" else settings.pressure_GPa * units.GPa,
        integrator=name,
        mask=mask,
        tdamp=settings.thermostat_fs * units.fs,
        pdamp=settings.barostat_fs * units.fs,
        rng=np.random.default_rng(settings.seed),
    )
    return dynamics, []


def _checkpoint(folder: Path, unsaved: list[dict[str, Any]], dynamics: MOMT) -> None:
    """Keep the samples first: what is beyond the checkpoint is cut off again, what is missing is lost."""
    with open(folder / "samples.jsonl", "a") as file:
        file.write("".join(json.dumps(row) + "\n" for row in unsaved))
    unsaved.clear()
    dynamics.save(folder / "md.restart")


def _sample(dynamics: MOMT, watch: Watch, observe: Observe | None) -> dict[str, Any]:
    atoms = dynamics.atoms
    row: dict[str, Any] = {
        "step": dynamics.nsteps,
        "time_ps": dynamics.get_time() / _PS,
        "temperature_K": dynamics.get_temperature(),
        "energy": dynamics.point.evaluation.energy,
        "conserved": dynamics.get_conserved_energy(),
        "cell": atoms.cell.array.tolist(),
        **watch.look(atoms),
    }
    if observe is not None and not watch.broken(row):
        row["observed"] = {name: np.asarray(value).tolist() for name, value in observe(atoms).items()}
    return row


def _collect(
    atoms: Atoms, rows: list[dict[str, Any]], verdict: tuple[str, str], settings: RunSettings
) -> RunResult:
    columns = {
        name: np.array([row[name] for row in rows])
        for name in ("time_ps", "temperature_K", "energy", "conserved", "drift_A", "farthest_A", "closest_A")
    }
    seen = [row["observed"] for row in rows if "observed" in row]
    final = Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    return RunResult(
        **columns,
        cells=np.array([row["cell"] for row in rows]),
        observed={name: np.array([one[name] for one in seen]) for name in (seen[0] if seen else ())},
        status=verdict[0],
        message=verdict[1],
        settings={"temperature_K": settings.temperature_K, "pressure_GPa": settings.pressure_GPa},
        final=final,
        momenta=atoms.get_momenta(),
    )
