"""What labelling costs besides the teacher: processes, journal, gathering, a frame of 64 atoms at a time.

    python tests/benchmarks/bench_label.py [--frames 2000] [--workers 2]

The teacher is an empirical potential. Processor time of this process and its workers, of two labellings of
different length: their difference holds no start-up. From it goes what the calculator takes in a plain loop.
"""

import argparse
import resource
import tempfile
import time

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import all_changes

from asennp import BuckinghamCoulomb
from asennp.labelling import label_frames

POTENTIAL = "mgo-lewis-catlow"
WANTED_MS = 20.0


def used() -> float:
    """Return processor seconds of this process and of those it has waited for."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, kinds))


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    frames: list[Atoms] = []
    for _ in range(arguments.frames):
        frame = bulk("MgO", "rocksalt", a=4.25, cubic=True).repeat(2)
        frame.rattle(0.1, rng=rng)
        frames.append(frame)
    calculator = BuckinghamCoulomb(POTENTIAL)
    calculator.calculate(frames[0])
    start = used()
    for frame in frames:
        calculator.reset()
        calculator.calculate(frame, ["energy", "forces", "stress"], all_changes)
    teacher = used() - start
    few = frames[: len(frames) // 8]
    times = {}
    for name, part in (("first", few), ("few", few), ("all", frames)):  # the first fills the disk's cache
        with tempfile.TemporaryDirectory() as folder:
            start, wall = used(), time.perf_counter()
            label_frames(part, POTENTIAL, folder=folder, workers=arguments.workers)
            times[name] = used() - start, time.perf_counter() - wall
            start = used()
            label_frames(part, POTENTIAL, folder=folder, workers=arguments.workers)
            again = used() - start
    n = len(frames) - len(few)
    per_frame, wall = (1e3 * (b - a) / n for a, b in zip(times["few"], times["all"], strict=True))
    alone = 1e3 * teacher / len(frames)
    print(f"{len(frames)} frames of 64 atoms, {arguments.workers} workers{'ms a frame':>22}")
    print(f"teacher alone, processor time {alone:28.2f}")
    print(f"labelling, processor time {per_frame:32.2f}, by the clock {wall:.2f}")
    print(f"besides the teacher (wanted: {WANTED_MS:g}) {per_frame - alone:26.2f}")
    print(f"reading a finished labelling {1e3 * again / len(frames):29.2f}")


if __name__ == "__main__":
    main()
