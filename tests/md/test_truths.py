"""Ensemble truths on systems that can be solved: MOMT samples what it says, wrong builds are found out.

Criterion throughout: z = (found - exact)/error with the error from 20 blocks of the run; |z| < 4 for the
right build and |z| > 5 for each wrong one (alpha on the kinetic term, P unscaled, gamma dropped). Seeds are
fixed, so a failure is a change of the code.
"""

import math
import sys
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.calculator import Calculator, all_changes

from asennp.md.bias import WangLandauBias
from asennp.md.momt import MOMT
from asennp.md.partial_enthalpy import Bias, BiasValue, LinearBias
from asennp.md.samples import BiasedSamples
from asennp.md.thermodynamics import compute_density_of_states, compute_heat_capacity
from asennp.md.walkers import run_walkers
from asennp.order import ReciprocalOrder, VolumeOrder
from asennp.units import KB

sys.path.insert(0, str(Path(__file__).parent))
from wrong_builds import AlphaOnKinetic, GammaDropped, PressureUnscaled

T0 = 300.0
KT0 = KB * T0
FS = units.fs
N = 8


class IdealGas(Calculator):
    """No interactions: H = P V."""

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):  # type: ignore[no-untyped-def]
        nothing = {"energy": 0.0, "free_energy": 0.0, "stress": np.zeros(6)}
        self.results = {**nothing, "forces": np.zeros((len(atoms), 3))}


class BreathingCrystal(IdealGas):
    """U = k/2 sum |r_i - h s_i|^2 + B (V - V0)^2/2 V0 with fixed sites s_i of the cell h.

    In the measure dV d3Nr the volume is Gaussian, mean V0 (1 - P/B), variance kT V0/B, whatever the springs
    do: the kinetic pressure is balanced by theirs. <k/2 sum u^2> = 3N kT/2.
    """

    spring, bulk, volume0 = 1.0, 0.1, 200.0

    def __init__(self, sites: np.ndarray) -> None:
        super().__init__()
        self.sites = sites

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):  # type: ignore[no-untyped-def]
        cell = atoms.cell.array
        volume = abs(np.linalg.det(cell))
        moved = atoms.positions - self.sites @ cell
        energy = (
            0.5 * self.spring * (moved**2).sum()
            + 0.5 * self.bulk * (volume - self.volume0) ** 2 / self.volume0
        )
        stress = self.spring * moved.T @ moved / volume
        stress += np.eye(3) * self.bulk * (volume - self.volume0) / self.volume0
        self.results = {
            "energy": energy, "free_energy": energy, "forces": -self.spring * moved,
            "stress": stress.ravel()[[0, 4, 8, 5, 2, 1]],
        }  # fmt: skip


def gas(seed: int = 0, n: int = N, edge: float = 8.0) -> Atoms:
    rng = np.random.default_rng([seed, n])
    atoms = Atoms(f"He{n}", positions=edge * rng.random((n, 3)), cell=[edge] * 3, pbc=True)
    atoms.calc = IdealGas()
    return atoms


def crystal() -> Atoms:
    edge = BreathingCrystal.volume0 ** (1.0 / 3.0)
    sites = 0.25 + 0.5 * np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    atoms = Atoms("He8", scaled_positions=sites, cell=[edge] * 3, pbc=True)
    atoms.calc = BreathingCrystal(sites)
    return atoms


def sample(
    kind: type[MOMT], atoms: Atoms, steps: int, pressure: float | None, *, seed: int = 1, **settings: object
) -> np.ndarray:
    """Run Langevin dynamics; return U, V and the orders of every 4th step, shape (n, 2 + n_orders)."""
    name = "langevin" if pressure is None else "langevin-isotropic"
    dynamics = kind(atoms, 4 * FS, T0, pressure, integrator=name, rng=np.random.default_rng(seed),
                    **({"tdamp": 60 * FS, "pdamp": 60 * FS} | settings))  # type: ignore[arg-type]  # fmt: skip
    rows = []
    for k, _ in enumerate(dynamics.irun(steps)):
        if k > steps // 20 and k % 4 == 0:
            point = dynamics.point
            rows.append((point.evaluation.energy, point.volume, *point.orders))
    return np.array(rows)


def z_score(values: np.ndarray, exact: float) -> float:
    blocks = np.array([block.mean() for block in np.array_split(values, 20)])
    return float((blocks.mean() - exact) / (blocks.std(ddof=1) / math.sqrt(20)))


# 1. dH = (lambda - 1) H is another temperature at the same pressure ----------------------------------

LAMBDA = 1.6
GAS_PRESSURE = (N + 1) * KT0 / 500.0


def test_scaled_enthalpy_of_a_gas_is_a_lower_temperature() -> None:
    bias = LinearBias(LAMBDA - 1.0)
    exact = (N + 1) * KT0 / LAMBDA
    right = sample(MOMT, gas(), 8_000, GAS_PRESSURE, bias=bias)
    assert abs(z_score(GAS_PRESSURE * right[:, 1], exact)) < 4
    for wrong in (AlphaOnKinetic, PressureUnscaled):
        rows = sample(wrong, gas(), 4_000, GAS_PRESSURE, bias=bias)
        assert abs(z_score(GAS_PRESSURE * rows[:, 1], exact)) > 5, wrong.__name__


def test_scaled_enthalpy_of_a_crystal_is_a_lower_temperature() -> None:
    bias, pressure = LinearBias(LAMBDA - 1.0), 0.02
    volume0, bulk = BreathingCrystal.volume0, BreathingCrystal.bulk
    volume = volume0 * (1.0 - pressure / bulk)
    width = KT0 / LAMBDA * volume0 / bulk
    springs = 1.5 * N * KT0 / LAMBDA

    def scores(rows: np.ndarray) -> tuple[float, float, float]:
        elastic = 0.5 * bulk * (rows[:, 1] - volume0) ** 2 / volume0
        return (
            z_score(rows[:, 1], volume),
            z_score((rows[:, 1] - volume) ** 2, width),
            z_score(rows[:, 0] - elastic, springs),
        )

    right = sample(MOMT, crystal(), 8_000, pressure, bias=bias)
    assert np.abs(scores(right)).max() < 4
    for wrong in (AlphaOnKinetic, PressureUnscaled):
        rows = sample(wrong, crystal(), 4_000, pressure, bias=bias)
        assert np.abs(scores(rows)).max() > 5, wrong.__name__


# 2. dH = lambda O is a linear umbrella ---------------------------------------------------------------


def test_a_bias_on_the_volume_is_an_umbrella() -> None:
    # P is taken up by dH = c V as it is by P V: PV averages (N + 1) kT P/(P + c)
    extra = 0.5 * GAS_PRESSURE
    exact = (N + 1) * KT0 * GAS_PRESSURE / (GAS_PRESSURE + extra)
    settings = {"order": VolumeOrder(), "bias": LinearBias(order=extra)}
    right = sample(MOMT, gas(), 8_000, GAS_PRESSURE, **settings)
    assert abs(z_score(GAS_PRESSURE * right[:, 1], exact)) < 4
    wrong = sample(GammaDropped, gas(), 4_000, GAS_PRESSURE, **settings)
    assert abs(z_score(GAS_PRESSURE * wrong[:, 1], exact)) > 5


def test_a_bias_on_a_structure_factor_is_an_umbrella() -> None:
    waves, strength = [[1, 0, 0], [0, 1, 0]], -0.5
    # the exact answer by drawing the gas at random: mean of O under exp(-strength O)
    phases = 2.0 * np.pi * np.random.default_rng(0).random((400_000, N, 2))
    order = (np.abs(np.exp(1j * phases).sum(axis=1)) ** 2).mean(axis=1) / N
    exact = float(np.average(order, weights=np.exp(-strength * order)))
    settings = {"order": ReciprocalOrder(waves, N), "bias": LinearBias(order=strength * KT0)}
    right = sample(MOMT, gas(edge=3.0), 12_000, None, **settings)
    assert abs(z_score(right[:, 2], exact)) < 4
    wrong = sample(GammaDropped, gas(edge=3.0), 14_000, None, **settings)
    assert abs(z_score(wrong[:, 2], exact)) > 5


# 3. the density of states of an ideal gas, and its reweighting ---------------------------------------


def gas_bias(n: int = N, **settings: object) -> WangLandauBias:
    """Return a mesh in H over a factor of five in temperature."""
    unit = n * KT0
    return WangLandauBias(
        [("enthalpy", 0.35 * unit, 2.0 * unit, 34)], T0, temperature_min_K=0.3 * T0,
        temperature_max_K=2.5 * T0, **settings,
    )  # type: ignore[arg-type]  # fmt: skip


@pytest.mark.slow
def test_ideal_gas_density_of_states_and_reweighting() -> None:
    bias = gas_bias()
    nodes = bias.axes[0].nodes
    bias.set_coefficients(N * KT0 * np.log(nodes) - nodes + 0.5 * KT0 * np.sin(40 * nodes))
    bias.set_frozen()
    rows = sample(MOMT, gas(), 40_000, GAS_PRESSURE, bias=bias)
    samples = BiasedSamples.from_arrays(bias, rows[:, 0], rows[:, 1], np.empty((len(rows), 0)))
    for temperature in (0.6 * T0, T0, 1.4 * T0):
        average = samples.average(samples.enthalpy, temperature)
        assert average.error < 0.04 * average.mean
        assert abs(average.mean - (N + 1) * KB * temperature) < 4 * average.error
    # another pressure: PV does not change, V does
    volume = samples.average(samples.volume, T0, 1.2 * GAS_PRESSURE)
    assert abs(volume.mean - (N + 1) * KT0 / (1.2 * GAS_PRESSURE)) < 4 * volume.error
    heat = compute_heat_capacity(samples, [0.8 * T0, T0, 1.2 * T0])
    assert np.abs((heat.heat_capacity - (N + 1) * KB) / heat.heat_capacity_error).max() < 4
    density = compute_density_of_states(samples)
    inner = slice(1, -1)
    difference = density.ln_n[inner] - N * np.log(nodes[inner])
    z = (difference - np.average(difference, weights=density.error[inner] ** -2)) / density.error[inner]
    assert np.ptp(N * np.log(nodes[inner])) > 10
    assert np.abs(z).max() < 5  # of 32 nodes
    for wrong in (AlphaOnKinetic, PressureUnscaled):
        rows = sample(wrong, gas(), 12_000, GAS_PRESSURE, bias=bias)
        wronged = BiasedSamples.from_arrays(bias, rows[:, 0], rows[:, 1], np.empty((len(rows), 0)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a wrong build need not cover the mesh
            z = [
                (one.mean - (N + 1) * KB * t) / one.error
                for t in (0.6 * T0, 1.4 * T0)
                for one in [wronged.average(wronged.enthalpy, t)]
            ]
        assert np.abs(z).max() > 5, wrong.__name__


def test_ideal_gas_with_its_centre_at_rest() -> None:
    rng = np.random.default_rng(3)
    dynamics = MOMT(gas(), 4 * FS, T0, GAS_PRESSURE, rng=rng, tdamp=60 * FS, pdamp=80 * FS)
    volumes = [dynamics.point.volume for _ in dynamics.irun(30_000)][1000:]
    assert abs(z_score(GAS_PRESSURE * np.array(volumes), N * KT0)) < 4
    assert abs(z_score(GAS_PRESSURE * np.array(volumes), (N + 1) * KT0)) > 5


# 4. a harmonic crystal at fixed volume is visited evenly ---------------------------------------------


class HarmonicBias(Bias):
    """dH = (N_f/2 - 1) kT0 ln U - U between two energies, straight lines beyond."""

    n_orders = 0

    def __init__(self, n_dof: int, low: float, high: float) -> None:
        self.power, self.low, self.high = (0.5 * n_dof - 1.0) * KT0, low, high

    def evaluate(self, enthalpy: float, *orders: float) -> BiasValue:
        inside = min(max(enthalpy, self.low), self.high)
        slope = self.power / inside - 1.0
        return self.power * math.log(inside) - inside + (enthalpy - inside) * slope, 1.0 + slope, ()

    def todict(self) -> dict[str, object]:
        return {}


@pytest.mark.slow
@pytest.mark.parametrize(("n_dof", "right"), [(3 * N, True), (3 * N - 3, False)])
def test_harmonic_crystal_is_flat(n_dof: int, right: bool) -> None:
    middle = 1.5 * N * KT0
    bias = HarmonicBias(n_dof, 0.5 * middle, 1.8 * middle)
    rows = sample(MOMT, crystal(), 30_000, None, bias=bias)
    edges = np.linspace(bias.low, bias.high, 9)
    counts = np.array([np.histogram(block, edges)[0] for block in np.array_split(rows[:, 0], 20)])
    share = counts / counts.sum(axis=1, keepdims=True)
    z = (share.mean(axis=0) - 1 / 8) / (share.std(axis=0, ddof=1) / math.sqrt(20))
    assert counts.sum() > 0.3 * len(rows)
    assert np.abs(z).max() < 4 if right else np.abs(z).max() > 5


# 5. and 6. what several walkers learn ----------------------------------------------------------------


def calculator(folder: Path) -> Calculator:
    return IdealGas()


def start(walker: int, bias: WangLandauBias, folder: Path, kind: type[MOMT] = MOMT) -> MOMT:
    seed = int(folder.parent.name.rsplit("-", 1)[1])
    return kind(
        gas(walker), 4 * FS, T0, GAS_PRESSURE, bias=bias, wl_interval=10, integrator="langevin-isotropic",
        tdamp=60 * FS, pdamp=60 * FS, rng=np.random.default_rng([seed, walker]),
    )  # fmt: skip


def learn(folder: Path, n_walkers: int, steps: int, kind: type[MOMT] = MOMT) -> WangLandauBias:
    bias = gas_bias(ln_f=0.1, schedule="1/t")
    return run_walkers(
        partial(start, kind=kind),
        calculator,
        bias,
        folder,
        n_walkers=n_walkers,
        steps=steps,
        round_steps=2000,
        workers=0,
    )


@pytest.mark.slow
def test_walkers_learn_the_temperature_and_agree_with_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 4 walkers of 4000 steps, and one of 16 000, three times each
    many = [learn(tmp_path / f"many-{k}", 4, 4_000) for k in range(3)]
    one = [learn(tmp_path / f"one-{k}", 1, 16_000) for k in range(3)]
    assert {bias.n_updates for bias in many} == {bias.n_updates for bias in one} == {1600}
    grid = N * KT0 * np.linspace(0.5, 1.8, 14)
    exact = N * KT0 * np.log(grid) - grid

    def errors(biases: list[WangLandauBias]) -> np.ndarray:
        """Return (dH - exact)/kT0 of each run, the mean taken out."""
        found = np.array([bias.shifts(grid, np.empty((14, 0))) - exact for bias in biases]) / KT0
        return found - found.mean(axis=1, keepdims=True)

    of_many, of_one = errors(many), errors(one)
    # the truth: each to a quarter of kT0 (r.m.s.) where dH itself spans more than 1.5 kT0
    assert np.ptp(exact / KT0) > 1.5
    assert np.sqrt((of_many**2).mean()) < 0.25
    assert np.sqrt((of_one**2).mean()) < 0.25
    # a wrong build, alone or with company, does not learn it: five times the scatter of the right ones away
    right = np.sqrt((np.concatenate([of_many, of_one]) ** 2).mean(axis=1))
    for kind in (AlphaOnKinetic, PressureUnscaled):
        monkeypatch.setattr("asennp.md.walkers.MOMT", kind)  # walkers restart as what they are
        for n_walkers, steps in ((4, 4_000), (1, 16_000)):
            wrong = errors([learn(tmp_path / f"{kind.__name__}-{n_walkers}-7", n_walkers, steps, kind)])
            assert np.sqrt((wrong**2).mean()) > right.mean() + 5 * right.std(ddof=1)
    monkeypatch.undo()
    # the same distribution: means of three agree within 5 standard errors of the pooled scatter
    scatter = np.sqrt((np.var(of_many, axis=0, ddof=1) + np.var(of_one, axis=0, ddof=1)).mean() / 3.0)
    assert np.abs(of_many.mean(axis=0) - of_one.mean(axis=0)).max() < 5 * scatter
    # alpha = T0/T(H): plain NPT has its most likely enthalpy N kT where alpha = T0/T (<H> = (N + 1) kT)
    for temperature in (0.7, 1.0, 1.4):
        rows = sample(MOMT, gas(), 6_000, GAS_PRESSURE, bias=LinearBias(1.0 / temperature - 1.0))
        mode = GAS_PRESSURE * rows[:, 1].mean() - KT0 * temperature
        slopes = [bias.evaluate(h)[1] for bias in many + one for h in mode * np.linspace(0.9, 1.1, 5)]
        assert np.mean(slopes) == pytest.approx(1.0 / temperature, rel=0.12)
