"""Walkers that share a bias: neither processes nor kills change a bit; one walker is a plain run."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.calculator import Calculator, all_changes

from asennp.errors import InputError
from asennp.md.bias import WangLandauBias
from asennp.md.momt import MOMT
from asennp.md.walkers import run_walkers
from asennp.order import VolumeOrder

T0, PRESSURE = 300.0, 0.01
STEPS, ROUND = 400, 100


class IdealGas(Calculator):
    """No forces at all: H = P V, and n(H) is known."""

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):  # type: ignore[no-untyped-def]
        super().calculate(atoms, properties, system_changes)
        nothing = {"energy": 0.0, "free_energy": 0.0}
        self.results = {**nothing, "forces": np.zeros((len(self.atoms), 3)), "stress": np.zeros(6)}


def calculator(folder: Path) -> Calculator:
    if (folder / "slow").exists():
        time.sleep(0.2)
    return IdealGas()


def start(walker: int, bias: WangLandauBias, folder: Path) -> MOMT:
    rng = np.random.default_rng([7, walker])
    atoms = Atoms("Ar6", positions=7.0 * rng.random((6, 3)), cell=[7.0] * 3, pbc=True)
    atoms.set_masses([4.0] * 6)
    atoms.calc = calculator(folder)
    return MOMT(
        atoms, 4 * units.fs, T0, PRESSURE, order=VolumeOrder(), bias=bias, wl_interval=10, rng=rng,
        walker=walker, integrator="langevin-isotropic", tdamp=50 * units.fs, pdamp=100 * units.fs,
        loginterval=50, trajectory=folder / "frames.xyz", logfile=folder / "log",
    )  # fmt: skip


def note(dynamics: MOMT, folder: Path) -> None:
    with open(folder / "notes", "a") as file:
        file.write(f"{dynamics.nsteps}\n")


def make_bias() -> WangLandauBias:
    axes = [("enthalpy", 0.1, 12.0, 24), ("volume", 10.0, 1200.0, 12)]
    return WangLandauBias(axes, T0, ln_f=0.5, schedule="1/t", temperature_min_K=100, temperature_max_K=3000)


def run(folder: Path, steps: int = STEPS, **settings: object) -> WangLandauBias:
    defaults = {"n_walkers": 3, "round_steps": ROUND, "workers": 0, "observe": note}
    return run_walkers(start, calculator, make_bias(), folder, steps=steps, **(defaults | settings))  # type: ignore[arg-type]


def contents(folder: Path) -> dict[str, bytes]:
    names = [
        f"walker-{k}/{name}" for k in range(3) for name in ("restart.npz", "frames.xyz", "log", "visits.npz")
    ]
    return {name: (folder / name).read_bytes() for name in ["bias.npz", *names]}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    bias = run(folder)
    assert bias.n_updates == 3 * STEPS // 10
    assert bias.state.n_merges == STEPS // ROUND
    assert (folder / "walker-1" / "notes").read_text().split() == [str(ROUND * (k + 1)) for k in range(4)]
    assert np.array_equal(
        WangLandauBias.load(folder / "bias.npz").state.coefficients, bias.state.coefficients
    )
    return folder


def _die_once(dynamics: MOMT, folder: Path) -> None:
    note(dynamics, folder)
    if folder.name == "walker-1" and dynamics.nsteps == 3 * ROUND and not (folder / "died").exists():
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)


def test_processes_their_speed_and_their_deaths_do_not_matter(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "walker-0").mkdir()
    (tmp_path / "walker-0" / "slow").touch()
    with pytest.raises(RuntimeError, match="round 2; the same call goes on"):
        run(tmp_path, observe=_die_once, workers=2)
    assert WangLandauBias.load(tmp_path / "bias.npz").state.n_merges == 2
    run(tmp_path, observe=_die_once, workers=2)
    assert contents(tmp_path) == contents(whole)


def _run_in_process(folder: Path) -> None:
    os.setsid()
    run(folder, workers=2)


@pytest.mark.slow
def test_a_kill_of_everything_at_any_time_changes_nothing(whole: Path, tmp_path: Path) -> None:
    rng, context = np.random.default_rng(), multiprocessing.get_context("spawn")
    for pause in rng.uniform(0.0, 0.5, size=4):
        process = context.Process(target=_run_in_process, args=(tmp_path,))
        process.start()
        begun = sorted(tmp_path.glob("walker-*/restart.npz"))
        while (
            process.is_alive() and sorted(tmp_path.glob("walker-*/restart.npz")) == begun and len(begun) < 3
        ):
            time.sleep(0.02)
        time.sleep(pause + (4.0 if len(begun) == 3 else 0.0))
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            process.kill()  # before it had a group of its own, or done
        process.join()
    run(tmp_path)
    assert contents(tmp_path) == contents(whole)


def test_a_finished_run_may_be_made_longer(whole: Path, tmp_path: Path) -> None:
    run(tmp_path, steps=2 * ROUND)
    shown: list[int] = []
    run(tmp_path, steps=STEPS, progress=lambda done, text: shown.append(done))
    assert contents(tmp_path) == contents(whole)
    assert shown == [3 * ROUND * (k + 1) for k in range(2, 4)]
    run(tmp_path, steps=STEPS, progress=lambda done, text: shown.append(-1))
    assert shown[-1] == 3 * STEPS


def test_one_walker_is_a_plain_run(tmp_path: Path) -> None:
    shared = run(tmp_path / "shared", n_walkers=1)
    (tmp_path / "plain").mkdir()
    bias = make_bias()
    dynamics = start(0, bias, tmp_path / "plain")
    dynamics.run(STEPS)
    assert np.array_equal(shared.state.coefficients, bias.state.coefficients)
    assert shared.ln_f == bias.ln_f
    again = MOMT.restart(tmp_path / "shared" / "walker-0" / "restart.npz", IdealGas())
    assert np.array_equal(again.atoms.positions, dynamics.atoms.positions)
    assert again.get_conserved_energy() == dynamics.get_conserved_energy()
    for name in ("frames.xyz", "log"):
        there = tmp_path / "shared" / "walker-0" / name
        assert there.read_bytes() == (tmp_path / "plain" / name).read_bytes()


def test_the_work_of_a_merge_is_booked(tmp_path: Path) -> None:
    bias, folder = make_bias(), tmp_path
    dynamics = start(0, bias, folder)
    dynamics.run(50)
    before, other = dynamics.get_conserved_energy(), make_bias()
    for _ in range(30):
        other.update(dynamics.point.enthalpy, dynamics.point.volume)
    dynamics.exchange_bias(other)
    assert dynamics.point.shift == other.evaluate(dynamics.point.enthalpy, dynamics.point.volume)[0] > 0.05
    assert dynamics.get_conserved_energy() == pytest.approx(before, abs=1e-9)
    assert dynamics.n_bias_updates >= 30


def test_a_small_enough_factor_ends_the_run(tmp_path: Path) -> None:
    bias = run(tmp_path, ln_f_final=0.25)
    assert bias.ln_f <= 0.25
    assert bias.state.n_merges < STEPS // ROUND


def test_bad_input(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="multiple of round_steps"):
        run(tmp_path, steps=250)
    with pytest.raises(InputError, match="n_walkers"):
        run(tmp_path, n_walkers=0)
    with pytest.raises(InputError, match="another run"):
        run(whole, n_walkers=2)
    with pytest.raises(InputError, match="another run"):
        run_walkers(
            start, calculator, WangLandauBias(make_bias().axes, T0), whole, n_walkers=3, steps=STEPS,
            round_steps=ROUND,
        )  # fmt: skip
    with pytest.raises(InputError, match="whole number of bias intervals"):
        run(tmp_path / "a", steps=15, round_steps=15, n_walkers=1)
