"""Every kind of result has its table and figure, made from real results."""

import inspect
import pkgutil
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

import asennp.report
from asennp import evaluate
from asennp.evaluate import (
    BornCharges,
    ElasticResult,
    Predictions,
    compute_elastic,
    compute_eos,
    compute_formation,
    compute_msd,
    compute_parity,
    compute_stability,
    find_transitions,
)
from asennp.evaluate.nvt import PolarisationPoint
from asennp.evaluate.runs import RunSettings, run_md
from asennp.evaluate.speed import SpeedResult
from asennp.phases import phase_fractions
from asennp.report import crystals, figures
from asennp.report.calibration import tabulate_calibration
from asennp.report.mechanics import tabulate_stability
from asennp.report.methods import tabulate_parity
from asennp.report.svg import to_svg
from asennp.report.tables import Table
from asennp.report.transition import tabulate_fixed_cell, tabulate_speed


def cells(table: Table) -> list:
    return [value for row in table.rows for value in row]


def test_no_kind_of_result_is_forgotten() -> None:
    words = ""
    for module in pkgutil.iter_modules(asennp.report.__path__):
        for name, function in vars(import_module(f"asennp.report.{module.name}")).items():
            if name.startswith(("plot_", "tabulate_", "list_")):
                words += inspect.getdoc(function) or ""
                words += inspect.getdoc(inspect.getmodule(function)) or ""
    kinds = [name for name in evaluate.__all__ if name.endswith("Result")]
    assert len(kinds) > 12 and [name for name in kinds if name not in words] == []


@pytest.fixture(scope="module")
def formation():
    """Copper, face-centred and body-centred."""
    return compute_formation({"fcc": bulk("Cu", a=3.6), "bcc": bulk("Cu", "bcc", a=2.9)}, EMT())


def test_lattices_and_formation(formation) -> None:
    found = {phase: {"emt": lattice} for phase, lattice in formation.lattices.items()}
    table = crystals.tabulate_lattices(found, {"fcc": {"a": 3.615}})
    assert {"emt", "reference", 3.615, "Fm-3m", "Im-3m"} <= set(cells(table))
    assert formation.energies_meV["bcc"] in cells(crystals.tabulate_formation({"emt": formation}))
    coarse = compute_formation({"fcc": bulk("Cu", a=3.6), "bcc": bulk("Cu", "bcc", a=2.9)}, EMT(), 1e6)
    assert "below the calculator's resolution" in cells(crystals.tabulate_formation({"emt": coarse}))


def test_elastic_constants_stand_beside_the_reference(formation) -> None:
    result = compute_elastic(formation.lattices["fcc"].atoms, EMT(), relaxed_ions=False)
    assert isinstance(result, ElasticResult)
    known = {"fcc": {"C11": 170.0, "bulk": 137.0}}
    table = crystals.tabulate_elastic({"fcc": {"emt": result}}, known)
    assert {170.0, 137.0, result.poisson} <= set(cells(table))
    svg = to_svg(figures.plot_elastic({"fcc": {"emt": result}}, known), "t")
    assert ">C44<" in svg and ">C33<" not in svg and ">reference<" in svg


def test_enthalpy_curves_cross_where_the_table_says(formation, tmp_path) -> None:
    """bcc Cu made denser and a little higher: its enthalpy falls below fcc's under pressure."""
    curves = {phase: compute_eos(lattice.atoms, EMT()) for phase, lattice in formation.lattices.items()}
    dense = type(curves["bcc"])(**{**vars(curves["bcc"]), "volume": 0.9 * curves["fcc"].volume})
    result = find_transitions({"fcc": curves["fcc"], "bcc": dense})
    (pressure,) = result.pressures_GPa
    gap = result.enthalpy("bcc", pressure) - result.enthalpy("fcc", pressure)
    assert abs(gap) < 1e-5
    assert float(pressure) in cells(crystals.tabulate_pressures({"emt": result}))
    assert ">bcc<" in to_svg(figures.plot_enthalpies({"emt": result}), "t")
    assert type(result).from_json(result.to_json(tmp_path / "p.json")).to_dict() == result.to_dict()
    assert dense.form == "birch-murnaghan" and dense.volume in cells(
        crystals.tabulate_eos({"bcc": {"emt": dense}})
    )


def test_parity_and_calibration() -> None:
    rng, frames = np.random.default_rng(0), []
    for k in range(8):
        atoms = bulk("Cu", cubic=True).repeat(2)
        atoms.info |= {"REF_energy": rng.normal(), "group": "ab"[k % 2]}
        atoms.arrays["REF_forces"] = rng.normal(size=(32, 3))
        frames.append(atoms)
    guess = Predictions(
        np.zeros(8), [np.zeros((32, 3))] * 8, None, np.linspace(1, 2, 8), [rng.uniform(0.5, 2, (32, 3))] * 8
    )
    result = compute_parity(frames, predictions=guess)
    rows = [row[0] for row in tabulate_parity({"m": result}).rows]
    assert rows == ["m, energy", "m, forces", "m, a, energy", "m, a, forces", "m, b, energy", "m, b, forces",
                    "m, on Cu, forces"]  # fmt: skip
    assert result.calibration["forces"].ratio in cells(tabulate_calibration({"m": result}))
    svg = to_svg(figures.plot_calibration({"m": result}), "t")
    assert f"ratio {result.calibration['forces'].ratio:.2f}" in svg and "Stress" not in svg


def test_runs_phases_and_displacements(tmp_path) -> None:
    crystal = bulk("Cu", cubic=True).repeat(2)
    run = compute_stability(
        crystal, EMT(), 300.0, 0.1, 5.0, rng=np.random.default_rng(0), pressure_GPa=0.0,
        classify=phase_fractions,
    )  # fmt: skip
    assert "100 % fcc" in cells(tabulate_stability({"Cu": run}))
    result = run_md(crystal, EMT(), RunSettings(300.0, steps=20, sample_interval=2), tmp_path)
    assert "Cu: ok" in to_svg(figures.plot_runs({"Cu": result}), "t")
    rng = np.random.default_rng(1)
    walk = np.cumsum(0.1 * rng.normal(size=(200, 32, 3)), axis=0) + crystal.positions
    moved = compute_msd(walk, crystal.get_chemical_symbols(), 0.01)
    assert "Cu, Cu: D =" in to_svg(figures.plot_msd({"Cu": moved}), "t")


def test_cost_polarisation_and_born_charges() -> None:
    speed = SpeedResult(np.array([8, 64]), np.full((2, 1), 0.002), np.array([0.002, 0.016]), np.zeros(2), 1.0)
    assert 250.0 in cells(tabulate_speed({"m": SimpleNamespace(speed=speed)}))
    p = PolarisationPoint(300.0, np.array([0, 0, 0.4]), np.full(3, 0.01), np.full(3, 0.03), "ok", "")
    table = tabulate_fixed_cell({"m": SimpleNamespace(polarisation=(p,))})
    assert table.rows[0][1] == "300" and table.rows[0][4].value == 0.4
    born = BornCharges.given(np.array([2.0, -2.0]), 3.0)
    table = crystals.tabulate_born({"MgO": born}, {"MgO": ["Mg", "O"]})
    assert [row[1:3] for row in table.rows] == [["Mg", pytest.approx(2.0)], ["O", pytest.approx(-2.0)]]
