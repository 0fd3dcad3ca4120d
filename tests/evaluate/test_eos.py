import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.eos import EquationOfState

from asennp.errors import InputError
from asennp.evaluate import compute_elastic, compute_eos, compute_lattice, compute_transition_pressure
from asennp.evaluate.eos import fit_birch_murnaghan


def birch_murnaghan(v, e0, v0, b0, b1):
    x = (v0 / v) ** (2 / 3)
    return e0 + 9 / 16 * v0 * b0 * ((x - 1) ** 3 * b1 + (x - 1) ** 2 * (6 - 4 * x))


def test_exact_curve_comes_back():
    v = np.linspace(10.0, 13.0, 9)
    fitted = fit_birch_murnaghan(v, birch_murnaghan(v, -5.0, 11.5, 150 * units.GPa, 4.5))
    assert fitted.volume == pytest.approx(11.5, abs=1e-7)
    assert fitted.energy == pytest.approx(-5.0, abs=1e-10)
    assert fitted.bulk_GPa == pytest.approx(150.0, rel=1e-6)
    assert fitted.bulk_derivative == pytest.approx(4.5, rel=1e-5)
    assert fitted.rms_meV < 1e-8


def test_agrees_with_ase_and_with_the_elastic_constants():
    atoms = compute_lattice(bulk("Cu", a=3.6), EMT(), fmax=1e-5, smax_GPa=1e-4).atoms
    fitted = compute_eos(atoms, EMT(), volume_range=0.03)
    _, _, bulk_ase = EquationOfState(fitted.volumes, fitted.energies, eos="birchmurnaghan").fit()
    assert fitted.bulk_GPa == pytest.approx(bulk_ase / units.GPa, rel=1e-3)
    assert fitted.bulk_GPa == pytest.approx(compute_elastic(atoms, EMT()).bulk_GPa, rel=0.01)


def test_no_minimum_is_refused():
    v = np.linspace(10.0, 11.0, 7)
    with pytest.raises(InputError, match="no minimum"):
        fit_birch_murnaghan(v, 0.1 * v)


def test_a_dense_ground_state_has_no_transition():
    calculator = LennardJones(sigma=2.5, epsilon=0.4, rc=3.6, smooth=False)
    phases = {"sc": bulk("Ar", "sc", a=2.8), "fcc": bulk("Ar", a=3.9)}
    result = compute_transition_pressure(phases, calculator, maximum_GPa=40.0)
    assert result.phases[0] == "fcc" and len(result.phases) == 1  # the dense phase is the stable one
    with pytest.raises(InputError, match="two or more"):
        compute_transition_pressure({"fcc": bulk("Ar", a=3.9)}, calculator)
