"""Charges of species."""

import numpy as np
import pytest

from asennp.electrostatics.charges import assign_charges, born_charges, check_charges, physical_born_charges
from asennp.errors import InputError

MGO = np.array([12, 8, 8, 12])


def test_assignment():
    np.testing.assert_array_equal(assign_charges(MGO, {"Mg": 1.7, "O": -1.7}), [1.7, -1.7, -1.7, 1.7])


def test_net_charge_is_refused_by_its_sum_unless_accepted():
    with pytest.raises(InputError, match=r"not neutral(.|\n)*\+0\.6 e"):
        assign_charges(MGO, {"Mg": 1.7, "O": -1.4})
    assert assign_charges(MGO, {"Mg": 1.7, "O": -1.4}, background=True).sum() == pytest.approx(0.6)


def test_unknown_species_is_named():
    with pytest.raises(InputError, match="no charge for Mg"):
        assign_charges(MGO, {"Zn": 2, "O": -2})


@pytest.mark.parametrize("charges", [{"Mgg": 1.0}, {"Mg": "two"}, {"Mg": np.nan}, {"Mg": None}, {"X": 0.0}])
def test_bad_charges(charges):
    with pytest.raises(InputError, match=next(iter(charges))):
        check_charges(charges)


def test_born_charges_are_the_derivative_of_the_dipole():
    """P = sum q_i r_i of an open cluster, differentiated numerically."""
    charges = {"Mg": 1.7, "O": -1.7}
    q = assign_charges(MGO, charges)
    start = np.random.default_rng(0).normal(size=(4, 3))
    expected = np.empty((4, 3, 3))
    for i, a in np.ndindex(4, 3):
        moved = start.copy()
        moved[i, a] += 0.5
        expected[i, :, a] = (q @ moved - q @ start) / 0.5
    found = born_charges(MGO, charges)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=0), 0.0, atol=1e-12)
    np.testing.assert_array_equal(born_charges(MGO, {}), np.zeros((4, 3, 3)))


def test_physical_born_charges_give_the_same_non_analytical_term():
    """Z* Z* / eps: (q, 1) for the model and (sqrt(eps) q, eps) for the material."""
    charges, eps = {"Mg": 1.14, "O": -1.14}, 3.0
    model, physical = born_charges(MGO, charges), physical_born_charges(MGO, charges, eps)
    assert physical[0, 0, 0] == pytest.approx(1.9745, abs=1e-4)
    np.testing.assert_allclose(physical**2 / eps, model**2, atol=1e-12)
    for bad in (0.5, np.nan, np.inf):
        with pytest.raises(InputError, match="eps_inf"):
            physical_born_charges(MGO, charges, bad)
