"""Does a crystal stay a crystal? A short thermostatted run with stated criteria."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.md.bussi import Bussi
from ase.md.velocitydistribution import Stationary, thermalize_momenta
from ase.neighborlist import neighbor_list

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
        quantity (total energy less the heat from the thermostat) above its start (meV/atom).
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


class _Samples:
    """What is noted along the run."""

    def __init__(self, atoms: Atoms, dynamics: Bussi, reach: float, n_bins: int, half: float) -> None:
        self.atoms, self.dynamics, self.half = atoms, dynamics, half
        self.start = atoms.positions.copy()
        self.edges = np.linspace(0.0, reach, n_bins + 1)
        self.counts = np.zeros(n_bins)
        self.n_histograms = 0
        self.rows: list[tuple[float, float, float, float, float]] = []
        self.closest = np.inf

    def take(self) -> None:
        atoms, n = self.atoms, len(self.atoms)
        potential = atoms.get_potential_energy()
        conserved = potential + atoms.get_kinetic_energy() - self.dynamics.transferred_energy
        away = np.sqrt(((atoms.positions - self.start) ** 2).sum(axis=1).max())
        time = self.dynamics.get_time() / (1000.0 * units.fs)
        self.rows.append((time, atoms.get_temperature(), 1e3 * potential / n, 1e3 * conserved / n, away))
        if not self.failed():
            distances = neighbor_list("d", atoms, float(self.edges[-1]))
            self.closest = min(self.closest, float(distances.min(initial=np.inf)))
            if time >= self.half:
                self.counts += np.histogram(distances, self.edges)[0]
                self.n_histograms += 1

    def failed(self) -> bool:
        """Whether numbers are lost, or atoms so far out that going on has no meaning."""
        return not np.all(np.isfinite(self.rows[-1])) or self.rows[-1][-1] > 100.0

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
) -> StabilityResult:
    """Run NVT (stochastic velocity rescaling) from the given structure and say whether it stays bounded.

    Bounded means: every number finite; temperature never above three times the target; no atom further
    than the nearest-neighbour distance (or `displacement_limit_A`) from its start; no pair closer than
    0.6 of the nearest-neighbour distance. A run that loses its numbers ends at once.

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

    References
    ----------
    Bussi, Donadio and Parrinello, J. Chem. Phys. 126 (2007) 014101, doi:10.1063/1.2408420.
    """
    frame = Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    nearest = float(neighbor_list("d", frame, 4.0).min(initial=4.0))
    frame.calc = calculator
    thermalize_momenta(frame, temperature_K=temperature_K, rng=rng)
    Stationary(frame)
    dynamics = Bussi(frame, timestep_fs * units.fs, temperature_K, thermostat_fs * units.fs, rng=rng)
    samples = _Samples(frame, dynamics, rdf_reach_A, 120, 0.5 * time_ps)
    samples.take()
    with np.errstate(all="ignore"):
        for _ in range(max(1, round(1000.0 * time_ps / timestep_fs / interval))):
            dynamics.run(interval)
            samples.take()
            if samples.failed():
                break
    rows = np.array(samples.rows)
    limits = (displacement_limit_A or nearest, _CLOSEST * nearest)
    criteria, violations = _violations(rows, temperature_K, samples.closest, limits)
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
    )
