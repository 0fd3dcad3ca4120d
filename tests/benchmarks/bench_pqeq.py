"""Time and memory of PQEq, cold and warm, against the number of atoms (MgO, displaced by 0.1 Å).

    python tests/benchmarks/bench_pqeq.py [--threads 2] [--sizes 64 216 2160 24000]

Each size runs in a process of its own, so that the peak memory is its own. Medians of three steps; of the
largest system, one.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

import numpy as np
from ase.build import bulk

from asennp import CoulombCalculator, PQEqCalculator

CELLS = {64: (2, 2, 2), 216: (3, 3, 3), 512: (4, 4, 4), 2160: (6, 5, 9), 24000: (10, 15, 20)}


def measure(n_atoms: int, threads: int) -> dict[str, float]:
    """Time one size."""
    atoms = bulk("MgO", "rocksalt", a=4.212, cubic=True).repeat(CELLS[n_atoms])
    atoms.rattle(0.1, seed=1)
    rng = np.random.default_rng(0)
    figures: dict[str, float] = {}
    peers = {
        "cold": PQEqCalculator(threads=threads),
        "warm": PQEqCalculator(threads=threads, warm_start=True),
        "fixed charges": CoulombCalculator({"Mg": 1.0, "O": -1.0}, threads=threads),
    }
    for name, calculator in peers.items():
        calculator.calculate(atoms)
        times = []
        for _ in range(3 if n_atoms < 10_000 else 1):
            # a step of molecular dynamics
            atoms.positions += rng.normal(0.0, 0.005, atoms.positions.shape)
            start = time.perf_counter()
            calculator.calculate(atoms)
            times.append(time.perf_counter() - start)
        figures[name] = statistics.median(times)
    figures["GiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return figures


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 216, 2160, 24000], choices=list(CELLS))
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one, arguments.threads)))
        return
    print(f"{'atoms':>7} {'cold s':>9} {'warm s':>9} {'fixed q s':>9} {'ratio':>6} {'GiB':>6}")
    for n_atoms in arguments.sizes:
        command = [sys.executable, __file__, "--one", str(n_atoms), "--threads", str(arguments.threads)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        f = json.loads(done.stdout.splitlines()[-1])
        ratio = f["cold"] / f["fixed charges"]
        print(
            f"{n_atoms:7d} {f['cold']:9.4f} {f['warm']:9.4f} {f['fixed charges']:9.4f} "
            f"{ratio:6.1f} {f['GiB']:6.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
