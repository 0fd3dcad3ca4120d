"""Speed of training and screening: a step on E + F + stress beside TorchANI, frames screened by a committee.

    OMP_NUM_THREADS=2 python tests/benchmarks/bench_train.py [--quick] [--threads 2] [--only epoch|screen]

The peer trains the same loss of the same networks through TorchANI's descriptor, forces and virial by
autograd and their loss by a second backward pass. Both take turns at one batch of 64 frames of 64 atoms;
pair lists and stored Jacobians are made before and not counted. Wall and processor time are printed: on a
machine that others use, the second says more.
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
from asennp.neighbors import neighbor_pairs
from asennp.structures import build_phase
from asennp.train.batch import loss_and_gradients, mapper
from asennp.train.config import preset
from asennp.train.data import Prepared, prepare
from asennp.train.optimizers import Optimizers
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

    def __init__(self, networks: AtomicNetworks, frames: list[Atoms], data: Prepared) -> None:
        from torchani.aev import AEVComputer, ANIAngular, ANIRadial

        self.computer = AEVComputer(
            ANIRadial(AEV.radial_eta, AEV.radial_shifts, AEV.radial_cutoff),
            ANIAngular.cover_linearly(0.8, 3.5, AEV.angular_eta, AEV.angular_zeta, 8, 4),
            num_species=2,
            strategy="pyaev",
        ).float()
        self.networks = [self._network(networks, s) for s in range(2)]
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
        self.pairs = torch.as_tensor(np.concatenate(pairs, axis=1))
        self.offsets = torch.as_tensor(np.concatenate(offsets), dtype=torch.float32)
        self.frame_of_pair = torch.as_tensor(np.concatenate(frame_of_pair))
        self.positions = torch.as_tensor(np.concatenate([f.positions for f in frames]), dtype=torch.float32)
        self.species = torch.as_tensor(data.species)
        self.members = [torch.nonzero(self.species == s).squeeze(1) for s in range(2)]
        self.frame_of_atom = torch.as_tensor(np.repeat(np.arange(len(frames)), self.n))
        targets = data.targets(np.arange(len(frames)), np.zeros(2))
        self.energy = torch.as_tensor(targets.energy, dtype=torch.float32)
        self.forces = torch.as_tensor(targets.forces, dtype=torch.float32)
        self.virial = torch.as_tensor(targets.virial, dtype=torch.float32)

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
        strain = torch.zeros(len(self.n), 3, 3, requires_grad=True)
        vectors = positions[self.pairs[1]] - positions[self.pairs[0]] + self.offsets
        vectors = vectors + torch.einsum("pa,pab->pb", vectors, strain[self.frame_of_pair])
        neighbors = Neighbors(self.pairs, torch.linalg.vector_norm(vectors, dim=1), -vectors)
        features = self.computer.compute_from_neighbors(self.species[None], positions[None], neighbors)[0]
        energies = torch.zeros(len(positions))
        for network, members in zip(self.networks, self.members):
            energies = energies.index_copy(0, members, network(features[members]).squeeze(1))
        slope, virial = torch.autograd.grad(energies.sum(), (positions, strain), create_graph=True)
        energy = torch.zeros(len(self.n)).index_add(0, self.frame_of_atom, energies)
        n = torch.as_tensor(self.n, dtype=torch.float32)
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


def bench_epoch(turns: int, threads: int, batch: int) -> None:
    """Compare gradients once, then time steps on the same batch in turns."""
    frames = make_frames(batch)
    start = time.perf_counter()
    data = prepare(frames, AEV, threads=threads)
    prepared = time.perf_counter() - start
    networks = AtomicNetworks.random(NetworkSettings(AEV.length, 2), torch.Generator().manual_seed(1))
    peer, everything = Peer(networks, frames, data), np.arange(batch)
    print(f"\nE + F + stress, {batch} x 64 atoms, networks 140-224-192-160-1, float32, {threads} threads")
    with mapper(threads) as run:
        ours = loss_and_gradients(networks, CONFIG, data, everything, np.zeros(2), run)
        theirs = peer.loss()
        theirs.backward()
        worst = 0.0
        for s, network in enumerate(peer.networks):
            linear = [layer for layer in network if isinstance(layer, nn.Linear)]
            for k, layer in enumerate(linear):
                mine, other = networks.weights[s][k].grad[0].T, layer.weight.grad
                worst = max(worst, float((mine - other).norm() / other.norm()))
        print(
            f"  losses {ours.total:.6g}, {float(theirs.detach()):.6g}; gradients agree to {worst:.1e}",
            flush=True,
        )
        optimizers = Optimizers(networks, CONFIG)

        def step() -> None:
            loss_and_gradients(networks, CONFIG, data, everything, np.zeros(2), run)
            optimizers.step()

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
    print(f"  => {ratios[0]:.1f} x by wall time, {ratios[1]:.1f} x by processor time (must: >= 8)")
    print(f"  descriptors and Jacobians, once a training: {1e3 * prepared / batch:.1f} ms a frame")


def bench_screen(n: int, threads: int) -> None:
    """Time descriptors and scores of n frames of 64 atoms by five members, and scale to 20 000."""
    frames = make_frames(n)
    settings = DistillSettings()
    committee = Committee(settings, AEV, threads)
    shape = NetworkSettings(AEV.length, 2)
    committee.members = [
        (AtomicNetworks.random(shape, torch.Generator().manual_seed(k)), np.zeros(2)) for k in range(5)
    ]
    prepare(frames[:1], AEV, threads=1)
    begin = time.perf_counter(), time.process_time()
    _screen(committee, _Pool(frames, AEV, settings, threads), np.arange(n), np.arange(0))
    wall, cpu = time.perf_counter() - begin[0], time.process_time() - begin[1]
    scale = 20_000 / n / 60
    print(f"\nscreening, 5 members, 64 atoms, {threads} threads: {n} frames measured")
    print(f"  => 20 000 frames in {wall * scale:.1f} minutes (must: <= 15), {cpu * scale:.1f} of a processor")


def main() -> None:
    """Run both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.only in "epoch":
        bench_epoch(2 if options.quick else 9, options.threads, 64)
    if options.only in "screen":
        bench_screen(128 if options.quick else 1000, options.threads)


if __name__ == "__main__":
    main()
