"""Point charges: scaling with the charge, choice of the method, backgrounds."""

import numpy as np
import pytest

from asennp import CoulombCalculator
from asennp.calculators.coulomb import scale
from asennp.electrostatics.ewald import Ewald
from asennp.electrostatics.mesh import TorchSum
from asennp.electrostatics.pme import PME
from asennp.errors import InputError
from asennp.structures import build_phase
from asennp.units import COULOMB_EV_A


def frame():
    atoms = build_phase("MgO", "rocksalt", 4.2)
    atoms.rattle(0.1, seed=3)
    return atoms


def results(calculator, atoms):
    calculator.calculate(atoms)
    return calculator.results


def test_energy_grows_as_the_square_of_the_charge():
    atoms = frame()
    unit = results(CoulombCalculator({"Mg": 1, "O": -1}), atoms)
    scaled = scale(unit, 0.7)
    for name, value in results(CoulombCalculator({"Mg": 0.7, "O": -0.7}), atoms).items():
        np.testing.assert_allclose(scaled[name], value, rtol=1e-11, atol=1e-12, err_msg=name)
    np.testing.assert_allclose(scaled["charges"], np.where(atoms.numbers == 12, 0.7, -0.7))
    # fields of results keep their meaning
    assert scaled["energy"] == pytest.approx(0.49 * unit["energy"])


def test_any_scale_from_one_sum(monkeypatch):
    atoms, sums = frame(), []
    calculator = CoulombCalculator({"Mg": 2, "O": -2})
    with pytest.raises(InputError, match="no calculation yet"):
        calculator.scaled(0.5)
    compute = calculator.compute
    monkeypatch.setattr(calculator, "compute", lambda atoms: sums.append(1) or compute(atoms))
    for q in (0.0, 0.35, -0.7, 1.0):
        expected = results(CoulombCalculator({"Mg": 2 * q, "O": -2 * q}), atoms)
        found = calculator.scaled(q, atoms)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, rtol=1e-11, atol=1e-11, err_msg=name)
    assert calculator.scaled(0.35)["energy"] == pytest.approx(0.35**2 * calculator.results["energy"])
    assert len(sums) == 1
    # other atoms are summed anew, and nothing handed out is shared with the calculator
    atoms.rattle(0.05, seed=8)
    one = calculator.scaled(1.0, atoms)
    assert len(sums) == 2
    one["forces"] += 1.0
    assert not np.array_equal(one["forces"], calculator.results["forces"])
    with pytest.raises(InputError, match="q: not a finite number"):
        calculator.scaled(np.nan)


@pytest.mark.parametrize("method", ["ewald", "pme", "torch-pme"])
def test_methods_agree_and_show_themselves(method):
    atoms, charges = frame(), {"Mg": 1.2, "O": -1.2}
    calculator = CoulombCalculator(charges, method=method, accuracy=1e-6)
    found = results(calculator, atoms)
    exact = results(CoulombCalculator(charges, method="ewald", accuracy=1e-12), atoms)
    np.testing.assert_allclose(found["forces"], exact["forces"], atol=2e-5)
    np.testing.assert_allclose(found["stress"], exact["stress"], atol=2e-5)
    assert type(calculator.electrostatics) is {"ewald": Ewald, "pme": PME, "torch-pme": TorchSum}[method]
    assert calculator.electrostatics.settings is not None
    assert repr(calculator.electrostatics.settings) in repr(calculator.electrostatics)
    # an open cluster is summed directly whatever the method
    atoms.pbc = False
    calculator.calculate(atoms)
    assert isinstance(calculator.electrostatics, Ewald)
    assert calculator.electrostatics.settings is None
    pairs = atoms.get_all_distances() + np.diag(np.full(len(atoms), np.inf))
    q = calculator.results["charges"]
    energy = 0.5 * 14.39964547842567 * (q[:, None] * q[None, :] / pairs).sum()
    assert calculator.results["energy"] == pytest.approx(energy, rel=1e-12)


@pytest.mark.parametrize("method", ["auto", "ewald", "pme", "torch-pme"])
def test_slabs(method):
    atoms = frame()
    atoms.pbc = (True, False, True)
    calculator = CoulombCalculator({"Mg": 1.2, "O": -1.2}, method=method)
    calculator.calculate(atoms)
    # the limit of wide vacuum in a periodic cell, where the dipole's field is taken out by hand
    wide = atoms.copy()
    wide.cell[1, 1] += 60.0
    wide.pbc = True
    periodic = results(CoulombCalculator({"Mg": 1.2, "O": -1.2}, accuracy=1e-9), wide)
    q, y = periodic["charges"], atoms.positions[:, 1]
    k = 2 * np.pi * COULOMB_EV_A / wide.get_volume()
    assert calculator.results["energy"] == pytest.approx(periodic["energy"] + k * (q @ y) ** 2, abs=5e-5)
    expected = periodic["forces"] - 2 * k * (q @ y) * np.outer(q, [0, 1, 0])
    np.testing.assert_allclose(calculator.results["forces"], expected, atol=5e-5)
    # the open direction needs no vector; there is no stress then
    atoms.cell[1] = 0.0
    calculator.calculate(atoms)
    np.testing.assert_allclose(calculator.results["forces"], expected, atol=5e-5)
    assert "stress" not in calculator.results
    # a background does not make a charged slab finite
    charged = CoulombCalculator({"Mg": 1.2, "O": -1.0}, method=method, background=True)
    with pytest.raises(InputError, match="slab must be neutral"):
        charged.calculate(atoms)


def test_small_cells_are_summed_by_ewald():
    calculator = CoulombCalculator({"Mg": 1, "O": -1})
    calculator.calculate(frame())
    assert isinstance(calculator.electrostatics, Ewald)


def test_bad_input():
    atoms = frame()
    for arguments, message in (
        ({"method": "pppm"}, "method"),
        ({"accuracy": 0.2}, "accuracy"),
        ({"acuracy": 0.01}, "did you mean 'accuracy'"),
    ):
        with pytest.raises(InputError, match=message):
            CoulombCalculator({"Mg": 1, "O": -1}, **arguments)
    with pytest.raises(InputError, match="no charge for O"):
        CoulombCalculator({"Mg": 1}).get_potential_energy(atoms)
    with pytest.raises(InputError, match=r"not neutral(.|\n)*-2 e"):
        CoulombCalculator({"Mg": 1, "O": -1.5}).get_potential_energy(atoms)
    accepted = CoulombCalculator({"Mg": 1, "O": -1.5}, background=True)
    assert np.isfinite(accepted.get_potential_energy(atoms))
    for method in ("ewald", "pme"):
        atoms.pbc = (True, False, False)
        with pytest.raises(InputError, match="pbc"):
            CoulombCalculator({"Mg": 1, "O": -1}, method=method).get_potential_energy(atoms)
