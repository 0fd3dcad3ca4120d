"""The sample stage's walkers: several orders, a melted start, plain NPT, the star of wurtzite's own cell."""

from pathlib import Path

import numpy as np
import pytest

from asennp.config import Config, load_config
from asennp.dataset import read_frames, write_pool
from asennp.errors import InputError
from asennp.files import read_json
from asennp.md.bias import WangLandauBias
from asennp.phases import classify
from asennp.stages.parts import empirical
from asennp.stages.sample import run_walker, sample, start_walker, walker_crystal, walker_orders
from asennp.stages.tensile import tensile

SC, FCC = [-1, 9, 12], [-1, 5, 12]
#: A walker of one cell without a bias.
RUN = {"phase": "RS", "cells": [1, 1, 1], "orders": {"sc": SC}}


def configured(walker: dict, steps: int = 60) -> Config:
    """Return zno-tiny with one walker."""
    walkers = {"ONE": {"phase": "RS", "cells": [1, 1, 1], "steps": steps, **walker}}
    return load_config("zno-tiny", {"sample.walkers": walkers})


def test_two_orders_in_one_run_and_the_stop_that_changes_nothing(tmp_path: Path) -> None:
    walker = {"enthalpy": [-160, -140, 20], "orders": {"sc": SC, "fcc": FCC}}
    for name, steps in (("through", [60]), ("stopped", [40, 60])):
        for n in steps:
            run_walker(configured(walker, n), "ONE", 0, tmp_path / name)
    for file in ("frames.extxyz", "momt.log", "walker.json", "phases.json"):
        assert (tmp_path / "through" / file).read_bytes() == (tmp_path / "stopped" / file).read_bytes()
    bias = WangLandauBias.load(tmp_path / "through" / "bias.npz")
    assert bias.state.visits.shape == (20, 12, 12)
    found = read_json(tmp_path / "through" / "walker.json")
    assert found["wang_landau_updates"] == bias.state.visits.sum() == 3
    assert set(found["orders"]) == {"sc", "fcc"}
    assert found["orders"]["sc"]["range"][1] > 4.0  # near perfect rock salt: 8
    assert found["phases"] == {"rocksalt": 1.0}


def test_without_an_enthalpy_mesh_a_walker_is_plain_npt(tmp_path: Path) -> None:
    run_walker(configured({"orders": {"sc": SC}}), "ONE", 0, tmp_path)
    found = read_json(tmp_path / "walker.json")
    assert found["wang_landau_updates"] == 0
    assert not (tmp_path / "bias.npz").exists()
    assert 0.0 < found["orders"]["sc"]["coverage"] < 0.5


def test_a_melted_start_is_disordered_and_at_rest_in_nothing(tmp_path: Path) -> None:
    melt = {"steps": 1500, "equilibration_steps": 300}
    config = configured({"cells": [2, 2, 2], "melt": melt, "orders": {"sc": [-5, 70, 12]}})
    dyn = start_walker(config, "ONE", 0, tmp_path, empirical(config))
    assert classify(dyn.atoms).fractions["disordered"] > 0.9
    assert dyn.nsteps == 0
    assert 1000 < dyn.atoms.get_temperature() < 3200


def test_a_crystal_that_does_not_melt_is_named(tmp_path: Path) -> None:
    melt = {"steps": 10, "equilibration_steps": 1, "temperature_K": 300, "expansion": 1.0}
    config = configured({"cells": [2, 2, 2], "melt": melt, "orders": {}})
    with pytest.raises(InputError, match=r"did not melt(.|\n)*rocksalt"):
        start_walker(config, "ONE", 0, tmp_path, empirical(config))


def test_wurtzite_has_its_own_star_in_its_right_angled_cell() -> None:
    config = configured({"phase": "W", "cells": [2, 1, 1], "orders": {"own": [-1, 20, 12]}})
    atoms = walker_crystal(config, "ONE")
    np.testing.assert_allclose(atoms.cell.angles(), 90.0, atol=1e-9)
    (order,) = walker_orders(config.sample.walkers["ONE"], atoms).values()
    assert order(atoms) > 0.25 * len(atoms)


def test_a_pool_stands_in_for_a_run(tmp_path: Path) -> None:
    """Its frames go on as a walker's, thermodynamics and phases are theirs; nothing runs."""
    run_walker(configured({"orders": {"sc": SC}}), "ONE", 0, tmp_path / "ran")
    frames = read_frames(tmp_path / "ran" / "frames.extxyz")
    pool = write_pool(tmp_path / "pool.npz", frames)
    config = load_config("zno-tiny", {"sample.walkers": {"ONE": {**RUN, "pool": str(pool)}}})
    made = sample(config, tmp_path / "taken", {})
    ran, taken = (read_json(tmp_path / name / "walker.json") for name in ("ran", "taken/ONE"))
    assert {k: v for k, v in taken.items() if isinstance(v, int)} == {
        k: v for k, v in ran.items() if isinstance(v, int)
    }
    assert taken["phases"] == ran["phases"]
    assert (
        taken["orders"]["sc"]["coverage"]
        == ran["orders"]["sc"]["coverage"]
        == made.summary["ONE"]["order_coverage"]
    )
    for a, b in zip(frames, read_frames(tmp_path / "taken" / "ONE" / "frames.extxyz")):
        np.testing.assert_allclose(b.positions, a.positions, atol=1e-5)
        assert b.info["step"] == a.info["step"]


def test_pools_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    frames = [walker_crystal(configured({"orders": {}}), "ONE")]
    bare = write_pool(tmp_path / "bare.npz", frames)
    frames[0].info.update(step=0, enthalpy=-150.0, order=[1.0, 2.0])
    two = write_pool(tmp_path / "two.npz", frames)
    for pool, words in ((bare, "do not know their step"), (two, r"expected: 1: sc(.|\n)*got: 2")):
        config = load_config("zno-tiny", {"sample.walkers": {"ONE": {**RUN, "pool": str(pool)}}})
        with pytest.raises(InputError, match=words):
            sample(config, tmp_path / "out", {})
    config = load_config("zno-tiny", {"tensile.pool": str(two)})
    with pytest.raises(InputError, match="do not know their strain"):
        tensile(config, tmp_path / "pull", {})
    walker = {**RUN, "pool": "zno-sc", "enthalpy": [-160, -140, 9], "melt": {}}
    with pytest.raises(InputError, match="does not run: leave out enthalpy, melt"):
        load_config("zno-tiny", {"sample.walkers": {"ONE": walker}})


def test_a_pull_from_a_pool(tmp_path: Path) -> None:
    frames = [walker_crystal(configured({"orders": {}}), "ONE") for _ in range(3)]
    for k, frame in enumerate(frames):
        frame.info.update(step=100 * k, strain=0.1 * k, tension_GPa=5.0 * (k % 2))
    config = load_config("zno-tiny", {"tensile.pool": str(write_pool(tmp_path / "pool.npz", frames))})
    made = tensile(config, tmp_path, {})
    assert made.summary["frames"] == 2  # the unstrained one belongs to the equilibration
    assert made.summary["strain_at_strength"] == pytest.approx(0.1)
