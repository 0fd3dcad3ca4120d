"""Rigid ions: against an independent code, against known lattices, and at short distance."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS

from asennp import BuckinghamCoulomb, CoulombCalculator
from asennp.calculators.potential import inner_maximum, load_potential
from asennp.config import load_config, preset_names
from asennp.errors import InputError
from asennp.structures import build_phase

REFERENCE = Path(
    os.environ.get("ASENNP_REFERENCE", Path(__file__).parents[2].parent / "shared" / "reference")
)


@pytest.fixture(scope="module")
def reference():
    path = REFERENCE / "buckingham_coulomb.json"
    if not path.exists():
        pytest.skip(f"no reference data: {path}")
    return json.loads(path.read_text())["frames"]


@pytest.mark.parametrize("part", ["full", "buck", "coul_q1"])
def test_against_an_independent_code(reference, part):
    calculator = {
        "full": BuckinghamCoulomb("zno-lewis-catlow", cutoff=12.0, accuracy=1e-12),
        "buck": BuckinghamCoulomb("zno-lewis-catlow", cutoff=12.0, coulomb=False),
        "coul_q1": CoulombCalculator({"Zn": 1, "O": -1}, accuracy=1e-12),
    }[part]
    assert len(reference) == 11
    for frame in reference:
        atoms = Atoms(frame["symbols"], positions=frame["positions"], cell=frame["cell"], pbc=True)
        atoms.calc = calculator
        known, name = frame[part]["numpy"], frame["name"]
        assert atoms.get_potential_energy() / len(atoms) == pytest.approx(
            known["energy"] / len(atoms), abs=1e-8
        ), name
        np.testing.assert_allclose(
            atoms.get_potential_energies(), known["atomic_energies"], atol=1e-8, err_msg=name
        )
        np.testing.assert_allclose(atoms.get_forces(), known["forces"], atol=1e-7, err_msg=name)
        np.testing.assert_allclose(atoms.get_stress(), known["stress"], atol=1e-8, err_msg=name)


def test_default_accuracy_is_kept(reference):
    for frame in reference:
        atoms = Atoms(frame["symbols"], positions=frame["positions"], cell=frame["cell"], pbc=True)
        atoms.calc = BuckinghamCoulomb("zno-lewis-catlow", cutoff=12.0)
        known = frame["full"]["numpy"]
        assert abs(atoms.get_potential_energy() - known["energy"]) / len(atoms) < 5e-6
        np.testing.assert_allclose(atoms.get_forces(), known["forces"], atol=5e-5)


#: a, c, u, ZB a, RS a (Å), E(W) (eV per formula), ZB and RS above W (meV/atom); cut-off 12 Å
RIGID_IONS = {
    "zno-lewis-catlow": (3.2304, 5.0769, 0.3891, 4.5107, 4.2670, -39.6637, 45.10, 154.85),
    "zno-binks": (3.2708, 5.1382, 0.3891, 4.5666, 4.3193, -39.3435, 45.17, 141.45),
}


@pytest.mark.parametrize("name", RIGID_IONS)
def test_rigid_ion_lattices(name):
    a, c, u, zincblende, rocksalt, energy, above_zb, above_rs = RIGID_IONS[name]
    found = {}
    for prototype in ("wurtzite", "zincblende", "rocksalt"):
        start = 3.3 if prototype == "wurtzite" else 4.4
        atoms = build_phase("ZnO", prototype, start, cubic=False)
        atoms.calc = BuckinghamCoulomb(name, cutoff=12.0, accuracy=1e-9)
        # pairs that cross the plain cut-off shake the energy, not the stress
        assert BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=2e-4, steps=150)
        found[prototype] = atoms
    hexagonal = found["wurtzite"]
    cell = hexagonal.cell.lengths()
    bond = hexagonal.get_distance(3, 0, mic=True, vector=True)[2]
    np.testing.assert_allclose([cell[0], cell[2], abs(bond) / cell[2]], [a, c, u], atol=2e-4)
    # primitive vectors of the cubic phases are a/√2
    assert found["zincblende"].cell.lengths()[0] * np.sqrt(2) == pytest.approx(zincblende, abs=2e-4)
    assert found["rocksalt"].cell.lengths()[0] * np.sqrt(2) == pytest.approx(rocksalt, abs=2e-4)
    per_atom = {k: v.get_potential_energy() / len(v) for k, v in found.items()}
    assert 2 * per_atom["wurtzite"] == pytest.approx(energy, abs=2e-4)
    assert 1e3 * (per_atom["zincblende"] - per_atom["wurtzite"]) == pytest.approx(above_zb, abs=0.1)
    assert 1e3 * (per_atom["rocksalt"] - per_atom["wurtzite"]) == pytest.approx(above_rs, abs=0.1)


def test_coulomb_can_be_left_out():
    atoms = build_phase("ZnO", "zincblende", 4.5)
    atoms.rattle(0.1, seed=1)
    results = []
    for calculator in (
        BuckinghamCoulomb(accuracy=1e-11),
        BuckinghamCoulomb(coulomb=False),
        CoulombCalculator({"Zn": 2.0, "O": -2.0}, accuracy=1e-11),
    ):
        calculator.calculate(atoms)
        results.append(calculator.results)
    for name in ("energies", "forces", "stress"):
        np.testing.assert_allclose(
            results[0][name], results[1][name] + results[2][name], atol=1e-8, err_msg=name
        )


@pytest.mark.parametrize("guard", [False, True])
def test_slab_is_the_sum_of_its_parts(guard):
    # a lattice so small in the plane that the vacuum is set by the short-range cut-off
    atoms = build_phase("ZnO", "rocksalt", 4.3, cubic=False).repeat((1, 1, 3))
    atoms.rattle(0.1, seed=2)
    atoms.pbc = (True, True, False)
    parts = [
        BuckinghamCoulomb(accuracy=1e-10, guard=guard),
        BuckinghamCoulomb(coulomb=False),
        CoulombCalculator({"Zn": 2.0, "O": -2.0}, accuracy=1e-10),
    ]
    for part in parts:
        part.calculate(atoms)
    whole, short, coulomb = (part.results for part in parts)
    for name in ("energies", "forces", "stress"):
        np.testing.assert_allclose(whole[name], short[name] + coulomb[name], atol=1e-7, err_msg=name)


def dimer(symbols, distance):
    return Atoms(symbols, positions=[(0, 0, 0), (0, 0, distance)])


def test_pair_curve():
    A, rho, C = load_potential("argon-buckingham").pairs["Ar-Ar"]
    calculator = BuckinghamCoulomb("argon-buckingham")
    for r in (3.0, 3.866, 6.0, 9.99):
        atoms = dimer("Ar2", r)
        energy = calculator.get_potential_energy(atoms)
        assert energy == pytest.approx(A * np.exp(-r / rho) - C / r**6, rel=1e-12)
        force = A / rho * np.exp(-r / rho) - 6 * C / r**7
        np.testing.assert_allclose(
            calculator.get_forces(atoms)[:, 2], [-force, force], rtol=1e-11, atol=1e-14
        )
        assert "stress" not in calculator.results
    assert calculator.get_potential_energy(dimer("Ar2", 10.0)) == 0.0
    # the well of the exp-6 form: 123.2 K deep at 3.866 Å
    assert calculator.get_potential_energy(dimer("Ar2", 3.866)) == pytest.approx(
        -123.2 * 8.617333e-5, rel=1e-5
    )
    assert calculator.get_forces(dimer("Ar2", 3.866))[0, 2] == pytest.approx(0.0, abs=1e-6)


def test_switch_reaches_zero_smoothly():
    plain = BuckinghamCoulomb("argon-buckingham", cutoff=6.0)
    switched = BuckinghamCoulomb("argon-buckingham", cutoff=6.0, switch=2.0)
    assert switched.get_potential_energy(dimer("Ar2", 3.9)) == plain.get_potential_energy(dimer("Ar2", 3.9))
    assert abs(plain.get_potential_energy(dimer("Ar2", 5.9999))) > 1e-4
    assert abs(switched.get_potential_energy(dimer("Ar2", 5.9999))) < 1e-14
    assert abs(switched.get_forces(dimer("Ar2", 5.9999))[0, 2]) < 1e-9


def test_inner_maximum():
    parameters = (499.6, 0.3595, 0.0)
    r, height, curvature = inner_maximum(parameters, -4.0)

    def curve(r):
        return 499.6 * np.exp(-r / 0.3595) - 4 * 14.39964547842567 / r

    assert 0.2 < r < 0.5
    assert height == pytest.approx(curve(r))
    h = 1e-4
    assert (curve(r + h) - curve(r - h)) / (2 * h) == pytest.approx(0.0, abs=1e-2)
    assert (curve(r + h) + curve(r - h) - 2 * height) / h**2 == pytest.approx(-curvature, rel=1e-3)
    # repulsive to the end, and attractive all along: nothing to guard
    assert inner_maximum((499.6, 0.3595, 0.0), 4.0) == (0.0, 0.0, 0.0)
    assert inner_maximum(None, -4.0) == (0.0, 0.0, 0.0)
    assert inner_maximum((1e-3, 0.2, 50.0), -4.0) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(("symbols", "potential"), [("ZnO", "zno-lewis-catlow"), ("Ar2", "argon-buckingham")])
def test_guard_continues_the_curve_upwards(symbols, potential):
    pair = load_potential(potential)
    a, b = Atoms(symbols).symbols
    r_g, height, _ = inner_maximum(pair.pair(a, b), pair.charges[a] * pair.charges[b])
    guarded, bare = BuckinghamCoulomb(potential, guard=True), BuckinghamCoulomb(potential)
    outside = dimer(symbols, 1.001 * r_g)
    assert guarded.get_potential_energy(outside) == bare.get_potential_energy(outside)
    assert guarded.guard_count == 0
    assert guarded.get_potential_energy(outside) == pytest.approx(height, rel=1e-4)
    inside = [guarded.get_potential_energy(dimer(symbols, f * r_g)) for f in (0.9999999, 0.9, 0.5, 0.1, 0.01)]
    assert guarded.guard_count == 5
    assert inside[0] == pytest.approx(height, rel=1e-9)
    assert np.all(np.diff(inside) > 0)
    h, r = 1e-5, 0.7 * r_g
    slope = (
        guarded.get_potential_energy(dimer(symbols, r + h))
        - guarded.get_potential_energy(dimer(symbols, r - h))
    ) / (2 * h)
    assert guarded.get_forces(dimer(symbols, r))[1, 2] == pytest.approx(-slope, rel=1e-6)
    with pytest.raises(InputError, match=f"{a}-{b} pairs are inside the inner maximum"):
        bare.get_potential_energy(dimer(symbols, 0.9 * r_g))


def test_guard_is_off_unless_asked_for_and_on_in_presets():
    assert BuckinghamCoulomb().parameters["guard"] is False
    guards = {name: load_config(name).potential.guard for name in preset_names()}
    assert set(guards.values()) == {True}, guards


def test_guard_in_a_crystal_leaves_the_split_intact():
    atoms = build_phase("ZnO", "rocksalt", 4.3)
    bond = atoms.get_distance(0, 1, mic=True, vector=True)
    atoms.positions[1] -= bond * (1 - 0.25 / np.linalg.norm(bond))
    full = BuckinghamCoulomb(guard=True, accuracy=1e-11)
    short = BuckinghamCoulomb(guard=True, coulomb=False)
    coulomb = CoulombCalculator({"Zn": 2.0, "O": -2.0}, accuracy=1e-11)
    energies = [c.get_potential_energy(atoms) for c in (full, short, coulomb)]
    assert full.guard_count == short.guard_count == 1
    assert energies[0] == pytest.approx(energies[1] + energies[2], abs=1e-6)
    np.testing.assert_allclose(
        full.get_forces(atoms), short.get_forces(atoms) + coulomb.get_forces(atoms), atol=1e-6
    )
    # the count is bookkeeping: it changes nothing
    again = BuckinghamCoulomb(guard=True, accuracy=1e-11)
    assert again.get_potential_energy(atoms) == energies[0]


def test_parameters_can_be_changed():
    atoms = build_phase("ZnO", "rocksalt", 4.3)
    calculator = BuckinghamCoulomb()
    calculator.get_potential_energy(atoms)
    calculator.set(potential="zno-binks", cutoff=9.0)
    assert calculator.results == {}
    fresh = BuckinghamCoulomb("zno-binks", cutoff=9.0)
    assert calculator.get_potential_energy(atoms) == fresh.get_potential_energy(atoms)
    json.dumps(dict(BuckinghamCoulomb(load_potential("zno-binks")).parameters))


def test_cells_of_one_atom():
    calculator = BuckinghamCoulomb("argon-buckingham")
    primitive = Atoms("Ar", cell=2.63 * (np.ones((3, 3)) - np.eye(3)), pbc=True)
    cubic = Atoms("Ar4", cell=np.eye(3) * 5.26, pbc=True)
    cubic.set_scaled_positions([(0, 0, 0), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)])
    energy = calculator.get_potential_energy(primitive)
    assert energy == pytest.approx(calculator.get_potential_energy(cubic) / 4, rel=1e-10)
    assert -0.09 < energy < -0.06
    with pytest.raises(InputError, match=r"not neutral(.|\n)*\+2 e"):
        BuckinghamCoulomb().get_potential_energy(Atoms("Zn", cell=(4, 4, 4), pbc=True))


def test_bad_input():
    atoms = build_phase("MgO", "rocksalt", 4.3)
    with pytest.raises(InputError, match="has no Mg"):
        BuckinghamCoulomb().get_potential_energy(atoms)
    atoms = build_phase("ZnO", "rocksalt", 4.3)
    with pytest.raises(InputError, match=r"\+2 e"):
        BuckinghamCoulomb().get_potential_energy(atoms[:7])
    # without the Coulomb sum nothing needs to be neutral
    BuckinghamCoulomb(coulomb=False).get_potential_energy(atoms[:7])
    atoms.positions[1] = atoms.positions[0]
    for guard in (False, True):
        with pytest.raises(InputError, match="on top of each other"):
            BuckinghamCoulomb(guard=guard).get_potential_energy(atoms)
    atoms.pbc = (True, False, False)
    with pytest.raises(InputError, match="pbc"):
        BuckinghamCoulomb().get_potential_energy(atoms)
    for arguments in ({"cutoff": -1.0}, {"switch": 20.0}, {"accuracy": 1.0}, {"cutof": 9.0}):
        with pytest.raises(InputError, match=next(iter(arguments))):
            BuckinghamCoulomb(**arguments)
