"""The loss against its formula, and its derivative by the parameters against finite differences."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms

from asennp.models.aev import AEVSettings
from asennp.models.network import AtomicNetworks, NetworkSettings
from asennp.train.batch import Batch, loss_and_gradients
from asennp.train.config import TrainConfig
from asennp.train.data import prepare
from asennp.train.losses import Targets, compute_loss
from asennp.train.source import open_source
from asennp.units import HARTREE_EV

AEV = AEVSettings(
    species=("O", "Zn"),
    radial_cutoff=4.0,
    radial_shifts=(1.0, 1.8, 2.6, 3.4),
    radial_eta=4.0,
    angular_cutoff=3.2,
    angular_shifts=(1.0, 2.0),
    angular_eta=3.0,
    n_sections=2,
)


def make_frames(n: int = 3) -> list[Atoms]:
    """Return frames of different sizes and skewed cells with arbitrary labels."""
    rng = np.random.default_rng(5)
    frames = []
    for k in range(n):
        size = 4 + 2 * (k % 2)
        scaled = (np.arange(size)[:, None] * [0.5, 0.31, 0.17] + 0.05 * rng.normal(size=(size, 3))) % 1
        frame = Atoms(
            ["Zn", "O"] * (size // 2), cell=np.eye(3) * 4.6 + 0.3 * rng.normal(size=(3, 3)), pbc=True
        )
        frame.set_scaled_positions(scaled)
        frame.info["REF_energy"] = 3.0 * rng.normal()
        frame.info["REF_stress"] = 0.02 * rng.normal(size=6)
        frame.arrays["REF_forces"] = rng.normal(size=(size, 3))
        frame.arrays["REF_energies"] = rng.normal(size=size)
        frames.append(frame)
    return frames


def make_networks(dtype: torch.dtype = torch.float64) -> AtomicNetworks:
    settings = NetworkSettings(AEV.length, 2, (7, 6, 5))
    networks = AtomicNetworks.random(settings, torch.Generator().manual_seed(1), dtype=dtype)
    for bias in (b for layers in networks.biases for b in layers):
        bias += 0.1 * torch.randn(bias.shape, generator=torch.Generator().manual_seed(2), dtype=dtype)
    return networks


CONFIGS = {
    "T-Train": TrainConfig(dtype="float64", hidden=(7, 6, 5), force_weight=0.3, stress_weight=0.2),
    "A-Train": TrainConfig(
        stage="A-Train", energy_weight=8.0, dtype="float64", hidden=(7, 6, 5), stress_weight=0.7
    ),
    "energy alone": TrainConfig(dtype="float64", hidden=(7, 6, 5), force_weight=0, stress_weight=0),
    "stress alone": TrainConfig(
        dtype="float64", hidden=(7, 6, 5), energy_weight=0, force_weight=0, stress_weight=1
    ),
}


def test_the_loss_is_the_published_one_in_hartree():
    targets = Targets(
        sizes=torch.tensor([2.0, 4.0], dtype=torch.float64),
        energy=torch.tensor([1.0, 2.0], dtype=torch.float64) * HARTREE_EV,
        energies=torch.arange(6.0, dtype=torch.float64) * HARTREE_EV,
        forces=torch.zeros(6, 3, dtype=torch.float64),
        virial=torch.zeros(2, 3, 3, dtype=torch.float64),
        frame=torch.tensor([0, 0, 1, 1, 1, 1]),
        member=torch.tensor([0, 0]),
        n_frames=torch.tensor([2]),
    )
    energies = torch.tensor([0.5, 1.5, 2.0, 3.0, 4.0, 5.0], dtype=torch.float64) * HARTREE_EV
    forces = torch.zeros(6, 3, dtype=torch.float64)
    forces[1] = torch.tensor([HARTREE_EV, 2 * HARTREE_EV, 0.0])
    virial = torch.zeros(2, 3, 3, dtype=torch.float64)
    virial[1, 0, 1] = virial[1, 1, 0] = 3 * HARTREE_EV
    config = TrainConfig(energy_weight=0.5, force_weight=0.25, stress_weight=2.0)
    loss = compute_loss(config, targets, energies, forces, virial)
    assert float(loss.energy) == pytest.approx(0.5 * (1.0**2 / 2**0.5 + 12.0**2 / 4**0.5) / 2)
    assert float(loss.forces) == pytest.approx(0.25 * (5.0 / 2) / 2)
    assert float(loss.stress) == pytest.approx(2.0 * (9.0 + 9.0) / 2)
    assert float(loss.total) == pytest.approx(float(loss.energy + loss.forces + loss.stress))
    atomic = compute_loss(replace(config, stage="A-Train"), targets, energies, forces, virial)
    assert float(atomic.energy) == pytest.approx(0.5 * ((0.25 + 0.25) / 2 + (0 + 0 + 0 + 0) / 4) / 2)
    assert atomic.forces == loss.forces and atomic.stress == loss.stress


@pytest.mark.parametrize("name", CONFIGS)
def test_derivatives_by_the_parameters(name):
    """Central differences along random directions, through networks, descriptor and loss together."""
    config = CONFIGS[name]
    networks, data = make_networks(), prepare(make_frames(), AEV, "float64")
    everything, offsets = np.arange(3), np.array([0.3, -0.2])
    rng = np.random.default_rng(0)
    with open_source(data) as source:
        loss_and_gradients(networks, config, source, everything, offsets)
        parameters = networks.parameters()
        gradients = [p.grad.clone() for p in parameters]

        def value(step: float, directions: list[torch.Tensor]) -> float:
            for parameter, direction in zip(parameters, directions):
                parameter += step * direction
            batch = Batch(networks, source, everything)
            targets = source.targets(everything, offsets)
            loss = compute_loss(config, targets, batch.energies, batch.forces, batch.virial)
            for parameter, direction in zip(parameters, directions):
                parameter -= step * direction
            return float(loss.total)

        for _ in range(3):
            directions = [torch.from_numpy(rng.normal(size=tuple(p.shape))) for p in parameters]
            expected = sum(float((g * d).sum()) for g, d in zip(gradients, directions))
            h = 2e-4
            fine, coarse = (
                (value(step, directions) - value(-step, directions)) / (2 * step) for step in (h, 2 * h)
            )
            assert (4 * fine - coarse) / 3 == pytest.approx(expected, rel=1e-8)


def autograd_gradients(networks: AtomicNetworks, config: TrainConfig, data, offsets) -> list[torch.Tensor]:
    """Return dL/dtheta by torch's double backward; the stored Jacobian stands for the descriptor."""
    parameters = [p.detach().double().requires_grad_() for p in networks.parameters()]
    features = np.concatenate([d.features for d in data.descriptors]).astype(float)
    x = torch.from_numpy(features).requires_grad_()
    species = torch.from_numpy(data.species)
    energies = torch.zeros(len(x), dtype=torch.float64)
    n_layers = networks.n_layers
    for s in range(2):
        a = x[species == s]
        for layer in range(n_layers):
            weight, bias = parameters[2 * (s * n_layers + layer)], parameters[2 * (s * n_layers + layer) + 1]
            a = a @ weight[0] + bias[0]
            if layer < n_layers - 1:
                a = torch.nn.functional.gelu(a)
        energies = energies.index_put((torch.nonzero(species == s).squeeze(1),), a.squeeze(1))
    (gradient,) = torch.autograd.grad(energies.sum(), x, create_graph=True)
    forces, virial = [], []
    for k, descriptor in enumerate(data.descriptors):
        first, last = data.first[k], data.first[k + 1]
        g = gradient[first:last]
        n = last - first
        # one row of the Jacobian for each displacement and each strain
        rows = [descriptor.push_forward(u.reshape(n, 3), np.zeros((3, 3))) for u in np.eye(3 * n)]
        strains = [descriptor.push_forward(np.zeros((n, 3)), e.reshape(3, 3)) for e in np.eye(9)]
        forces.append(-torch.einsum("xif,if->x", torch.from_numpy(np.array(rows)).double(), g).reshape(n, 3))
        virial.append(
            torch.einsum("xif,if->x", torch.from_numpy(np.array(strains)).double(), g).reshape(3, 3)
        )
    with open_source(data) as source:
        t = source.targets(np.arange(len(data)), offsets)
    total = torch.zeros((), dtype=torch.float64)
    for k, n in enumerate(data.sizes.tolist()):
        part = slice(data.first[k], data.first[k + 1])
        if config.stage == "A-Train":
            energy = ((energies[part] - t.energies[part]) ** 2).mean()
        else:
            energy = (energies[part].sum() - t.energy[k]) ** 2 / n**0.5
        force = ((forces[k] - t.forces[part]) ** 2).sum() / n
        stress = ((virial[k] - t.virial[k]) ** 2).sum()
        total = (
            total
            + config.energy_weight * energy
            + config.force_weight * force
            + config.stress_weight * stress
        )
    (total / len(data) / HARTREE_EV**2).backward()
    return [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-9), ("float32", 1e-5)])
@pytest.mark.parametrize("stage", ["T-Train", "A-Train"])
def test_derivatives_agree_with_double_backward(stage, dtype, tolerance):
    config = replace(CONFIGS[stage], dtype=dtype)
    networks = make_networks().to(dtype=getattr(torch, dtype))
    data = prepare(make_frames(), AEV, dtype)
    offsets = np.array([0.3, -0.2])
    with open_source(data, 2) as source:
        loss_and_gradients(networks, config, source, np.arange(3), offsets)
    for parameter, expected in zip(
        networks.parameters(), autograd_gradients(networks, config, data, offsets)
    ):
        error = float((parameter.grad.double() - expected).norm() / expected.norm())
        assert error < tolerance


def test_offsets_and_order_of_frames_do_not_matter():
    config, data = CONFIGS["T-Train"], prepare(make_frames(), AEV, "float64")
    networks = make_networks()
    gradients = []
    with open_source(data) as source:
        for order in ([0, 1, 2], [2, 0, 1]):
            loss_and_gradients(networks, config, source, np.array(order), np.zeros(2))
            gradients.append([p.grad.clone() for p in networks.parameters()])
        shifted = source.targets(np.arange(3), np.array([1.0, 2.0]))
        plain = source.targets(np.arange(3), np.zeros(2))
    for one, other in zip(*gradients):
        assert torch.allclose(one, other, rtol=1e-10, atol=1e-14)
    assert np.allclose(plain.energy - shifted.energy, 1.5 * data.sizes)
    assert np.allclose(plain.energies - shifted.energies, np.array([1.0, 2.0])[data.species])


def test_frozen_layers_get_no_gradient():
    config = replace(CONFIGS["T-Train"], frozen_layers=(1, 4))
    networks, data = make_networks(), prepare(make_frames(), AEV, "float64")
    with open_source(data) as source:
        loss_and_gradients(networks, config, source, np.arange(3), np.zeros(2))
    for species in range(2):
        trained = [
            weight.grad is not None and bool(weight.grad.any()) for weight in networks.weights[species]
        ]
        assert trained == [False, True, True, False]
