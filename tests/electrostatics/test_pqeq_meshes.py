"""The meshes of PQEq: held through a run when asked, given up when too coarse, handed on by a restart."""

import json

import numpy as np
import pytest

from asennp import PQEqCalculator
from asennp.errors import InputError
from asennp.structures import build_phase


def crystal(stretch=(1.0, 1.0, 1.0)):
    atoms = build_phase("ZnO", "rocksalt", 4.3)
    atoms.rattle(0.05, seed=3)
    atoms.set_cell(atoms.cell.array * stretch, scale_atoms=True)
    return atoms


def meshed(accuracy=1e-4, **kwargs):
    return PQEqCalculator(solver="iterative", accuracy=accuracy, **kwargs)


def test_meshes_that_are_held_stay():
    """Over a strain at which a free choice changes, the energy goes on smoothly, with its stress."""
    held, free = meshed(tolerance=1e-10), meshed(tolerance=1e-10)
    held.hold(crystal())
    start = held.electrostatics.settings
    assert held.get_property("energy", crystal()) == free.get_property("energy", crystal())
    meshes, jumps = set(), []
    for edge in np.arange(1.0, 1.08, 0.01):
        atoms = crystal((edge, 1.0, 1.0))
        jumps.append(free.get_property("energy", atoms) - held.get_property("energy", atoms))
        meshes.add(free.electrostatics.settings)
        assert held.electrostatics.settings == start
    assert len(meshes) > 1
    assert jumps[0] == 0.0
    assert 0.0 < abs(jumps[-1]) < 1e-3 * len(atoms)
    energies = [held.get_property("energy", crystal((1.04 + h, 1.0, 1.0))) for h in (-1e-4, 1e-4)]
    atoms = crystal((1.04, 1.0, 1.0))
    stress = held.get_property("stress", atoms)[0]
    slope = (energies[1] - energies[0]) / 2e-4 * 1.04 / atoms.get_volume()
    assert stress == pytest.approx(slope, abs=1e-8)


def test_a_mesh_too_coarse_is_given_up():
    held, free, far = meshed(), meshed(), crystal((1.9, 1.9, 1.9))
    held.hold(crystal())
    start = held.held()
    assert held.get_property("energy", far) == free.get_property("energy", far)
    assert held.held() != start


def test_what_is_held_goes_into_another_process():
    first, second, third = meshed(), meshed(), meshed()
    first.hold(crystal())
    kept = json.loads(json.dumps(first.held()))
    second.set_held(kept)
    assert second.held() == kept
    far = crystal((1.06, 1.0, 1.0))
    assert second.get_property("energy", far) == first.get_property("energy", far)
    assert third.get_property("energy", far) != first.get_property("energy", far)
    # other systems do not come into it
    small = far.repeat((2, 1, 1))
    assert second.get_property("energy", small) == third.get_property("energy", small)
    with pytest.raises(InputError, match="another one"):
        meshed(accuracy=1e-5).set_held(kept)
    second.set_held(None)
    assert second.held() is None
    assert second.get_property("energy", far) == third.get_property("energy", far)


def test_small_cells_have_nothing_to_hold():
    calculator = PQEqCalculator()
    calculator.hold(crystal())
    assert calculator.held() is None
