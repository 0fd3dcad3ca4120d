"""Every integrator: conservation, reversibility, restart, and ensembles known in closed form."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.calculator import Calculator, all_changes

from asennp.errors import InputError
from asennp.md.bias import LinearBias
from asennp.md.integrators import INTEGRATORS, cell_moves
from asennp.md.momt import MOMT
from asennp.order import ReciprocalOrder, VolumeOrder
from asennp.units import KB

T0, P0 = 300.0, 0.5 * units.GPa
DAMPING = {"tdamp": 200 * units.fs, "pdamp": 400 * units.fs}
#: Integrators and masks that are run through the same checks.
CASES = [(name, None) for name in INTEGRATORS] + [
    ("mtk-flexible", ("xx", "xy")),
    ("langevin-flexible", ("yy", "zz", "xy")),
]


def make(atoms: Atoms, name: str, mask: tuple[str, ...] | None, dt_fs: float, **settings: object) -> MOMT:
    """Return a run under a bias on enthalpy, order and volume."""
    bias = None if name == "verlet" else LinearBias(0.4, (0.01, 1e-4))
    return MOMT(
        atoms, dt_fs * units.fs, T0, P0 if cell_moves(name) else None, integrator=name, mask=mask,
        order=[ReciprocalOrder.fcc(atoms), VolumeOrder()], bias=bias,
        rng=np.random.default_rng(5), **DAMPING, **settings,
    )  # fmt: skip


@pytest.mark.parametrize(("name", "mask"), CASES)
def test_drift_falls_with_the_square_of_the_timestep(fluid, name: str, mask: tuple[str, ...] | None) -> None:  # type: ignore[no-untyped-def]
    if name.startswith("langevin"):
        # other timesteps draw other noise: the same path needs none
        settings: dict[str, object] = {"tdamp": 1e9, "pdamp": 1e9}
    else:
        settings = {}
    fluctuations = []
    for dt in (4.0, 2.0):
        dynamics = make(fluid(seed=2, a=5.2), name, mask, dt)
        if settings:
            dynamics.integrator._memory = dynamics.integrator._piston_memory = 1.0
            dynamics.integrator._noise *= 0.0
        values = [dynamics.get_conserved_energy() for _ in dynamics.irun(round(800 / dt))]
        fluctuations.append(np.std(values))
    assert 3.2 < fluctuations[0] / fluctuations[1] < 4.8
    assert fluctuations[0] < 4e-3


@pytest.mark.parametrize("name", [name for name in INTEGRATORS if name.startswith("langevin")])
def test_heat_makes_langevin_conserve(fluid, name: str) -> None:  # type: ignore[no-untyped-def]
    dynamics = make(fluid(seed=2, a=5.2), name, None, 2.0)
    rows = [(dynamics.get_conserved_energy(), dynamics.integrator.heat) for _ in dynamics.irun(500)]  # type: ignore[attr-defined]
    conserved, heat = np.ptp(np.array(rows), axis=0)
    assert conserved < 0.02
    assert heat > 0.2


def test_the_limit_of_shape_sends_the_cell_back_and_conserves(fluid) -> None:  # type: ignore[no-untyped-def]
    fluctuations = []
    for dt in (2.0, 1.0):
        dynamics = make(fluid(seed=2, a=5.2), "mtk-flexible", None, dt, shape_limit=0.05)
        cell = dynamics.integrator.cell
        rows = [
            (dynamics.get_conserved_energy(), cell.shape_strain(), cell.energy())  # type: ignore[attr-defined]
            for _ in dynamics.irun(round(800 / dt))
        ]
        values = np.array(rows)
        assert 0.05 < values[:, 1].max() < 0.08
        assert cell.n_beyond == pytest.approx(np.count_nonzero(values[:, 1] > 0.05), abs=2)  # type: ignore[attr-defined]
        fluctuations.append(np.std(values[:, 0]))
    assert 3.0 < fluctuations[0] / fluctuations[1] < 5.0


@pytest.mark.parametrize(("name", "mask"), [case for case in CASES if not case[0].startswith("langevin")])
def test_chains_run_backwards(fluid, name: str, mask: tuple[str, ...] | None) -> None:  # type: ignore[no-untyped-def]
    dynamics = make(fluid(seed=2, a=5.2), name, mask, 3.0)
    dynamics.run(5)
    start = dynamics.atoms.positions.copy()
    cell = dynamics.atoms.cell.array.copy()
    dynamics.run(60)
    assert np.abs(dynamics.atoms.positions - start).max() > 0.1
    integrator = dynamics.integrator
    dynamics.atoms.arrays["momenta"] *= -1.0
    integrator.cell.scale(-1.0)
    for chain in (getattr(integrator, "thermostat", None), getattr(integrator, "barostat", None)):
        if chain is not None:
            chain.p[:] = [-p for p in chain.p]
    dynamics.run(60)
    np.testing.assert_allclose(dynamics.atoms.positions, start, atol=1e-8)
    np.testing.assert_allclose(dynamics.atoms.cell.array, cell, atol=1e-8)


@pytest.mark.parametrize(("name", "mask"), CASES)
def test_halves_make_the_whole(fluid, name: str, mask: tuple[str, ...] | None, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    whole, half = (make(fluid(seed=2, a=5.2), name, mask, 3.0, logfile=tmp_path / log) for log in ("a", "b"))
    whole.run(40)
    half.run(20)
    path = half.save(tmp_path / "restart")
    half.run(7)
    again = MOMT.restart(path, calculator=half.atoms.calc)
    again.run(20)
    for array in ("positions", "momenta"):
        assert np.array_equal(again.atoms.arrays[array], whole.atoms.arrays[array])
    assert np.array_equal(again.atoms.cell.array, whole.atoms.cell.array)
    assert again.get_conserved_energy() == whole.get_conserved_energy()
    assert again.integrator.state() == whole.integrator.state()
    assert again.save(tmp_path / "c").read_bytes() != path.read_bytes()


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"integrator": "mtk-isotrop"}, "did you mean 'mtk-isotropic'"),
        ({"integrator": "nose-hoover"}, "keeps the cell"),
        ({"integrator": "mtk-flexible", "pressure_au": None}, "moves the cell"),
        ({"integrator": "mtk-isotropic", "mask": ("xx",)}, "only a flexible cell"),
        ({"integrator": "mtk-flexible", "mask": ("xx", "yx")}, "no such component"),
        ({"integrator": "mtk-flexible", "mask": ()}, "no component is free"),
        ({"integrator": "mtk-flexible", "mask": ("xy", "yz")}, 'add "xz"'),
        ({"integrator": "mtk-flexible", "shape_limit": -1.0}, "must be positive"),
        ({"integrator": "langevin", "pressure_au": None, "rng": None}, "draw"),
        ({"integrator": "verlet", "pressure_au": None, "bias": LinearBias(0.1)}, "there is no bath"),
    ],
)
def test_bad_input(fluid, settings: dict[str, object], text: str) -> None:  # type: ignore[no-untyped-def]
    good = {"timestep": 2 * units.fs, "temperature_K": T0, "pressure_au": P0, "rng": np.random.default_rng(0)}
    with pytest.raises(InputError, match=text):
        MOMT(fluid(), **{**good, **settings})


def test_tilts_need_a_triangular_cell(fluid) -> None:  # type: ignore[no-untyped-def]
    atoms = fluid()
    atoms.rotate(20, "z", rotate_cell=True)
    settings = {
        "timestep": 2 * units.fs,
        "temperature_K": T0,
        "pressure_au": P0,
        "rng": np.random.default_rng(0),
    }
    with pytest.raises(InputError, match="standard_form"):
        MOMT(atoms, integrator="mtk-flexible", mask=("xx", "xy"), **settings)
    MOMT(atoms, integrator="mtk-flexible", mask=("xx", "yy"), **settings)


# ensembles known in closed form ----------------------------------------------------------------------


class SpringCrystal(Calculator):
    """Atoms on springs to sites of the cell; the cell is elastic, in volume and in shape.

    U = k/2 sum u^2 + bulk/2 (J - 1)^2 + shear (tr B - 3)/2, J and B of the cell against its start.
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012
    default_parameters = {"spring": 0.5, "bulk": 2.0, "shear": 1.0}  # noqa: RUF012

    def __init__(self, atoms: Atoms, **parameters: float) -> None:
        super().__init__(**parameters)
        self.start, self.sites = np.linalg.inv(atoms.cell.array), atoms.get_scaled_positions()

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):  # type: ignore[no-untyped-def]
        super().calculate(atoms, properties, system_changes)
        p, h = self.parameters, self.atoms.cell.array
        u = self.atoms.positions - self.sites @ h
        F = self.start @ h
        J = abs(np.linalg.det(F))
        B = F.T @ F / J ** (2 / 3)
        energy = 0.5 * p["spring"] * np.vdot(u, u) + 0.5 * p["bulk"] * (J - 1) ** 2
        energy += 0.5 * p["shear"] * (np.trace(B) - 3)
        virial = p["spring"] * u.T @ u + p["bulk"] * (J - 1) * J * np.eye(3)
        virial += p["shear"] * (B - np.eye(3) * np.trace(B) / 3)
        stress = (virial / abs(np.linalg.det(h))).flat[[0, 4, 8, 5, 2, 1]]
        self.results = {"energy": energy, "free_energy": energy, "forces": -p["spring"] * u, "stress": stress}


def spring_crystal(**parameters: float) -> Atoms:
    atoms = Atoms("Ne2", scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]], cell=[3.0, 3.0, 3.0], pbc=True)
    atoms.calc = SpringCrystal(atoms, **parameters)
    return atoms


def z_score(values: np.ndarray, exact: float, n_blocks: int = 20) -> float:
    """Return how many standard errors a mean is off, errors from blocks."""
    blocks = np.array([block.mean() for block in np.array_split(values, n_blocks)])
    return float((blocks.mean() - exact) / (blocks.std(ddof=1) / np.sqrt(n_blocks)))


def sample_cells(mask: tuple[str, ...] | None, steps: int = 50_000, measure: bool = True) -> np.ndarray:
    """Return the cells of a soft spring crystal of two atoms at no pressure, one a step."""
    atoms = spring_crystal(bulk=0.4, shear=0.4)
    dynamics = MOMT(
        atoms, 6 * units.fs, T0, 0.0, integrator="langevin-flexible", mask=mask, shape_limit=50.0,
        tdamp=50 * units.fs, pdamp=150 * units.fs, rng=np.random.default_rng(3),
    )  # fmt: skip
    if not measure:
        dynamics.integrator.cell._entropy[:] = 0.0  # type: ignore[attr-defined]
    return np.array([atoms.cell.array.copy() for _ in dynamics.irun(steps)])[1000:]


@pytest.mark.slow
def test_chosen_components_have_a_flat_measure() -> None:
    # springs do not care for the cell, so rho(h_xx, h_xy) ~ exp(-U_cell/kT), flat in both
    x, y = np.linspace(0.2, 10.0, 1500), np.linspace(-10.0, 10.0, 1501)
    lengths, tilts = np.meshgrid(x / 3.0, y / 3.0, indexing="ij")
    trace = (lengths**2 + 2.0 + tilts**2) / lengths ** (2 / 3)
    weights = np.exp(-(0.2 * (lengths - 1.0) ** 2 + 0.2 * (trace - 3.0)) / (KB * T0))
    length, tilt = (float((weights * 9.0 * f).sum() / weights.sum()) for f in (lengths**2, tilts**2))
    cells = sample_cells(("xx", "xy"))
    assert abs(z_score(cells[:, 0, 0] ** 2, length)) < 4
    assert abs(z_score(cells[:, 1, 0] ** 2, tilt)) < 4
    assert np.array_equal(cells[0][[0, 0, 1, 2, 2], [1, 2, 2, 0, 1]], np.zeros(5))
    wrong = sample_cells(("xx", "xy"), measure=False)
    assert abs(z_score(wrong[:, 0, 0] ** 2, length)) > 5


@pytest.mark.slow
def test_a_flexible_cell_has_the_measure_dv_times_shapes() -> None:
    # d^9h/V^2 = dV dS with S the shape: here U_cell is a sum of a function of V and one of S
    cells = sample_cells(None)
    volumes = np.abs(np.linalg.det(cells))
    grid = np.linspace(0.01, 150.0, 50_000)
    weights = np.exp(-0.2 * (grid / 27.0 - 1.0) ** 2 / (KB * T0))
    for power in (1, 2):
        exact = float((weights * grid**power).sum() / weights.sum())
        assert abs(z_score(volumes**power, exact)) < 4
    # shapes: principal logarithmic stretches with the invariant measure prod sinh|l_i - l_j|
    a, b = np.meshgrid(np.linspace(-2, 2, 801), np.linspace(-2, 2, 801), indexing="ij")
    stretches = np.stack([a, b, -a - b])
    measure = np.ones_like(a)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        measure = measure * np.sinh(np.abs(stretches[i] - stretches[j]))
    trace = np.exp(2.0 * stretches).sum(axis=0)
    weights = measure * np.exp(-0.2 * (trace - 3.0) / (KB * T0))
    F = cells / 3.0
    traces = np.einsum("nij,nij->n", F, F) / np.abs(np.linalg.det(F)) ** (2 / 3)
    assert abs(z_score(traces, float((weights * trace).sum() / weights.sum()))) < 4
