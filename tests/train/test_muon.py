"""Steps along orthogonalised momentum."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from asennp.errors import InputError
from asennp.models.network import AtomicNetworks, NetworkSettings
from asennp.train.config import TrainConfig
from asennp.train.muon import Muon, orthogonalise
from asennp.train.optimizers import Optimizers


@pytest.mark.parametrize("shape", [(20, 50), (50, 20), (30, 30)])
def test_singular_values_come_near_one_and_vectors_stay(shape):
    """Those above a hundredth of the norm: the iteration lifts a small one by 3.4 a step."""
    matrices = torch.randn((3, *shape), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    left, values, right = torch.linalg.svd(matrices, full_matrices=False)
    inside = left.mT @ orthogonalise(matrices) @ right.mT
    found = torch.diagonal(inside, dim1=1, dim2=2)
    large = values > 0.01 * values.norm(dim=1, keepdim=True)
    assert large.sum() > 0.9 * large.numel()
    assert bool((found[large] > 0.6).all()) and bool((found[large] < 1.3).all())
    torch.testing.assert_close(inside, torch.diag_embed(found), atol=1e-10, rtol=0)
    assert not orthogonalise(torch.zeros(1, *shape)).any()


def test_steps_have_the_size_of_adams_whatever_the_gradients():
    """Root mean square 0.2 rates; of a thousandth of the gradient just as long; decay comes beside it."""
    generator, steps = torch.Generator().manual_seed(0), []
    gradient = torch.randn((2, 40, 40), generator=generator)
    for scale, decay in ((1.0, 0.0), (1e-3, 0.0), (1.0, 0.5)):
        weight = torch.ones(2, 40, 40)
        weight.grad = scale * gradient
        Muon([weight], lr=0.01, weight_decay=decay).step()
        steps.append(weight - 1.0)
    assert float(steps[0].square().mean().sqrt()) == pytest.approx(0.2 * 0.01, rel=0.2)
    torch.testing.assert_close(steps[1], steps[0], rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(steps[2], steps[0] - 0.005, rtol=1e-3, atol=1e-6)
    assert float((steps[0] * gradient).sum()) < 0


def test_a_stack_is_stepped_matrix_by_matrix():
    """Members of a committee, and species of one shape, do not see each other."""
    gradients = torch.randn((3, 12, 9), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    together = torch.zeros(3, 12, 9, dtype=torch.float64)
    alone = [torch.zeros(1, 12, 9, dtype=torch.float64) for _ in range(3)]
    optimizers = Muon([together], lr=0.1), Muon(alone, lr=0.1)
    for step in range(3):
        together.grad = gradients * (1 + step)
        for one, gradient in zip(alone, gradients):
            one.grad = gradient[None] * (1 + step)
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-12, atol=1e-14)


def test_it_has_the_hidden_layers_and_adam_the_last():
    networks = AtomicNetworks.random(NetworkSettings(6, 2, (5, 4)), torch.Generator().manual_seed(0))
    config = TrainConfig(hidden=(5, 4), weight_optimizer="muon", weight_decay=(0.1, 0.2))
    muon, adam = Optimizers(networks, config)._weights
    assert isinstance(muon, Muon) and isinstance(adam, torch.optim.AdamW)
    assert [group["weight_decay"] for group in muon.param_groups] == [0.1, 0.2]
    assert adam.param_groups[0]["params"] == [layers[2] for layers in networks.weights]
    only_last = Optimizers(networks, replace(config, frozen_layers=(1, 2)))._weights
    assert [type(optimizer) for optimizer in only_last] == [torch.optim.AdamW]
    with pytest.raises(InputError, match="weight_optimizer"):
        TrainConfig(weight_optimizer="moun")
    with pytest.raises(InputError, match="frozen_layers"):
        TrainConfig(hidden=(5, 4), frozen_layers=(1, 2, 3))


def test_an_ill_conditioned_problem_is_solved_sooner():
    """A linear map with singular values over five decades: from the same start, in as many steps."""
    rng = np.random.default_rng(0)
    scales = torch.from_numpy(np.logspace(0, -2.5, 16))
    basis = torch.linalg.qr(torch.from_numpy(rng.normal(size=(16, 16)))).Q
    inputs = torch.from_numpy(rng.normal(size=(200, 16))) * scales @ basis
    wanted = inputs @ torch.from_numpy(rng.normal(size=(16, 16)))
    errors = []
    for make in (lambda w: Muon([w], lr=0.3), lambda w: torch.optim.AdamW([w], lr=0.05, weight_decay=0.0)):
        weight = torch.zeros(1, 16, 16, dtype=torch.float64)
        optimizer = make(weight)
        for step in range(300):
            for group in optimizer.param_groups:
                group["lr"] = group.setdefault("first", group["lr"]) * (1 - step / 300)
            difference = inputs @ weight[0] - wanted
            weight.grad = (inputs.T @ difference)[None] / len(inputs)
            optimizer.step()
        errors.append(float((inputs @ weight[0] - wanted).square().mean()))
    assert errors[0] < 0.2 * errors[1]
