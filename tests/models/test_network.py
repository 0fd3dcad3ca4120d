"""The atomic networks against torch's autograd, in double precision."""

import numpy as np
import pytest
import torch

from asennp.errors import InputError
from asennp.models.forward import Forward
from asennp.models.network import AtomicNetworks, NetworkSettings

SETTINGS = NetworkSettings(n_features=11, n_species=3, hidden=(9, 7, 5))


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(3)
    features = torch.randn(20, 11, generator=generator, dtype=torch.float64)
    species = torch.randint(0, 2, (20,), generator=generator)  # the third species is absent
    energy_bar = torch.randn(20, generator=generator, dtype=torch.float64)
    tangent = torch.randn(20, 11, generator=generator, dtype=torch.float64)
    return features, species, energy_bar, tangent


def make(n_members=1, seed=0):
    networks = AtomicNetworks.random(
        SETTINGS, torch.Generator().manual_seed(seed), n_members, dtype=torch.float64
    )
    for layers in networks.biases:
        for bias in layers:
            bias += torch.linspace(-0.5, 0.5, bias.numel(), dtype=torch.float64).reshape(bias.shape)
    return networks


def reference(networks, features, species, member=0):
    """Energies by plain torch, with autograd's graph."""
    energies = torch.zeros(len(features), dtype=torch.float64)
    for number in range(networks.settings.n_species):
        mask = species == number
        a = features[mask]
        layers = list(zip(networks.weights[number], networks.biases[number]))
        for weight, bias in layers[:-1]:
            a = torch.nn.functional.gelu(a @ weight[member] + bias[member])
        weight, bias = layers[-1]
        energies = energies.index_put((mask,), (a @ weight[member] + bias[member]).squeeze(1))
    return energies


def test_energies_and_gradients_equal_autograd(data):
    features, species, _, _ = data
    networks = make(n_members=3)
    energies, gradients = networks.energies_and_gradients(features, species)
    leaf = features.clone().requires_grad_()
    for member in range(3):
        expected = reference(networks, leaf, species, member)
        (slope,) = torch.autograd.grad(expected.sum(), leaf)
        torch.testing.assert_close(energies[member], expected.detach(), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(gradients[member], slope, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("with_tangent", [True, False])
def test_parameter_gradients_equal_double_backward(data, with_tangent):
    features, species, energy_bar, tangent = data
    networks = make()
    Forward(networks, features, species).accumulate(energy_bar, tangent if with_tangent else None)
    twin = make()
    for parameter in twin.parameters():
        parameter.requires_grad_()
    leaf = features.clone().requires_grad_()
    energies = reference(twin, leaf, species)
    loss = (energy_bar * energies).sum()
    if with_tangent:
        (slope,) = torch.autograd.grad(energies.sum(), leaf, create_graph=True)
        loss = loss + (tangent * slope).sum()
    loss.backward()
    for name, parameter in networks.named_parameters().items():
        expected = twin.named_parameters()[name].grad
        if name.split(".")[1] == "2":
            assert parameter.grad is None  # no atom of that species
        else:
            torch.testing.assert_close(parameter.grad, expected, rtol=1e-10, atol=1e-10)


def test_accumulate_adds_and_members_are_independent(data):
    features, species, energy_bar, tangent = data
    committee = make(n_members=2)
    for _ in range(2):
        Forward(committee, features, species).accumulate(energy_bar, tangent)
    for number in range(2):
        alone = committee.member(number)
        Forward(alone, features, species).accumulate(energy_bar, tangent)
        for name, parameter in alone.named_parameters().items():
            if parameter.grad is not None:
                both = committee.named_parameters()[name].grad[number]
                torch.testing.assert_close(both, 2 * parameter.grad[0], rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("frozen", [(0, 3), (1,), (0, 1, 2), (3,)])
@pytest.mark.parametrize("with_tangent", [True, False])
def test_frozen_layers_get_no_gradient_and_the_others_theirs(data, frozen, with_tangent):
    features, species, energy_bar, tangent = data
    tangent = tangent if with_tangent else None
    full, partial = make(), make()
    Forward(full, features, species).accumulate(energy_bar, tangent)
    Forward(partial, features, species).accumulate(energy_bar, tangent, frozen=frozen)
    for number in range(2):
        for layer in range(4):
            if layer in frozen:
                assert partial.weights[number][layer].grad is None
            else:
                torch.testing.assert_close(
                    partial.weights[number][layer].grad, full.weights[number][layer].grad
                )
                torch.testing.assert_close(
                    partial.biases[number][layer].grad, full.biases[number][layer].grad
                )


def test_single_precision_follows_double(data):
    features, species, _, _ = data
    networks = make()
    exact = networks.energies_and_gradients(features, species)
    rough = networks.to(dtype=torch.float32).energies_and_gradients(features, species)
    for a, b in zip(exact, rough):
        assert b.dtype == torch.float32
        torch.testing.assert_close(b.double(), a, rtol=1e-4, atol=1e-4)


def test_initial_weights_are_kaiming_normal_from_the_given_generator():
    settings = NetworkSettings(200, 1, hidden=(300,))
    draw = AtomicNetworks.random(settings, torch.Generator().manual_seed(1))
    again = AtomicNetworks.random(settings, torch.Generator().manual_seed(1))
    assert torch.equal(draw.weights[0][0], again.weights[0][0])
    assert draw.weights[0][0].std().item() == pytest.approx(np.sqrt(2 / 200), rel=0.02)
    assert not draw.biases[0][0].any()


def test_state_round_trip_stack_and_member():
    a, b = make(seed=1), make(seed=2)
    committee = AtomicNetworks.stack([a, b])
    rebuilt = AtomicNetworks.from_state(SETTINGS, committee.state())
    for name, value in rebuilt.member(1).state().items():
        np.testing.assert_array_equal(value, b.state()[name])
    handle = a.weights[0][0]
    a.load_state(b.state())
    assert a.weights[0][0] is handle
    assert torch.equal(handle, b.weights[0][0])


def test_state_that_does_not_fit_is_refused():
    state = make().state()
    with pytest.raises(InputError, match=r"weight\.1\.2"):
        AtomicNetworks.from_state(SETTINGS, {**state, "weight.1.2": np.zeros((1, 2, 2))})
    with pytest.raises(InputError, match="extra"):
        AtomicNetworks.from_state(SETTINGS, {**state, "extra": np.zeros(1)})
    with pytest.raises(InputError, match="activation"):
        NetworkSettings(3, 1, activation="relu")
