"""The splitting of a Coulomb sum stays the same through a run and over a restart, also where a fresh one
would not."""

import numpy as np
import pytest
from ase import units

from asennp import BuckinghamCoulomb, CoulombCalculator, PQEqCalculator, SumCalculator
from asennp.errors import InputError
from asennp.md.deformation import DeformationMD
from asennp.structures import build_phase

LONG_RANGE = {
    "coulomb": lambda: CoulombCalculator({"Zn": 2, "O": -2}, method="pme", accuracy=1e-4),
    "pqeq": lambda: PQEqCalculator(solver="iterative", accuracy=1e-4),
}
#: Cells of the start, and a mode that soon takes it to where a fresh choice is another one.
START = {"coulomb": (2, "uniaxial"), "pqeq": (1, "plane-strain")}


def calculator(kind="coulomb"):
    short = BuckinghamCoulomb("zno-lewis-catlow", coulomb=False, cutoff=6.0)
    return SumCalculator([short, LONG_RANGE[kind]()])


def start(kind="coulomb"):
    repeat, mode = START[kind]
    atoms = build_phase("ZnO", "rocksalt", 4.3, repeat=repeat)
    atoms.calc = calculator(kind)
    return pull(atoms, mode)


def pull(atoms, mode="uniaxial"):
    """One per cent of strain every second step."""
    return DeformationMD(
        atoms, 1.0 * units.fs, 300, mode=mode, strain_step=0.01, steps_per_strain=2, n_equilibration=2,
        rng=np.random.default_rng(4),
    )  # fmt: skip


def mesh(dynamics):
    return dynamics.atoms.calc.calculators[1].electrostatics.settings.mesh


@pytest.mark.parametrize("kind", LONG_RANGE)
def test_mesh_through_run_and_restart(kind, tmp_path):
    whole = start(kind)
    meshes = set()
    whole.attach(lambda: meshes.add(mesh(whole)), 1)
    whole.run(16)
    assert len(meshes) == 1
    # a fresh choice for the last cell is another one: this run crosses a boundary
    fresh = calculator(kind)
    fresh.calculate(whole.atoms)
    assert fresh.calculators[1].electrostatics.settings.mesh != mesh(whole)
    assert fresh.results["energy"] != whole.atoms.get_potential_energy()

    first = start(kind)
    first.run(14)
    fresh.calculate(first.atoms)
    assert fresh.calculators[1].electrostatics.settings.mesh != mesh(first)
    first.save(tmp_path / "restart")
    second = DeformationMD.restart(tmp_path / "restart", calculator=calculator(kind))
    second.run(2)
    assert mesh(second) == mesh(whole)
    np.testing.assert_array_equal(second.atoms.positions, whole.atoms.positions)
    np.testing.assert_array_equal(second.atoms.get_forces(), whole.atoms.get_forces())
    assert second.atoms.get_potential_energy() == whole.atoms.get_potential_energy()
    # runs that share a calculator keep their own choices
    shared = first.atoms.calc
    other = build_phase("ZnO", "rocksalt", 4.6, repeat=2)
    other.calc = shared
    pull(other, START[kind][1]).run(2)
    first.run(2)
    np.testing.assert_array_equal(first.atoms.positions, whole.atoms.positions)


def test_a_new_run_chooses_anew():
    dynamics = start()
    dynamics.run(16)
    atoms = dynamics.atoms
    again = pull(atoms)
    before = mesh(dynamics)
    again.run(1)
    assert mesh(again) != before


def test_restart_with_another_sum_is_refused(tmp_path):
    dynamics = start()
    dynamics.run(1)
    dynamics.save(tmp_path / "restart")
    others = CoulombCalculator({"Zn": 2, "O": -2}, method="ewald"), PQEqCalculator(accuracy=1e-4)
    for long_range in others:
        other = SumCalculator([calculator().calculators[0], long_range])
        again = DeformationMD.restart(tmp_path / "restart", calculator=other)
        with pytest.raises(InputError, match="another one"):
            again.run(1)
