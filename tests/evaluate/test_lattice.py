from typing import ClassVar

import numpy as np
import pytest
from ase import units
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.spacegroup.symmetrize import check_symmetry

from asennp.calculators.buckingham import BuckinghamCoulomb
from asennp.errors import InputError
from asennp.evaluate import LatticeResult, compute_elastic, compute_formation, compute_lattice
from asennp.evaluate.lattice import _changes
from asennp.evaluate.precision import in_double
from asennp.structures import build_perovskite, build_phase


class Noisy(Calculator):
    """EMT rounded and jittered like a single-precision network, a different jitter at every frame."""

    implemented_properties = ("energy", "free_energy", "forces", "stress")

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        copy = atoms.copy()
        copy.calc = EMT()
        rng = np.random.default_rng(int(1e6 * abs(atoms.positions).sum()))
        energy = copy.get_potential_energy() + 1e-5 * rng.normal()
        forces = copy.get_forces() + 1e-4 * rng.normal(size=(len(atoms), 3))
        stress = copy.get_stress() + 1e-6 * rng.normal(size=6)
        self.results = {"energy": energy, "free_energy": energy, "forces": forces, "stress": stress}


def lj():
    return LennardJones(sigma=2.5, epsilon=0.1, rc=7.5, smooth=False)


def test_fcc_copper_reaches_the_minimum_of_a_scan():
    result = compute_lattice(bulk("Cu", a=3.7), EMT(), fmax=1e-5, smax_GPa=1e-4)
    scan = np.linspace(3.585, 3.595, 11)
    energies = []
    for a in scan:
        atoms = bulk("Cu", a=a)
        atoms.calc = EMT()
        energies.append(atoms.get_potential_energy())
    best = np.polynomial.Polynomial.fit(scan, energies, 2).deriv().roots()[0]
    assert result.a == pytest.approx(best, abs=2e-4)
    assert result.a == result.b == result.c or np.ptp([result.a, result.b, result.c]) < 1e-8
    assert result.converged and result.spacegroup == "Fm-3m" and result.spacegroup_number == 225
    assert result.volume_per_atom == pytest.approx(result.a**3 / 4)


def test_conventional_parameters_do_not_depend_on_the_cell_setting():
    small = compute_lattice(bulk("Cu", a=3.7), EMT())
    large = compute_lattice(bulk("Cu", a=3.7, cubic=True) * (2, 1, 1), EMT())
    assert large.a == pytest.approx(small.a, abs=2e-4) and len(large.atoms) == 8
    assert large.energy_per_atom == pytest.approx(small.energy_per_atom, abs=1e-6)


def test_hexagonal_cell_and_its_angles():
    result = compute_lattice(bulk("Mg", a=2.7, c=4.6), lj())
    assert result.spacegroup == "P6_3/mmc"
    assert (result.alpha, result.beta, result.gamma) == pytest.approx((90.0, 90.0, 120.0), abs=1e-6)
    # Lennard-Jones hcp is nearly ideal
    assert result.c / result.a == pytest.approx(np.sqrt(8 / 3), abs=2e-3)
    assert result.u is None


def test_pressure_is_reached_and_enters_the_enthalpy():
    result = compute_lattice(bulk("Cu", a=3.6), EMT(), pressure_GPa=20.0, fmax=1e-4, smax_GPa=1e-3)
    atoms = result.atoms.copy()
    atoms.calc = EMT()
    assert -atoms.get_stress()[:3].mean() / units.GPa == pytest.approx(20.0, abs=2e-3)
    expected = result.energy_per_atom + 20.0 * units.GPa * result.volume_per_atom
    assert result.enthalpy_per_atom == pytest.approx(expected)


def test_noise_ends_the_search_and_is_admitted():
    noisy = compute_lattice(bulk("Cu", a=3.7, cubic=True), Noisy(), fmax=1e-7, smax_GPa=1e-6)
    exact = compute_lattice(bulk("Cu", a=3.7), EMT())
    assert not noisy.converged and noisy.n_steps < 120
    assert noisy.a == pytest.approx(exact.a, abs=1e-3)
    assert compute_lattice(bulk("Cu", a=3.7, cubic=True), Noisy(), fmax=1e-3, smax_GPa=0.02).converged


def test_input_and_calculator_are_left_alone():
    atoms = bulk("Cu", a=3.7)
    before = atoms.copy()
    compute_lattice(atoms, EMT())
    assert atoms == before and atoms.calc is None and not atoms.constraints


def test_double_precision_is_asked_for():
    asked = []

    class Single(LennardJones):
        def with_dtype(self, name):
            asked.append(name)
            return EMT()

    result = compute_lattice(bulk("Cu", a=3.7), Single())
    assert asked == ["float64"] and result.a == pytest.approx(3.59, abs=0.01)


def test_a_parameter_for_the_precision_is_used_on_a_copy():
    class Settable(Calculator):
        implemented_properties = ("energy", "free_energy", "forces", "stress")
        default_parameters: ClassVar = {"dtype": "float32"}

    given = Settable()
    assert in_double(given).parameters["dtype"] == "float64" and given.parameters["dtype"] == "float32"
    plain = EMT()
    assert in_double(plain) is plain


def test_a_collapse_ends_the_search_at_the_best_frame():
    class Hole(EMT):
        def calculate(self, atoms, *arguments):
            if atoms.cell.volume / len(atoms) < 11.5:
                raise InputError("atoms overlap")
            super().calculate(atoms, *arguments)

    result = compute_lattice(bulk("Cu", a=3.7), Hole(), pressure_GPa=40.0)
    assert not result.converged and result.volume_per_atom > 11.5
    with pytest.raises(InputError, match="overlap"):
        compute_lattice(bulk("Cu", a=3.5), Hole())


def test_result_survives_json(tmp_path):
    result = compute_lattice(bulk("Cu", a=3.6), EMT())
    again = LatticeResult.from_json(result.to_json(tmp_path / "lattice.json"))
    assert again.to_dict() == result.to_dict() and again.atoms == result.atoms


def test_formation_orders_phases_and_refuses_what_cannot_be_resolved():
    # EMT puts hcp copper a fraction of a meV/atom below fcc
    phases = {"bcc": bulk("Cu", "bcc", a=2.9), "hcp": bulk("Cu", "hcp", a=2.6), "fcc": bulk("Cu", a=3.6)}
    result = compute_formation(phases, EMT(), resolution_meV=5.0)
    ground, second, third = result.energies_meV
    assert result.ground_state == ground and {ground, second} == {"fcc", "hcp"} and third == "bcc"
    assert result.energies_meV[ground] == 0.0 and 0.0 < result.energies_meV[second] < 5.0
    assert result.unresolved == ((ground, second),)
    with pytest.raises(InputError, match="below the calculator's resolution"):
        result.energy_meV(second)
    assert result.energy_meV("bcc") == result.energies_meV["bcc"] > 5.0


def test_formation_refuses_mixed_compositions():
    with pytest.raises(InputError, match="one composition"):
        compute_formation({"a": bulk("Cu"), "b": bulk("Ni")}, EMT())


def test_a_crystal_that_leaves_its_phase_is_reported():
    """Rigid-ion MgO in the wurtzite structure flattens into layers of five-fold coordination."""
    calculator = BuckinghamCoulomb("mgo-lewis-catlow", cutoff=6.0)
    result = compute_lattice(build_phase("MgO", "wurtzite", a=3.28), calculator)
    assert (result.initial_spacegroup_number, result.spacegroup_number) == (186, 194)
    words = " ".join(result.warnings)
    assert not result.kept_phase and "Mg 4 to 5" in words
    assert "the phase changed from wurtzite to graphitic" in words


def test_a_distortion_is_no_change_of_neighbours():
    """Barium titanate whose titanium moves further off its centre: six oxygens before and after."""
    start = build_perovskite("BaTiO3", 3.99, 4.04, (0.0, 0.015, -0.026, -0.014))
    end = build_perovskite("BaTiO3", 4.0019, 4.1991, (0.0122, 0.0267, -0.0386, -0.0196))  # CHGNet's
    data = check_symmetry(start, 0.01)
    assert _changes(start, end, data, data) == ()


def test_bad_input_is_refused():
    class Forces(EMT):
        implemented_properties = ("energy", "forces")

    with pytest.raises(InputError, match="asked symmetry"):
        compute_lattice(bulk("Cu", a=3.6), EMT(), spacegroup="F-43m")
    assert compute_lattice(bulk("Cu", a=3.6), EMT(), spacegroup=225, steps=0).spacegroup == "Fm-3m"
    with pytest.raises(InputError, match="needs stress"):
        compute_lattice(bulk("Cu", a=3.6), Forces())
    with pytest.raises(InputError, match="needs stress"):
        compute_elastic(bulk("Cu", a=3.6), Forces())
    with pytest.raises(InputError, match="needs a crystal"):
        compute_lattice(molecule("H2O"), EMT())
    with pytest.raises(InputError, match="not a strain"):
        compute_elastic(bulk("Cu", a=3.6), EMT(), strain=0.0)
    with pytest.raises(InputError, match="simple"):
        compute_elastic(bulk("Cu", a=3.6), EMT(), shear="simpel")
