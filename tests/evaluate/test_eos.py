import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.eos import EquationOfState
from scipy.optimize import brentq

from asennp.calculators.buckingham import BuckinghamCoulomb
from asennp.errors import InputError
from asennp.evaluate import (
    compute_elastic,
    compute_eos,
    compute_lattice,
    compute_transition_pressure,
    find_transitions,
    fit_eos,
)
from asennp.structures import build_phase
from asennp.units import COULOMB_EV_A


def birch_murnaghan(v, e0, v0, b0, b1):
    x = (v0 / v) ** (2 / 3)
    return e0 + 9 / 16 * v0 * b0 * ((x - 1) ** 3 * b1 + (x - 1) ** 2 * (6 - 4 * x))


def test_exact_curve_comes_back():
    v = np.linspace(10.0, 13.0, 9)
    fitted = fit_eos(v, birch_murnaghan(v, -5.0, 11.5, 150 * units.GPa, 4.5))
    assert fitted.volume == pytest.approx(11.5, abs=1e-7)
    assert fitted.energy == pytest.approx(-5.0, abs=1e-10)
    assert fitted.bulk_GPa == pytest.approx(150.0, rel=1e-6)
    assert fitted.bulk_derivative == pytest.approx(4.5, rel=1e-5)
    assert fitted.rms_meV < 1e-8


def test_exact_vinet_curve_comes_back():
    """Against the form written another way; its derivatives at V0 are B0 and B0'."""
    v = np.linspace(10.0, 13.0, 9)
    eta, b1 = np.cbrt(v / 11.5), 4.5
    bracket = 2.0 - (5.0 + 3.0 * b1 * (eta - 1.0) - 3.0 * eta) * np.exp(-1.5 * (b1 - 1.0) * (eta - 1.0))
    fitted = fit_eos(v, -5.0 + 2.0 * 150 * units.GPa * 11.5 / (b1 - 1.0) ** 2 * bracket, form="vinet")
    assert (fitted.volume, fitted.bulk_GPa, fitted.bulk_derivative) == pytest.approx(
        (11.5, 150.0, 4.5), rel=1e-6
    )


@pytest.mark.parametrize("form", ["birch-murnaghan", "vinet"])
def test_pressure_is_the_slope(form):
    v = np.linspace(10.0, 13.0, 9)
    eos = fit_eos(v, birch_murnaghan(v, -5.0, 11.5, 150 * units.GPa, 4.5), form)
    slope = -(eos.evaluate(10.5 + 1e-4) - eos.evaluate(10.5 - 1e-4)) / 2e-4 / units.GPa
    assert eos.pressure_GPa(10.5) == pytest.approx(slope, rel=1e-6)
    assert eos.volume_at(float(slope)) == pytest.approx(10.5, abs=1e-6)
    # dH/dP = V
    gain = (eos.enthalpy_at(10.1) - eos.enthalpy_at(9.9)) / (0.2 * units.GPa)
    assert gain == pytest.approx(eos.volume_at(10.0), rel=1e-4)


def test_bulk_modulus_of_rigid_ions_is_analytic():
    """Born-Lande: E = -M k q^2/r + 6 A exp(-r/rho) a pair (nearest neighbours): B and E0 in closed form."""
    amplitude, rho, madelung = 821.6, 0.3242, 1.74756459
    potential = {
        "name": "nearest neighbours of MgO", "species": ["Mg", "O"], "charges": {"Mg": 2.0, "O": -2.0},
        "cutoff": 2.9,
        "pairs": {"Mg-O": {"A": amplitude, "rho": rho, "C": 0.0}, "Mg-Mg": "none", "O-O": "none"},
    }  # fmt: skip
    pull = madelung * COULOMB_EV_A * 4.0
    r = brentq(lambda r: pull / r**2 - 6 * amplitude / rho * np.exp(-r / rho), 1.9, 2.6)
    second = -2 * pull / r**3 + 6 * amplitude / rho**2 * np.exp(-r / rho)
    expected = second / (18 * r) / units.GPa  # B = V E''(V) with V = 2 r^3 a pair of ions
    calculator = BuckinghamCoulomb(potential)
    lattice = compute_lattice(
        build_phase("MgO", "rocksalt", a=4.2, cubic=False), calculator, fmax=1e-5, smax_GPa=1e-4
    )
    assert lattice.a == pytest.approx(2 * r, rel=1e-5)
    elastic = compute_elastic(lattice.atoms, calculator, strain=1e-3)
    assert elastic.bulk_GPa == pytest.approx(expected, rel=5e-3)
    assert compute_eos(lattice.atoms, calculator, 0.03, n_points=5).bulk_GPa == pytest.approx(
        expected, rel=5e-3
    )
    # pair forces, and every ion a centre of inversion: Cauchy's relation
    assert elastic.tensor_GPa[0, 1] == pytest.approx(elastic.tensor_GPa[3, 3], rel=5e-3)


def test_transition_from_equations_of_state_is_that_of_direct_relaxation():
    calculator = BuckinghamCoulomb("zno-lewis-catlow", cutoff=6.0, switch=2.0)
    phases = {
        "zincblende": build_phase("ZnO", "zincblende", a=4.51, cubic=False),
        "rocksalt": build_phase("ZnO", "rocksalt", a=4.267, cubic=False),
    }
    direct = compute_transition_pressure(phases, calculator)
    curves = {
        name: compute_eos(compute_lattice(atoms, calculator).atoms, calculator, (-0.12, 0.03), n_points=6)
        for name, atoms in phases.items()
    }
    fitted = find_transitions(curves)
    assert fitted.phases == direct.phases == ("zincblende", "rocksalt")
    assert fitted.pressures_GPa == pytest.approx(direct.pressures_GPa, rel=5e-3)
    assert fitted.volume_changes == pytest.approx(direct.volume_changes, rel=0.02)


def test_any_number_of_phases_follow_one_another():
    v = np.linspace(7.0, 13.0, 13)
    curves = {
        name: fit_eos(v, birch_murnaghan(v, e0, v0, 150 * units.GPa, 4.0))
        for name, e0, v0 in (
            ("open", 0.0, 12.0),
            ("middle", 0.08, 11.0),
            ("dense", 0.25, 10.0),
            ("never", 0.5, 11.5),
        )
    }
    found = find_transitions(curves)
    assert found.phases == ("open", "middle", "dense") and np.all(np.diff(found.pressures_GPa) > 0)
    for pressure, a, b in zip(found.pressures_GPa, found.phases[:-1], found.phases[1:], strict=True):
        assert curves[a].enthalpy_at(pressure) == pytest.approx(curves[b].enthalpy_at(pressure), abs=1e-9)
    with pytest.raises(InputError, match="does not reach"):
        curves["open"].volume_at(-1e4)


def test_agrees_with_ase_and_with_the_elastic_constants():
    atoms = compute_lattice(bulk("Cu", a=3.6), EMT(), fmax=1e-5, smax_GPa=1e-4).atoms
    fitted = compute_eos(atoms, EMT(), volume_range=0.03)
    _, _, bulk_ase = EquationOfState(fitted.volumes, fitted.energies, eos="birchmurnaghan").fit()
    assert fitted.bulk_GPa == pytest.approx(bulk_ase / units.GPa, rel=1e-3)
    assert fitted.bulk_GPa == pytest.approx(compute_elastic(atoms, EMT()).bulk_GPa, rel=0.01)


def test_no_minimum_is_refused():
    v = np.linspace(10.0, 11.0, 7)
    with pytest.raises(InputError, match="no minimum"):
        fit_eos(v, 0.1 * v)


def test_a_dense_ground_state_has_no_transition():
    calculator = LennardJones(sigma=2.5, epsilon=0.4, rc=3.6, smooth=False)
    phases = {"sc": bulk("Ar", "sc", a=2.8), "fcc": bulk("Ar", a=3.9)}
    result = compute_transition_pressure(phases, calculator, maximum_GPa=40.0)
    assert result.phases[0] == "fcc" and len(result.phases) == 1  # the dense phase is the stable one
    with pytest.raises(InputError, match="two or more"):
        compute_transition_pressure({"fcc": bulk("Ar", a=3.9)}, calculator)
