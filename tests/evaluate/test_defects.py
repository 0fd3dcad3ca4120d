import numpy as np
import pytest
from ase.build import bulk, fcc100
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones

from asennp.calculators.buckingham import BuckinghamCoulomb
from asennp.errors import InputError
from asennp.evaluate import (
    build_slab,
    build_vacancies,
    compute_defect,
    compute_lattice,
    compute_surface,
    compute_vacancy,
)
from asennp.evaluate.slab import slab_dipole
from asennp.report.defects import plot_defects, tabulate_defects
from asennp.report.svg import to_svg
from asennp.structures import build_phase

FORMAL = {"Mg": 2.0, "O": -2.0, "Zn": 2.0, "Ca": 2.0, "F": -1.0}


@pytest.fixture(scope="module")
def copper():
    return compute_lattice(bulk("Cu", a=3.6, cubic=True), EMT(), fmax=1e-5, smax_GPa=1e-4).atoms


@pytest.fixture(scope="module")
def magnesia():
    calculator = BuckinghamCoulomb("mgo-lewis-catlow", cutoff=8.0)
    return compute_lattice(build_phase("MgO", "rocksalt", a=4.2), calculator).atoms, calculator


def test_unrelaxed_vacancy_of_a_pair_potential_is_the_energy_of_an_atom():
    """Removing an atom breaks its bonds: 2 |e| - |e|, with e the energy per atom, whatever the supercell."""
    calculator = LennardJones(sigma=2.5, epsilon=0.1, rc=5.0, smooth=True)
    lattice = compute_lattice(bulk("Ar", a=3.9, cubic=True), calculator)
    for repeat in (3, (3, 3, 4)):
        result = compute_vacancy(lattice.atoms, calculator, {"Ar": 1}, repeat, fmax=1.0)
        assert result.unrelaxed_eV == pytest.approx(-lattice.energy_per_atom, rel=1e-6)
        assert result.label == "V(Ar)"


def test_a_relaxed_vacancy_costs_less(copper):
    result = compute_vacancy(copper, EMT(), {"Cu": 1}, 2)
    assert 0.8 < result.energy_eV < result.unrelaxed_eV < 1.5 and result.converged and result.exchanged == {}


def test_perfect_crystal_costs_nothing(copper):
    result = compute_defect(copper.repeat(2), copper, EMT())
    assert result.energy_eV == pytest.approx(0.0, abs=1e-6) and np.isnan(result.surface_J_m2)


def test_surface_of_copper_is_that_of_a_slab_built_by_hand(copper):
    result = compute_surface(copper, EMT(), (1, 0, 0), thickness_A=10.0)
    slab = fcc100("Cu", (1, 1, 6), a=copper.cell[0, 0], vacuum=8.0)
    slab.calc = EMT()
    perfect = copper.copy()
    perfect.calc = EMT()
    energy = slab.get_potential_energy() - 6 * perfect.get_potential_energy() / 4
    area = 2 * np.linalg.norm(np.cross(slab.cell[0], slab.cell[1]))
    assert result.unrelaxed_J_m2 == pytest.approx(energy / area * 16.0217663, rel=1e-6)
    # the close-packed face is the cheapest
    assert compute_surface(copper, EMT(), (1, 1, 1), thickness_A=10.0).surface_J_m2 < result.surface_J_m2


def test_schottky_pair_stays_neutral_and_binds(magnesia):
    atoms, calculator = magnesia
    near = compute_vacancy(atoms, calculator, {"Mg": 1, "O": 1}, 2, fmax=0.05)
    far = compute_vacancy(atoms, calculator, {"Mg": 1, "O": 1}, 2, separation="far", fmax=0.05)
    assert 0.0 < near.energy_eV < far.energy_eV < far.unrelaxed_eV
    assert near.formula_units == 31.0 and any("cut-off" in words for words in near.warnings)
    with pytest.raises(InputError, match="Schottky"):
        compute_vacancy(atoms, calculator, {"O": 1}, 2)


def test_surface_of_magnesia(magnesia):
    """(100) of rock salt is neutral plane by plane; its rigid-ion energy does not depend on the thickness."""
    atoms, calculator = magnesia
    thin, thick = (
        compute_surface(atoms, calculator, (1, 0, 0), t, charges=FORMAL, fmax=0.02) for t in (8.0, 16.0)
    )
    assert thin.unrelaxed_J_m2 == pytest.approx(thick.unrelaxed_J_m2, rel=5e-3)
    assert 0.5 < thick.surface_J_m2 <= thick.unrelaxed_J_m2 < 2.0
    table = tabulate_defects({"100": thick})
    assert table.rows[0][3] == thick.surface_J_m2
    assert "J/m²" in to_svg(plot_defects({"100": thick}), "t")


@pytest.mark.parametrize(
    ("crystal", "miller", "polar"),
    [
        (build_phase("MgO", "rocksalt", a=4.2), (1, 0, 0), False),
        (build_phase("MgO", "rocksalt", a=4.2), (1, 1, 0), False),
        (build_phase("MgO", "rocksalt", a=4.2), (1, 1, 1), True),
        (build_phase("ZnO", "zincblende", a=4.6), (1, 1, 0), False),
        (build_phase("ZnO", "zincblende", a=4.6), (1, 0, 0), True),
        (build_phase("ZnO", "wurtzite", a=3.25), (1, 0, 0), False),
        (build_phase("ZnO", "wurtzite", a=3.25), (0, 0, 1), True),
        (build_phase("CaF2", "fluorite", a=5.46), (1, 1, 1), False),
    ],
)
def test_polar_faces_are_known(crystal, miller, polar):
    """Tasker's kinds: neutral planes, charged planes without a dipole (fluorite 111), polar ones."""
    if polar:
        with pytest.raises(InputError, match="polar at every termination"):
            build_slab(crystal, miller, 10.0, charges=FORMAL)
        return
    slab = build_slab(crystal, miller, 10.0, 12.0, charges=FORMAL)
    assert abs(slab_dipole(slab, FORMAL)) < 1e-6
    assert slab.symbols.formula.reduce()[0].count() == crystal.symbols.formula.reduce()[0].count()
    assert np.ptp(slab.positions[:, 2]) > 7.0
    assert slab.cell[2, 2] - np.ptp(slab.positions[:, 2]) == pytest.approx(12.0)


def test_reservoirs_take_what_is_missing(magnesia):
    """A vacancy of one ion costs what the reservoir pays: the energy moves one to one with it."""
    crystal = bulk("Cu", a=3.6, cubic=True)
    alloy = crystal.copy()
    alloy.symbols[0] = "Au"
    low = compute_defect(alloy, crystal, EMT(), chemical_potentials={"Au": -1.0}, steps=0)
    high = compute_defect(alloy, crystal, EMT(), chemical_potentials={"Au": 0.0}, steps=0)
    assert low.exchanged == {"Au": 1.0} and low.formula_units == 3.0
    assert low.energy_eV - high.energy_eV == pytest.approx(1.0)
    with pytest.raises(InputError, match="needs a chemical potential"):
        compute_defect(alloy, crystal, EMT())


def test_bad_input(copper):
    with pytest.raises(InputError, match="cannot remove"):
        build_vacancies(copper, 1, {"Cu": 4})
    with pytest.raises(InputError, match="unknown separation"):
        build_vacancies(copper, 2, {"Cu": 1}, separation="close")
    with pytest.raises(InputError, match="not Miller indices"):
        build_slab(copper, (0, 0, 0))
