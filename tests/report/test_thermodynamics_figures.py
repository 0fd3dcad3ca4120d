"""Figures of thermodynamics and of the bias."""

import numpy as np
import pytest

from asennp.md.bias import WangLandauBias
from asennp.md.coexistence import PhaseResult, TransitionTemperatureResult
from asennp.md.thermodynamics import FreeEnergyResult, HeatCapacityResult
from asennp.report import figures
from asennp.report.svg import to_svg
from asennp.report.thermodynamics import project_bias
from asennp.units import KB

AXES = [("enthalpy", 0.0, 5.0, 12), ("SC", 0.0, 9.0, 10), ("FCC", 0.0, 7.0, 8)]


def make_bias(n_orders: int) -> WangLandauBias:
    bias = WangLandauBias(AXES[: n_orders + 1], 1000.0, ln_f=0.5, schedule="constant")
    rng = np.random.default_rng(0)
    for _ in range(200):
        bias.update(*(rng.random(n_orders + 1) * [5.0, 9.0, 7.0][: n_orders + 1]))
    return bias


@pytest.mark.parametrize("n_orders", [0, 1, 2])
def test_bias_of_any_number_of_axes(n_orders: int) -> None:
    svg = to_svg(figures.plot_bias(make_bias(n_orders)), "b")
    assert svg.count(">Visits<") == max(1, n_orders * (n_orders + 1) // 2)
    for name, *_ in AXES[: n_orders + 1]:
        assert f">{name}<" in svg


def test_projection_adds_up() -> None:
    bias = make_bias(2)
    visits, shift = project_bias(bias, 0, 2)
    assert visits.sum() == bias.state.visits.sum() == 200
    kT = KB * 1000.0
    seen = bias.state.visits[3, :, 4] > 0
    assert seen.any()
    exact = kT * np.log(np.exp(bias.state.coefficients[3, seen, 4] / kT).sum())
    assert shift[3, 4] == pytest.approx(exact)
    assert np.isneginf(shift[visits == 0]).all()
    np.testing.assert_array_equal(project_bias(bias, 2, 0)[0], visits.T)


def test_curves() -> None:
    t, ok = np.linspace(800.0, 1200.0, 5), np.array([True, True, True, True, False])
    heat = HeatCapacityResult(t, t, 0.1 * t, t, 0.1 * t, 1000.0, 10.0, ok)
    svg = to_svg(figures.plot_heat_capacity({"run": heat}, {900.0: (900.0, 5.0)}, n_atoms=4), "h")
    for text in ("run", "plain NPT", "Temperature (K)", "C_P (k per atom)"):
        assert f">{text}<" in svg
    shares = np.array([np.linspace(1, 0, 5), np.linspace(0, 1, 5)])
    phases = PhaseResult(t, ("crystal", "liquid"), shares, 0.05 + 0 * shares, ok)
    middle = TransitionTemperatureResult(("crystal", "liquid"), 1000.0, 10.0, 1.0, 0.1, 9, True)
    svg = to_svg(figures.plot_populations(phases, middle), "p")
    assert ">crystal<" in svg and ">liquid<" in svg
    free = FreeEnergyResult(1000.0, np.arange(4.0), np.array([0.0, 1.0, np.inf, 2.0]), np.full(4, 0.1), True)
    assert ">1000 K<" in to_svg(figures.plot_free_energy([free]), "f")
