"""Stacked descriptors against those of single frames."""

import numpy as np
import pytest
import torch
from ase.build import bulk

from asennp.models.aev import AEVSettings, compute_descriptors
from asennp.models.stacked import StackedDescriptors

AEV = AEVSettings(species=("O", "Mg", "Zn"))


def frames(n: int = 70):
    """Return frames of several sizes and species: crystals, primitive and skewed, a slab, a lone atom."""
    rng = np.random.default_rng(3)
    made = []
    for k in range(n - 1):
        atoms = bulk(("ZnO", "MgO")[k % 2], "rocksalt", a=4.3, cubic=k % 3 > 0)
        atoms.set_cell(atoms.cell @ (np.eye(3) + rng.normal(0, 0.05, (3, 3))), scale_atoms=True)
        if k % 5 == 4:
            atoms.center(vacuum=6.0, axis=2)
            atoms.pbc = (True, True, False)
        atoms.rattle(0.1, rng=rng)
        made.append(atoms)
    lone = made[0][:1]
    lone.pbc = False
    return [*made, lone]


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_contractions_are_those_of_single_frames(device, dtype, tolerance):
    """Of more frames than go to the device at a time, picked in another order and one of them twice."""
    made = compute_descriptors(frames(), AEV, dtype)
    picked = np.array([69, 3, 68, 3, 0, 41, 14])
    everything = StackedDescriptors.from_descriptors(made, device)
    stacked = everything.select(picked)
    assert len(everything) == 70 and len(stacked) == 7 and 0 < stacked.nbytes < everything.nbytes
    alone = [made[k] for k in picked]
    assert np.array_equal(stacked.features.cpu(), np.concatenate([d.features for d in alone]))
    rng = np.random.default_rng(0)
    gradients = rng.normal(size=stacked.features.shape).astype(dtype)
    displacements, strain = rng.normal(size=(len(gradients), 3)), rng.normal(size=(7, 3, 3))
    slopes, virial = stacked.pull_back(torch.from_numpy(gradients).to(device))
    change = stacked.push_forward(*(torch.from_numpy(a).to(device) for a in (displacements, strain)))
    first = np.cumsum([0, *(len(d.species) for d in alone)])
    for k, descriptor in enumerate(alone):
        part = slice(first[k], first[k + 1])
        expected = (*descriptor.pull_back(gradients[part]),
                    descriptor.push_forward(displacements[part], strain[k]))  # fmt: skip
        for got, wanted in zip((slopes[part], virial[k], change[part]), expected):
            assert np.abs(got.cpu().numpy() - wanted).max() <= tolerance * max(1.0, np.abs(wanted).max())


def test_pull_back_and_push_forward_are_adjoint(device):
    stacked = StackedDescriptors.from_descriptors(compute_descriptors(frames(9), AEV, np.float64), device)
    rng = np.random.default_rng(1)
    g, u, e = (
        torch.from_numpy(rng.normal(size=shape)).to(device)
        for shape in (stacked.features.shape, (len(stacked.features), 3), (9, 3, 3))
    )
    slopes, virial = stacked.pull_back(g)
    assert float((stacked.push_forward(u, e) * g).sum()) == pytest.approx(
        float((slopes * u).sum() + (virial * e).sum()), rel=1e-12
    )
