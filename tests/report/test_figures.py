import subprocess
import sys
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from asennp.evaluate import compute_eos, compute_interval, compute_lattice, compute_parity, compute_stability
from asennp.report import figures
from asennp.report.style import MAX_POINTS, colours
from asennp.report.svg import to_svg


def words(figure):
    """All text of a figure's SVG."""
    return to_svg(figure, "t")


@pytest.fixture(scope="module")
def parity():
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(4):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(0.05, rng=rng)
        atoms.calc = EMT()
        atoms.info["REF_energy"] = atoms.get_potential_energy() + 0.01 * rng.normal()
        atoms.arrays["REF_forces"] = atoms.get_forces() + 0.01 * rng.normal(size=(4, 3))
        atoms.info["REF_stress"] = atoms.get_stress()
        frames.append(atoms)
    return compute_parity(frames, EMT())


def test_walkers_and_map():
    t = [np.arange(5000) * 0.01] * 2
    o = [32 + 30 * np.sin(t[0]), 32 - 30 * np.sin(t[0])]
    svg = words(figures.plot_walkers(t, o, o, names=["hot", "cold"], references={"rock salt": 64.0}))
    for text in ("hot", "cold", "rock salt", "Order parameter O", "Enthalpy H (eV)", "Time (ps)", "Visits"):
        assert f">{text}<" in svg
    assert len(svg) < 400_000  # long trajectories are thinned
    visits = np.ones((3, 4))
    svg = words(
        figures.plot_map(np.arange(4), np.arange(5), visits, visits, marks={"zincblende": (1.0, 1.0)})
    )
    assert "Partial enthalpy dH (eV)" in svg and "zincblende" in svg and "data:image/png" in svg


def test_learning_curves_scores_and_stages():
    x = np.arange(3 * MAX_POINTS)
    members = np.exp(-x / 900.0) + 0.1 * np.arange(3)[:, None]
    figure = figures.plot_curves(
        {
            "Energy RMSE (meV/atom)": {"direct": (x, members)},
            "Stress RMSE (MPa)": {"hybrid": (x, members[0])},
        },
        "Epoch",
        log=True,
        marks={"fine-tuning": 1000},
    )
    svg = words(figure)
    for text in ("Energy RMSE", "meV/atom", "MPa", "Epoch", "direct", "hybrid", "fine-tuning"):
        assert f">{text}<" in svg
    svg = words(figures.plot_scores({"Round 1": [1.0, 2.0, 3.0, 9.0]}, {"Round 1": 5.0}))
    assert "1 of 4 above 5 meV" in svg and "Score (meV)" in svg
    errors = {"Round 1": [2.0, 1.0, 6.0, 30.0]}  # ranks 2 1 3 4 beside 1 2 3 4: correlation 0.8
    assert "rank correlation 0.80" in words(figures.plot_foresight({"Round 1": [1.0, 2.0, 3.0, 9.0]}, errors))
    nothing = np.full(3, np.nan)
    history = {"energy_mae": [0.3, 0.2, 0.1], "force_mae": [1.0, 0.5, 0.4], "stress_mae": nothing}
    svg = words(figures.plot_history({"seed 0": history, "seed 1": history}))
    assert "Force MAE" in svg and "seed 1" in svg and "Stress" not in svg
    assert ">92 s<" in words(figures.plot_stages({"label": 92.0, "train": 3.25}))


def test_sweep_marks_optimum_interval_and_other_charges():
    q = np.linspace(0, 2, 21)
    sweep = SimpleNamespace(q=q, mae=(q - 0.95) ** 2, optimum=0.95, interval=(0.72, 1.14))
    svg = words(figures.plot_sweeps({"Regressed": sweep}, marks={"optical": (0.85, 0.88)}, formal=2.0))
    for text in ("q = 0.95", "0.72 to 1.14", "optical", "formal", "Charge q (e)", "Regressed"):
        assert text in svg


def test_parity_methods_and_properties(parity):
    svg = words(figures.plot_parity({"direct": {"test": parity}, "hybrid": {"test": parity}}))
    for text in ("direct", "hybrid", "Reference force (eV/Å)", "Predicted stress (GPa)", "error (meV/atom)"):
        assert f">{text}<" in svg
    assert f"MAE {parity.energy.mae:.2f} meV/atom" in svg
    interval = compute_interval([1.0, 2.0, 3.0])
    svg = words(figures.plot_methods({"Force MAE (meV/Å)": {"test": {"direct": interval, "hybrid": 1.5}}}))
    assert ">direct<" in svg and ">meV/Å<" in svg
    rows = [figures.PropertyRow("wurtzite a", 3.295, {"hybrid": interval, "direct": 3.3}, digits=4)]
    svg = words(figures.plot_properties({"Lattice (Å)": rows}, relative=["Lattice (Å)"]))
    for text in ("wurtzite a", "3.295", "Deviation (%)", "teacher"):
        assert text in svg


def test_mechanics_from_real_results():
    lattice = compute_lattice(bulk("Cu", a=3.6), EMT())
    svg = words(figures.plot_eos({"fcc": compute_eos(lattice.atoms, EMT(), volume_range=0.03)}))
    assert "Volume (Å³/atom)" in svg and ">fcc<" in svg
    curve = SimpleNamespace(strain=np.linspace(0, 0.2, 5), stress_GPa=np.array([0.0, 5.0, 8.0, 6.0, 3.0]))
    svg = words(figures.plot_stress_strain({"teacher": curve}))
    assert "Strain (%)" in svg and "teacher, peak 8.0 GPa" in svg
    run = compute_stability(bulk("Cu", cubic=True), EMT(), time_ps=0.1, rng=np.random.default_rng(0))
    svg = words(figures.plot_stability(run))
    assert "Temperature (K)" in svg and "conserved quantity" in svg and "Distance r (Å)" in svg


def test_structures_name_their_species():
    pair = {"rock salt": bulk("ZnO", "rocksalt", a=4.3, cubic=True), "nickel": bulk("Ni", cubic=True)}
    svg = words(figures.plot_structures(pair))
    for text in ("rock salt", "nickel", "Zn", "O", "Ni"):
        assert f">{text}<" in svg


def test_a_thing_keeps_its_colour():
    assert colours(["hybrid", "direct"])["hybrid"] == colours(["x", "hybrid"])["hybrid"]
    assert len(set(colours(["hybrid", "direct", "x", "y"]).values())) == 4


def test_matplotlib_is_left_as_it_was():
    before = dict(matplotlib.rcParams)
    figures.plot_stages({"a": 1.0})
    assert dict(matplotlib.rcParams) == before


def test_pyplot_is_not_needed():
    code = (
        "import sys; from asennp.report.figures import plot_stages; from asennp.report.svg import to_svg;"
        "to_svg(plot_stages({'a': 1.0}), 'x'); sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
