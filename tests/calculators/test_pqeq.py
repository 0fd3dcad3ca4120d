"""PQEq against the published code's results, its own derivatives, and what bad input says."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from asennp import PQEqCalculator
from asennp.electrostatics.pqeq_parameters import PUBLISHED_COULOMB, load_parameters
from asennp.errors import InputError

PUBLISHED = {"periodic": "taper", "shell_limit": 0.25, "tolerance": 1e-11}


@cache
def systems(reference: Path) -> dict:
    data = json.loads((reference / "pqeq_refs.json").read_text())
    return {**data["finite"], **data["periodic"]}


def build(entry: dict) -> Atoms:
    return Atoms(entry["symbols"], entry["positions"], cell=entry["cell"], pbc=entry["pbc"])


def settings(entry: dict) -> dict:
    return {"total_charge": entry["net_charge"], "field": entry["field_V_A"]}


def compare(calculator, atoms, entry, forces, charges=1e-9):
    calculator.calculate(atoms)
    got = calculator.results
    assert got["energy"] == pytest.approx(entry["energy_eV"], abs=1e-9)
    np.testing.assert_allclose(got["charges"], entry["charges_e"], atol=charges)
    np.testing.assert_allclose(calculator.shells, entry["shell_disp_A"], atol=1e-9)
    np.testing.assert_allclose(got["forces"], entry["forces_eV_A"], atol=forces)
    if "stress_eV_A3" in entry:
        stress = np.array(entry["stress_eV_A3"]).ravel()[[0, 4, 8, 5, 2, 1]]
        np.testing.assert_allclose(got["stress"], stress, atol=1e-9)
    if "dipole_eA" in entry:
        np.testing.assert_allclose(got["dipole"], entry["dipole_eA"], atol=2e-8)


NAMES = [
    "NaCl_dimer_2.36", "NaCl_dimer_5.0", "NaCl_dimer_13.0", "H2O", "H2O_Fx0.1", "H2O_Fx1.0", "H2O_dimer",
    "Ag3_0", "Ag3_+1", "NaCl_prim", "NaCl_conv", "ZnO_wz", "ZnO_wz_rattled", "MgO_conv", "BaTiO3_cubic",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_published_mode(reference, name):
    """Two iterations as published; a small cell is as good as the supercell of the published code."""
    entry = systems(reference)[name]
    key = "allimages_numpy_2it" if "allimages_numpy_2it" in entry else "reaxnet_2it"
    calculator = PQEqCalculator(periodic="taper", iterations=2, **settings(entry))
    compare(calculator, build(entry), entry[key], 1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_converged(reference, name):
    """Charges by the constant that the published code solves with, energies by the one it sums with."""
    entry = systems(reference)[name]
    key = "allimages_numpy_converged" if "allimages_numpy_converged" in entry else "reaxnet_converged"
    atoms, expected = build(entry), entry[key]
    as_solved = {**load_parameters("pqeq").todict(), "coulomb": PUBLISHED_COULOMB}
    solved = PQEqCalculator(**PUBLISHED, **settings(entry), parameter_set=as_solved)
    solved.calculate(atoms)
    np.testing.assert_allclose(solved.results["charges"], expected["charges_e"], atol=1e-9)
    np.testing.assert_allclose(solved.results["forces"], expected["forces_eV_A"], atol=1e-8)
    compare(PQEqCalculator(**PUBLISHED, **settings(entry)), atoms, {
        **expected, "charges_e": solved.results["charges"], "shell_disp_A": solved.shells,
        "forces_eV_A": solved.results["forces"],
    } | ({"dipole_eA": solved.results["dipole"]} if not atoms.pbc.any() else {}), 2e-8, 3e-8)  # fmt: skip


def water(field=None, **kwargs) -> tuple[Atoms, PQEqCalculator]:
    atoms = molecule("H2O")
    atoms.rotate(30, (1, 2, 3))
    return atoms, PQEqCalculator(field=field, **kwargs)


def test_published_mode_is_not_conservative():
    """Forces at two iterations differ from the gradient by about 1e-3 eV/Å; at convergence they do not."""
    for iterations, low, high in ((2, 1e-4, 2e-3), (None, 0.0, 1e-6)):
        atoms, calculator = water(iterations=iterations)
        forces = calculator.get_property("forces", atoms)
        worst = 0.0
        for i in range(3):
            for axis in range(3):
                energies = []
                for sign in (1, -1):
                    moved = atoms.copy()
                    moved.positions[i, axis] += sign * 1e-4
                    energies.append(calculator.get_property("energy", moved))
                worst = max(worst, abs((energies[1] - energies[0]) / 2e-4 - forces[i, axis]))
        assert low <= worst < high


def test_response_to_a_field():
    """-dE/dF is the dipole, its derivative the polarizability, and the force on a shifted atom Z*."""
    atoms, bare = water()
    alpha = bare.polarizability(atoms) / bare.elements.coulomb
    born = bare.born_charges(atoms)
    np.testing.assert_allclose(bare.polarizability(atoms), bare.polarizability(atoms).T, atol=1e-12)
    np.testing.assert_allclose(born.sum(axis=0), 0.0, atol=1e-8)
    h = 1e-3
    for axis in range(3):
        field = h * np.eye(3)[axis]
        ahead, behind = (PQEqCalculator(field=sign * field, tolerance=1e-12) for sign in (1, -1))
        dipole = (behind.get_property("energy", atoms) - ahead.get_property("energy", atoms)) / (2 * h)
        assert bare.get_property("dipole", atoms)[axis] == pytest.approx(dipole, abs=1e-8)
        slope = (ahead.get_property("dipole", atoms) - behind.get_property("dipole", atoms)) / (2 * h)
        np.testing.assert_allclose(alpha[axis], slope, atol=1e-7)
        moved = [atoms.copy(), atoms.copy()]
        for frame, sign in zip(moved, (1, -1)):
            frame.positions[0, axis] += sign * h
        slope = (bare.get_property("dipole", moved[0]) - bare.get_property("dipole", moved[1])) / (2 * h)
        np.testing.assert_allclose(born[0, axis], slope, atol=1e-6)
    atoms, driven = water(field=(0.3, -0.2, 0.5))
    forces = driven.get_property("forces", atoms)
    atoms.positions[1, 2] += 1e-4
    ahead = driven.get_property("energy", atoms)
    atoms.positions[1, 2] -= 2e-4
    assert (driven.get_property("energy", atoms) - ahead) / 2e-4 == pytest.approx(forces[1, 2], abs=1e-7)


def test_plain_charge_equilibration_is_the_limit_of_stiff_springs():
    atoms = molecule("H2O")
    stiff = {el: {"spring": 1e9} for el in "HO"}
    limit = PQEqCalculator(parameter_set=load_parameters("pqeq").with_values(stiff))
    plain = PQEqCalculator(polarizable=False)
    assert plain.get_property("energy", atoms) == pytest.approx(limit.get_property("energy", atoms), abs=1e-6)
    assert not plain.shells.any()
    # perpendicular to its plane the molecule does not see the field
    normal = np.cross(*(atoms.positions[1:] - atoms.positions[0]))
    normal /= np.linalg.norm(normal)
    blind = PQEqCalculator(polarizable=False, field=0.5 * normal).get_property("energy", atoms)
    assert blind == pytest.approx(plain.get_property("energy", atoms), abs=1e-10)
    seen = PQEqCalculator(field=0.5 * normal).get_property("energy", atoms)
    assert seen < PQEqCalculator().get_property("energy", atoms) - 1e-3


def rattled(name: str, structure: str, a: float, repeat: int, **kwargs) -> Atoms:
    atoms = bulk(name, structure, a=a, **kwargs).repeat(repeat)
    atoms.rattle(0.1, seed=2)
    return atoms


@pytest.mark.parametrize("periodic", ["ewald", "taper"])
def test_direct_and_iterative_solutions_agree(periodic):
    atoms = rattled("MgO", "rocksalt", 4.212, 2, cubic=True)
    direct, iterative = (
        PQEqCalculator(periodic=periodic, accuracy=1e-8, solver=kind) for kind in ("direct", "iterative")
    )
    for name in ("energy", "forces", "stress", "charges"):
        expected = direct.get_property(name, atoms)
        np.testing.assert_allclose(iterative.get_property(name, atoms), expected, atol=2e-8, err_msg=name)


@pytest.mark.parametrize("periodic", ["ewald", "taper"])
@pytest.mark.parametrize(("name", "structure", "a"), [("ZnO", "wurtzite", 3.25), ("MgO", "rocksalt", 4.212)])
def test_extensive(name, structure, a, periodic):
    atoms = rattled(name, structure, a, 1)
    small, large = (PQEqCalculator(periodic=periodic, accuracy=1e-9, solver="direct") for _ in range(2))
    more = atoms.repeat((2, 1, 2))
    energy = small.get_property("energy", atoms)
    assert large.get_property("energy", more) == pytest.approx(4 * energy, abs=1e-7)
    np.testing.assert_allclose(
        large.get_property("forces", more)[: len(atoms)], small.get_property("forces", atoms), atol=1e-7
    )


def test_born_charges_of_a_crystal_obey_the_sum_rule():
    atoms = bulk("MgO", "rocksalt", a=4.212)
    calculator = PQEqCalculator()
    born = calculator.born_charges(atoms)
    np.testing.assert_allclose(born.sum(axis=0), 0.0, atol=1e-7)
    np.testing.assert_allclose(born[0], born[0, 0, 0] * np.eye(3), atol=1e-7)
    moved = atoms.copy()
    moved.positions[0, 2] += 1e-3
    shift = calculator.get_property("charges", moved) @ moved.positions - calculator.shells.sum(axis=0)
    moved.positions[0, 2] -= 2e-3
    shift -= calculator.get_property("charges", moved) @ moved.positions - calculator.shells.sum(axis=0)
    assert born[0, 2, 2] == pytest.approx(shift[2] / 2e-3, abs=1e-5)
    dielectric = np.eye(3) + 4 * np.pi / atoms.get_volume() * calculator.polarizability(atoms)
    assert dielectric[0, 0] > 1.5
    with pytest.raises(InputError, match="cannot respond"):
        calculator.born_charges(atoms, fixed_charges=False)


def test_threads_change_nothing():
    atoms = rattled("MgO", "rocksalt", 4.212, 1, cubic=True)
    one, two = (PQEqCalculator(solver="iterative", threads=n) for n in (1, 2))
    np.testing.assert_array_equal(two.get_property("forces", atoms), one.get_property("forces", atoms))


def test_warm_start_gives_the_same_to_the_tolerance():
    atoms = rattled("MgO", "rocksalt", 4.212, 1, cubic=True)
    warm, cold = PQEqCalculator(warm_start=True), PQEqCalculator()
    for seed in range(4):
        atoms.rattle(0.02, seed=seed)
        for name in ("energy", "forces"):
            expected = cold.get_property(name, atoms)
            np.testing.assert_allclose(warm.get_property(name, atoms), expected, atol=1e-8)


CATASTROPHES = [
    ("NaCl", {"crystalstructure": "rocksalt", "a": 5.64}, "shells of .*Na.* run away"),
    ("KCl", {"crystalstructure": "rocksalt", "a": 6.29}, "shells of .*K.* run away"),
    ("Cu", {}, "Cu-Cu run away"),
]


@pytest.mark.parametrize(("name", "kwargs", "message"), CATASTROPHES)
@pytest.mark.parametrize("solver", ["direct", "iterative"])
def test_polarization_catastrophe_is_named(name, kwargs, message, solver):
    """The tapered sum lets shells or charges of these crystals run away; the true Coulomb sum does not."""
    atoms = bulk(name, **kwargs, cubic=True).repeat(2)
    with pytest.raises(InputError, match=message):
        PQEqCalculator(periodic="taper", solver=solver).get_potential_energy(atoms)
    PQEqCalculator(solver=solver).get_potential_energy(atoms)


@pytest.mark.parametrize(
    ("name", "a", "radius", "pair"),
    [
        ("NaCl", 5.64, 1.78, "Na"),
        ("KCl", 6.29, 3.08, "K"),
        ("MgO", 4.212, 0.48, "Mg"),
        ("LiF", 4.03, 0.08, "Li"),
    ],
)
def test_stability_of_crystals(name, a, radius, pair):
    """Known spectral radii of the shell map under the taper, seen from 2x2x2 cells on."""
    atoms = bulk(name, "rocksalt", a=a, cubic=True).repeat(2)
    stability = PQEqCalculator(periodic="taper").stability(atoms)
    assert stability.radius == pytest.approx(radius, abs=0.006)
    assert stability.pair == (pair, pair)
    assert PQEqCalculator().stability(atoms).radius < 0.2


def test_clamped_minimum_is_conservative():
    atoms = rattled("KCl", "rocksalt", 6.29, 1, cubic=True)
    calculator = PQEqCalculator(periodic="taper", shell_limit=0.25, tolerance=1e-9)
    forces = calculator.get_property("forces", atoms)
    lengths = np.linalg.norm(calculator.shells, axis=1)
    assert lengths.max() == pytest.approx(0.25, abs=1e-12)
    energies = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions[5, 1] += sign * 1e-4
        energies.append(calculator.get_property("energy", moved))
    assert (energies[1] - energies[0]) / 2e-4 == pytest.approx(forces[5, 1], abs=1e-6)


def test_charge_stays_on_atoms_pulled_apart():
    """Known of the method: charge flows at any distance. NaCl keeps 0.395 e at 13 Å under the taper."""
    atoms = Atoms("NaCl", [(0, 0, 0), (13.0, 0, 0)])
    charges = PQEqCalculator(periodic="taper").get_property("charges", atoms)
    assert charges[0] == pytest.approx(0.395, abs=1e-3)


BAD = [
    ({}, Atoms("LrF", [(0, 0, 0), (2, 0, 0)]), "no PQEq parameters for Lr"),
    ({"total_charge": 1.0}, bulk("MgO", "rocksalt", a=4.2), "must be neutral"),
    ({"field": (0.1, 0, 0)}, bulk("MgO", "rocksalt", a=4.2), "field along a periodic direction"),
    ({"field": (0.1, 0)}, None, "three numbers"),
    ({"periodic": "open"}, None, "unknown choice"),
    ({"iterations": 2.5}, None, "whole number"),
    ({"shell_limit": -0.25}, None, "positive number"),
    ({}, Atoms("HOH", [(0, 0, 0), (0.2, 0, 0), (1, 1, 1)]), r"atoms 0 \(H\) and 1 \(O\) are 0.2 Å apart"),
    ({}, Atoms("MgO", [(0, 0, 0), (2, 0, 0)], cell=(5, 5, 0), pbc=(1, 1, 0)), "three periodic directions"),
    ({"parameter_set": {"elements": {"H": {"chi": 1.0}}}}, None, "H.eta"),
    ({"parameter_set": {"elements": {"H": {"chi": 1, "eta": 1, "radius": 1, "spring": 0}}}}, None, "spring"),
    ({"parameter_set": {"elements": {"H": {"ch": 1.0}}}}, None, "did you mean 'chi'"),
    ({"parameter_set": "nowhere.yaml"}, None, "neither"),
]


@pytest.mark.parametrize(("kwargs", "atoms", "message"), BAD)
def test_bad_input(kwargs, atoms, message):
    with pytest.raises(InputError, match=message):
        PQEqCalculator(**kwargs).get_potential_energy(atoms)


def test_field_across_a_slab_is_allowed():
    atoms = Atoms("MgO", [(0, 0, 0), (0, 0, 2.0)], cell=(9, 9, 20), pbc=(True, True, False))
    calculator = PQEqCalculator(periodic="taper", field=(0, 0, 0.1))
    forces = calculator.get_property("forces", atoms)
    atoms.positions[0, 2] += 1e-4
    ahead = calculator.get_property("energy", atoms)
    atoms.positions[0, 2] -= 2e-4
    assert (calculator.get_property("energy", atoms) - ahead) / 2e-4 == pytest.approx(forces[0, 2], abs=1e-6)


def test_user_files(tmp_path, reference):
    """All elements of the sources but Lr, and a file on top of them."""
    shipped = load_parameters("pqeq")
    values = json.loads((reference / "pqeq_refs.json").read_text())["meta"]["parameters_all"]["values"]
    assert set(shipped.elements) == set(values) - {"Lr"}
    for symbol, element in shipped.elements.items():
        assert [element.chi, element.eta, element.Z, element.radius, element.spring] == values[symbol]
    file = tmp_path / "mine.yaml"
    file.write_text(
        "base: pqeq\nname: mine\nelements:\n  Li: {chi: 3.0, eta: 4.8, radius: 1.6, spring: 30}\n"
    )
    mine = PQEqCalculator(parameter_set=str(file))
    assert mine.elements.elements["Li"].chi == 3.0
    assert mine.elements.elements["O"] == shipped.elements["O"]
    assert mine.get_potential_energy(Atoms("LiH", [(0, 0, 0), (1.6, 0, 0)])) != PQEqCalculator(
    ).get_potential_energy(Atoms("LiH", [(0, 0, 0), (1.6, 0, 0)]))  # fmt: skip
