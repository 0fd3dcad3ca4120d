"""Sums of calculators."""

import numpy as np
import pytest
from ase.calculators.calculator import all_changes
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones

from asennp import BuckinghamCoulomb, CoulombCalculator, SumCalculator
from asennp.errors import InputError
from asennp.structures import build_phase


class Counted(BuckinghamCoulomb):
    calls = 0

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        self.calls += 1
        super().calculate(atoms, properties, system_changes)


def test_every_property_is_the_sum_in_one_pass_each():
    atoms = build_phase("ZnO", "zincblende", 4.5)
    atoms.rattle(0.1, seed=1)
    members = [Counted(coulomb=False), Counted("zno-binks", coulomb=False), LennardJones(sigma=2.0, rc=4.0)]
    total = SumCalculator(members)
    atoms.calc = total
    atoms.get_potential_energy()
    for name in ("energy", "free_energy", "energies", "forces", "stress"):
        np.testing.assert_allclose(total.results[name], sum(m.results[name] for m in members), atol=1e-12)
    atoms.get_stress()
    assert [m.calls for m in members[:2]] == [1, 1]
    atoms.positions[0, 0] += 0.1
    atoms.get_forces()
    assert [m.calls for m in members[:2]] == [2, 2]


def test_charges_come_from_the_one_member_that_has_them():
    atoms = build_phase("ZnO", "zincblende", 4.5)
    coulomb = CoulombCalculator({"Zn": 0.8, "O": -0.8})
    total = SumCalculator([LennardJones(sigma=2.0), coulomb])
    np.testing.assert_array_equal(total.get_property("charges", atoms), coulomb.results["charges"])
    # two claims, no charges
    assert "charges" not in SumCalculator([coulomb, BuckinghamCoulomb()]).implemented_properties


def test_a_member_that_lacks_a_property_is_refused_by_name():
    with pytest.raises(InputError, match=r"member 1 \(Lacking\): a member has no energies, stress"):

        class Lacking(EMT):
            implemented_properties = ("energy", "free_energy", "forces")

        SumCalculator([LennardJones(), Lacking()])
    with pytest.raises(InputError, match="no calculators"):
        SumCalculator([])
    with pytest.raises(InputError, match="member 0"):
        SumCalculator([3])
