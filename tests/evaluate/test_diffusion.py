import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.lj import LennardJones

from asennp.calculators.buckingham import BuckinghamCoulomb
from asennp.errors import InputError
from asennp.evaluate import compute_diffusion, compute_msd, compute_rdf, fit_arrhenius
from asennp.evaluate.diffusion import DiffusionResult, mean_square_displacement
from asennp.report.svg import to_svg
from asennp.report.transport import plot_diffusion, plot_rdf, tabulate_diffusion, tabulate_rdf
from asennp.structures import build_phase
from asennp.units import KB


def walk(rng, n, atoms, diffusion_A2_ps, interval_ps):
    """Brownian paths: <r^2> = 6 D t."""
    return np.cumsum(rng.normal(0.0, np.sqrt(2 * diffusion_A2_ps * interval_ps), (n, atoms, 3)), axis=0)


def test_mean_square_displacement_is_the_plain_sum():
    paths = walk(np.random.default_rng(0), 40, 3, 1.0, 0.1)
    plain = [((paths[lag:] - paths[: 40 - lag]) ** 2).sum(axis=2).mean() for lag in range(40)]
    assert mean_square_displacement(paths) == pytest.approx(plain, abs=1e-9)


def test_a_random_walk_has_its_diffusion_coefficient():
    """The error bar is honest: the mean over many walks is right, and so is their spread."""
    rng = np.random.default_rng(1)
    found = [
        compute_msd(walk(rng, 400, 40, 0.5, 0.1), ["Li"] * 20 + ["O"] * 20, 0.1, window=(0.05, 0.2))
        for _ in range(20)
    ]
    values = np.array([r.diffusion_cm2_s["Li"] for r in found])
    errors = np.array([r.error_cm2_s["Li"] for r in found])
    # the centre of mass of 40 atoms is held: D (1 - 1/40)
    assert values.mean() == pytest.approx(0.5e-4 * 39 / 40, abs=4 * values.std() / np.sqrt(20))
    assert 0.5 < np.sqrt(np.mean(errors**2)) / values.std() < 2.0
    assert found[0].exponent["O"] == pytest.approx(1.0, abs=0.2)


def test_arrhenius_law_and_its_error():
    t = np.array([600.0, 800.0, 1000.0, 1300.0])
    d = 2e-3 * np.exp(-0.45 / (KB * t))
    exact = fit_arrhenius(t, d, 0.05 * d)
    assert (exact.activation_eV, exact.prefactor_cm2_s) == pytest.approx((0.45, 2e-3))
    assert exact.chi2 == pytest.approx(0.0, abs=1e-12) and exact.n_temperatures == 4
    rng = np.random.default_rng(0)
    found = [
        fit_arrhenius(t, d * np.exp(0.05 * rng.normal(size=4)), 0.05 * d).activation_eV for _ in range(300)
    ]
    assert np.std(found) == pytest.approx(exact.activation_error_eV, rel=0.15)
    with pytest.raises(InputError, match="too few temperatures"):
        fit_arrhenius(t, [1e-6, 0.0, 0.0, 0.0], [1e-7] * 4)


def test_rdf_of_a_crystal_counts_its_shells():
    atoms = build_phase("MgO", "rocksalt", a=4.2)
    result = compute_rdf([atoms, atoms], reach_A=5.0)
    within = result.r_A < 2.5
    assert result.coordination["Mg-O"][within][-1] == pytest.approx(6.0)
    assert result.coordination["Mg-Mg"][result.r_A < 3.3][-1] == pytest.approx(12.0)
    table = tabulate_rdf({"MgO": result})
    assert [row[0] for row in table.rows] == ["MgO, Mg-Mg", "MgO, Mg-O", "MgO, O-O"]
    assert "Mg-O" in to_svg(plot_rdf({"MgO": result}), "t")


def test_rdf_of_an_ideal_gas_is_one():
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(20):
        atoms = bulk("Ar", "sc", a=3.0).repeat(5)
        atoms.positions = rng.uniform(0.0, 15.0, atoms.positions.shape)
        frames.append(atoms)
    result = compute_rdf(frames, reach_A=7.0, width_A=0.5)
    assert result.rdf[4:] == pytest.approx(1.0, abs=0.05)


def test_a_crystal_stays_and_a_hot_one_diffuses(tmp_path):
    calculator = BuckinghamCoulomb("argon-buckingham", coulomb=False, cutoff=8.0, guard=True)
    atoms = bulk("Ar", a=5.5, cubic=True).repeat(2)
    result = compute_diffusion(
        atoms, calculator, [20.0, 400.0, 600.0], time_ps=4.0, timestep_fs=8.0, equilibration_ps=1.6,
        interval=5, rng=np.random.default_rng(0),
    )  # fmt: skip
    d, error = result.diffusion("Ar")
    assert d[0] < 1e-5 < 5e-5 < d[1] < d[2] and np.all(error > 0.0)
    assert result.mean_temperatures_K == pytest.approx(result.temperatures_K, rel=0.25)
    again = DiffusionResult.from_json(result.to_json(tmp_path / "diffusion.json"))
    assert again.runs[1].diffusion_cm2_s == result.runs[1].diffusion_cm2_s
    assert "1000 K / T" in to_svg(plot_diffusion({"argon": result}), "t")
    assert len(tabulate_diffusion({"argon": result}).rows) == 3


def test_bad_input():
    with pytest.raises(InputError, match="too short"):
        compute_msd(np.zeros((20, 2, 3)), ["Li", "O"], 0.1)
    with pytest.raises(InputError, match="do not fit"):
        compute_msd(np.zeros((20, 3, 3)), ["Li", "O"], 0.1)
    with pytest.raises(InputError, match="not temperatures"):
        compute_diffusion(bulk("Ar"), LennardJones(), [-1.0], rng=np.random.default_rng(0))
    with pytest.raises(InputError, match="no frames"):
        compute_rdf([])
