"""One word names any calculator; a word that names none is one clear message."""

import pickle

import pytest
from ase.build import bulk

from asennp import BuckinghamCoulomb, HybridNNPCalculator
from asennp.calculators.named import calculator_maker, make_calculator
from asennp.errors import InputError


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("zno-demo", HybridNNPCalculator),
        ("zno-binks", BuckinghamCoulomb),
        ("buckingham", BuckinghamCoulomb),
        ("emt", "EMT"),
        ("ase.calculators.lj.LennardJones", "LennardJones"),
        ("ase.calculators.lj:LennardJones", "LennardJones"),
    ],
)
def test_names(name: str, kind: object) -> None:
    arguments = {"potential": "zno-lewis-catlow"} if name == "buckingham" else {}
    found = make_calculator(name, arguments)
    assert type(found) is kind or type(found).__name__ == kind


def test_a_maker_goes_to_another_process() -> None:
    make = pickle.loads(pickle.dumps(calculator_maker("emt")))
    atoms = bulk("Cu")
    atoms.calc = make()
    assert abs(atoms.get_potential_energy()) < 0.1


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("chgnett", {}, "did you mean 'chgnet'"),
        ("zno-binsk", {}, "did you mean 'zno-binks'"),
        ("no.such.Thing", {}, "cannot load"),
        ("ase.calculators.lj.Lenard", {}, "cannot load"),
        ("asennp.calculators.compose:SumCalculator", {"parts": 3}, "refuses its arguments"),
        ("zno-binks", {"cut": 3}, "cut"),
    ],
)
def test_what_names_nothing_is_said(name: str, arguments: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make_calculator(name, arguments)
