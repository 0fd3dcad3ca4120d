"""The finite-temperature benchmark on a ferroelectric that is solved exactly, and what it refuses."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.md.velocitydistribution import thermalize_momenta

sys.path.insert(0, str(Path(__file__).parent))
from lattice_model import DoubleWells, build_cell

from asennp.calculators.named import calculator_maker
from asennp.errors import InputError
from asennp.evaluate import Ladder, TransitionResult, compute_transition
from asennp.evaluate.changes import find_changes
from asennp.evaluate.check import compute_check
from asennp.evaluate.ladder import Rung, block_mean
from asennp.evaluate.nvt import FixedCell
from asennp.evaluate.polarisation import C_M2, Sites
from asennp.evaluate.runs import RunResult, RunSettings, run_md
from asennp.evaluate.speed import Speed
from asennp.evaluate.watch import cell_ran_away
from asennp.evaluations.schema import load_evaluation
from asennp.structures import build_perovskite, perovskite_born_charges


def polar_cell():
    cell = build_cell()
    cell.set_cell([4.0, 4.0, 4.05], scale_atoms=True)
    cell.positions[1, 2] += 0.32
    return cell


SITES = Sites.given(build_cell(), np.array([-2.0, 2.0]))


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> tuple[TransitionResult, Path]:
    folder = tmp_path_factory.mktemp("transition")
    ladder = Ladder(
        temperatures_K=(300.0, 420.0, 560.0, 700.0),
        repeat=(4, 4, 4),
        timestep_fs=4.0,
        equilibration_ps=1.0,
        production_ps=3.0,
        sample_fs=40.0,
        barostat_fs=300.0,
    )
    result = compute_transition(
        {"tetragonal": polar_cell(), "cubic": build_cell()},
        DoubleWells(),
        ladder,
        sites=SITES,
        fixed_cell=FixedCell((4.0, 4.0, 4.02), (300.0,), (2, 2, 2), 4.0, 0.4, 0.8, 40.0),
        speed=Speed(sizes=(1, 2), steps=5, repeats=3),
        folder=folder,
    )
    return result, folder


def test_the_transition_is_where_the_free_energies_cross(found) -> None:
    (change,) = found[0].changes["lattice"]
    assert (change.before, change.after) == ("tetragonal", "cubic")
    assert abs(change.value - DoubleWells().transition_K()) < change.half_width
    assert "tetragonal to cubic" in found[0].summaries["lattice"]


def test_static_step(found) -> None:
    """Strain g m^2/(v C) and energy of the ground state, by minimising the model's polynomial."""
    model = DoubleWells()
    m = np.linspace(0.0, 1.0, 20001)
    gamma = model.stretch**2 / (64.0 * model.stiffness)
    energy = -0.5 * (model.well + model.coupling) * m**2 + 0.25 * model.quartic * m**4 - 0.5 * gamma * m**4
    best = m[np.argmin(energy)]
    tetragonal, cubic = found[0].static["tetragonal"], found[0].static["cubic"]
    assert cubic.energy_above - tetragonal.energy_above == pytest.approx(-energy.min(), rel=2e-3)
    strain = model.stretch * best**2 / (64.0 * model.stiffness)
    assert np.log(tetragonal.edges_A[2] / tetragonal.edges_A[0]) == pytest.approx(
        strain, abs=1e-4
    )  # 0.01 GPa left
    assert tetragonal.left == cubic.left == ""
    assert found[0].check.conservative and found[0].check.findings == ()


def test_averages_polarisation_and_speed(found) -> None:
    result, _ = found
    cold = result.rungs[0]
    assert cold.status == "ok" and cold.mean_temperature_K == pytest.approx(300.0, rel=0.05)
    assert cold.polarisation[2] > 10 * abs(cold.polarisation[0])
    assert abs(cold.drift_meV_ps) < 0.1
    (point,) = result.polarisation
    assert point.status == "ok" and 0.05 < point.polarisation[2] < 0.2
    assert list(result.speed.n_atoms) == [2, 16] and result.speed.seconds.shape == (2, 3)


def test_done_again_it_is_read_not_run(found, monkeypatch) -> None:
    result, folder = found
    monkeypatch.setattr(DoubleWells, "calculate", None)
    again = compute_transition(
        {"tetragonal": polar_cell(), "cubic": build_cell()},
        DoubleWells(),
        Ladder((300.0, 420.0, 560.0, 700.0), repeat=(4, 4, 4), timestep_fs=4.0, equilibration_ps=1.0,
               production_ps=3.0, sample_fs=40.0, barostat_fs=300.0),
        sites=SITES,
        folder=folder,
    )  # fmt: skip
    assert [r.to_dict() for r in again.rungs] == [r.to_dict() for r in result.rungs]
    assert TransitionResult.from_json(again.to_json(folder / "all.json")).to_dict() == again.to_dict()


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
from test_transition import polar_cell
from lattice_model import DoubleWells
from asennp.evaluate.runs import RunSettings, run_md
settings = RunSettings(300.0, steps=100000, sample_interval=20)
run_md(polar_cell().repeat(2), DoubleWells(), settings, {folder!r}, checkpoint_s=0.0)
"""


def test_a_killed_run_ends_with_the_same_bits(tmp_path: Path) -> None:
    start, settings = polar_cell().repeat(2), RunSettings(300.0, steps=100000, sample_interval=20)
    script = SCRIPT.format(tests=str(Path(__file__).parent), folder=str(tmp_path / "killed"))
    process = subprocess.Popen([sys.executable, "-c", script])
    restart, samples = tmp_path / "killed" / "md.restart", tmp_path / "killed" / "samples.jsonl"
    deadline = time.monotonic() + 120.0
    while not (samples.exists() and samples.read_text().count("\n") > 3) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert restart.exists()
    reached = samples.read_text().count("\n")
    short = RunSettings(**{**vars(settings), "steps": 20 * reached + 60})
    with open(samples, "a") as file:
        file.write('{"step": 999999, "time_ps"')  # a line torn by the kill
    killed = run_md(start, DoubleWells(), short, tmp_path / "killed")
    whole = run_md(start, DoubleWells(), short, tmp_path / "whole")
    assert killed.to_dict() == whole.to_dict()
    assert not restart.exists() and RunResult.from_json(tmp_path / "whole" / "result.json").status == "ok"


def test_forces_that_are_no_gradient_are_named() -> None:
    found = compute_check(polar_cell(), DoubleWells(twist=1.0))
    assert not found.conservative
    assert any("non-conservative forces" in words for words in found.findings)


class NoStress(Calculator):
    implemented_properties = ("energy", "forces")


def test_missing_stress_is_named_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="gives no stress"):
        compute_transition({"cubic": build_cell()}, NoStress(), folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


class Loaded(DoubleWells):
    """The model under a stress that it cannot bear, eV/Å^3."""

    load = (0.0, 0.0, 0.0)

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results["stress"] = np.array([*self.load, 0.0, 0.0, 0.0])


@pytest.mark.parametrize(
    ("load", "words"),
    [((-0.1, -0.1, -0.1), "times the start's volume"), ((0.02, 0.02, -0.04), "along one direction")],
)
def test_a_cell_that_runs_away_is_stopped_and_named(load, words: str, tmp_path: Path) -> None:
    """Whether it flies apart or gets ever longer at one volume."""
    settings = RunSettings(300.0, steps=4000, barostat_fs=300.0)
    run = run_md(build_cell().repeat(2), Loaded(load=load), settings, tmp_path)
    assert run.status == "ran away" and words in run.message and run.time_ps[-1] < 8.0


def test_a_transition_is_no_run_away() -> None:
    """The longest known ferroelectric cell turns cubic, and back; the crystal turns as a whole."""
    polar, cubic = np.diag([3.802, 3.802, 5.012]), 3.975 * np.eye(3)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    assert cell_ran_away(polar, cubic) == cell_ran_away(cubic, polar @ turn) == ""
    assert "1.45 times the start's length" in cell_ran_away(np.eye(3), np.diag([1.0, 0.9, 1.45]) @ turn)


def test_a_run_off_its_temperature_is_named(tmp_path: Path) -> None:
    """A crystal that starts at 2.8 times the target keeps half of that where the thermostat is too slow."""
    start = polar_cell().repeat(3)
    thermalize_momenta(start, temperature_K=840.0, rng=np.random.default_rng(0))
    settings = RunSettings(300.0, steps=400, cell="fixed", thermostat_fs=1e6)
    run = run_md(start, DoubleWells(), settings, tmp_path)
    assert run.status == "ran away" and "mean of the later half, asked for 300 K" in run.message


def test_polarisation_is_that_of_the_shift_and_ignores_drift() -> None:
    cubic = build_perovskite("PbTiO3", 4.0)
    sites = Sites.given(cubic, perovskite_born_charges(3.9, 7.06, -5.83, -2.56))
    start = cubic.repeat(2)
    measure = sites.observer(start, (2, 2, 2))
    moved = start.copy()
    moved.positions[start.symbols == "Ti", 2] += 0.1
    charge = sites.charges[1, 2, 2]
    assert measure(moved)[2] == pytest.approx(charge * 0.1 / 64.0 * C_M2, rel=1e-12)
    moved.positions += [3.0, 9.0, -1.0]
    assert measure(moved)[2] == pytest.approx(charge * 0.1 / 64.0 * C_M2, rel=1e-9)


def test_block_errors_are_those_of_independent_samples() -> None:
    values = np.random.default_rng(0).normal(1.0, 2.0, 20000)
    mean, error = block_mean(values, 20)
    assert error == pytest.approx(2.0 / np.sqrt(20000), rel=0.4) and abs(mean - 1.0) < 4 * error


def rung(temperature: float, polarisation: tuple[float, float, float], status: str = "ok", **given) -> Rung:
    return Rung(
        "up", given.get("seed", 0), temperature, 0.0, status, "", np.full(3, 4.0), np.full(3, 1e-3), 12.0,
        0.01, -1.0, 0.001, temperature, np.array(polarisation), np.full(3, 0.005), np.full(3, 0.02),
        None, 0.0,
    )  # fmt: skip


def test_four_phases_and_a_broken_rung() -> None:
    rungs = [
        rung(100.0, (0.2, 0.2, 0.2)),
        rung(150.0, (0.0, 0.24, -0.25)),
        rung(200.0, (0.3, 0.01, 0.0)),
        rung(250.0, (0.0, 0.0, 0.01)),
        rung(300.0, (0.5, 0.5, 0.5), status="melted"),
    ]
    changes = find_changes(rungs, "polarisation", "temperature_K")
    assert [c.after for c in changes] == ["orthorhombic", "tetragonal", "cubic"]
    assert [(c.value, c.half_width) for c in changes] == [(125.0, 25.0), (175.0, 25.0), (225.0, 25.0)]


def test_seeds_that_disagree_widen_the_bracket() -> None:
    rungs = [
        rung(100.0, (0.0, 0.0, 0.3)),
        rung(200.0, (0.0, 0.0, 0.3)),
        rung(200.0, (0.0, 0.0, 0.0), seed=1),
        rung(300.0, (0.0, 0.0, 0.0)),
    ]
    (change,) = find_changes(rungs, "polarisation", "temperature_K")
    assert (change.value, change.half_width) == (200.0, 100.0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"temperatures_K": (500.0, 300.0)}, "rungs must rise"),
        ({"temperatures_K": (300.0, 400.0), "pressures_GPa": (0.0, 1.0)}, "climbs one variable"),
        ({"directions": ("sideways",)}, "no such direction"),
        ({"production_ps": 0.1}, "too few samples"),
        ({"seeds": 0}, "must be positive"),
    ],
)
def test_ladders_that_make_no_sense(arguments: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Ladder(**arguments)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: compute_transition({}, DoubleWells()), "no phases"),
        (
            lambda: compute_transition({"a": bulk("Cu"), "b": build_cell()}, None),
            "different",
        ),
        (lambda: compute_transition({"cubic": build_cell()}, None, low="cubik"), "did you mean 'cubic'"),
        (lambda: compute_transition({"cubic": build_cell()}, DoubleWells(), workers=2), "several processes"),
        (lambda: FixedCell((4.0, 4.0, 4.1), (300.0,), production_ps=0.1), "too few samples"),
        (lambda: FixedCell((4.0, 4.0, -4.1), (300.0,)), "must be positive"),
        (lambda: Speed(sizes=()), "must be positive"),
        (lambda: Sites.given(build_cell(), np.array([1.0, 2.0])), "sum to zero"),
        (lambda: SITES.observer(bulk("Cu"), (1, 1, 1)), "not the atoms of the sites"),
    ],
)
def test_bad_input(call, words: str) -> None:
    with pytest.raises(InputError, match=words):
        call()


@pytest.mark.slow
def test_wurtzite_becomes_rock_salt_beyond_the_enthalpies_crossing(tmp_path: Path) -> None:
    """Lewis and Catlow's ZnO: 15.8 GPa between the crystals; compression needs more, decompression less."""
    config = load_evaluation("zno-pressure")
    ladder = Ladder(
        temperatures_K=(1000.0,), pressures_GPa=(0.0, 10.0, 50.0), repeat=(3, 3, 2), cell="full",
        timestep_fs=2.0, equilibration_ps=3.0, production_ps=2.0, sample_fs=40.0, directions=("up",),
    )  # fmt: skip
    phases = {name: structure.build(name) for name, structure in config.structures.items()}
    result = compute_transition(phases, calculator_maker("zno-lewis-catlow"), ladder, folder=tmp_path)
    assert result.pressures.pressures_GPa[0] == pytest.approx(15.8, abs=0.3)
    assert result.failures == ()
    (change,) = result.changes["phase"]
    assert (change.before, change.after) == ("wurtzite", "rocksalt")
    assert change.value - change.half_width < 15.8 < change.value + change.half_width
