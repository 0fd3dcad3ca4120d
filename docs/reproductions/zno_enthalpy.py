"""<H>(T) of rock-salt ZnO from one multi-thermal run, beside plain NPT runs at three temperatures.

python docs/reproductions/zno_enthalpy.py FOLDER      the figure of docs/how-to/thermodynamics.md
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms, units

from asennp import MOMT, BuckinghamCoulomb, WangLandauBias, read_samples
from asennp.md.thermodynamics import HeatCapacityResult, compute_heat_capacity
from asennp.structures import build_phase

T0, TEMPERATURES, PRESSURE = 900.0, (600.0, 900.0, 1300.0), 1.0 * units.bar


@dataclass(frozen=True)
class Lengths:
    """Steps of each part, 2 fs each."""

    learn: int = 30_000
    sample: int = 60_000
    direct: int = 15_000


def crystal() -> Atoms:
    """Return 64 atoms with the potential; rattled, as the perfect crystal lies below the mesh."""
    atoms = build_phase("ZnO", "rocksalt", a=4.30, repeat=2)
    atoms.calc = BuckinghamCoulomb("zno-lewis-catlow", cutoff=6.0, accuracy=1e-4)
    return atoms


def dynamics(temperature: float, seed: int, **settings: object) -> MOMT:
    """Return the dynamics on the crystal."""
    atoms, rng = crystal(), np.random.default_rng(seed)
    atoms.rattle(0.09, rng=rng)
    return MOMT(
        atoms, 2 * units.fs, temperature, PRESSURE, rng=rng, pdamp=400 * units.fs, loginterval=20, **settings
    )  # type: ignore[arg-type]


def direct(temperature: float, steps: int) -> tuple[float, float]:
    """Return <H> and its error from plain NPT, by 20 blocks."""
    run, values = dynamics(temperature, int(temperature)), []
    for k, _ in enumerate(run.irun(steps)):
        if k > steps // 6:
            values.append(run.point.enthalpy)
    blocks = np.array([block.mean() for block in np.array_split(values, 20)])
    return float(blocks.mean()), float(blocks.std(ddof=1) / np.sqrt(20))


def multithermal(folder: Path, lengths: Lengths, grid: np.ndarray) -> HeatCapacityResult:
    """Learn dH(H), freeze it, sample, and reweight."""
    folder.mkdir(parents=True, exist_ok=True)
    bias = WangLandauBias(
        [("enthalpy", -1256.0, -1242.5, 28)], T0, ln_f=0.2, schedule="1/t", temperature_min_K=450,
        temperature_max_K=1800,
    )  # fmt: skip
    run = dynamics(T0, 1, bias=bias, wl_interval=20)
    run.run(lengths.learn)
    bias.set_frozen()
    bias.save(folder / "bias.npz")
    run = dynamics(T0, 2, bias=bias, wl_interval=20, trajectory=folder / "frames.xyz", logfile=folder / "log")
    run.run(lengths.sample)
    samples = read_samples(folder / "frames.xyz", folder / "bias.npz", skip=100)
    return compute_heat_capacity(samples, grid, n_dof=3 * 64 - 3)


def main(folder: Path, lengths: Lengths) -> None:
    """Print the comparison and draw the figure."""
    from asennp.report.thermodynamics import plot_heat_capacity

    plain = {temperature: direct(temperature, lengths.direct) for temperature in TEMPERATURES}
    grid = np.unique([*np.arange(550.0, 1351.0, 50.0), *TEMPERATURES])
    result = multithermal(folder, lengths, grid)
    for temperature, (mean, error) in plain.items():
        k = int(np.searchsorted(grid, temperature))
        z = (result.enthalpy[k] - mean) / np.hypot(error, result.enthalpy_error[k])
        print(
            f"{temperature:6.0f} K: NPT {mean:.3f} +- {error:.3f} eV, reweighted {result.enthalpy[k]:.3f} +- "
            f"{result.enthalpy_error[k]:.3f} eV, z = {z:+.1f}, C_P = {result.heat_capacity[k]:.4f} +- "
            f"{result.heat_capacity_error[k]:.4f} eV/K, supported: {result.supported[k]}"
        )
    figure = plot_heat_capacity({"one run, T0 = 900 K": result}, plain, n_atoms=64)
    figure.savefig(folder / "thermodynamics.svg")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Lengths())
