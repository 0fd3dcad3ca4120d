"""Speed of training and screening: a step on E + F + stress beside TorchANI, frames screened by a committee.

    OMP_NUM_THREADS=2 python tests/benchmarks/bench_train.py [--quick] [--threads 2] [--device cuda]
                                                             [--only epoch|members|screen]

The peer trains the same loss of the same networks through TorchANI's descriptor, forces and virial by
autograd and their loss by a second backward pass. Both take turns at one batch of 64 frames of 64 atoms;
pair lists and stored Jacobians are made before and not counted. Wall and processor time are printed: on a
machine that others use, the second says more. *Members* times a step of five members on batches of their own
beside that of one. With ``--device cuda`` both sides run there.
"""

import argparse
import os
import time

os.environ.setdefault("TORCHANI_NO_WARN_EXTENSIONS", "1")

import numpy as np
import torch
from ase import Atoms
from torch import Tensor, nn

from asennp import BuckinghamCoulomb
from asennp.dataset import compute_labels
from asennp.distill import DistillSettings
from asennp.distill.committee import Committee
from asennp.distill.protocol import _Pool, _screen
from asennp.models import AEVSettings, AtomicNetworks, NetworkSettings
from asennp.models.torch_backend import choose_device
from asennp.neighbors import neighbor_pairs
from asennp.structures import build_phase
from asennp.train.batch import loss_and_gradients
from asennp.train.config import preset
from asennp.train.data import Prepared, prepare
from asennp.train.epoch import Member, run_epoch
from asennp.train.optimizers import Optimizers
from asennp.train.source import open_source
from asennp.units import HARTREE_EV

AEV = AEVSettings(("O", "Zn"))
CONFIG = preset("buckingham-coulomb-T")


def make_frames(n: int) -> list[Atoms]:
    """Return labelled frames of 64 atoms: rock salt, displaced as in a hot crystal."""
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(n):
        atoms = build_phase("ZnO", "rocksalt", 4.27 * (1 + 0.02 * rng.normal())).repeat(2)
        atoms.rattle(0.15, rng=rng)
        frames.append(atoms)
    calculator = BuckinghamCoulomb("zno-lewis-catlow", guard=True)
    return compute_labels(frames, calculator, ("energy", "energies", "forces", "stress"))


class Peer:
    """TorchANI's descriptor (pyaev), the same networks as modules, the same loss by autograd."""

    def __init__(self, networks: AtomicNetworks, frames: list[Atoms], data: Prepared, device: str) -> None:
        from torchani.aev import AEVComputer, ANIAngular, ANIRadial

        self.computer = AEVComputer(
            ANIRadial(AEV.radial_eta, AEV.radial_shifts, AEV.radial_cutoff),
            ANIAngular.cover_linearly(0.8, 3.5, AEV.angular_eta, AEV.angular_zeta, 8, 4),
            num_species=2,
            strategy="pyaev",
        ).to(device, torch.float32)
        self.networks = [self._network(networks, s).to(device) for s in range(2)]
        weights = [p for network in self.networks for n, p in network.named_parameters() if "weight" in n]
        biases = [p for network in self.networks for n, p in network.named_parameters() if "bias" in n]
        self.optimizers = [
            torch.optim.AdamW(weights, lr=CONFIG.lr_weights, weight_decay=0.0, fused=True),
            torch.optim.SGD(biases, lr=CONFIG.bias_rate),
        ]
        self.n = [len(frame) for frame in frames]
        shifted, pairs, offsets, frame_of_pair = 0, [], [], []
        for k, frame in enumerate(frames):
            found = neighbor_pairs(frame.positions, frame.cell.array, frame.pbc, AEV.radial_cutoff)
            pairs.append(np.stack([found.i, found.j]) + shifted)
            offsets.append(found.shifts @ frame.cell.array)
            frame_of_pair.append(np.full(len(found.i), k))
            shifted += len(frame)
        with torch.device(device):
            self.pairs = torch.as_tensor(np.concatenate(pairs, axis=1))
            self.offsets = torch.as_tensor(np.concatenate(offsets), dtype=torch.float32)
            self.frame_of_pair = torch.as_tensor(np.concatenate(frame_of_pair))
            positions = np.concatenate([frame.positions for frame in frames])
            self.positions = torch.as_tensor(positions, dtype=torch.float32)
            self.species = torch.as_tensor(data.species)
            self.members = [torch.nonzero(self.species == s).squeeze(1) for s in range(2)]
            self.frame_of_atom = torch.as_tensor(np.repeat(np.arange(len(frames)), self.n))
            self.sizes = torch.as_tensor(self.n, dtype=torch.float32)
            labels = {name: torch.as_tensor(getattr(data, name)) for name in ("energy", "forces", "virial")}
        self.energy, self.forces, self.virial = (label.float() for label in labels.values())

    @staticmethod
    def _network(networks: AtomicNetworks, species: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for weight, bias in zip(networks.weights[species], networks.biases[species]):
            linear = nn.Linear(weight.shape[1], weight.shape[2])
            linear.weight.data.copy_(weight[0].T)
            linear.bias.data.copy_(bias[0])
            layers += [linear, nn.GELU()]
        return nn.Sequential(*layers[:-1])

    def loss(self) -> Tensor:
        """Return the loss of the batch, differentiable by the parameters."""
        from torchani.neighbors import Neighbors

        positions = self.positions.clone().requires_grad_()
        strain = positions.new_zeros(len(self.n), 3, 3).requires_grad_()
        vectors = positions[self.pairs[1]] - positions[self.pairs[0]] + self.offsets
        vectors = vectors + torch.einsum("pa,pab->pb", vectors, strain[self.frame_of_pair])
        neighbors = Neighbors(self.pairs, torch.linalg.vector_norm(vectors, dim=1), -vectors)
        features = self.computer.compute_from_neighbors(self.species[None], positions[None], neighbors)[0]
        energies = positions.new_zeros(len(positions))
        for network, members in zip(self.networks, self.members):
            energies = energies.index_copy(0, members, network(features[members]).squeeze(1))
        slope, virial = torch.autograd.grad(energies.sum(), (positions, strain), create_graph=True)
        n = self.sizes
        energy = torch.zeros_like(n).index_add(0, self.frame_of_atom, energies)
        terms = CONFIG.energy_weight * (energy - self.energy) ** 2 / n.sqrt()
        square = ((-slope - self.forces) ** 2).sum(1)
        terms = terms + CONFIG.force_weight * torch.zeros_like(n).index_add(0, self.frame_of_atom, square) / n
        terms = terms + CONFIG.stress_weight * ((virial - self.virial) ** 2).sum((1, 2))
        return terms.mean() / HARTREE_EV**2

    def step(self) -> float:
        """Take a step of both optimisers."""
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        loss = self.loss()
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.step()
        return float(loss.detach())


def bench_epoch(turns: int, threads: int, batch: int, device: str) -> None:
    """Compare gradients once, then time steps on the same batch in turns."""
    frames = make_frames(batch)
    start = time.perf_counter()
    data = prepare(frames, AEV, threads=threads)
    prepared = time.perf_counter() - start
    settings, generator = NetworkSettings(AEV.length, 2), torch.Generator().manual_seed(1)
    networks = AtomicNetworks.random(settings, generator).to(device=device)
    peer, everything = Peer(networks, frames, data, device), np.arange(batch)
    where = f"{threads} threads" if device == "cpu" else device
    print(f"\nE + F + stress, {batch} x 64 atoms, networks 140-224-192-160-1, float32, {where}")
    with open_source(data, threads, *choose_device(device)) as source:
        ours = loss_and_gradients(networks, CONFIG, source, everything, np.zeros(2))
        theirs = peer.loss()
        theirs.backward()
        worst = 0.0
        for s, network in enumerate(peer.networks):
            linear = [layer for layer in network if isinstance(layer, nn.Linear)]
            for k, layer in enumerate(linear):
                mine, other = networks.weights[s][k].grad[0].T, layer.weight.grad
                worst = max(worst, float((mine - other).norm() / other.norm()))
        losses = f"{float(ours.total):.6g}, {float(theirs.detach()):.6g}"
        print(f"  losses {losses}; gradients agree to {worst:.1e}", flush=True)
        optimizers = Optimizers(networks, CONFIG)

        def step() -> None:
            loss = loss_and_gradients(networks, CONFIG, source, everything, np.zeros(2))
            optimizers.step()
            float(loss.total)  # waits for the device

        step(), peer.step()
        kept: list[list[tuple[float, float]]] = [[], []]
        for _ in range(turns):
            for function, times in zip((step, peer.step), kept):
                begin = time.perf_counter(), time.process_time()
                function()
                times.append((time.perf_counter() - begin[0], time.process_time() - begin[1]))
    wall, cpu = np.array(kept).transpose(2, 0, 1)  # (ours and theirs, turns), s
    for k, name in enumerate(("asennp, stored Jacobians", "TorchANI, double backward")):
        middle = float(np.median(wall[k]))
        shown = f"{1e3 * middle:9.1f} ms wall {1e3 * np.median(cpu[k]):9.1f} ms processor"
        print(f"  {name:28s} {shown}   {batch / middle:8.0f} frames/s")
    ratios = [float(np.median(times[1] / times[0])) for times in (wall, cpu)]
    must = 8 if device == "cpu" else 5
    print(f"  => {ratios[0]:.1f} x by wall time, {ratios[1]:.1f} x by processor time (must: >= {must})")
    print(f"  descriptors and Jacobians, once a training: {1e3 * prepared / batch:.1f} ms a frame")


def bench_members(turns: int, threads: int, device: str) -> None:
    """Time epochs of one member and of five, each on 256 frames of its own in batches of 64."""
    frames = make_frames(320)
    data = prepare(frames, AEV, threads=threads)
    rng, settings = np.random.default_rng(0), NetworkSettings(AEV.length, 2)
    epochs = {}
    with open_source(data, threads, device, "torch") as source:
        for n in (1, 5):
            networks = AtomicNetworks.random(settings, torch.Generator().manual_seed(1), n).to(device=device)
            parts = [rng.permutation(320)[:256] for _ in range(n)]
            members = [
                Member(CONFIG, part, np.zeros(2), mine) for part, mine in zip(parts, networks.members())
            ]
            times = []
            for _ in range(turns + 1):
                begin = time.perf_counter()
                run_epoch(networks, members, source)
                times.append(time.perf_counter() - begin)
            epochs[n] = float(np.median(times[1:]))
    print(f"\ncommittee in one evaluation a step, {device}, 64 atoms, batches of 64, {threads} threads")
    for n, seconds in epochs.items():
        print(f"  {n} members: {1e3 * seconds / 4:8.1f} ms a step")
    print(f"  => {epochs[5] / epochs[1]:.2f} x one member (on a GPU must: <= 2.5)")
    minutes = 400 * 3400 * 0.8 / 256 * epochs[1] / 60
    print(f"  => 400 epochs of 3400 frames (80 % in training), one member: {minutes:.1f} minutes (GPU: < 10)")


def bench_screen(n: int, threads: int) -> None:
    """Time descriptors and scores of n frames of 64 atoms by five members, and scale to 20 000."""
    frames = make_frames(n)
    settings = DistillSettings()
    committee = Committee(settings, AEV, threads)
    shape = NetworkSettings(AEV.length, 2)
    committee.networks = AtomicNetworks.random(shape, torch.Generator().manual_seed(1), 5)
    committee.offsets = np.zeros((5, 2))
    prepare(frames[:1], AEV, threads=1)
    begin = time.perf_counter(), time.process_time()
    _screen(committee, _Pool(frames, AEV, settings, threads), np.arange(n), np.arange(0))
    wall, cpu = time.perf_counter() - begin[0], time.process_time() - begin[1]
    scale = 20_000 / n / 60
    print(f"\nscreening, 5 members, 64 atoms, {threads} threads: {n} frames measured")
    print(f"  => 20 000 frames in {wall * scale:.1f} minutes (must: <= 15), {cpu * scale:.1f} of a processor")


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.only in "epoch":
        bench_epoch(2 if options.quick else 9, options.threads, 64, options.device)
    if options.only in "members":
        bench_members(1 if options.quick else 5, options.threads, options.device)
    if options.only in "screen":
        bench_screen(128 if options.quick else 1000, options.threads)


if __name__ == "__main__":
    main()
