"""Speed and memory of the hybrid calculator beside TorchANI, torch-pme and CHGNet, all in the same run.

    python tests/benchmarks/bench_nnp.py [--quick] [--threads N]

Every pair of timings is interleaved; minima and medians are printed. One thread unless asked otherwise.
"""

import argparse
import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TORCHANI_NO_WARN_EXTENSIONS", "1")

import numpy as np
import torch
from ase import Atoms, units
from ase.build import bulk
from ase.md.verlet import VelocityVerlet
from torch import Tensor, nn

from asennp.calculators.hybrid import HybridNNPCalculator
from asennp.models import AEVSettings, AtomicNetworks, Model, NetworkSettings
from asennp.neighbors import Pairs, neighbor_pairs

AEV = AEVSettings(("Zn", "O"))
CHARGES = {"Zn": 0.75, "O": -0.75}
COULOMB_ACCURACY = 1e-6


def make_crystal(*repeats: int) -> Atoms:
    """Return rock salt ZnO, rattled."""
    atoms = bulk("ZnO", "rocksalt", a=4.3, cubic=True) * repeats
    atoms.rattle(0.05, seed=1)
    return atoms


def make_model(n_members: int, coulomb: bool = True) -> Model:
    """Return random networks of the shipped size."""
    settings = NetworkSettings(AEV.length, 2)
    networks = AtomicNetworks.random(settings, torch.Generator().manual_seed(5), n_members)
    return Model(AEV, networks, {"Zn": 0.0, "O": 0.0}, CHARGES if coulomb else {})


def measure(functions: Sequence[Callable[[], object]], seconds: float, least: int = 5) -> list[list[float]]:
    """Time functions in turn for about `seconds` in all; return their sorted times in s.

    A turn is four calls, the first not timed: as in a simulation, caches hold what the last call left.
    """
    times: list[list[float]] = [[] for _ in functions]
    for function in functions:
        function()
        function()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[0]) < least:
        for function, list_ in zip(functions, times):
            function()
            for _ in range(3):
                start = time.perf_counter()
                function()
                list_.append(time.perf_counter() - start)
    return [sorted(list_) for list_ in times]


def show(name: str, times: list[float]) -> None:
    """Print minimum and median."""
    median = times[len(times) // 2]
    print(f"  {name:58s} {1e3 * times[0]:10.2f} {1e3 * median:10.2f} ms   (n = {len(times)})", flush=True)


def compare(title: str, ours: list[float], theirs: list[float], target: str) -> None:
    """Print the ratios of minima and of medians."""
    minima, medians = theirs[0] / ours[0], theirs[len(theirs) // 2] / ours[len(ours) // 2]
    print(f"  => {title}: {minima:.2f} x by minima, {medians:.2f} x by medians (must: {target})", flush=True)


class TorchANIPotential:
    """TorchANI's pyaev descriptor and a torch MLP; forces and virial by autograd on a given pair list."""

    def __init__(self, model: Model, pairs: Pairs, atoms: Atoms, dtype: torch.dtype = torch.float32) -> None:
        from torchani.aev import AEVComputer, ANIAngular, ANIRadial

        settings = model.aev
        self.computer = AEVComputer(
            ANIRadial(settings.radial_eta, settings.radial_shifts, settings.radial_cutoff),
            ANIAngular.cover_linearly(0.8, 3.5, settings.angular_eta, settings.angular_zeta, 8, 4),
            num_species=2,
            strategy="pyaev",
        ).to(dtype)
        self.networks = [self._network(model, s).to(dtype) for s in range(2)]
        self.species = torch.as_tensor(settings.indices(atoms), dtype=torch.long)
        self.members = [torch.nonzero(self.species == s).squeeze(1) for s in range(2)]
        self.pairs = torch.as_tensor(np.stack([pairs.i, pairs.j]))
        self.offsets = torch.as_tensor(pairs.shifts @ atoms.cell.array, dtype=dtype)
        self.positions = torch.as_tensor(atoms.positions, dtype=dtype)

    @staticmethod
    def _network(model: Model, species: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for weight, bias in zip(model.networks.weights[species], model.networks.biases[species]):
            linear = nn.Linear(weight.shape[1], weight.shape[2])
            linear.weight.data.copy_(weight[0].T)
            linear.bias.data.copy_(bias[0])
            layers += [linear, nn.GELU()]
        return nn.Sequential(*layers[:-1]).requires_grad_(False)

    def geometry(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return positions and strain (with gradients) and the strained pair vectors."""
        positions = self.positions.clone().requires_grad_()
        strain = torch.zeros(3, 3, dtype=positions.dtype, requires_grad=True)
        vectors = positions[self.pairs[1]] - positions[self.pairs[0]] + self.offsets
        return positions, strain, vectors + vectors @ strain

    def energy(self, positions: Tensor, vectors: Tensor) -> Tensor:
        """Return the sum of the atomic energies."""
        from torchani.neighbors import Neighbors

        neighbors = Neighbors(self.pairs, torch.linalg.vector_norm(vectors, dim=1), -vectors)
        features = self.computer.compute_from_neighbors(self.species[None], positions[None], neighbors)[0]
        return torch.stack([f(features[m]).sum() for f, m in zip(self.networks, self.members)]).sum()

    def compute(self) -> tuple[float, np.ndarray, np.ndarray]:
        """Return energy, forces and dE/deps."""
        positions, strain, vectors = self.geometry()
        energy = self.energy(positions, vectors)
        slope, virial = torch.autograd.grad(energy, (positions, strain))
        return energy.item(), -slope.numpy(), virial.numpy()


class TorchPMEEwald:
    """torch-pme's Ewald sum in double precision; forces and virial by autograd."""

    def __init__(self, atoms: Atoms, smearing: float, reach: float, waves: float) -> None:
        import torchpme
        from torchpme.prefactors import eV_A

        cutoff = reach * smearing
        self.calculator = torchpme.EwaldCalculator(
            torchpme.CoulombPotential(smearing=smearing), lr_wavelength=smearing * 2 * np.pi / waves
        ).to(torch.float64)
        self.prefactor = eV_A
        pairs = neighbor_pairs(atoms.positions, atoms.cell.array, atoms.pbc, cutoff)
        self.pairs = torch.as_tensor(np.stack([pairs.i, pairs.j], axis=1))
        self.shifts = torch.as_tensor(pairs.shifts, dtype=torch.float64)
        self.positions, self.cell = torch.as_tensor(atoms.positions), torch.as_tensor(atoms.cell.array)
        charges = [CHARGES[symbol] for symbol in atoms.symbols]
        self.charges = torch.tensor(charges, dtype=torch.float64)[:, None]

    def compute(self) -> tuple[float, np.ndarray, np.ndarray]:
        """Return energy, forces and dE/deps."""
        strain = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
        deformation = torch.eye(3, dtype=torch.float64) + strain
        moving = self.positions.clone().requires_grad_()
        positions, cell = moving @ deformation, self.cell @ deformation
        i, j = self.pairs.T
        distances = torch.linalg.vector_norm(positions[j] - positions[i] + self.shifts @ cell, dim=1)
        potential = self.calculator(self.charges, cell, positions, self.pairs, distances)
        energy = self.prefactor * (self.charges * potential).sum()
        slope, virial = torch.autograd.grad(energy, (moving, strain))
        return energy.item(), -slope.numpy(), virial.numpy()


def choose_ewald(atoms: Atoms, reference: np.ndarray, error: float) -> TorchPMEEwald:
    """Return torch-pme's sum with the fastest of a few settings that keep the force error."""
    candidates = [
        TorchPMEEwald(atoms, smearing, 5.5, waves)
        for smearing in (0.8, 1.0, 1.25, 1.5, 2.0)
        for waves in (7.0, 8.0, 9.0, 10.0, 12.0)
    ]
    candidates = [c for c in candidates if np.abs(c.compute()[1] - reference).max() < error]
    times = measure([candidate.compute for candidate in candidates], 0.0, least=3)
    return candidates[int(np.argmin([t[0] for t in times]))]


def bench_against_torchani(repeats: tuple[int, int, int], seconds: float, must: str) -> None:
    """Network alone against TorchANI, and for small cells the hybrid against TorchANI + torch-pme."""
    atoms = make_crystal(*repeats)
    print(f"\n{len(atoms)} atoms, energy + forces + stress, one model, float32")
    model = make_model(1, coulomb=False)
    pairs = neighbor_pairs(atoms.positions, atoms.cell.array, atoms.pbc, AEV.radial_cutoff)
    peer = TorchANIPotential(model, pairs, atoms)
    ours = HybridNNPCalculator(model)
    mine, theirs = ours.compute(atoms), peer.compute()
    error = np.abs(mine["forces"] - theirs[1]).max() / np.abs(theirs[1]).max()
    print(f"  same networks: forces agree to {error:.1e} of the largest")
    own, other = measure([lambda: ours.compute(atoms), peer.compute], seconds)
    show("asennp, network alone", own)
    show("TorchANI pyaev + MLP (pair list given, not timed)", other)
    compare("network alone", own, other, must)
    if len(atoms) > 200:
        return
    hybrid = HybridNNPCalculator(make_model(1), coulomb_accuracy=COULOMB_ACCURACY)
    charges = np.array([CHARGES[symbol] for symbol in atoms.symbols])
    coulomb = hybrid.electrostatics.compute(atoms.positions, atoms.cell.array, charges, atoms.pbc)
    reference = TorchPMEEwald(atoms, 1.25, 7.0, 12.0).compute()[1]
    error = np.abs(coulomb[1] - reference).max()
    ewald = choose_ewald(atoms, reference, 2.0 * error)
    for name, forces in (("asennp", coulomb[1]), ("torch-pme", ewald.compute()[1])):
        print(f"  largest error of the Coulomb forces, {name}: {np.abs(forces - reference).max():.1e} eV/A")
    own, other = measure([lambda: hybrid.compute(atoms), lambda: (peer.compute(), ewald.compute())], seconds)
    show("asennp hybrid", own)
    show("TorchANI + torch-pme Ewald", other)
    compare("hybrid", own, other, ">= 5")


def bench_committee(repeats: tuple[int, int, int], seconds: float) -> None:
    """Five members against one."""
    atoms = make_crystal(*repeats)
    for dtype in ("float32", "float64"):
        print(f"\n{len(atoms)} atoms, committee of 5 against one member, {dtype}")
        one, five = (HybridNNPCalculator(make_model(n), dtype=dtype) for n in (1, 5))
        times = measure([partial(one.compute, atoms), partial(five.compute, atoms)], seconds)
        show("one member", times[0])
        show("five members", times[1])
        compare("five / one", times[0], times[1], "<= 2.0")


def bench_md(seconds: float) -> None:
    """A velocity Verlet step through ASE against CHGNet."""
    from chgnet.model.dynamics import CHGNetCalculator

    print("\n64 atoms, one MD step through ASE (VelocityVerlet)")
    runs = []
    for calculator in (
        HybridNNPCalculator("zno-demo"),
        CHGNetCalculator(use_device="cpu", on_isolated_atoms="ignore"),
    ):
        atoms = bulk("ZnO", "rocksalt", a=4.3, cubic=True) * (2, 2, 2)
        atoms.rattle(0.02, seed=1)
        atoms.calc = calculator
        runs.append(VelocityVerlet(atoms, 1.0 * units.fs))
    times = measure([lambda: runs[0].run(1), lambda: runs[1].run(1)], max(seconds, 5.0))
    n_members = runs[0].atoms.calc.model.networks.n_members
    show(f"asennp, zno-demo ({n_members} members)", times[0])
    show("CHGNet", times[1])
    compare("MD step", times[0], times[1], ">= 40")


def _memory(name: str) -> float:
    """Return a memory of this process by its name in Linux's status file, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith(name + ":"))


def _scale(n: int, pipe: Connection) -> None:
    torch.set_num_threads(1)
    calculator = HybridNNPCalculator(make_model(1))
    calculator.compute(make_crystal(2, 2, 2))
    atoms = make_crystal(n, n, n)
    before = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    calculator.compute(atoms)
    peak = _memory("VmHWM") - before
    times, rng = [], np.random.default_rng(0)
    for _ in range(5 if len(atoms) < 10_000 else 3):
        atoms.positions += rng.normal(0.0, 0.001, atoms.positions.shape)
        start = time.perf_counter()
        calculator.compute(atoms)
        times.append(time.perf_counter() - start)
    pipe.send((len(atoms), min(times), peak / len(atoms)))


def bench_scaling(sizes: Sequence[int]) -> None:
    """Time and peak memory against the number of atoms, each size in a process of its own."""
    print("\nscaling, hybrid, one model, float32")
    context = multiprocessing.get_context("spawn")
    rows = []
    for n in sizes:
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_scale, args=(n, sender))
        process.start()
        rows.append(receiver.recv())
        process.join()
        atoms, seconds, size = rows[-1]
        print(f"  {atoms:7d} atoms {1e3 * seconds:10.1f} ms   {size / 1e3:8.1f} kB an atom", flush=True)
    exponent = np.log(rows[-1][1] / rows[0][1]) / np.log(rows[-1][0] / rows[0][0])
    print(
        f"  => exponent {exponent:.3f} (must: <= 1.1); largest memory {max(r[2] for r in rows) / 1e3:.0f} kB"
    )


def main() -> None:
    """Run all benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="half a minute instead of a few")
    parser.add_argument("--only", default="", help="part of a benchmark's name")
    parser.add_argument("--threads", type=int, default=1, help="of torch, ours and the peers'")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    seconds = 2.0 if options.quick else 10.0
    sizes = (4, 8) if options.quick else (4, 6, 8, 10, 12, 16)
    benchmarks = {
        "torchani-64": lambda: bench_against_torchani((2, 2, 2), seconds, ">= 4"),
        "torchani-1000": lambda: bench_against_torchani((5, 5, 5), seconds, ">= 8"),
        "committee-64": lambda: bench_committee((2, 2, 2), seconds),
        "committee-1000": lambda: bench_committee((5, 5, 5), seconds),
        "md": lambda: bench_md(seconds),
        "scaling": lambda: bench_scaling(sizes),
    }
    for name, benchmark in benchmarks.items():
        if options.only in name:
            benchmark()


if __name__ == "__main__":
    main()
