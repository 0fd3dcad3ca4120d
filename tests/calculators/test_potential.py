"""Potential files: what is shipped is sound, and what is wrong is named."""

import re

import numpy as np
import pytest
import yaml
from scipy.optimize import minimize_scalar

from asennp import BuckinghamCoulomb
from asennp.calculators.potential import Potential, known_potentials, load_potential
from asennp.errors import InputError
from asennp.structures import build_phase
from asennp.units import COULOMB_EV_A

GOOD = {
    "species": ["Mg", "O"],
    "charges": {"Mg": 2, "O": -2},
    "pairs": {"Mg-Mg": "none", "O-Mg": {"A": 1428.5, "rho": 0.2945, "C": 0}, "O-O": None},
}


@pytest.mark.parametrize("name", known_potentials())
def test_shipped_potentials(name):
    potential = load_potential(name)
    assert potential.name == name
    assert "(19" in potential.source
    assert potential.cutoff == 10.0
    assert Potential.from_dict(potential.todict()) == potential
    # one of each species is neutral (all compounds shipped are 1:1)
    assert sum(potential.charges.values()) == 0.0


def rocksalt_energy(name, a):
    formula = "".join(load_potential(name).species)
    atoms = build_phase(formula, "rocksalt", a, cubic=False)
    return BuckinghamCoulomb(name, accuracy=1e-8).get_potential_energy(atoms)


STATED = {
    name: float(found.group(1))
    for name in known_potentials()
    if (found := re.search(r"rock salt has a = ([\d.]+) Å", load_potential(name).notes))
}


def test_compounds_with_a_stated_lattice_constant():
    assert {"mgo-lewis-catlow", "cao-lewis-catlow", "nacl-born-mayer"} <= set(STATED)


@pytest.mark.parametrize("name", STATED)
def test_stated_lattice_constants(name):
    a = STATED[name]
    found = minimize_scalar(
        lambda x: rocksalt_energy(name, x),
        bounds=(0.97 * a, 1.03 * a),
        method="bounded",
        options={"xatol": 1e-5},
    )
    assert found.x == pytest.approx(a, abs=1e-3)


def test_sodium_chloride_has_its_tabulated_energy_and_stiffness():
    name, a, h = "nacl-born-mayer", STATED["nacl-born-mayer"], 0.01
    below, there, above = (rocksalt_energy(name, x) for x in (a - h, a, a + h))
    assert there == pytest.approx(-7.919, abs=1e-3)
    # V = a^3/4, so B = V d2E/dV2 = 4/(9 a) d2E/da2 at the minimum
    assert 160.21766 * 4 / (9 * a) * (above + below - 2 * there) / h**2 == pytest.approx(24.2, abs=0.2)


def test_sodium_chloride_follows_from_lattice_constant_and_bulk_modulus():
    # U(R) = z lambda exp(-R/rho) - M k/R: two measured numbers give both parameters (Born and Mayer)
    distance, bulk, madelung = 5.640 / 2, 24.0 / 160.21766, 1.74756459
    ratio = 2 + 18 * bulk * distance**4 / (madelung * COULOMB_EV_A)
    strength = madelung * COULOMB_EV_A / (distance * ratio) * np.exp(ratio) / 6
    found, rho, _ = load_potential("nacl-born-mayer").pair("Na", "Cl")
    assert rho == pytest.approx(distance / ratio, abs=5e-4)
    assert found == pytest.approx(strength, rel=0.01)


def test_pairs_in_either_order(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(GOOD))
    for potential in (load_potential(path), load_potential(str(path)), load_potential(GOOD)):
        assert potential.pair("Mg", "O") == potential.pair("O", "Mg") == (1428.5, 0.2945, 0.0)
        assert potential.pair("O", "O") is potential.pair("Mg", "Mg") is None
        assert potential.species == ("Mg", "O")
    assert load_potential(potential) is potential


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"speces": ["Mg"]}, "did you mean 'species'"),
        ({"pairs": None}, "missing key(.|\n)*pairs"),
        ({"charges": {"Mg": 2}}, "charges do not match"),
        ({"charges": {"Mg": "a", "O": -2}}, "charges.Mg"),
        ({"pairs": {**GOOD["pairs"], "Mg-Zn": None}}, "unknown pair(.|\n)*Mg-Zn"),
        ({"pairs": {k: v for k, v in GOOD["pairs"].items() if k != "O-O"}}, "given once(.|\n)*O-O"),
        ({"pairs": {**GOOD["pairs"], "Mg-O": None}}, "given once(.|\n)*Mg-O"),
        ({"pairs": {**GOOD["pairs"], "O-O": {"A": 1, "rho": 0.1}}}, "O-O: not a Buckingham pair"),
        ({"pairs": {**GOOD["pairs"], "O-O": {"A": 1, "rho": 0, "C": 0}}}, "O-O.rho"),
        ({"pairs": {**GOOD["pairs"], "O-O": {"A": 1, "rho": 0.1, "C": -1}}}, "O-O.C"),
        ({"cutoff": "ten"}, "cutoff"),
    ],
)
def test_wrong_files(tmp_path, change, message):
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump({**GOOD, **change}))
    with pytest.raises(InputError, match=message) as error:
        load_potential(path)
    assert "wrong.yaml" in str(error.value)


def test_no_such_potential(tmp_path):
    with pytest.raises(InputError, match="did you mean 'zno-lewis-catlow'"):
        load_potential("zno-lewis-catlov")
    (tmp_path / "broken.yaml").write_text("a: [")
    with pytest.raises(InputError, match="not a YAML file"):
        load_potential(tmp_path / "broken.yaml")
    (tmp_path / "list.yaml").write_text("- a")
    with pytest.raises(InputError, match="not a potential"):
        load_potential(tmp_path / "list.yaml")
