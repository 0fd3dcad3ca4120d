"""The bias surface: exact gradients, smoothness, slope limits, schedules, files, reweighting."""

import pickle
import time
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest

from asennp.errors import InputError
from asennp.md.bias import LinearBias, WangLandauBias
from asennp.units import KB

H_AXIS = ("enthalpy", -50.0, -30.0, 21)
ORDER_AXES = [("order", 0.0, 9.0, 10), ("volume", 100.0, 130.0, 7)]


def learned(n_orders: int, **settings: object) -> WangLandauBias:
    bias = WangLandauBias([H_AXIS, *ORDER_AXES[:n_orders]], temperature_K=2000, **settings)  # type: ignore[arg-type]
    rng = np.random.default_rng(n_orders)
    lows = np.array([axis.low for axis in bias.axes])
    widths = np.array([axis.high - axis.low for axis in bias.axes])
    for _ in range(150):
        bias.update(*(lows + widths * rng.random(len(lows))))
    return bias


@pytest.mark.parametrize("n_orders", [0, 1, 2])
def test_gradient_is_exact_on_and_off_the_mesh(n_orders: int) -> None:
    bias = learned(n_orders)
    rng = np.random.default_rng(5)
    lows = np.array([axis.low for axis in bias.axes])
    widths = np.array([axis.high - axis.low for axis in bias.axes])
    step = 1e-5 * np.array([axis.spacing for axis in bias.axes])
    for fraction in rng.uniform(-0.4, 1.4, size=(60, len(lows))):
        point = lows + widths * fraction
        _, alpha, gammas = bias.evaluate(*point)
        for k, slope in enumerate((alpha - 1.0, *gammas)):
            shift = np.eye(len(lows))[k] * step
            above, below = bias.evaluate(*(point + shift))[0], bias.evaluate(*(point - shift))[0]
            assert (above - below) / (2 * step[k]) == pytest.approx(slope, abs=2e-6)


def test_no_jump_across_node_lines_and_edges() -> None:
    bias = learned(1)
    for axis, other in ((0, 4.3), (1, -41.3)):
        mesh = bias.axes[axis]
        for k in range(mesh.n):
            node = mesh.low + k * mesh.spacing
            sides = []
            for x in (node - 1e-9, node + 1e-9):
                value, alpha, gammas = bias.evaluate(*((x, other) if axis == 0 else (other, x)))
                sides.append((value, alpha, *gammas))
            np.testing.assert_allclose(sides[0], sides[1], atol=1e-7)


def test_alpha_is_frozen_beyond_the_enthalpy_mesh() -> None:
    bias = learned(1)
    edge = bias.evaluate(-30.0, 4.2)[1]
    assert bias.evaluate(-10.0, 4.2)[1] == edge
    assert bias.evaluate(-10.0, 4.2)[0] - bias.evaluate(-20.0, 4.2)[0] == pytest.approx(10.0 * (edge - 1.0))


def test_the_kernel_is_what_it_says() -> None:
    bias = WangLandauBias([H_AXIS, ORDER_AXES[0]], 2000, ln_f=0.01, kernel_width=(1.0, 2.0))
    bias.update(-40.0, 5.0)
    expected = KB * 2000 * 0.01
    assert bias.state.coefficients[10, 5] == pytest.approx(expected)
    assert bias.state.coefficients[11, 5] == pytest.approx(expected * np.exp(-0.5))
    assert bias.state.coefficients[10, 7] == pytest.approx(expected * np.exp(-0.5))


@pytest.mark.parametrize("n_orders", [0, 1, 2])
def test_alpha_stays_inside_its_limits_everywhere(n_orders: int) -> None:
    bias = learned(n_orders, ln_f=30.0, temperature_min_K=800, temperature_max_K=5000)
    assert bias.state.n_limited > 0
    rng = np.random.default_rng(8)
    lows = np.array([axis.low for axis in bias.axes])
    widths = np.array([axis.high - axis.low for axis in bias.axes])
    points = lows + widths * rng.uniform(-0.5, 1.5, size=(3000, len(lows)))
    alphas = np.array([bias.evaluate(*point)[1] for point in points])
    assert alphas.min() >= 2000 / 5000 - 1e-9
    assert alphas.max() <= 2000 / 800 + 1e-9
    assert alphas.max() - alphas.min() > 1.0  # the limits were reached, not avoided


def test_limits_take_the_neighbours_along_but_not_the_peak() -> None:
    bias = WangLandauBias([H_AXIS], 2000, ln_f=200.0, temperature_min_K=1000, temperature_max_K=4000)
    bias.update(-40.0)
    values = bias.state.coefficients
    assert values[10] == pytest.approx(KB * 2000 * 200.0)
    np.testing.assert_allclose(np.diff(values[:11]), 1.0)  # up to T0/Tmin - 1 = 1
    np.testing.assert_allclose(np.diff(values[10:]), -0.5)  # down to T0/Tmax - 1 = -1/2


@pytest.mark.parametrize("n_orders", [0, 1, 2, 3])
def test_local_updates_are_the_sum_of_bumps_with_global_limits(n_orders: int) -> None:
    axes = [H_AXIS, *ORDER_AXES[:n_orders], ("other", 0.0, 5.0, 6)][: n_orders + 1]
    bias = WangLandauBias(axes, 2000, ln_f=8.0, kernel_width=1.3)
    rng = np.random.default_rng(n_orders)
    lows = np.array([axis.low for axis in bias.axes])
    spacings = np.array([axis.spacing for axis in bias.axes])
    counts = np.array([axis.n for axis in bias.axes])
    expected = np.zeros(counts)
    lowest, highest = bias._limits()
    index = np.stack(np.meshgrid(*[np.arange(n) for n in counts], indexing="ij"), axis=-1)
    for _ in range(60):
        scaled = (counts - 1) * rng.random(len(counts))
        bias.update(*(lows + scaled * spacings))
        distance = (index - scaled) / 1.3
        bump = np.exp(-0.5 * (distance**2).sum(axis=-1)) * np.all(np.abs(distance) < 4.0, axis=-1)
        expected += KB * 2000 * 8.0 * bump
        start = round(scaled[0])
        for k in range(start + 1, counts[0]):
            expected[k] = np.clip(expected[k], expected[k - 1] + lowest, expected[k - 1] + highest)
        for k in range(start - 1, -1, -1):
            expected[k] = np.clip(expected[k], expected[k + 1] - highest, expected[k + 1] - lowest)
    assert bias.state.n_limited > 0
    np.testing.assert_allclose(bias.state.coefficients, expected, rtol=0, atol=1e-9)
    before = bias.surface._padded.copy()
    bias.surface.refresh()
    np.testing.assert_array_equal(bias.surface._padded, before)  # the ghosts were kept up to date


def test_a_large_mesh_costs_no_more_than_a_small_one() -> None:
    def seconds(n: int) -> float:
        axes = [("enthalpy", 0.0, 1.0, n), ("a", 0.0, 1.0, n), ("b", 0.0, 1.0, n)]
        bias = WangLandauBias(axes, 2000, ln_f=1e-3, schedule="constant")
        rng, best = np.random.default_rng(1), np.inf
        for _ in range(7):
            began = time.perf_counter()
            for _ in range(40):
                point = tuple(rng.uniform(0.3, 0.7, 3))
                bias.update(*point)
                bias.evaluate(*point)
            best = min(best, time.perf_counter() - began)
        return best / 40

    seconds(12)  # compiles
    small, large = seconds(20), seconds(80)
    assert large < 4 * small  # 64 times the nodes
    assert large < 2e-3


@pytest.mark.parametrize("copy", [deepcopy, lambda bias: pickle.loads(pickle.dumps(bias))])
def test_copies_are_whole(copy) -> None:  # type: ignore[no-untyped-def]
    bias = learned(2)
    again = copy(bias)
    for one in (bias, again):
        one.update(-40.0, 4.0, 110.0)
    assert again.evaluate(-40.3, 4.2, 111.0) == bias.evaluate(-40.3, 4.2, 111.0)
    assert np.array_equal(again.state.coefficients, bias.state.coefficients)
    again.update(-40.0, 4.0, 110.0)
    assert again.evaluate(-40.3, 4.2, 111.0) != bias.evaluate(-40.3, 4.2, 111.0)


def test_many_points_at_once_are_the_same_to_the_bit() -> None:
    bias = learned(2)
    points = np.random.default_rng(3).uniform((-60, -2, 90), (-20, 11, 140), size=(200, 3))
    values, slopes = bias.surface.evaluate_many(points)
    for point, value, slope in zip(points, values, slopes):
        assert bias.surface.evaluate(tuple(point)) == (value, slope.tolist())


def test_wang_landau_learns_a_known_density_of_states() -> None:
    # independent walker on n(H) ~ H^4 at T0: dH must become kT0 ln n - H + const
    bias = WangLandauBias(
        [("enthalpy", 0.5, 2.5, 21)],
        2000,
        ln_f=0.02,
        schedule="constant",
        temperature_min_K=300,
        temperature_max_K=20_000,
    )
    kT = KB * 2000
    rng = np.random.default_rng(4)
    h, weight = 1.0, 0.0
    for step in range(40_000):
        trial = h + rng.uniform(-0.4, 0.4)
        if 0.5 <= trial <= 2.5:
            weight = 4 * np.log(trial / h) - (trial + bias.evaluate(trial)[0] - h - bias.evaluate(h)[0]) / kT
            if np.log(rng.random()) < weight:
                h = trial
        if step % 2 == 0:
            bias.update(h)
    grid = np.linspace(0.8, 2.2, 15)
    learned_shift = np.array([bias.evaluate(x)[0] for x in grid])
    expected = 4 * kT * np.log(grid) - grid
    difference = (learned_shift - expected) / kT
    assert np.ptp(difference) < 0.7
    assert np.ptp(expected / kT) > 3.0


def test_a_run_beyond_the_mesh_is_brought_back() -> None:
    # n(H) ~ exp(40 H - 5 H^2): the run drifts off the upper edge unless the edge learns from visits beyond it
    kT, rng = KB * 2000, np.random.default_rng(9)
    bias = WangLandauBias(
        [("enthalpy", 0.0, 2.0, 21)], 2000, ln_f=0.05, schedule="constant", temperature_max_K=1e5,
        temperature_min_K=100,
    )  # fmt: skip
    h, outside = 1.0, []
    for _ in range(12_000):
        trial = h + rng.uniform(-0.3, 0.3)
        gain = 40 * (trial - h) - 5 * (trial**2 - h**2)
        gain -= (trial + bias.evaluate(trial)[0] - h - bias.evaluate(h)[0]) / kT
        if np.log(rng.random()) < gain:
            h = trial
        bias.update(h)
        outside.append(not 0.0 <= h <= 2.0)
    assert np.mean(outside[:500]) > 0.3
    assert np.mean(outside[-6000:]) < 0.25
    assert bias.state.visits.sum() == len(outside) - sum(outside)
    assert bias.state.n_outside == sum(outside)


def test_one_over_t_follows_the_halves() -> None:
    bias = WangLandauBias([H_AXIS], 2000, ln_f=8.0, check_interval=63)
    history = []
    for k in range(63 * 40):
        bias.update(-50.0 + k % 21)
        history.append(bias.ln_f)
    assert set(np.round(-np.log2(np.array(history[:300]) / 8.0), 9)) <= set(range(20))
    assert bias.state.one_over_t
    assert bias.ln_f == pytest.approx(21 / (63 * 40))


def test_one_over_t_from_the_start() -> None:
    bias = WangLandauBias([H_AXIS], 2000, ln_f=0.25, schedule="1/t")
    for k in range(21 * 10):
        bias.update(-50.0 + k % 21)
        assert bias.ln_f == pytest.approx(min(0.25, min(k + 1, 21) / (k + 1)))


def test_rare_corners_do_not_hold_up_the_flatness() -> None:
    for ragged, halved in ((1, True), (3, False)):
        axes = [("enthalpy", 0.0, 39.0, 40)]
        bias = WangLandauBias(axes, 2000, ln_f=1e-6, check_interval=4000, temperature_max_K=1e6)
        nodes = np.r_[np.arange(40).repeat(100 - 2 * ragged), np.arange(10, 10 + ragged)][:4000]
        rare = set(range(10, 10 + ragged))
        visits = [k for k in nodes if k not in rare] + sorted(rare)
        for k in (visits * 2)[:4000]:
            bias.update(float(k))
        assert (bias.ln_f < 1e-6) is halved


def test_constant_schedule_and_freezing() -> None:
    bias = learned(1, schedule="constant", ln_f=0.5)
    assert bias.ln_f == 0.5
    before = bias.state.coefficients.copy()
    bias.set_frozen()
    bias.update(-40.0, 4.0)
    assert np.array_equal(before, bias.state.coefficients)
    assert bias.state.histogram.sum() == 1
    outside = bias.state.n_outside
    bias.update(-60.0, 4.0)
    assert bias.state.n_outside == outside + 1


def test_file_gives_back_the_same_bias(tmp_path: Path) -> None:
    bias = learned(2)
    bias.check(2000.0, 0.01)
    again = WangLandauBias.load(bias.save(tmp_path / "bias.npz"))
    assert again.evaluate(-41.7, 3.3, 111.0) == bias.evaluate(-41.7, 3.3, 111.0)
    assert again.todict() == bias.todict()
    for _ in range(20):
        bias.update(-40.0, 4.0, 110.0)
        again.update(-40.0, 4.0, 110.0)
    assert np.array_equal(again.state.coefficients, bias.state.coefficients)


def test_foreign_and_damaged_files_are_refused(tmp_path: Path) -> None:
    path = learned(1).save(tmp_path / "bias.npz")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="damaged"):
        WangLandauBias.load(path)
    path.write_bytes(whole.replace(b'"flatness": 0.8', b'"flatness": 0.7'))
    assert path.read_bytes() != whole
    with pytest.raises(InputError, match="damaged"):
        WangLandauBias.load(path)
    np.savez(path, a=np.zeros(3))
    with pytest.raises(InputError, match="none of ours"):
        WangLandauBias.load(path)
    with pytest.raises(InputError, match="no such file"):
        WangLandauBias.load(tmp_path / "nowhere.npz")


def test_bad_settings_are_refused() -> None:
    with pytest.raises(InputError, match="no width"):
        WangLandauBias([("enthalpy", -10.0, -10.0, 10)], 2000)
    with pytest.raises(InputError, match="first axis"):
        WangLandauBias([ORDER_AXES[0]], 2000)
    with pytest.raises(InputError, match="own limits"):
        WangLandauBias([H_AXIS], 2000, temperature_min_K=3000)
    with pytest.raises(InputError, match="flatness"):
        WangLandauBias([H_AXIS], 2000, schedule="flatnes")
    bias = WangLandauBias([H_AXIS], 2000)
    bias.check(2000, 0.1)
    with pytest.raises(InputError, match="another pressure"):
        bias.check(2000, 0.2)
    with pytest.raises(InputError, match="temperature"):
        bias.check(1900, 0.1)


def test_linear_bias() -> None:
    value, alpha, gammas = LinearBias(enthalpy=0.5, order=(0.1, -0.2)).evaluate(-10.0, 3.0, 4.0)
    assert (value, alpha, gammas) == (pytest.approx(-5.5), 1.5, (0.1, -0.2))


def test_reweighting_of_an_analytic_model() -> None:
    # n(H) ~ H^9 sampled exactly in the biased ensemble; at T the mean is 10 kT
    T0, kT0 = 2000.0, KB * 2000.0
    bias = WangLandauBias([("enthalpy", 0.0, 6.0, 61)], T0, temperature_min_K=400, temperature_max_K=8000)
    bias.check(T0, 0.0)
    grid = np.linspace(0.02, 6.0, 20_000)
    bias.set_coefficients(-0.4 * np.linspace(0.0, 6.0, 61) + 0.3 * np.sin(np.linspace(0.0, 6.0, 61)))
    shift = np.array([bias.evaluate(h)[0] for h in grid])
    density = grid**9 * np.exp(-(grid + shift) / kT0)
    rng = np.random.default_rng(2)
    h = rng.choice(grid, size=40_000, p=density / density.sum())
    for T in (1500.0, 2000.0, 3000.0):
        with pytest.raises(InputError, match="exploration only"):
            bias.reweight(h, np.ones_like(h), np.empty((len(h), 0)), h, temperature_K=T)
        bias.set_frozen()
        result = bias.reweight(h, np.ones_like(h), np.empty((len(h), 0)), h, temperature_K=T)
        exact = (grid**10 * np.exp(-grid / (KB * T))).sum() / (grid**9 * np.exp(-grid / (KB * T))).sum()
        assert abs(result.mean - exact) < 4 * result.error
        assert result.error < 0.03 * exact
        assert 100 < result.effective_samples <= len(h)
        bias.set_frozen(False)
    bias.set_frozen()
    with pytest.raises(InputError, match="exploration only"):
        bias.reweight(h, h, np.empty((len(h), 0)), h, temperature_K=T0, wl_updates=np.arange(len(h)))
