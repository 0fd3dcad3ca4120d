"""The hybrid calculator in use: conservation of energy, and one result across the two Coulomb sums."""

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.md.velocitydistribution import Stationary, thermalize_momenta
from ase.md.verlet import VelocityVerlet

from asennp.calculators.hybrid import HybridNNPCalculator
from asennp.electrostatics.ewald import Ewald
from asennp.electrostatics.pme import PME


def drift(dtype, n_steps):
    """Return the drift of the total energy of 64 atoms at 300 K, meV/atom/ps."""
    atoms = bulk("ZnO", "rocksalt", a=4.28, cubic=True) * (2, 2, 2)
    atoms.calc = HybridNNPCalculator("zno-demo", dtype=dtype)
    thermalize_momenta(atoms, temperature_K=600, rng=np.random.default_rng(0))
    Stationary(atoms)
    dynamics = VelocityVerlet(atoms, 1.0 * units.fs)
    dynamics.run(100)  # potential and kinetic energy share the heat
    energies = []
    for _ in range(n_steps // 5):
        dynamics.run(5)
        energies.append(atoms.get_total_energy() / len(atoms))
    assert 200 < atoms.get_temperature() < 450
    return 1000 * np.polyfit(0.005 * np.arange(len(energies)), energies, 1)[0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_energy_is_conserved_over_a_short_run(dtype):
    assert abs(drift(dtype, 300)) < 0.05


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "most"), [("float32", 0.1), ("float64", 0.01)])
def test_energy_is_conserved(dtype, most):
    assert abs(drift(dtype, 20_000)) < most


def test_mesh_and_direct_sum_give_one_energy():
    atoms = bulk("ZnO", "rocksalt", a=4.28, cubic=True)
    atoms.rattle(0.05, seed=1)
    calculator = HybridNNPCalculator("zno-demo", dtype="float64")
    small, kind = calculator.compute(atoms), type(calculator.electrostatics)
    large = calculator.compute(atoms * (7, 7, 7))
    assert kind is Ewald
    assert type(calculator.electrostatics) is PME
    np.testing.assert_allclose(large["energies"], np.tile(small["energies"], 343), atol=2e-5)
    np.testing.assert_allclose(large["forces"], np.tile(small["forces"], (343, 1)), atol=2e-5)
    np.testing.assert_allclose(large["stress"], small["stress"], atol=1e-6)
    calculator.compute(atoms)
    assert type(calculator.electrostatics) is Ewald
