"""N steps are N/2 steps, a file, and N/2 steps, bit for bit; damaged files are refused."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.io import read

from asennp.calculators.buckingham import BuckinghamCoulomb
from asennp.errors import InputError
from asennp.md.bias import WangLandauBias
from asennp.md.deformation import DeformationMD
from asennp.md.momt import MOMT
from asennp.md.restart import rng_from_state, rng_state
from asennp.md.tensile import TensileMD
from asennp.order import ReciprocalOrder, VolumeOrder
from asennp.structures import build_phase

STEPS = 60


def zno_calculator() -> BuckinghamCoulomb:
    return BuckinghamCoulomb("zno-lewis-catlow", cutoff=6.0, accuracy=1e-4, guard=True)


def zno() -> Atoms:
    atoms = build_phase("ZnO", "rocksalt", 4.3, repeat=2)
    atoms.calc = zno_calculator()
    return atoms


def make_momt(folder: Path, ending: str, pressure: float | None = 1e-4) -> MOMT:
    atoms = zno()
    bias = WangLandauBias(
        [("enthalpy", -1280, -1180, 60), ("order", -5, 70, 80), ("volume", 400, 1000, 20)],
        2000,
        check_interval=3,
    )
    return MOMT(
        atoms, 1.0 * units.fs, 2000, pressure, order=[ReciprocalOrder.sc(atoms), VolumeOrder()], bias=bias,
        wl_interval=5, rng=np.random.default_rng(4), loginterval=2, walker=3,
        trajectory=folder / f"run{ending}", logfile=folder / "run.log",
    )  # fmt: skip


def make_tensile(folder: Path, ending: str) -> TensileMD:
    return TensileMD(
        zno(), 1.0 * units.fs, 300, rate_A_per_ps=2.0, n_equilibration=10, rng=np.random.default_rng(4),
        loginterval=2, trajectory=folder / f"run{ending}", logfile=folder / "run.log",
    )  # fmt: skip


def make_uniaxial(folder: Path, ending: str) -> DeformationMD:
    return DeformationMD(
        zno(), 1.0 * units.fs, 300, mode="uniaxial", axis=2, strain_step=0.01, steps_per_strain=17,
        n_equilibration=10, rng=np.random.default_rng(4), loginterval=2, curve=folder / "curve.csv",
        trajectory=folder / f"run{ending}", logfile=folder / "run.log",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("make", "ending"),
    [(make_momt, ".xyz"), (make_momt, ".traj"), (make_tensile, ".traj"), (make_uniaxial, ".xyz")],
)
def test_halves_make_the_whole(make, ending: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    whole_folder, half_folder = tmp_path / "whole", tmp_path / "half"
    whole_folder.mkdir()
    half_folder.mkdir()
    whole = make(whole_folder, ending)
    whole.run(2 * STEPS)
    first = make(half_folder, ending)
    first.run(STEPS)
    first.save(half_folder / "run.restart")
    first.run(37)  # what a killed run wrote after its last checkpoint
    second = type(first).restart(half_folder / "run.restart", calculator=zno_calculator())
    assert second.nsteps == STEPS
    second.run(STEPS)
    for name in ("positions", "momenta"):
        assert np.array_equal(second.atoms.arrays[name], whole.atoms.arrays[name]), name
    assert np.array_equal(second.atoms.cell.array, whole.atoms.cell.array)
    assert not np.array_equal(whole.atoms.positions, first.atoms.positions)
    for name in sorted(path.name for path in whole_folder.iterdir()):
        assert (half_folder / name).read_bytes() == (whole_folder / name).read_bytes(), name
    frames = read(half_folder / f"run{ending}", index=":")
    assert len(frames) == STEPS + 1
    assert np.array_equal(frames[-1].positions, whole.atoms.positions)
    second.save(half_folder / "end.restart")
    whole.save(whole_folder / "end.restart")
    assert (half_folder / "end.restart").read_bytes() == (whole_folder / "end.restart").read_bytes()
    if isinstance(whole, MOMT):
        assert isinstance(whole.bias, WangLandauBias) and isinstance(second.bias, WangLandauBias)
        assert np.array_equal(second.bias.state.coefficients, whole.bias.state.coefficients)
        assert second.bias.todict() == whole.bias.todict()
        assert second.get_conserved_energy() == whole.get_conserved_energy()


def test_frames_carry_what_reweighting_needs(tmp_path: Path) -> None:
    dynamics = make_momt(tmp_path, ".xyz")
    dynamics.run(10)
    frames = read(tmp_path / "run.xyz", index=":")
    point = dynamics.point
    info = frames[-1].info
    assert info["enthalpy"] == point.enthalpy
    assert info["potential_energy"] == point.evaluation.energy
    assert tuple(info["order"]) == point.orders
    assert (info["step"], info["walker"], info["wl_updates"]) == (10, 3, 2)
    assert frames[-1].calc is None
    frames[-1].calc = zno_calculator()
    assert frames[-1].get_potential_energy() == pytest.approx(point.evaluation.energy, abs=1e-9)


def test_damaged_and_foreign_files_are_refused(tmp_path: Path) -> None:
    dynamics = make_momt(tmp_path, ".xyz")
    dynamics.run(4)
    path = dynamics.save(tmp_path / "run.restart")
    whole = path.read_bytes()
    with pytest.raises(InputError, match="another kind"):
        TensileMD.restart(path, calculator=zno_calculator())
    (tmp_path / "run.log").write_text("short")
    with pytest.raises(InputError, match="shorter than at the checkpoint"):
        MOMT.restart(path, calculator=zno_calculator())
    for content in (whole[:-200], b"", b"not a state file", whole.replace(b"momenta", b"nomenta")):
        path.write_bytes(content)
        with pytest.raises(InputError):
            MOMT.restart(path, calculator=zno_calculator())
    with pytest.raises(InputError, match="no such file"):
        MOMT.restart(tmp_path / "nowhere", calculator=zno_calculator())


def test_folder_may_move(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    dynamics = make_momt(folder, ".xyz")
    dynamics.run(4)
    dynamics.save(folder / "run.restart")
    folder.rename(tmp_path / "b")
    again = MOMT.restart(tmp_path / "b" / "run.restart", calculator=zno_calculator())
    again.run(4)
    assert len(read(tmp_path / "b" / "run.xyz", index=":")) == 5
    assert not folder.exists()


@pytest.mark.parametrize("name", ["PCG64", "MT19937", "Philox", "SFC64"])
def test_random_numbers_go_on(name: str, tmp_path: Path) -> None:
    import json

    rng = np.random.Generator(getattr(np.random, name)(5))
    rng.standard_normal(7)
    state = json.loads(json.dumps(rng_state(rng), default=lambda array: array.tolist()))
    again = rng_from_state(state)
    assert again is not None
    assert np.array_equal(again.standard_normal(9), rng.standard_normal(9))
