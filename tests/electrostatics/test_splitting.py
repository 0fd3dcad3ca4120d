"""The choice of the Coulomb sum: visible, held through a run when asked, and handed on by a restart."""

import json

import numpy as np
import pytest

from asennp import BuckinghamCoulomb, CoulombCalculator, SumCalculator
from asennp.electrostatics.ewald import Ewald
from asennp.electrostatics.pme import PME, choose_mesh, crowding, mesh_error
from asennp.errors import InputError
from asennp.structures import build_phase
from asennp.units import COULOMB_EV_A

CHARGES = {"Mg": 1.2, "O": -1.2}


def crystal(a=4.2, repeat=1):
    atoms = build_phase("MgO", "rocksalt", a, repeat=repeat)
    atoms.rattle(0.1, seed=3)
    return atoms


def stretched(atoms, factor):
    other = atoms.copy()
    other.set_cell(factor * atoms.cell.array, scale_atoms=True)
    return other


def energy(calculator, atoms):
    calculator.calculate(atoms)
    return calculator.results["energy"]


@pytest.mark.parametrize("method", ["pme", "torch-pme"])
def test_a_mesh_that_is_held_stays(method, monkeypatch):
    monkeypatch.setattr("asennp.electrostatics.mesh.TORCH_PME_BEYOND", 0)
    atoms = crystal(repeat=2)
    free, held = (CoulombCalculator(CHARGES, method=method, accuracy=1e-4) for _ in range(2))
    held.hold(atoms)
    start = held.electrostatics.settings
    assert energy(held, atoms) == energy(free, atoms)
    meshes, exact = set(), CoulombCalculator(CHARGES, method="ewald", accuracy=1e-10)
    for factor in (0.85, 0.95, 1.02, 1.05):
        there = stretched(atoms, factor)
        energy(free, there)
        meshes.add(free.electrostatics.settings.mesh)
        energy(held, there)
        assert held.electrostatics.settings == start
        energy(exact, there)
        scale = COULOMB_EV_A * 1.2**2 * (len(there) / there.get_volume()) ** (2 / 3)
        error = held.results["forces"] - exact.results["forces"]
        assert np.sqrt((error**2).sum(axis=1).mean()) < 1e-4 * scale
    assert len(meshes) > 1
    # other systems do not come into it
    other = crystal()
    assert energy(held, other) == energy(free, other)
    energy(held, there)
    assert held.electrostatics.settings == start


def test_a_mesh_too_coarse_is_given_up():
    atoms, far = crystal(), stretched(crystal(), 1.4)
    held, free = (CoulombCalculator(CHARGES, method="pme", accuracy=1e-5) for _ in range(2))
    held.hold(atoms)
    start = held.held()
    assert energy(held, far) == energy(free, far)
    assert held.held() != start
    # and the new one is held from there on: back at the start the mesh is finer than it needs to be
    energy(held, atoms)
    assert held.electrostatics.settings == free.electrostatics.settings


def test_the_rule_is_that_of_the_accuracy():
    sum_ = PME(1e-6)
    chosen, _ = choose_mesh(64, 700.0, (8.9, 8.9, 8.9), 1e-6)
    for length in (8.9, 9.5, 10.5, 12.0):
        crowd = crowding(chosen.alpha, 700.0, 64, (8.9, 8.9, length))
        error = mesh_error(chosen.order, chosen.alpha * length / min(chosen.mesh), crowd)
        assert sum_._serves(chosen, np.diag([8.9, 8.9, length]), 64, 700.0) == (error <= 1e-6)


def test_what_is_held_goes_through_a_file():
    atoms, there = crystal(repeat=2), stretched(crystal(repeat=2), 1.05)
    first = CoulombCalculator(CHARGES, method="pme", accuracy=1e-4)
    first.hold(atoms)
    expected, fresh = energy(first, there), CoulombCalculator(CHARGES, method="pme", accuracy=1e-4)
    assert energy(fresh, there) != expected
    fresh.set_held(json.loads(json.dumps(first.held())))
    assert fresh.results == {}
    assert energy(fresh, there) == expected
    fresh.set_held(first.held())
    assert fresh.results["energy"] == expected
    fresh.set_held(None)
    assert energy(fresh, there) != expected
    for other in ({"method": "ewald"}, {"accuracy": 1e-5}):
        wrong = CoulombCalculator(CHARGES, **{"method": "pme", "accuracy": 1e-4, **other})
        with pytest.raises(InputError, match="another one"):
            wrong.set_held(first.held())


def test_the_kind_of_sum_is_held_too():
    # just below the size where the mesh pays; a strong expansion would turn the choice
    atoms = build_phase("ZnO", "rocksalt", 4.3, repeat=4)
    calculator = BuckinghamCoulomb(cutoff=6.0, accuracy=1e-3)
    calculator.hold(atoms)
    kind = calculator.held()["method"]
    calculator.set_held({**calculator.held(), "method": "ewald", "settings": _ewald(atoms, 1e-3)})
    assert kind == "pme"
    held = energy(calculator, atoms)
    assert isinstance(calculator.electrostatics, Ewald)
    assert held == pytest.approx(energy(BuckinghamCoulomb(cutoff=6.0, accuracy=1e-3), atoms), rel=1e-4)


def _ewald(atoms, accuracy):
    sum_ = Ewald(accuracy)
    settings = sum_.choose(atoms.cell.array, len(atoms), atoms.get_volume(), atoms.pbc)
    return {"alpha": settings.alpha, "real_cutoff": settings.real_cutoff, "k_cutoff": settings.k_cutoff}


def test_open_cells_have_nothing_to_hold():
    atoms = crystal()
    atoms.pbc = False
    calculator = CoulombCalculator(CHARGES)
    calculator.hold(atoms)
    assert calculator.held() is None


def test_members_of_a_sum_hold_theirs():
    short = BuckinghamCoulomb("mgo-lewis-catlow", coulomb=False, cutoff=6.0)
    both = SumCalculator([short, CoulombCalculator(CHARGES, method="pme", accuracy=1e-4)])
    assert both.held() is None
    both.hold(crystal())
    assert both.held()[0] is None
    assert both.held()[1]["method"] == "pme"
    other = SumCalculator([short, CoulombCalculator(CHARGES, method="pme", accuracy=1e-4)])
    other.set_held(both.held())
    there = stretched(crystal(), 1.06)
    assert energy(other, there) == energy(both, there)
    other.set_held(None)
    assert other.held() is None
