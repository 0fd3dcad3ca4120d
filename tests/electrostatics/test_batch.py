"""Batched Coulomb sums in torch against the compiled ones, and their derivatives of first and second
order."""

import numpy as np
import pytest
import torch
from ase import Atoms

from asennp import CoulombCalculator
from asennp.electrostatics.batch import CoulombBatch
from asennp.electrostatics.ewald import Ewald, EwaldSettings
from asennp.errors import InputError
from asennp.structures import build_phase
from asennp.units import COULOMB_EV_A


def frames():
    """Cells of every shape and several sizes, one of them a cluster."""
    made = [
        build_phase("ZnO", "wurtzite", 3.25, 5.2, repeat=(2, 2, 1)),
        build_phase("ZnO", "zincblende", 4.6, cubic=False, repeat=(1, 2, 3)),
        build_phase("ZnO", "rocksalt", 4.3, cubic=False),
        build_phase("ZnO", "rocksalt", 4.3),
        build_phase("ZnO", "rocksalt", 4.3),
    ]
    for seed, atoms in enumerate(made):
        atoms.rattle(0.1, seed=seed)
    made[2].rotate(33.0, (1, 2, 3), rotate_cell=True)
    made[3].positions[2] += made[3].cell.array[0] * 3
    made[4].pbc = False
    return made


def charges_of(batch):
    return 1.3 * (2.0 * (batch.numbers == 30).to(batch.dtype) - 1.0)


def exact(atoms, settings):
    """Compiled sum with the same splitting."""
    sum_ = Ewald(1e-12)  # term by term
    if settings is not None:
        sum_.held = settings
    q = np.where(atoms.numbers == 30, 1.3, -1.3)
    return sum_.compute(atoms.positions, atoms.cell.array, q, atoms.pbc)


def test_the_same_numbers_as_the_compiled_sums():
    made = frames()
    batch = CoulombBatch(made)
    result = batch.evaluate(charges_of(batch))
    for k, atoms in enumerate(made):
        own = batch.system == k
        energies, forces, virial = exact(atoms, batch.settings[k])
        np.testing.assert_allclose(result.atomic_energies[own], energies, rtol=0, atol=1e-9)
        assert result.energies[k].item() == pytest.approx(energies.sum(), abs=1e-9)
        np.testing.assert_allclose(result.forces[own], forces, rtol=0, atol=1e-9)
        stress = virial / atoms.get_volume() if atoms.pbc.all() else np.zeros((3, 3))
        np.testing.assert_allclose(result.stress[k], stress, atol=1e-10)
        # and those of the calculator to its accuracy
        atoms.calc = CoulombCalculator({"Zn": 1.3, "O": -1.3})
        scale = COULOMB_EV_A * 1.3**2 * (len(atoms) / atoms.get_volume()) ** (2 / 3)
        np.testing.assert_allclose(result.forces[own], atoms.get_forces(), atol=5e-6 * scale)


def test_a_frame_does_not_depend_on_its_batch():
    made = frames()
    together = CoulombBatch(made)
    expected = together.evaluate(charges_of(together))
    for k, atoms in enumerate(made):
        alone = CoulombBatch([atoms])
        result = alone.evaluate(charges_of(alone))
        assert alone.settings[0] == together.settings[k]
        np.testing.assert_allclose(result.forces, expected.forces[together.system == k], atol=1e-12)


@pytest.mark.parametrize("chunk", [2**22, 40])
def test_derivatives_of_first_and_second_order(chunk, monkeypatch):
    monkeypatch.setattr("asennp.electrostatics.batch.CHUNK", chunk)
    made = [frames()[k] for k in (2, 4)] + [frames()[2]]
    made[2].rattle(0.2, seed=9)
    batch = CoulombBatch(made, accuracy=1e-3, background=True)
    q = charges_of(batch).requires_grad_()
    r, h = batch.positions.clone().requires_grad_(), batch.cells.clone().requires_grad_()
    assert torch.autograd.gradcheck(batch.energies, (q, r, h), atol=1e-6)

    # a loss on forces: its slope along a direction, by differences
    target, direction = torch.ones_like(r), torch.linspace(-1.0, 1.0, len(q), dtype=torch.float64)

    def loss(charges):
        result = batch.evaluate(charges, create_graph=True)
        return ((result.forces - target) ** 2).sum() + 100 * (result.stress**2).sum()

    (slope,) = torch.autograd.grad(loss(q), q)
    step = 1e-4 * direction
    difference = (loss(q.detach() + step) - loss(q.detach() - step)) / 2e-4
    assert (slope @ direction).item() == pytest.approx(difference.item(), rel=1e-6)


def test_charges_can_be_learned():
    made = [frames()[k] for k in (0, 2, 3)]
    batch = CoulombBatch(made, accuracy=1e-4)
    with torch.no_grad():
        target = batch.energies(charges_of(batch))
    scale = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([scale], max_iter=40)

    def closure():
        optimizer.zero_grad()
        loss = ((batch.energies(scale * charges_of(batch)) - target) ** 2).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert scale.item() == pytest.approx(1.0, abs=1e-5)


def test_large_frames_go_over_the_mesh(monkeypatch):
    monkeypatch.setattr("asennp.electrostatics.batch.TORCH_PME_BEYOND", 16)
    made = [frames()[0], frames()[2], frames()[0]]
    batch = CoulombBatch(made, accuracy=1e-5)
    assert [isinstance(s, EwaldSettings) for s in batch.settings] == [False, True, False]
    result = batch.evaluate(charges_of(batch))
    for k, atoms in enumerate(made):
        _, forces, virial = exact(atoms, None)
        scale = COULOMB_EV_A * 1.3**2 * (len(atoms) / atoms.get_volume()) ** (2 / 3)
        error = result.forces[batch.system == k].numpy() - forces
        assert np.sqrt((error**2).sum(axis=1).mean()) < 1e-5 * scale
        np.testing.assert_allclose(result.stress[k], virial / atoms.get_volume(), atol=1e-5)


def test_single_precision():
    batch = CoulombBatch(frames()[:3], accuracy=1e-4, dtype=torch.float32)
    double = CoulombBatch(frames()[:3], accuracy=1e-4)
    found, expected = batch.evaluate(charges_of(batch)), double.evaluate(charges_of(double))
    assert found.forces.dtype == torch.float32
    np.testing.assert_allclose(found.forces, expected.forces, atol=2e-4)


@pytest.mark.gpu
def test_on_a_gpu():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    cpu, gpu = CoulombBatch(frames()), CoulombBatch(frames(), device="cuda")
    expected, found = cpu.evaluate(charges_of(cpu)), gpu.evaluate(charges_of(gpu))
    for name in ("energies", "atomic_energies", "forces", "stress"):
        np.testing.assert_allclose(getattr(found, name).cpu(), getattr(expected, name), atol=1e-9)


def test_bad_input():
    good = frames()[0]
    slab = good.copy()
    slab.pbc = (True, True, False)
    overlapping = good.copy()
    overlapping.positions[1] = overlapping.positions[0]
    for wrong, message in (
        ([], "no frames"),
        ([good, slab], "pbc"),
        ([overlapping], "on top of each other"),
        ([Atoms("NaCl", positions=[(0, 0, 0), (0, 0, np.nan)], cell=[5, 5, 5], pbc=True)], "not finite"),
        ([Atoms("NaCl", positions=[(0, 0, 0), (0, 0, 2)], pbc=True)], "no volume"),
    ):
        with pytest.raises(InputError, match=message):
            CoulombBatch(wrong)
    with pytest.raises(InputError, match="accuracy"):
        CoulombBatch([good], accuracy=0.5)
    batch = CoulombBatch([good, frames()[3]])
    with pytest.raises(InputError, match="frame 1 is not neutral"):
        q = charges_of(batch)
        q[-1] = 0.0
        batch.energies(q)
    with pytest.raises(InputError, match="charges: another shape"):
        batch.energies(torch.ones(3, dtype=torch.float64))
