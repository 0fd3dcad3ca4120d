"""MOMT: exact forces, conservation, ensemble averages with negative controls, bad input."""

import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.md.langevinbaoab import LangevinBAOAB
from ase.md.md import MolecularDynamics
from ase.md.nose_hoover_chain import MTKNPT, IsotropicMTKNPT, MaskedMTKNPT
from ase.md.velocitydistribution import Stationary

from asennp import BuckinghamCoulomb
from asennp.errors import InputError
from asennp.md.bias import LinearBias, WangLandauBias
from asennp.md.momt import MOMT
from asennp.order import ReciprocalOrder, VolumeOrder
from asennp.units import KB

sys.path.insert(0, str(Path(__file__).parent))
from wrong_builds import AlphaOnKinetic, GammaDropped, PressureUnscaled

T0, P0 = 300.0, 0.5 * units.GPa
DAMPING = {"tdamp": 200 * units.fs, "pdamp": 400 * units.fs}


def make_bias(**settings: object) -> WangLandauBias:
    axes = [("enthalpy", 0.0, 20.0, 41), ("order", -2.0, 34.0, 37), ("volume", 400.0, 1800.0, 20)]
    return WangLandauBias(axes, T0, **settings)  # type: ignore[arg-type]


def orders_of(atoms: Atoms) -> list[ReciprocalOrder | VolumeOrder]:
    return [ReciprocalOrder.fcc(atoms), VolumeOrder()]


def sample(dynamics: MOMT, steps: int, skip: int = 1000) -> np.ndarray:
    """Return U, V and the first order parameter of every 5th step, shape (n, 3)."""
    rows = []
    for k, _ in enumerate(dynamics.irun(steps)):
        if k >= skip and k % 5 == 0:
            point = dynamics.point
            rows.append((point.evaluation.energy, point.volume, point.orders[0] if point.orders else 0.0))
    return np.array(rows)


def mean_and_error(values: np.ndarray, n_blocks: int = 16) -> tuple[float, float]:
    blocks = np.array([block.mean() for block in np.array_split(values, n_blocks)])
    return float(blocks.mean()), float(blocks.std(ddof=1) / np.sqrt(n_blocks))


def z_score(a: np.ndarray, b: np.ndarray) -> float:
    (mean_a, error_a), (mean_b, error_b) = mean_and_error(a), mean_and_error(b)
    return (mean_a - mean_b) / float(np.hypot(error_a, error_b))


# exact derivatives -----------------------------------------------------------------------------------


@pytest.fixture
def crowded(fluid):  # type: ignore[no-untyped-def]
    """MOMT on a compressed rattled crystal under a bias with structure along all three axes."""
    atoms = fluid(seed=3, a=5.0)
    atoms.rattle(0.25, seed=4)
    orders = orders_of(atoms)
    bias = make_bias(ln_f=8.0, kernel_width=2.0)
    dynamics = MOMT(atoms, 2 * units.fs, T0, P0, order=orders, bias=bias, rng=np.random.default_rng(1))
    start = dynamics.point
    rng = np.random.default_rng(2)
    for _ in range(60):
        shift = rng.normal(size=3) * [1.0, 3.0, 60.0]
        bias.update(start.enthalpy + shift[0], start.orders[0] + shift[1], start.orders[1] + shift[2])
    dynamics._point = dynamics._look()
    return dynamics


def biased_enthalpy(dynamics: MOMT, positions: np.ndarray, cell: np.ndarray) -> float:
    """Return U + PV + dH(U + PV, O) from the calculator, the orders and the surface alone."""
    atoms = dynamics.atoms.copy()
    atoms.calc = dynamics.atoms.calc
    atoms.set_cell(cell)
    atoms.positions[:] = positions
    enthalpy = atoms.get_potential_energy() + P0 * atoms.get_volume()
    shift = dynamics.bias.evaluate(enthalpy, *(order(atoms) for order in dynamics.orders))[0]
    return float(enthalpy + shift)


def test_forces_are_minus_the_gradient(crowded: MOMT) -> None:
    point = crowded.point
    assert abs(point.alpha - 1.0) > 0.05
    assert min(abs(gamma) for gamma in point.gammas) > 1e-5
    forces = crowded._forces(point).copy()
    positions, cell = crowded.atoms.positions.copy(), crowded.atoms.cell.array.copy()
    step = 1e-4
    for atom, axis in ((0, 0), (5, 1), (30, 2)):
        moved = np.zeros_like(positions)
        moved[atom, axis] = step
        above = biased_enthalpy(crowded, positions + moved, cell)
        below = biased_enthalpy(crowded, positions - moved, cell)
        assert forces[atom, axis] == pytest.approx(-(above - below) / (2 * step), abs=1e-6)


def test_piston_force_is_minus_the_derivative_in_ln_length(crowded: MOMT) -> None:
    virial = crowded._virial(crowded.point)
    positions, cell = crowded.atoms.positions.copy(), crowded.atoms.cell.array.copy()
    step = 1e-5
    above = biased_enthalpy(crowded, positions * np.exp(step), cell * np.exp(step))
    below = biased_enthalpy(crowded, positions * np.exp(-step), cell * np.exp(-step))
    assert np.trace(virial) == pytest.approx(-(above - below) / (2 * step), rel=1e-6)
    kinetic = crowded.integrator.cell.piston_force(virial, 2.0) - np.trace(virial)
    assert kinetic == pytest.approx(2.0 * (1.0 + 3.0 / (3 * 32 - 3)))


def test_virial_is_minus_the_strain_derivative(crowded: MOMT) -> None:
    virial = crowded._virial(crowded.point)
    positions, cell = crowded.atoms.positions.copy(), crowded.atoms.cell.array.copy()
    for a, b in ((0, 0), (1, 1), (2, 2), (1, 2), (2, 0), (0, 1)):
        strain = np.zeros((3, 3))
        strain[a, b] = 1e-5
        sides = [
            biased_enthalpy(crowded, positions @ F, cell @ F)
            for F in (np.eye(3) + strain, np.eye(3) - strain)
        ]
        assert virial[a, b] == pytest.approx(-(sides[0] - sides[1]) / 2e-5, rel=1e-5, abs=2e-5)


def test_a_bias_changed_between_runs_counts_from_the_next_step(crowded: MOMT) -> None:
    crowded.run(1)
    crowded.bias.set_coefficients(np.zeros((41, 37, 20)))
    crowded.run(0)
    assert (crowded.point.alpha, crowded.point.shift) == (1.0, 0.0)


# conservation ----------------------------------------------------------------------------------------


def fluctuation(atoms: Atoms, dt_fs: float, **settings: object) -> float:
    dynamics = MOMT(atoms, dt_fs * units.fs, T0, rng=np.random.default_rng(5), **settings)  # type: ignore[arg-type]
    values = [dynamics.get_conserved_energy() for _ in dynamics.irun(round(1600 / dt_fs))]
    return float(np.std(values))


@pytest.mark.parametrize("pressure", [P0, None])
def test_drift_falls_with_the_square_of_the_timestep(fluid, pressure: float | None) -> None:  # type: ignore[no-untyped-def]
    settings = {"pressure_au": pressure, "bias": LinearBias(0.4), **DAMPING}
    coarse, fine = (fluctuation(fluid(seed=2, a=5.2), dt, **settings) for dt in (4.0, 2.0))
    assert 3.2 < coarse / fine < 4.8
    assert coarse < 2e-3


def test_conserved_across_bias_updates(fluid) -> None:  # type: ignore[no-untyped-def]
    atoms = fluid(seed=2, a=5.2)
    bias = make_bias(ln_f=1.0, kernel_width=1.5, schedule="constant")
    dynamics = MOMT(
        atoms, 2 * units.fs, T0, P0, order=orders_of(atoms), bias=bias, wl_interval=20,
        rng=np.random.default_rng(6), **DAMPING,
    )  # fmt: skip
    values = np.array([dynamics.get_conserved_energy() for _ in dynamics.irun(3000)])
    assert bias.n_updates == 150
    assert dynamics.exploration_only
    assert abs(dynamics.bias_work) > 50 * np.ptp(values)  # without the work the drift would be seen
    assert np.ptp(values) < 0.02
    assert dynamics.atoms.get_momenta().sum(axis=0) == pytest.approx(np.zeros(3), abs=1e-9)


def test_fixed_cell(fluid) -> None:  # type: ignore[no-untyped-def]
    atoms = fluid(seed=2, a=5.2)
    cell = atoms.cell.array.copy()
    dynamics = MOMT(atoms, 4 * units.fs, T0, None, rng=np.random.default_rng(7), tdamp=100 * units.fs)
    temperatures = [dynamics.get_temperature() for _ in dynamics.irun(4000)][500:]
    assert np.array_equal(atoms.cell.array, cell)
    mean, error = mean_and_error(np.array(temperatures))
    assert abs(mean - T0) < 5 * error + 0.5
    assert np.std(temperatures) == pytest.approx(T0 * np.sqrt(2 / 93), rel=0.15)  # canonical, 3N-3


# ensemble truths -------------------------------------------------------------------------------------

LAMBDA = 1.5


def run(
    kind: type[MOMT],
    atoms: Atoms,
    steps: int,
    temperature: float = T0,
    pressure: float = P0,
    **settings: object,
) -> np.ndarray:
    dynamics = kind(
        atoms, 5 * units.fs, temperature, pressure, rng=np.random.default_rng(11), **DAMPING, **settings
    )  # type: ignore[arg-type]
    return sample(dynamics, steps)


def test_linear_bias_is_another_temperature_at_the_same_pressure(fluid) -> None:  # type: ignore[no-untyped-def]
    steps = 30_000
    plain = run(MOMT, fluid(seed=1, a=5.2), steps, temperature=T0 / LAMBDA)
    bias = LinearBias(LAMBDA - 1.0)
    right = run(MOMT, fluid(seed=2, a=5.2), steps, bias=bias)
    assert abs(z_score(right[:, 1], plain[:, 1])) < 4
    assert abs(z_score(right[:, 0], plain[:, 0])) < 4
    assert mean_and_error(plain[:, 1])[1] < 0.01 * plain[:, 1].mean()
    # the check must see both mistakes
    for wrong_kind in (AlphaOnKinetic, PressureUnscaled):
        wrong = run(wrong_kind, fluid(seed=2, a=5.2), steps // 2, bias=bias)
        assert abs(z_score(wrong[:, 1], plain[:, 1])) > 5, wrong_kind.__name__


def test_linear_bias_on_the_volume_is_another_pressure(fluid) -> None:  # type: ignore[no-untyped-def]
    steps, extra = 20_000, 0.3 * units.GPa
    plain = run(MOMT, fluid(seed=1, a=5.2), steps, pressure=P0 + extra)
    atoms = fluid(seed=2, a=5.2)
    biased = run(MOMT, atoms, steps, order=VolumeOrder(), bias=LinearBias(order=extra))
    assert abs(z_score(biased[:, 1], plain[:, 1])) < 4
    unbiased = run(MOMT, fluid(seed=2, a=5.2), steps // 2)
    assert abs(z_score(unbiased[:, 1], plain[:, 1])) > 5


def test_linear_bias_on_an_order_parameter_is_an_umbrella(fluid) -> None:  # type: ignore[no-untyped-def]
    steps, kT = 20_000, KB * T0
    bias = LinearBias(order=1.5 * kT)
    atoms = fluid(seed=1, a=5.2)
    plain = run(MOMT, atoms, steps, order=ReciprocalOrder.fcc(atoms))
    atoms = fluid(seed=2, a=5.2)
    biased = run(MOMT, atoms, steps, order=ReciprocalOrder.fcc(atoms), bias=bias)
    atoms = fluid(seed=2, a=5.2)
    wrong = run(GammaDropped, atoms, steps, order=ReciprocalOrder.fcc(atoms), bias=bias)
    weights = np.exp(-1.5 * plain[:, 2])
    blocks = np.array_split(np.arange(len(plain)), 16)
    estimates = [
        np.average(np.delete(plain[:, 2], block), weights=np.delete(weights, block)) for block in blocks
    ]
    expected = np.average(plain[:, 2], weights=weights)
    expected_error = np.sqrt(15 * np.var(estimates))
    for rows, agrees in ((biased, True), (wrong, False)):
        mean, error = mean_and_error(rows[:, 2])
        z = abs(mean - expected) / np.hypot(error, expected_error)
        assert z < 4 if agrees else z > 5


def test_plain_npt_agrees_with_ase(fluid) -> None:  # type: ignore[no-untyped-def]
    ours = run(MOMT, fluid(seed=1, a=5.2), 20_000)
    atoms = thermal(fluid(seed=4, a=5.2), T0, 8)
    # ASE's chain counts 3N degrees of freedom of which 3N-3 move: they come out hotter by N/(N-1)
    theirs = IsotropicMTKNPT(atoms, 5 * units.fs, temperature_K=T0 * 31 / 32, pressure_au=P0, **DAMPING)
    reference = cells_and_energies(theirs, 10_000)
    assert abs(z_score(ours[:, 1], reference[:, 1])) < 4
    assert abs(z_score(ours[:, 0], reference[:, 0])) < 4


def thermal(atoms: Atoms, temperature: float, seed: int) -> Atoms:
    """Give momenta of a temperature and no total momentum: ASE's classes take those they find."""
    rng = np.random.default_rng(seed)
    atoms.set_momenta(
        np.sqrt(KB * temperature * atoms.get_masses())[:, None] * rng.standard_normal((len(atoms), 3))
    )
    Stationary(atoms)
    return atoms


def cells_and_energies(dynamics: MolecularDynamics, steps: int) -> np.ndarray:
    """Return U, V and the squared cell lengths of every 5th step, shape (n, 5)."""
    atoms, rows = dynamics.atoms, []
    for k, _ in enumerate(dynamics.irun(steps)):
        if k >= 1000 and k % 5 == 0:
            rows.append((atoms.get_potential_energy(), atoms.get_volume(), *atoms.cell.lengths() ** 2))
    return np.array(rows)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mask", "kind", "settings"),
    [
        (None, MTKNPT, {}),
        # an array: as a tuple, ASE 3.29 takes it for three scalar indices and moves nothing
        (("zz",), MaskedMTKNPT, {"mask": np.array([False, False, True])}),
    ],
)
def test_flexible_cells_agree_with_ase(mask, kind, settings) -> None:  # type: ignore[no-untyped-def]
    # rock salt resists a change of shape, so that lengths have a mean
    temperature, pressure, step = 600.0, 1.0 * units.GPa, 2 * units.fs
    damping = {"tdamp": 100 * units.fs, "pdamp": 200 * units.fs}

    def rock_salt(seed: int) -> Atoms:
        atoms = bulk("ZnO", "rocksalt", a=4.29, cubic=True) * 2
        atoms.rattle(0.08, seed=seed)
        atoms.calc = BuckinghamCoulomb("zno-lewis-catlow", cutoff=6.0, accuracy=1e-4)
        return atoms

    ours = MOMT(
        rock_salt(1), step, temperature, pressure, integrator="mtk-flexible", mask=mask,
        rng=np.random.default_rng(5), **damping,
    )  # fmt: skip
    # ASE's chain counts 3N degrees of freedom of which 3N-3 move
    atoms, counted = thermal(rock_salt(4), temperature, 8), temperature * 63 / 64
    theirs = kind(atoms, step, temperature_K=counted, pressure_au=pressure, **damping, **settings)
    a, b = cells_and_energies(ours, 8_000), cells_and_energies(theirs, 8_000)
    assert abs(z_score(a[:, 0], b[:, 0])) < 4
    moving = [True] * 3 if mask is None else [False, False, True]
    for name, rows in (("ours", a), ("ASE", b)):
        assert (np.ptp(rows[:, 2:], axis=0) > 0.1).tolist() == moving, name
    # a cube: each moving length has the same distribution, in its mean and in its spread
    lengths = [rows[:, 2:][:, moving].mean(axis=1) for rows in (a, b)]
    spreads = [((rows[:, 2:] - rows[:, 2:].mean(axis=0))[:, moving] ** 2).mean(axis=1) for rows in (a, b)]
    assert abs(z_score(*lengths)) < 4
    assert abs(z_score(*spreads)) < 4


@pytest.mark.parametrize("pressure", [None, P0])
def test_langevin_agrees_with_ase(fluid, pressure: float | None) -> None:  # type: ignore[no-untyped-def]
    name = "langevin" if pressure is None else "langevin-isotropic"
    ours = run(MOMT, fluid(seed=1, a=5.2), 12_000, pressure=pressure, integrator=name)
    moving = {} if pressure is None else {"externalstress": -pressure, "hydrostatic": True}
    cell = moving and moving | {"P_tau": 400 * units.fs, "P_mass": 1e4}
    atoms = thermal(fluid(seed=4, a=5.2), T0, 8)
    theirs = LangevinBAOAB(atoms, 5 * units.fs, temperature_K=T0, T_tau=200 * units.fs, rng=6, **cell)
    reference = cells_and_energies(theirs, 12_000)
    for k in range(1 if pressure is None else 2):
        assert abs(z_score(ours[:, k], reference[:, k])) < 4


# bad input -------------------------------------------------------------------------------------------


def test_bad_input_is_refused_before_the_first_step(fluid) -> None:  # type: ignore[no-untyped-def]
    atoms, rng = fluid(), np.random.default_rng(0)
    good = {"timestep": 2 * units.fs, "temperature_K": T0, "pressure_au": P0, "rng": rng}
    for change, text in (
        ({"temperature_K": 0.026}, "units.kB"),
        ({"pressure_au": 1.0}, "units.bar"),
        ({"timestep": 1.0}, "units.fs"),
        ({"rng": None}, "nothing to draw momenta from"),
        ({"order": VolumeOrder(), "bias": LinearBias(0.1)}, "do not match"),
        ({"bias": WangLandauBias([("enthalpy", 0.0, 1.0, 9)], 2000)}, "another reference temperature"),
    ):
        with pytest.raises(InputError, match=text):
            MOMT(atoms.copy() if atoms.calc is None else _with_calc(atoms), **{**good, **change})  # type: ignore[arg-type]
    bias = WangLandauBias([("enthalpy", -30.0, -20.0, 11)], T0)
    dynamics = MOMT(_with_calc(atoms), bias=bias, **good)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="widen the axis to"):
        dynamics.run(1)
    assert dynamics.nsteps == 0
    bare = atoms.copy()
    with pytest.raises(InputError, match="calculator"):
        MOMT(bare, **good)  # type: ignore[arg-type]
    bare.calc = LennardJones()
    bare.calc.implemented_properties = ["energy", "forces"]
    with pytest.raises(InputError, match="no stress"):
        MOMT(bare, **good)  # type: ignore[arg-type]


def _with_calc(atoms: Atoms) -> Atoms:
    fresh = atoms.copy()
    fresh.calc = atoms.calc
    return fresh


def test_long_stays_off_the_mesh_are_reported(fluid, tmp_path) -> None:  # type: ignore[no-untyped-def]
    atoms = fluid(seed=1, a=5.2)
    dynamics = MOMT(atoms, 2 * units.fs, T0, P0, rng=np.random.default_rng(1), logfile=tmp_path / "log",
                    wl_interval=1)  # fmt: skip
    start = dynamics.point.enthalpy
    bias = WangLandauBias([("enthalpy", start - 1.0, start + 0.02, 9)], T0)
    bias.set_frozen()  # one that learns would bring the run back
    dynamics = MOMT(atoms, 2 * units.fs, T0, P0, bias=bias, logfile=tmp_path / "log", wl_interval=1)
    dynamics.run(400)
    assert bias.state.n_outside > 60
    assert "off the mesh along 'enthalpy'" in (tmp_path / "log").read_text()


def test_any_calculator_will_do() -> None:
    from ase.build import bulk

    atoms = bulk("Cu", cubic=True) * 2
    atoms.calc = EMT()
    dynamics = MOMT(atoms, 2 * units.fs, 300, 0.0, rng=np.random.default_rng(3))
    start = dynamics.get_conserved_energy()
    dynamics.run(60)
    assert dynamics.get_conserved_energy() == pytest.approx(start, abs=2e-3)
    assert dynamics.evaluate().energy == pytest.approx(atoms.get_potential_energy())
