"""Time of the charge sweeps: 201 charges on 1000 frames of 64 atoms, plain and regressed.

    python tests/benchmarks/bench_qeff.py [--frames 1000] [--threads 2]

MgO with displaced atoms; the label is a pair energy plus Coulomb, which does not change the time. Each part
is timed by wall clock and by the processor time of all threads, the steadier of the two on a shared machine.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
from ase import Atoms
from ase.build import bulk

from asennp import CoulombCalculator
from asennp.qeff import SweepData, compare_charges, sweep

CHARGES = {"Mg": 1.0, "O": -1.0}
WANTED_S = 10.0


def make_frames(n: int) -> list[Atoms]:
    """Return labelled frames of 64 atoms."""
    rng = np.random.default_rng(1)
    coulomb = CoulombCalculator({"Mg": 0.9, "O": -0.9})
    crystal = bulk("MgO", "rocksalt", a=4.25, cubic=True).repeat(2)
    frames = []
    for _ in range(n):
        frame = crystal.copy()
        frame.set_cell(crystal.cell.array * rng.uniform(0.97, 1.03), scale_atoms=True)
        frame.rattle(0.15, rng=rng)
        distances = frame.get_all_distances(mic=True)[np.triu_indices(len(frame), 1)]
        short = 40.0 * np.exp(-distances / 0.35).sum()
        frame.info["REF_energy"] = float(short) + coulomb.get_property("energy", frame)
        frame.arrays["REF_forces"] = coulomb.get_property("forces", frame)
        frames.append(frame)
    return frames


def timed(name: str, run: Callable[[], object]) -> None:
    """Run once and print seconds."""
    wall, used = time.perf_counter(), time.process_time()
    run()
    wall, used = time.perf_counter() - wall, time.process_time() - used
    print(f"{name:58}{wall:9.2f}{used:9.2f}", flush=True)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    frames, threads = make_frames(arguments.frames), arguments.threads
    sweep(frames[:20], CHARGES, method="regressed", samples=2)  # kernels are compiled or loaded here
    print(f"{len(frames)} frames of 64 atoms, 201 charges, {threads} threads{'wall, s':>16}{'used, s':>9}")
    timed("plain sweep, 300 samples", lambda: sweep(frames, CHARGES, n_threads=threads))
    data = SweepData(frames, n_threads=threads)
    timed("features of the linear model", lambda: data.features)
    timed("regressed sweep, 16 splits, features at hand", lambda: sweep(data, CHARGES, method="regressed"))
    everything = SweepData(frames, n_threads=threads)
    timed(
        f"plain and regressed, all of it (wanted: {WANTED_S:g} s)",
        lambda: [sweep(everything, CHARGES), sweep(everything, CHARGES, method="regressed")],
    )
    models = {"formal": {"Mg": 2.0, "O": -2.0}, "effective": {"Mg": 0.9, "O": -0.9}}
    timed("two models compared, 8 splits, features at hand", lambda: compare_charges(everything, models))


if __name__ == "__main__":
    main()
