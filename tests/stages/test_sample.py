"""The sample stage's walkers: several orders, a melted start, plain NPT, the star of wurtzite's own cell."""

from pathlib import Path

import numpy as np
import pytest

from asennp.config import Config, load_config
from asennp.errors import InputError
from asennp.files import read_json
from asennp.md.bias import WangLandauBias
from asennp.phases import classify
from asennp.stages.parts import empirical
from asennp.stages.sample import run_walker, start_walker, walker_crystal, walker_orders

SC, FCC = [-1, 9, 12], [-1, 5, 12]


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
