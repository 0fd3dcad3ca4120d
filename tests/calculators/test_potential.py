"""Potential files: what is shipped is sound, and what is wrong is named."""

import pytest
import yaml

from asennp.calculators.potential import Potential, known_potentials, load_potential
from asennp.errors import InputError

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
