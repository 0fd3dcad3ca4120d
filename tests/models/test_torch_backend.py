"""The potential in torch against the compiled one: the same numbers, also on a GPU if there is one."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

from asennp import evaluate_frames
from asennp.calculators.hybrid import HybridNNPCalculator
from asennp.errors import InputError
from asennp.models import AEVSettings, AtomicNetworks, Model, NetworkSettings
from asennp.models.torch_backend import TorchBackend, choose_device

AEV = AEVSettings(("Zn", "O"))


def make_model(charge=0.75):
    networks = AtomicNetworks.random(
        NetworkSettings(AEV.length, 2, (12, 8)), torch.Generator().manual_seed(5), 3, torch.float64
    )
    return Model(AEV, networks, {"Zn": -1.0, "O": 0.5}, {"Zn": charge, "O": -charge} if charge else {})


def make_frames():
    """Return a sheared thin cell, a larger one, a slab, a molecule and a lone atom."""
    thin = bulk("ZnO", "wurtzite", a=3.25, c=5.2, u=0.38)
    thin.set_cell(thin.cell @ [[1, 0.02, 0], [0, 0.99, 0.05], [0, 0, 1.01]], scale_atoms=True)
    slab = bulk("ZnO", "rocksalt", a=4.28, cubic=True)
    slab.center(vacuum=6.0, axis=2)
    slab.pbc = (True, True, False)
    frames = [thin, bulk("ZnO", "rocksalt", a=4.28, cubic=True) * (2, 1, 1), slab]
    frames.append(Atoms("ZnO", [[0, 0, 0], [0.3, 0.2, 1.9]]))
    for k, atoms in enumerate(frames):
        atoms.rattle(0.08, seed=k)
    return [*frames, Atoms("Zn")]


@pytest.mark.parametrize(("dtype", "error"), [("float64", 1e-9), ("float32", 2e-4)])
def test_calculator_gives_the_same(device, dtype, error):
    settings = {"dtype": dtype, "coulomb_accuracy": 1e-8}
    expected = HybridNNPCalculator(make_model(), device="cpu", **settings)
    found = HybridNNPCalculator(make_model(), device=device, backend="torch", **settings)
    for atoms in make_frames()[:4]:
        ours, theirs = found.compute(atoms), expected.compute(atoms)
        assert ours.keys() == theirs.keys()
        for name, value in ours.items():
            # the Coulomb sums are other ones
            np.testing.assert_allclose(value, theirs[name], atol=max(error, 1e-6), rtol=0, err_msg=name)
        for name in ("energy_std", "energies_std", "forces_std"):
            a, b = getattr(found.committee, name), getattr(expected.committee, name)
            np.testing.assert_allclose(a, b, atol=error)
    short, compiled = (
        HybridNNPCalculator(make_model(0.0), device=d, backend=b, dtype=dtype)
        for d, b in ((device, "torch"), ("cpu", "compiled"))
    )
    for atoms in make_frames():
        for name, value in compiled.compute(atoms).items():
            np.testing.assert_allclose(short.compute(atoms)[name], value, atol=error, err_msg=name)


def test_many_frames_at_once_equal_one_by_one(device):
    frames, model = make_frames(), make_model(0.0)
    settings = {"dtype": "float64", "device": device, "backend": "torch"}
    expected = evaluate_frames(model, frames, dtype="float64", device="cpu")
    for memory in (None, 1e-3):  # all at once, one at a time
        found = evaluate_frames(model, frames, memory_MB=memory, **settings)
        for name in ("energy", "energies", "forces", "stress", "forces_std", "stress_std"):
            np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-9)


def test_frames_with_their_coulomb_part(device):
    frames, model = make_frames()[:3], make_model()
    settings = {"dtype": "float64", "coulomb_accuracy": 1e-8}
    expected = evaluate_frames(model, frames, device="cpu", **settings)
    found = evaluate_frames(model, frames, device=device, backend="torch", **settings)
    for name in ("energy", "forces", "stress"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-6)


def test_energies_are_differentiable_on_their_own():
    """The returned slopes against central differences of the returned energies."""
    model = make_model(0.0)
    potential, atoms = TorchBackend(model.aev, model.networks), make_frames()[0]
    slopes = potential.evaluate([atoms])[3].mean(axis=0)
    numerical = []
    for step in (1e-4, -1e-4):
        moved = atoms.copy()
        moved.positions[1, 2] += step
        numerical.append(potential.evaluate([moved])[2].mean(axis=0).sum())
    assert (numerical[0] - numerical[1]) / 2e-4 == pytest.approx(slopes[1, 2], abs=1e-6)


def test_bad_input_is_named():
    for arguments, message in [
        (("gpu", "auto"), "unknown device"),
        (("cpu", "numba"), "unknown backend"),
    ]:
        with pytest.raises(InputError, match=message):
            choose_device(*arguments)
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="no CUDA device"):
            choose_device("cuda")
    assert choose_device("cpu") == ("cpu", "compiled")
    overlapping = make_frames()[1]
    overlapping.positions[1] = overlapping.positions[0]
    calculator = HybridNNPCalculator(make_model(), device="cpu", backend="torch")
    for atoms, message in [(molecule("H2O"), "H"), (overlapping, "overlap")]:
        with pytest.raises(InputError, match=message):
            calculator.compute(atoms)
    with pytest.raises(InputError, match="frames 0 to 0"):
        evaluate_frames(make_model(), [overlapping], device="cpu", backend="torch")
    with pytest.raises(InputError, match="angular cut-off below"):
        settings = AEVSettings(("Zn", "O"), angular_cutoff=6.9)
        networks = NetworkSettings(settings.length, 2, (3,))
        TorchBackend(settings, AtomicNetworks.random(networks, torch.Generator().manual_seed(0)))
