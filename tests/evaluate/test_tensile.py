import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.calculators.lj import LennardJones

from asennp.errors import InputError
from asennp.evaluate import compute_elastic, compute_lattice, compute_tensile


@pytest.fixture(scope="module")
def argon():
    calculator = LennardJones(sigma=2.5, epsilon=0.1, rc=6.0, smooth=True)
    atoms = compute_lattice(bulk("Ar", a=3.9, cubic=True), calculator, fmax=1e-5, smax_GPa=1e-4).atoms
    return atoms, calculator


def test_curve_starts_with_c11_and_is_the_slope_of_the_energy(argon):
    atoms, calculator = argon
    result = compute_tensile(atoms, calculator, maximum_strain=0.3, step=0.005)
    c = compute_elastic(atoms, calculator).tensor_GPa
    assert result.stress_GPa[0] == pytest.approx(0.0, abs=1e-3)
    assert (result.stress_GPa[1] - result.stress_GPa[0]) / 0.005 == pytest.approx(c[0, 0], rel=0.08)
    # d(E/V0)/d(strain) = stress: the transverse area does not change
    slope = np.gradient(result.energy_meV / 1000 * len(atoms), result.strain) / atoms.cell.volume / units.GPa
    assert np.abs(slope - result.stress_GPa)[1:-1].max() < 0.02 * result.strength_GPa
    assert result.reached_maximum and result.converged.all()
    assert len(result.frames) == 61
    assert result.frames[-1].cell[0, 0] == pytest.approx(1.3 * atoms.cell[0, 0])
    assert result.frames[-1].cell[1, 1] == pytest.approx(atoms.cell[1, 1])


def test_bad_calls_are_refused(argon):
    atoms, calculator = argon
    with pytest.raises(InputError, match="Generator"):
        compute_tensile(atoms, calculator, rattle_A=0.01)
    with pytest.raises(InputError, match="along the axis"):
        compute_tensile(bulk("Ar", a=3.9), calculator)


def test_same_seed_same_curve(argon):
    atoms, calculator = argon
    curves = [
        compute_tensile(
            atoms, calculator, maximum_strain=0.03, rattle_A=0.01, rng=np.random.default_rng(1)
        ).stress_GPa
        for _ in range(2)
    ]
    assert np.array_equal(*curves)
