"""Charges of species."""

import numpy as np
import pytest

from asennp.electrostatics.charges import assign_charges, check_charges
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
