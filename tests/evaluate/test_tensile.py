import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.calculators.lj import LennardJones

from asennp.errors import InputError
from asennp.evaluate import compute_elastic, compute_lattice, compute_pull, compute_shear, compute_tensile
from asennp.evaluate.tensile import find_failure
from asennp.report.mechanics import tabulate_stress_strain


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


def test_uniaxial_curve_starts_with_youngs_modulus(argon):
    """Free across: the slope is 1/S11, the stress across stays zero, and the crystal is softer."""
    atoms, calculator = argon
    result = compute_tensile(
        atoms, calculator, maximum_strain=0.004, step=0.001, mode="uniaxial", fmax=1e-4, smax_GPa=1e-3
    )
    compliance = np.linalg.inv(compute_elastic(atoms, calculator).tensor_GPa)
    slope = np.polyfit(result.strain, result.stress_GPa, 2)[1]
    assert slope == pytest.approx(1 / compliance[0, 0], rel=0.01)
    assert np.abs(result.stress_tensor_GPa[:, 1:]).max() < 2e-3 and result.converged.all()
    assert result.frames[-1].cell[1, 1] < atoms.cell[1, 1]


def test_shear_is_the_slope_of_the_energy_and_starts_with_c44(argon):
    atoms, calculator = argon
    result = compute_shear(atoms, calculator, maximum_strain=0.2, step=0.005, relax_cell=False)
    # dE/d(gamma) = V stress: simple shear keeps the volume
    slope = np.gradient(result.energy_meV / 1000 * len(atoms), result.strain) / atoms.cell.volume / units.GPa
    assert np.abs(slope - result.stress_GPa)[1:-1].max() < 0.02 * result.strength_GPa
    c44 = compute_elastic(atoms, calculator).tensor_GPa[3, 3]
    assert result.stress_GPa[1] / result.strain[1] == pytest.approx(c44, rel=0.02)
    free = compute_shear(atoms, calculator, maximum_strain=0.1, step=0.05)
    assert free.mode == "xy, relaxed" and free.strain[-1] == pytest.approx(0.1, abs=2e-3)
    assert np.abs(np.delete(free.stress_tensor_GPa[-1], 5)).max() < 0.1
    assert free.energy_meV[-1] < result.energy_meV[20]


def test_failure_is_where_half_the_strength_is_lost():
    strain = np.arange(6.0)
    assert find_failure(strain, np.array([0.0, 2.0, 3.0, 2.0, 1.0, 0.0])) == 4.0
    assert np.isnan(find_failure(strain, np.arange(6.0)))


def test_pull_at_temperature_follows_the_static_curve(argon):
    """Near 0 K the mean load at small strain is that of the elastic constants."""
    atoms, calculator = argon
    result = compute_pull(
        atoms, calculator, temperature_K=1.0, maximum_strain=0.02, rate_per_ps=0.1, equilibration_ps=0.0,
        rng=np.random.default_rng(0), interval=20, n_frames=3,
    )  # fmt: skip
    c = compute_elastic(atoms, calculator).tensor_GPa
    assert np.polyfit(result.strain, result.stress_GPa, 2)[1] == pytest.approx(c[0, 0], rel=0.15)
    assert result.finite and len(result.frames) == 3 and not result.reached_maximum
    assert result.frames[-1].cell[0, 0] == pytest.approx(1.02 * atoms.cell[0, 0], rel=1e-3)
    table = tabulate_stress_strain({"argon": result})
    assert table.rows[0][1] == result.strength_GPa


def test_more_bad_calls_are_refused(argon):
    atoms, calculator = argon
    with pytest.raises(InputError, match="unknown mode"):
        compute_tensile(atoms, calculator, mode="free")
    with pytest.raises(InputError, match="no such shear"):
        compute_shear(atoms, calculator, component="yx")
    with pytest.raises(InputError, match="must be positive"):
        compute_pull(atoms, calculator, maximum_strain=0.0, rng=np.random.default_rng(0))
