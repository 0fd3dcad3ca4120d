"""Thermodynamics by reweighting, against models whose densities of states are known."""

import warnings
from pathlib import Path

import numpy as np
import pytest

from asennp.errors import InputError
from asennp.md.bias import WangLandauBias
from asennp.md.coexistence import compute_phase_populations, compute_transition_temperature
from asennp.md.reweight import EffectiveSampleSizeWarning
from asennp.md.samples import BiasedSamples, read_samples
from asennp.md.thermodynamics import (
    HeatCapacityResult,
    compute_density_of_states,
    compute_free_energy,
    compute_heat_capacity,
)
from asennp.units import KB

T0 = 1000.0
KT0 = KB * T0
GRID = np.linspace(0.002, 4.0, 8000)
#: ln n(H) of a crystal, and of a liquid that has more states above a latent heat: C_P = 10 k and 12 k.
CRYSTAL = 9.0 * np.log(GRID)
LIQUID = np.where(GRID > 0.6, 11.0 * np.log(np.maximum(GRID - 0.6, 1e-9)) + 9.0, -np.inf)


def partition(ln_n: np.ndarray, temperature: float) -> tuple[float, float, float]:
    """Return ln Z, <H> and var(H) by quadrature."""
    exponent = ln_n - GRID / (KB * temperature)
    weights = np.exp(exponent - exponent.max())
    mean = float((weights * GRID).sum() / weights.sum())
    spread = float((weights * (GRID - mean) ** 2).sum() / weights.sum())
    return float(np.log(weights.sum()) + exponent.max()), mean, spread


def flat_bias() -> WangLandauBias:
    """Return a frozen bias that visits H fairly evenly from 0.3 to 3 eV."""
    bias = WangLandauBias([("enthalpy", 0.0, 4.0, 41), ("order", -1.0, 2.0, 7)], T0, temperature_min_K=200,
                          temperature_max_K=5000)  # fmt: skip
    bias.check(T0, 0.0)
    nodes = np.linspace(0.0, 4.0, 41)
    flat = KT0 * np.logaddexp(CRYSTAL, LIQUID) - GRID
    shape = np.interp(np.maximum(nodes, 0.3), GRID, flat) + 2.0 * np.minimum(nodes - 0.3, 0.0)
    bias.set_coefficients(np.repeat(shape[:, None], 7, axis=1) + 0.02 * np.arange(7))
    bias.set_frozen()
    return bias


def draw(n: int, seed: int, bias: WangLandauBias, correlation: int = 1) -> tuple[BiasedSamples, np.ndarray]:
    """Draw frames of the two-phase model under the bias: O ~ 0.1 around 0 (crystal) or 1 (liquid)."""
    rng = np.random.default_rng(seed)
    density = []
    for ln_n, centre in ((CRYSTAL, 0.0), (LIQUID, 1.0)):
        shift = bias.shifts(GRID, np.full_like(GRID, centre))
        density.append(ln_n - (GRID + shift) / KT0)
    joint = np.concatenate(density)
    joint = np.exp(joint - joint.max())
    picked = rng.choice(len(joint), size=-(-n // correlation), p=joint / joint.sum()).repeat(correlation)[:n]
    liquid, enthalpy = picked >= len(GRID), GRID[picked % len(GRID)]
    # orders at the centres exactly, so that the model's weights are exact
    order = liquid.astype(float)
    labels = np.where(liquid, "liquid", "crystal")
    volume = np.ones(n)
    return BiasedSamples.from_arrays(bias, enthalpy, volume, order), labels


@pytest.fixture(scope="module")
def model() -> tuple[BiasedSamples, np.ndarray]:
    return draw(40_000, 5, flat_bias())


def exact_share(temperature: float) -> float:
    crystal, liquid = partition(CRYSTAL, temperature)[0], partition(LIQUID, temperature)[0]
    return 1.0 / (1.0 + np.exp(crystal - liquid))


def exact_transition() -> float:
    grid = np.linspace(500, 2500, 4001)
    ratios = [partition(LIQUID, t)[0] - partition(CRYSTAL, t)[0] for t in grid]
    return float(np.interp(0.0, ratios, grid))


def test_heat_capacity_and_enthalpy(model) -> None:  # type: ignore[no-untyped-def]
    samples, _ = model
    grid = np.linspace(700.0, 1300.0, 13)
    result = compute_heat_capacity(samples, grid, n_dof=6)
    both = np.logaddexp(CRYSTAL, LIQUID)
    exact = np.array([partition(both, t) for t in grid])
    z_mean = (result.enthalpy - exact[:, 1]) / result.enthalpy_error
    z_heat = (result.heat_capacity - exact[:, 2] / (KB * grid**2) - 3.0 * KB) / result.heat_capacity_error
    assert np.abs(z_mean).max() < 4
    assert np.abs(z_heat).max() < 4
    assert np.all(result.enthalpy_error < 0.02 * result.enthalpy)
    assert result.supported.all()


def test_transition_and_populations(model) -> None:  # type: ignore[no-untyped-def]
    samples, labels = model
    grid, exact = np.linspace(600.0, 1800.0, 61), exact_transition()
    found = compute_transition_temperature(samples, labels, ("crystal", "liquid"), grid)
    assert 1.0 < found.error_K < 20.0
    assert abs(found.temperature_K - exact) < 4 * found.error_K
    gap = partition(LIQUID, exact)[1] - partition(CRYSTAL, exact)[1]
    assert abs(found.latent_heat - gap) < 4 * found.latent_heat_error
    assert found.latent_heat_error < 0.03 * gap
    assert found.supported and found.n_crossings > 1000
    shares = compute_phase_populations(samples, labels, grid[::10])
    expected = np.array([exact_share(t) for t in shares.temperatures_K])
    liquid = shares.phases.index("liquid")
    assert np.abs((shares.populations[liquid] - expected) / shares.errors[liquid]).max() < 4
    np.testing.assert_allclose(shares.populations.sum(axis=0), 1.0)
    # the peak of C_P lies near the transition
    peak = compute_heat_capacity(samples, grid)
    both = np.logaddexp(CRYSTAL, LIQUID)
    curve = np.array([partition(both, t)[2] / t**2 for t in np.linspace(600, 1800, 1201)])
    true_peak = np.linspace(600, 1800, 1201)[np.argmax(curve)]
    assert abs(peak.peak_K - true_peak) < 4 * peak.peak_error_K + 2.0
    assert 0.0 < peak.peak_error_K < 60.0


def test_errors_are_those_of_repeated_runs() -> None:
    bias, grid = flat_bias(), np.linspace(600.0, 1800.0, 61)
    found = []
    for seed in range(30):
        samples, labels = draw(6_000, 100 + seed, bias, correlation=10)
        found.append(compute_transition_temperature(samples, labels, ("crystal", "liquid"), grid))
    values = np.array([one.temperature_K for one in found])
    errors = np.array([one.error_K for one in found])
    z = (values - exact_transition()) / errors
    assert abs(z.mean()) < 4 / np.sqrt(30)
    # the chi-squared of 30 runs lies within 4 sigma; blocks that ignored correlation would give 10
    assert abs((z**2).mean() - 1.0) < 4 * np.sqrt(2 / 30) * 1.3


def test_density_of_states(model) -> None:  # type: ignore[no-untyped-def]
    samples, _ = model
    result = compute_density_of_states(samples)
    seen = result.visits[:, 2] > 200  # the column of the crystal, O = 0
    exact = np.interp(result.nodes[0], GRID, CRYSTAL)[seen]
    # averages over a cell of 0.1 eV, not values at its middle
    cells = [np.abs(GRID - node) <= 0.05 for node in result.nodes[0][seen]]
    exact = np.array(
        [np.log(np.exp(CRYSTAL[cell] - CRYSTAL[cell].max()).sum()) + CRYSTAL[cell].max() for cell in cells]
    )
    difference = result.ln_n[seen, 2] - exact
    error = result.error[seen, 2]
    z = (difference - np.average(difference, weights=error**-2)) / error
    assert seen.sum() > 10 and np.ptp(exact) > 8.0
    assert np.abs(z).max() < 4.5
    assert result.ln_n.max() == 0.0
    assert np.isneginf(result.ln_n[result.visits == 0]).all()


def test_free_energy_along_an_order(model) -> None:  # type: ignore[no-untyped-def]
    samples, _ = model
    for temperature in (900.0, 1200.0):
        result = compute_free_energy(samples, temperature, bins=np.array([-0.5, 0.5, 1.5]))
        gap = result.free_energy[1] - result.free_energy[0]
        share = exact_share(temperature)
        exact = -KB * temperature * np.log(share / (1.0 - share))
        assert abs(gap - exact) < 4 * result.error.max()
        assert result.free_energy.min() == 0.0
        assert 0.0 < result.error.max() < 0.01


def test_what_the_run_does_not_support_is_said(model) -> None:  # type: ignore[no-untyped-def]
    samples, labels = model
    with pytest.warns(EffectiveSampleSizeWarning, match="this average"):
        average = samples.average(samples.energy, 20_000.0)
    assert not average.supported
    with pytest.warns(EffectiveSampleSizeWarning, match="20000 K"):
        result = compute_heat_capacity(samples, [1000.0, 20_000.0])
    assert result.supported.tolist() == [True, False]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert samples.average(samples.energy, 1000.0).supported
    # a run that went over once says nothing about the transition, however many frames it has
    order = np.argsort(labels, kind="stable")
    once = BiasedSamples.from_arrays(
        samples.bias, samples.energy[order], samples.volume, samples.orders[order]
    )
    with pytest.warns(EffectiveSampleSizeWarning, match="1 crossings"):
        found = compute_transition_temperature(
            once, labels[order], ("crystal", "liquid"), np.linspace(600, 1800, 61)
        )
    assert not found.supported and found.n_crossings == 1


def test_bad_input(model) -> None:  # type: ignore[no-untyped-def]
    samples, labels = model
    with pytest.raises(InputError, match="do not cross"):
        compute_transition_temperature(samples, labels, ("liquid", "crystal"), [900.0, 1000.0, 1100.0])
    with pytest.raises(InputError, match="no frame has this label"):
        compute_transition_temperature(samples, labels, ("gas", "crystal"), [900.0, 1000.0])
    with pytest.raises(InputError, match="one label a frame"):
        compute_phase_populations(samples, labels[1:], [900.0])
    with pytest.raises(InputError, match="rise"):
        compute_heat_capacity(samples, [1000.0, 900.0])
    with pytest.raises(InputError, match="too few frames"):
        draw(30, 1, flat_bias())
    learning = flat_bias()
    learning.set_frozen(False)
    with pytest.raises(InputError, match="exploration only"):
        BiasedSamples.from_arrays(learning, samples.energy, samples.volume, samples.orders)


def test_results_come_back_from_json(model, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    result = compute_heat_capacity(model[0], [900.0, 1000.0, 1100.0])
    again = HeatCapacityResult.from_json(result.to_json(tmp_path / "c.json"))
    np.testing.assert_array_equal(again.heat_capacity, result.heat_capacity)
    assert again.peak_K == result.peak_K or np.isnan(again.peak_K)


def test_a_hundred_thousand_frames_take_seconds() -> None:
    import time

    samples, labels = draw(100_000, 3, flat_bias())
    began = time.perf_counter()
    samples, _ = draw(100_000, 3, samples.bias)
    compute_heat_capacity(samples, np.linspace(800, 1200, 21))
    compute_transition_temperature(samples, labels, ("crystal", "liquid"), np.linspace(600, 1800, 61))
    assert time.perf_counter() - began < 20.0


@pytest.mark.parametrize("n_orders", [0, 1, 2])
def test_frames_of_walkers_are_read(fluid, tmp_path: Path, n_orders: int) -> None:  # type: ignore[no-untyped-def]
    from ase import units

    from asennp.md.momt import MOMT
    from asennp.order import ReciprocalOrder

    axes = [("fcc", -2.0, 34.0, 37), ("bcc", -2.0, 34.0, 9)][:n_orders]
    files, bias = [], WangLandauBias([("enthalpy", 0.0, 20.0, 41), *axes], 300.0)
    seen = []
    for walker in range(2):
        if walker == 1:
            bias.set_frozen(False)
        atoms = fluid(seed=walker, a=5.2)
        bias.set_frozen()
        files.append(tmp_path / f"{walker}.xyz")
        orders = [ReciprocalOrder.fcc(atoms), ReciprocalOrder.bcc(atoms, cells=(2, 2, 2))][:n_orders]
        dynamics = MOMT(atoms, 2 * units.fs, 300.0, 0.003, order=orders, bias=bias,
                        rng=np.random.default_rng(walker), trajectory=files[-1], loginterval=2)  # fmt: skip
        for k, _ in enumerate(dynamics.irun(100)):
            if k % 2 == 0:
                seen.append((dynamics.point.enthalpy, *dynamics.point.orders, dynamics.point.shift))
    bias.save(tmp_path / "bias.npz")
    samples = read_samples(files, tmp_path / "bias.npz", n_blocks=4)
    read = np.column_stack([samples.enthalpy, samples.orders, samples.shift])
    np.testing.assert_allclose(read, np.array(seen), rtol=1e-12, atol=1e-9)
    assert np.array_equal(samples.walkers, np.repeat([0, 1], 51))
    assert not set(samples.blocks.index[:51]) & set(samples.blocks.index[51:])
    bias.set_frozen(False)
    bias.update(5.0, *[2.0] * n_orders)
    bias.set_frozen()
    with pytest.raises(InputError, match="exploration only"):
        read_samples(files, bias)
    (tmp_path / "bad.xyz").write_text("2\nenergy=1\nAr 0 0 0\nAr 1 1 1\n")
    with pytest.raises(InputError, match="lacks what reweighting needs"):
        read_samples(tmp_path / "bad.xyz", bias)
