"""pw.x as a labeler, run for real: what belongs to what, retries, stops that go on, honest failures."""

import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import CalculationFailed, SCFError
from ase.io import read

from asennp.calculators.espresso import EspressoLabeler, Retry, TimeLimitError, k_grid
from asennp.errors import InputError
from asennp.structures import build_phase

#: Pseudopotentials that come with Debian's package.
DEBIAN = Path("/usr/share/espresso/pseudo")


@pytest.fixture
def pw() -> None:
    if shutil.which("pw.x") is None:
        pytest.skip("no pw.x (apt-get install quantum-espresso)")


@pytest.fixture
def metal(pw: None) -> Atoms:
    """Aluminium, where F and E differ: two atoms, displaced, in a strained cell."""
    if not (DEBIAN / "Al.pz-vbc.UPF").is_file():
        pytest.skip(f"no Al.pz-vbc.UPF in {DEBIAN}")
    atoms = bulk("Al", "fcc", a=4.0).repeat((1, 1, 2))
    atoms.rattle(0.05, seed=3)
    atoms.set_cell(atoms.cell.array @ np.array([[1.02, 0.01, 0], [0.01, 0.99, 0.02], [0, 0.02, 1]]), True)
    return atoms


#: Enough plane waves for the arithmetic, not for the physics.
LIGHT = {"ecutwfc": 12.0, "ecutrho": 48.0, "degauss": 0.05, "vdw_corr": "none"}


def aluminium(**changed: object) -> EspressoLabeler:
    arguments = {
        "pseudopotentials": {"Al": "Al.pz-vbc.UPF"},
        "input_data": {
            "system": LIGHT | {"ecutwfc": 60.0, "ecutrho": 240.0},
            "electrons": {"conv_thr": 1e-11},
        },
        "kpts": (2, 1, 1),
    } | changed
    return EspressoLabeler(DEBIAN, **arguments)  # type: ignore[arg-type]


@pytest.mark.espresso
def test_forces_and_stress_belong_to_the_free_energy(metal: Atoms) -> None:
    """Central differences of F along a random displacement and strain; E, without -TS, is another curve."""
    metal.calc = aluminium()
    energy, forces, stress = metal.get_potential_energy(), metal.get_forces(), metal.get_stress()
    free_energy = metal.calc.results["free_energy"]
    assert len(metal.calc.attempts) == 1  # all of it from one run
    assert free_energy < energy - 0.01  # -TS < 0
    direction = np.random.default_rng(0).normal(size=(2, 3))
    direction -= direction.mean(axis=0)
    strain = np.array([[0.5, 0.3, -0.2], [0.3, -0.4, 0.1], [-0.2, 0.1, 0.6]])
    h = 0.01

    def difference(name: str, **moved: float) -> float:
        values = []
        for sign in (1, -1):
            atoms = Atoms(metal.numbers, metal.positions, cell=metal.cell, pbc=True, calculator=aluminium())
            atoms.set_cell(metal.cell.array @ (np.eye(3) + sign * moved.get("strain", 0.0) * strain), True)
            atoms.positions += sign * moved.get("shift", 0.0) * direction
            atoms.get_potential_energy()
            values.append(atoms.calc.results[name])
        return (values[0] - values[1]) / (2 * h)

    slope = -float(np.sum(forces * direction))
    assert difference("free_energy", shift=h) == pytest.approx(slope, abs=2e-3 * np.abs(forces).max() + 1e-3)
    full = stress[[0, 5, 4, 5, 1, 3, 4, 3, 2]].reshape(3, 3)
    virial = metal.get_volume() * float(np.sum(full * strain))
    # the set of plane waves changes with the cell at a fixed cut-off: a percent
    assert difference("free_energy", strain=h) == pytest.approx(virial, rel=0.02)
    assert abs(difference("energy", strain=h) - virial) > 0.05 * abs(virial)  # the other curve


@pytest.mark.espresso
def test_the_ladder_of_retries(metal: Atoms, tmp_path: Path) -> None:
    """Too few iterations fail, the retry converges; done again, nothing is run, also in a moved folder."""
    few = {
        "system": {"ecutwfc": 12.0, "ecutrho": 48.0, "vdw_corr": "none"},
        "electrons": {"electron_maxstep": 2},
    }
    ladder = (
        Retry("still too few", {"electron_maxstep": 3}),
        Retry("enough, more bands", {"electron_maxstep": 60}, bands=1.5),
    )
    arguments = {"input_data": few, "retries": ladder, "directory": tmp_path / "first"}
    metal.calc = aluminium(**arguments)
    energy = metal.get_potential_energy()
    assert [a.status for a in metal.calc.attempts] == ["not converged", "not converged", "done"]
    assert [a.name for a in metal.calc.attempts] == ["as asked", "still too few", "enough, more bands"]
    assert "nbnd" in (tmp_path / "first" / "espresso-2.pwi").read_text()

    moved = (tmp_path / "first").rename(tmp_path / "moved")
    metal.calc = aluminium(**arguments | {"directory": moved})
    assert metal.get_potential_energy() == energy
    assert max(a.seconds for a in metal.calc.attempts) < 0.5

    metal.calc = aluminium(**arguments | {"directory": moved, "retries": ladder[:1]})
    with pytest.raises(SCFError, match=r"as asked: 2 iterations; still too few: 3 iterations"):
        metal.get_potential_energy()


@pytest.mark.espresso
def test_a_final_error_is_quoted_and_not_retried(metal: Atoms) -> None:
    metal.calc = aluminium(input_data={"system": LIGHT | {"nbnd": 1}})
    with pytest.raises(CalculationFailed, match="too few bands"):
        metal.get_potential_energy()
    assert len(metal.calc.attempts) == 1


@pytest.mark.espresso
def test_what_was_stopped_goes_on(metal: Atoms, tmp_path: Path) -> None:
    """pw.x, asked to stop in its third iteration, is continued by the next call; scratch is cleaned."""
    folder, scratch = tmp_path / "kept", tmp_path / "scratch"
    slow = {"system": LIGHT, "electrons": {"mixing_beta": 0.05, "conv_thr": 1e-10}}
    arguments = {"input_data": slow, "directory": folder, "scratch": scratch}

    def stop() -> None:
        output = folder / "espresso-0.pwo"
        while not (output.exists() and "iteration #  3" in output.read_text()):
            time.sleep(0.01)
        next(scratch.iterdir()).joinpath("pw.EXIT").touch()

    threading.Thread(target=stop, daemon=True).start()
    metal.calc = aluminium(**arguments)
    with pytest.raises(TimeLimitError, match="stopped at iteration"):
        metal.get_potential_energy()
    assert any(scratch.iterdir())  # the state to go on from

    metal.calc = aluminium(**arguments)
    energy = metal.get_potential_energy()
    assert re.search(r"restart_mode\s*= 'restart'", (folder / "espresso-0.pwi").read_text())
    assert not any(scratch.iterdir())
    metal.calc = aluminium(input_data=slow)
    # to the convergence threshold, which slow mixing approaches from afar
    assert metal.get_potential_energy() == pytest.approx(energy, abs=1e-5)


@pytest.mark.espresso
def test_the_time_limit_ends_a_calculation(metal: Atoms, tmp_path: Path) -> None:
    metal.calc = aluminium(time_limit_s=0.01, scratch=tmp_path)
    with pytest.raises(TimeLimitError):
        metal.get_potential_energy()
    assert not any(tmp_path.iterdir())  # nothing is kept without a directory


@pytest.mark.espresso
def test_a_killed_labeler_takes_pw_along(reference: Path, pw: None, tmp_path: Path) -> None:
    """SIGKILL: no orphan stays behind to write into the folder of the next run."""
    code = (
        "from asennp.calculators.espresso import EspressoLabeler as E; from ase.build import bulk;"
        f"a = bulk('ZnO', 'zincblende', a=4.6); pseudo = {str(reference / 'zno_qe' / 'pseudo')!r};"
        f"a.calc = E(pseudo, preset='quick', kpts=(2, 2, 2), directory={str(tmp_path)!r});"
        "a.get_potential_energy()"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 300
    children: list[str] = []
    while not children and time.monotonic() < deadline:
        time.sleep(0.1)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert children
    for child in children:
        for _ in range(600):
            status = Path(f"/proc/{child}/stat")
            if not status.exists() or status.read_text().rsplit(")", 1)[1].split()[0] == "Z":
                break
            time.sleep(0.05)
        else:
            pytest.fail(f"process {child} lives on")


@pytest.mark.espresso
@pytest.mark.slow
@pytest.mark.parametrize("name", ["rs8_f0005", "w8_f0002"])
def test_recorded_calculations_are_reproduced(reference: Path, pw: None, name: str) -> None:
    """Recorded 8-atom cells at their own settings (about a minute each)."""
    folder = reference / "zno_qe"
    atoms = read(folder / "raw" / f"{name}.pwi")
    expected = json.loads((folder / "raw" / "parsed.json").read_text())[name]
    system = {"ecutwfc": 45.0, "ecutrho": 320.0, "nbnd": 40}
    grid = (4, 2, 2) if name.startswith("w") else (3, 3, 3)
    with pytest.warns(UserWarning, match="ecutwfc = 45 Ry is below"):
        atoms.calc = EspressoLabeler(
            folder / "pseudo", input_data={"system": system}, kpts=grid, koffset=(1, 1, 1)
        )
        energy = atoms.get_potential_energy()
    assert energy == pytest.approx(expected["energy_eV"], abs=1e-3)
    np.testing.assert_allclose(atoms.get_forces(), expected["forces_eV_A"], atol=1e-3)
    np.testing.assert_allclose(atoms.get_stress(), expected["stress_ase_voigt_eV_A3"], atol=1e-5)


def test_k_points_keep_their_distance_in_any_cell() -> None:
    """2x2x2 for 64 atoms of ZnO at the papers' spacing; one point along what is not periodic."""
    rock_salt = build_phase("ZnO", "rocksalt", a=4.28, cubic=True)
    assert k_grid(rock_salt.repeat(2), 0.06) == (2, 2, 2)
    assert k_grid(rock_salt, 0.06) == (4, 4, 4)
    slab = rock_salt.copy()
    slab.pbc = (True, True, False)
    assert k_grid(slab, 0.06) == (4, 4, 1)
    skewed = Atoms("H", cell=[[4, 0, 0], [3.9, 1, 0], [0, 0, 10]], pbc=True)
    grid = k_grid(skewed, 0.1)
    spacings = np.linalg.norm(skewed.cell.reciprocal().array, axis=1) / grid
    assert np.all(spacings <= 0.1 + 1e-12)


def test_bad_input_is_refused_before_pw_starts(tmp_path: Path) -> None:
    (tmp_path / "O.UPF").write_text(
        '<PP_HEADER element="O" functional="PBE" z_valence="6.0" wfc_cutoff="40" rho_cutoff="320"/>'
    )
    with pytest.raises(InputError, match="no program 'pw-that-is-not-there'"):
        EspressoLabeler(tmp_path, command="pw-that-is-not-there")
    with pytest.raises(InputError, match="no such folder"):
        EspressoLabeler(tmp_path / "absent", command="true")
    with pytest.raises(InputError, match="did you mean 'paper'"):
        EspressoLabeler(tmp_path, command="true", preset="papr")
    with pytest.raises(InputError, match="distance of k points"):
        EspressoLabeler(tmp_path, command="true", kspacing=6.0)
    atoms = bulk("MgO", "rocksalt", a=4.2)
    atoms.calc = EspressoLabeler(tmp_path, command="true")
    with pytest.raises(InputError, match="no pseudopotential of Mg"):
        atoms.get_potential_energy()


def test_settings_are_recorded_and_travel(tmp_path: Path) -> None:
    """Parameters say which files made the labels; the calculator crosses process borders."""
    (tmp_path / "O.UPF").write_text(
        '<PP_HEADER element="O" functional="PBE" z_valence="6.0" wfc_cutoff="40" rho_cutoff="320"/>'
    )
    calculator = pickle.loads(pickle.dumps(EspressoLabeler(tmp_path, command="true")))
    assert len(calculator.parameters["pseudopotentials"]["O"]["sha256"]) == 64
    assert calculator.parameters["input_data"]["system"]["ecutwfc"] == 80.0
    json.dumps(calculator.parameters)
