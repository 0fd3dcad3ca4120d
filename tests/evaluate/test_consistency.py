"""A calculator fit to learn from agrees with itself; one that does not is found out."""

from typing import Any

import numpy as np
from ase.build import bulk
from ase.calculators.emt import EMT

from asennp.evaluate.consistency import compute_consistency


class Crooked(EMT):
    """EMT with one fault, chosen by name."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault

    def calculate(self, *args: Any, **kwargs: Any) -> None:
        super().calculate(*args, **kwargs)
        if self.fault == "forces":
            self.results["forces"] = 1.1 * self.results["forces"]
        elif self.fault == "stress":
            self.results["stress"] = -self.results["stress"]
        elif self.fault == "cell":  # as a Gamma-only method: the energy per atom depends on the cell
            self.results["energy"] += 0.2 * len(self.atoms) / self.atoms.get_volume() ** (1 / 3)


def test_honest_calculator() -> None:
    result = compute_consistency(bulk("Cu", cubic=True), EMT())
    assert result.is_consistent
    assert result.force_error < 1e-6 * max(1.0, result.force_scale)
    assert result.stress_error_GPa < 1e-5 * max(1.0, result.stress_scale_GPa)
    assert result.cell_spread_meV < 1e-9


def test_scaled_forces_are_found() -> None:
    result = compute_consistency(bulk("Cu", cubic=True), Crooked("forces"))
    assert not result.is_consistent
    np.testing.assert_allclose(result.force_error / result.force_scale, 0.1, atol=0.07)


def test_wrong_sign_of_stress_is_found() -> None:
    assert not compute_consistency(bulk("Cu", cubic=True), Crooked("stress")).is_consistent


def test_energy_that_depends_on_the_cell_is_measured() -> None:
    atoms = bulk("Cu", cubic=True)
    edge = atoms.get_volume() ** (1 / 3)
    expected = 1000 * 0.2 / edge * (1 - 4 ** (-1 / 3))
    np.testing.assert_allclose(
        compute_consistency(atoms, Crooked("cell")).cell_spread_meV, expected, rtol=1e-6
    )
