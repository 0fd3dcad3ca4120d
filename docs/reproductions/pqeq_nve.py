"""Energy along molecular dynamics without a thermostat under PQEq: 64 atoms of MgO at 300 K, 1 fs.

    python docs/reproductions/pqeq_nve.py OUT [--picoseconds 20] [--model HYBRID.asennp]

The short range is rigid ions with formal charges, which hold the crystal together, or, with --model, the
networks of a hybrid model (in double precision). Prints the drift, the slope of a line through the total
energy, in meV/atom/ps, and draws the energy.
"""

import argparse
from pathlib import Path

import numpy as np
from ase import units
from ase.build import bulk
from ase.md.velocitydistribution import Stationary, thermalize_momenta
from ase.md.verlet import VelocityVerlet

from asennp import BuckinghamCoulomb, HybridNNPCalculator, PQEqCalculator, SumCalculator
from asennp.report import figures

#: Steps over which figures average, and the beginning that is left out of the drift, ps.
BLOCK, SETTLING = 100, 0.5


def main() -> None:
    """Run, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--picoseconds", type=float, default=20.0)
    parser.add_argument("--model", type=Path)
    arguments = parser.parse_args()
    atoms = bulk("MgO", "rocksalt", a=4.212, cubic=True).repeat(2)
    if arguments.model:
        atoms.calc = HybridNNPCalculator(arguments.model, dtype="float64", device="cpu")
    else:
        rigid = BuckinghamCoulomb("mgo-lewis-catlow", cutoff=7.0, switch=1.0)
        atoms.calc = SumCalculator([rigid, PQEqCalculator()])
    thermalize_momenta(atoms, temperature_K=600, rng=np.random.default_rng(1))  # half goes into the potential
    Stationary(atoms)
    rows: list[tuple[float, float]] = []
    dynamics = VelocityVerlet(atoms, timestep=1.0 * units.fs)

    def note() -> None:
        rows.append((1e3 * atoms.get_total_energy() / len(atoms), atoms.get_temperature()))
        if len(rows) % 1000 == 1:
            print(f"{len(rows) - 1} fs, {rows[-1][0]:.5f} meV/atom, {rows[-1][1]:.0f} K", flush=True)

    dynamics.attach(note, interval=1)
    dynamics.run(round(1e3 * arguments.picoseconds))
    energy, temperature = np.array(rows).T
    times = 1e-3 * np.arange(len(energy))
    settled = times > SETTLING
    (slope, _), covariance = np.polyfit(times[settled], energy[settled], 1, cov=True)
    half = len(energy) // 2
    print(f"mean temperature {temperature[settled].mean():.0f} K")
    print(f"drift {slope:+.2e} ± {np.sqrt(covariance[0, 0]):.0e} meV/atom/ps over {times[-1]:g} ps")
    print(f"second half less first: {energy[half:].mean() - energy[:half].mean():+.2e} meV/atom")
    print(f"wavers by {energy[settled].std():.2e} meV/atom (standard deviation)")
    n = len(energy) // BLOCK
    block_times, blocks = (x[: n * BLOCK].reshape(n, BLOCK).mean(axis=1) for x in (times, energy))
    arguments.out.mkdir(parents=True, exist_ok=True)
    np.savetxt(arguments.out / "pqeq-nve.txt", np.array([block_times, blocks]).T)
    change = 1e3 * (blocks - blocks[0])
    panel = {"Total energy less that at the start (µeV/atom)": {"means over 0.1 ps": (block_times, change)}}
    figures.plot_curves(panel, "Time (ps)", dots=False).savefig(arguments.out / "pqeq-nve.svg")


if __name__ == "__main__":
    main()
