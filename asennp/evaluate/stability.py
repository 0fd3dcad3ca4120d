"""Does a crystal stay a crystal? A run at constant volume or pressure, with stated criteria."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.neighborlist import neighbor_list

from asennp.errors import InputError
from asennp.evaluate.watch import MELTED
from asennp.md.momt import MOMT
from asennp.results import Result

#: Criteria of a bounded run: temperature and closest pair relative to what they should be.
_HOTTEST, _CLOSEST = 3.0, 0.6


@dataclass(frozen=True, eq=False)
class StabilityResult(Result):
    """A thermostatted run and whether it stayed bounded.

    Attributes
    ----------
    time_ps, temperature_K, energy_meV, conserved_meV
        (n,) samples: time, temperature, potential energy above the start (meV/atom), and the conserved
        quantity above its start (meV/atom).
    displacement_A
        (n,) largest displacement of an atom from its start, centre of mass fixed.
    target_K
        Temperature asked for.
    mean_temperature_K
        Mean over the second half.
    drift_meV_per_ps
        Slope of the conserved quantity, meV/atom/ps.
    max_displacement_A, closest_A
        Over the whole run; `closest_A` is the shortest distance of a pair.
    bounded
        Whether no criterion was violated.
    criteria, violations
        What was asked, in words, and which of it failed.
    rdf_r_A, rdf
        (m,) distances and radial distribution function over the second half.
    final
        Last frame.
    pressure_GPa
        Pressure asked for; None at constant volume.
    lengths_A
        (n, 3) edges of the cell, and
    volume_A3
        (n,) volume per atom.
    phases
        {phase: (n,) share of the atoms}, where a classifier was given.
    melted
        Whether the mean displacement at the end is that of a liquid.
    """

    time_ps: np.ndarray
    temperature_K: np.ndarray
    energy_meV: np.ndarray
    conserved_meV: np.ndarray
    displacement_A: np.ndarray
    target_K: float
    mean_temperature_K: float
    drift_meV_per_ps: float
    max_displacement_A: float
    closest_A: float
    bounded: bool
    criteria: tuple[str, ...]
    violations: tuple[str, ...]
    rdf_r_A: np.ndarray
    rdf: np.ndarray
    final: Atoms
    pressure_GPa: float | None = None
    lengths_A: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))
    volume_A3: np.ndarray = field(default_factory=lambda: np.zeros(0))
    phases: dict[str, np.ndarray] = field(default_factory=dict)
    melted: bool = False


class _Samples:
    """What is noted along the run."""

    def __init__(
        self,
        dynamics: MOMT,
        reach: float,
        half: float,
        classify: Callable[[Atoms], Mapping[str, float]] | None,
    ) -> None:
        self.atoms, self.dynamics, self.half, self.classify = dynamics.atoms, dynamics, half, classify
        self.start = self.atoms.cell.scaled_positions(self.atoms.positions)
        n_bins = 120
        self.edges = np.linspace(0.0, reach, n_bins + 1)
        self.counts = np.zeros(n_bins)
        self.n_histograms = 0
        self.rows: list[tuple[float, ...]] = []
        self.cells: list[np.ndarray] = []
        self.shares: list[Mapping[str, float]] = []
        self.closest = np.inf

    def take(self) -> None:
        atoms, n = self.atoms, len(self.atoms)
        potential = self.dynamics.point.evaluation.energy
        conserved = self.dynamics.get_conserved_energy()
        moved = (atoms.cell.scaled_positions(atoms.positions) - self.start) @ atoms.cell.array
        squared = (moved**2).sum(axis=1)
        time = self.dynamics.get_time() / (1000.0 * units.fs)
        temperature, away, mean = self.dynamics.get_temperature(), squared.max() ** 0.5, squared.mean() ** 0.5
        self.rows.append((time, temperature, 1e3 * potential / n, 1e3 * conserved / n, away, mean))
        self.cells.append(atoms.cell.array.copy())
        if not self.failed():
            if self.classify is not None:
                self.shares.append(self.classify(atoms))
            distances = neighbor_list("d", atoms, float(self.edges[-1]))
            self.closest = min(self.closest, float(distances.min(initial=np.inf)))
            if time >= self.half:
                self.counts += np.histogram(distances, self.edges)[0]
                self.n_histograms += 1

    def failed(self) -> bool:
        """Whether numbers are lost, or atoms so far out that going on has no meaning."""
        return not np.all(np.isfinite(self.rows[-1])) or self.rows[-1][4] > 100.0

    def rdf(self) -> tuple[np.ndarray, np.ndarray]:
        shells = 4 / 3 * np.pi * np.diff(self.edges**3)
        ideal = shells * len(self.atoms) ** 2 / self.atoms.cell.volume * max(self.n_histograms, 1)
        return 0.5 * (self.edges[1:] + self.edges[:-1]), self.counts / ideal


def _violations(
    rows: np.ndarray, target: float, closest: float, limits: tuple[float, float]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the criteria in words, and those that failed with what came."""
    displacement_limit, closest_limit = limits
    finite = bool(np.all(np.isfinite(rows)))
    hottest = float(np.max(rows[:, 1], initial=0.0)) if finite else np.inf
    away = float(np.max(rows[:, 4], initial=0.0)) if finite else np.inf
    checks = [
        ("every number is finite", finite, "a number was lost"),
        (
            f"temperature never above {_HOTTEST:g} times the target ({_HOTTEST * target:.0f} K)",
            hottest <= _HOTTEST * target,
            f"{hottest:.0f} K",
        ),
        (
            f"no atom further than {displacement_limit:.2f} Å from its start",
            away <= displacement_limit,
            f"{away:.2f} Å",
        ),
        (f"no pair closer than {closest_limit:.2f} Å", closest >= closest_limit, f"{closest:.2f} Å"),
    ]
    return (
        tuple(words for words, _, _ in checks),
        tuple(f"{words}: got {came}" for words, held, came in checks if not held),
    )


def compute_stability(
    atoms: Atoms,
    calculator: Any,
    temperature_K: float = 300.0,
    time_ps: float = 2.0,
    timestep_fs: float = 1.0,
    *,
    rng: np.random.Generator,
    interval: int = 10,
    thermostat_fs: float = 50.0,
    displacement_limit_A: float | None = None,
    rdf_reach_A: float = 6.0,
    pressure_GPa: float | None = None,
    barostat_fs: float = 1000.0,
    isotropic: bool = False,
    classify: Callable[[Atoms], Mapping[str, float]] | None = None,
) -> StabilityResult:
    """Run NVT, or NPT with a pressure, from the given structure and say whether it stays bounded.

    Bounded means: every number finite; temperature never above three times the target; no atom further
    than the nearest-neighbour distance (or `displacement_limit_A`) from its start; no pair closer than
    0.6 of the nearest-neighbour distance. Displacements are those of the scaled coordinates, so that a cell
    that breathes is none. A run that loses its numbers ends at once.

    Parameters
    ----------
    temperature_K, time_ps, timestep_fs
        Target temperature, length and time step; velocities start at the target temperature.
    rng
        Seeded generator of velocities and thermostat.
    interval
        Steps between samples.
    thermostat_fs
        Relaxation time of the thermostat.
    displacement_limit_A
        Set it for a crystal whose ions are meant to hop.
    rdf_reach_A
        Reach of the radial distribution function.
    pressure_GPa, barostat_fs, isotropic
        Outer pressure and time constant of a moving cell, which keeps its shape if `isotropic`.
    classify
        Function (atoms) -> {phase: share of the atoms}, noted with every sample.

    References
    ----------
    Nose-Hoover chains and their barostat: Martyna, Tobias and Klein, J. Chem. Phys. 101 (1994) 4177,
    doi:10.1063/1.467468.
    """
    frame = Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    nearest = float(neighbor_list("d", frame, 4.0).min(initial=4.0))
    frame.calc = calculator
    moving = "mtk-isotropic" if isotropic else "mtk-flexible"
    dynamics = MOMT(
        frame,
        timestep=timestep_fs * units.fs,
        temperature_K=temperature_K,
        pressure_au=None if pressure_GPa is None else pressure_GPa * units.GPa,
        integrator="nose-hoover" if pressure_GPa is None else moving,
        tdamp=thermostat_fs * units.fs,
        pdamp=barostat_fs * units.fs,
        rng=rng,
    )
    samples = _Samples(dynamics, rdf_reach_A, 0.5 * time_ps, classify)
    ended = _follow(samples, max(1, round(1000.0 * time_ps / timestep_fs / interval)), interval)
    rows, cells = np.array(samples.rows), np.array(samples.cells)
    limits = (displacement_limit_A or nearest, _CLOSEST * nearest)
    criteria, violations = _violations(rows, temperature_K, samples.closest, limits)
    if ended:
        violations += (ended,)
    finite = rows[np.all(np.isfinite(rows), axis=1)]
    late = finite[finite[:, 0] >= 0.5 * time_ps]
    radii, rdf = samples.rdf()
    return StabilityResult(
        time_ps=rows[:, 0],
        temperature_K=rows[:, 1],
        energy_meV=rows[:, 2] - rows[0, 2],
        conserved_meV=rows[:, 3] - rows[0, 3],
        displacement_A=rows[:, 4],
        target_K=temperature_K,
        mean_temperature_K=float(late[:, 1].mean()) if len(late) else float("nan"),
        drift_meV_per_ps=float(np.polyfit(finite[:, 0], finite[:, 3], 1)[0]) if len(finite) > 2 else 0.0,
        max_displacement_A=float(finite[:, 4].max()),
        closest_A=samples.closest,
        bounded=not violations,
        criteria=criteria,
        violations=violations,
        rdf_r_A=radii,
        rdf=rdf,
        final=Atoms(frame.symbols, positions=frame.positions, cell=frame.cell, pbc=frame.pbc),
        pressure_GPa=pressure_GPa,
        lengths_A=np.linalg.norm(cells, axis=2),
        volume_A3=np.abs(np.linalg.det(cells)) / len(frame),
        phases={
            name: np.array([one[name] for one in samples.shares]) for name in (samples.shares or [{}])[0]
        },
        melted=bool(finite[-max(1, len(finite) // 5) :, 5].mean() > MELTED * nearest),
    )


def _follow(samples: _Samples, rounds: int, interval: int) -> str:
    """Run and sample; return in words what ended the run before its time, if anything did."""
    with np.errstate(all="ignore"):
        samples.take()
        for _ in range(rounds):
            try:
                samples.dynamics.run(interval)
            except (ArithmeticError, np.linalg.LinAlgError, InputError) as error:
                if samples.dynamics.nsteps == 0:
                    raise
                return f"the run could not go on: {error}"
            samples.take()
            if samples.failed():
                break
    return ""
