"""Tabulated pair curves against the curves themselves, and that sums over them repeat to the bit."""

import numpy as np
import pytest
from scipy.special import erfc

from asennp import BuckinghamCoulomb
from asennp.electrostatics.ewald import Ewald
from asennp.electrostatics.pairs import PairCurves, add_tabulated
from asennp.electrostatics.sums import Sums
from asennp.electrostatics.table import screened_curve, screened_table, tabulate
from asennp.neighbors import VerletPairs
from asennp.structures import build_phase


def pair_energy(table, r, nearest=0.5, reach=10.0):
    """Energy and force on the first of two atoms a distance r apart in a large cell."""
    cell, positions = np.eye(3) * 40.0, np.array([[0.0, 0, 0], [0.0, 0, r]])
    rows = VerletPairs(reach).rows(positions, cell, np.ones(3, bool))
    out = energies, forces, virial = Sums.zeros(2)
    curves = PairCurves(np.zeros((1, 1), np.int64), np.full((1, 1), nearest), table, reach)
    holds = add_tabulated(positions, cell, rows, np.ones(2), np.zeros(2, np.int32), curves, out)
    np.testing.assert_allclose(forces[0], -forces[1])
    assert virial[2, 2] == pytest.approx(-forces[0, 2] * -r, abs=1e-15)
    assert energies[0] == energies[1]
    return energies.sum(), forces[0, 2], holds


@pytest.mark.parametrize("r", [0.5, 0.51, 1.0, 1.9999999, 2.0, 3.3, 7.7, 9.999])
def test_a_curve_and_its_slope(r):
    table = tabulate(lambda r: 300.0 * np.exp(-r / 0.3) - 5.0 / r**6 + erfc(0.4 * r) / r, 10.0)
    value = 300.0 * np.exp(-r / 0.3) - 5.0 / r**6 + erfc(0.4 * r) / r
    slope = -1000.0 * np.exp(-r / 0.3) + 30.0 / r**7 - erfc(0.4 * r) / r**2
    slope -= 0.8 / np.sqrt(np.pi) * np.exp(-0.16 * r * r) / r
    energy, force, holds = pair_energy(table, r)
    assert energy == pytest.approx(value, rel=1e-11)
    assert force == pytest.approx(slope, rel=1e-8, abs=1e-11)
    assert holds


def test_reach_and_close_pairs():
    table = screened_table(0.4, 10.0)
    assert pair_energy(table, 10.0) == (0.0, 0.0, True)
    # nothing is added where the table does not hold
    assert pair_energy(table, 0.4999) == (0.0, 0.0, False)
    assert pair_energy(table, 2.0, nearest=2.1) == (0.0, 0.0, False)
    assert screened_curve(np.array([10.0, 11.0]), 0.4, 10.0).tolist() == [0.0, 0.0]


def test_tables_change_nothing_that_matters():
    atoms = build_phase("ZnO", "wurtzite", 3.25, 5.2, repeat=(2, 2, 1))
    atoms.rattle(0.15, seed=4)
    charges = np.where(atoms.numbers == 30, 1.0, -1.0)
    plain, tabulated = Ewald(1e-8), Ewald(1e-8)
    plain._add_tabulated = lambda *_: False
    frame = (atoms.positions, atoms.cell.array, charges, atoms.pbc)
    for found, expected in zip(tabulated.compute(*frame), plain.compute(*frame)):
        np.testing.assert_allclose(found, expected, atol=2e-10)
    plain, tabulated = BuckinghamCoulomb(cutoff=8.0), BuckinghamCoulomb(cutoff=8.0)
    plain._add_tabulated = lambda *_: False
    for calculator in (plain, tabulated):
        calculator.calculate(atoms)
    for name in ("energies", "forces", "stress"):
        np.testing.assert_allclose(tabulated.results[name], plain.results[name], atol=2e-9, err_msg=name)


def test_coulomb_may_reach_beyond_the_short_range_terms():
    atoms = build_phase("ZnO", "wurtzite", 3.25, 5.2, repeat=(2, 2, 1))
    atoms.rattle(0.15, seed=4)
    plain, tabulated = BuckinghamCoulomb(cutoff=4.0), BuckinghamCoulomb(cutoff=4.0)
    plain._add_tabulated = lambda *_: False
    for calculator in (plain, tabulated):
        calculator.calculate(atoms)
    assert tabulated.electrostatics.settings.real_cutoff > 4.0
    np.testing.assert_allclose(tabulated.results["forces"], plain.results["forces"], atol=2e-9)
    assert tabulated.results["energy"] == pytest.approx(plain.results["energy"], abs=1e-8)


@pytest.mark.parametrize("repeat", [1, 4])
def test_results_do_not_depend_on_the_age_of_the_list(repeat):
    atoms = build_phase("ZnO", "rocksalt", 4.3, repeat=repeat)
    calculator, rng = BuckinghamCoulomb(cutoff=7.0, guard=True), np.random.default_rng(2)
    for _ in range(12):
        atoms.positions += rng.normal(0.0, 0.1, atoms.positions.shape)
        calculator.calculate(atoms)
        fresh = BuckinghamCoulomb(cutoff=7.0, guard=True)
        fresh.calculate(atoms)
        for name in ("energies", "forces", "stress"):
            np.testing.assert_array_equal(calculator.results[name], fresh.results[name])
    assert 1 < calculator._pairs.n_builds < 12
