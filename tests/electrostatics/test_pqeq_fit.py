"""Refit of PQEq parameters: gradients by finite differences, and known values found again."""

import numpy as np
import pytest
from ase import Atoms

from asennp.electrostatics.pqeq_fit import NAMES, Interaction, energy_gradient, fit_parameters
from asennp.electrostatics.pqeq_parameters import load_parameters
from asennp.errors import InputError

SHIPPED = load_parameters("pqeq")


def test_gradient():
    atoms = Atoms("LiFH", [(0, 0, 0), (1.7, 0.1, 0), (2.1, 0.9, 0.3)])
    _, gradient = energy_gradient(atoms, 0.0, SHIPPED)
    for symbol in ("Li", "F", "H"):
        for name in NAMES:
            value = getattr(SHIPPED.elements[symbol], name)
            h = 1e-4 * value
            ahead, behind = (
                energy_gradient(atoms, 0.0, SHIPPED.with_values({symbol: {name: value + sign * h}}))[0]
                for sign in (1, -1)
            )
            assert gradient[symbol][name] == pytest.approx((ahead - behind) / (2 * h), rel=1e-5, abs=1e-9)


def complexes() -> list[Interaction]:
    """Li above and beside a water molecule, at several distances, with energies of the shipped set."""
    water = Atoms("OHH", [(0, 0, 0), (0, 0.757, 0.586), (0, -0.757, 0.586)])
    found = []
    for distance in (1.8, 2.2, 2.8, 3.5):
        for direction in ((0, 0, -1), (1, 0, 0), (0, 0.8, 0.6)):
            atoms = water + Atoms("Li", [distance * np.array(direction, float)])
            parts, charges = ([0, 1, 2], [3]), (0.0, 1.0)
            whole = energy_gradient(atoms, 1.0, SHIPPED)[0]
            alone = sum(energy_gradient(atoms[p], q, SHIPPED)[0] for p, q in zip(parts, charges))
            found.append(Interaction(atoms, parts, whole - alone, charges))
    return found


def test_known_values_are_found_again():
    truth = SHIPPED.elements["Li"]
    wrong = SHIPPED.with_values({"Li": {"chi": truth.chi + 0.5, "radius": 1.2 * truth.radius}})
    fit = fit_parameters(complexes(), {"Li": ("chi", "radius")}, wrong)
    assert fit.rmse_before > 1e-2
    assert fit.rmse < 1e-8
    assert fit.values["Li"]["chi"] == pytest.approx(truth.chi, abs=1e-5)
    assert fit.parameters.elements["Li"].radius == pytest.approx(truth.radius, rel=1e-5)
    assert fit.parameters.elements["O"] == SHIPPED.elements["O"]


def test_bad_input():
    with pytest.raises(InputError, match=r"Li\.Z"):
        fit_parameters(complexes()[:1], {"Li": ("Z",)}, SHIPPED)
    with pytest.raises(InputError, match="nothing to fit"):
        fit_parameters([], {"Li": ("chi",)}, SHIPPED)
