"""Tensile dynamics: the deformation, the stress of a cold crystal, the temperature, bad input."""

import numpy as np
import pytest
from ase import units

from asennp.errors import InputError
from asennp.md.tensile import TensileMD


def pull(atoms, **settings):  # type: ignore[no-untyped-def]
    return TensileMD(atoms, rng=np.random.default_rng(2), **settings)


def test_edge_grows_at_the_given_speed_and_carries_the_atoms(fluid) -> None:  # type: ignore[no-untyped-def]
    atoms = fluid(a=5.0)
    atoms.set_cell(atoms.cell.array @ np.array([[1, 0.1, 0], [0, 1, 0.05], [0, 0, 1]]), scale_atoms=True)
    cell = atoms.cell.array.copy()
    length = np.linalg.norm(cell[1])
    dynamics = pull(
        atoms, timestep=2 * units.fs, temperature_K=1, rate_A_per_ps=0.4, axis=1, n_equilibration=100
    )
    dynamics.run(100)
    assert np.array_equal(atoms.cell.array, cell)
    dynamics.run(500)
    assert dynamics.length == pytest.approx(length + 0.4 * 1.0)  # 500 steps of 2 fs
    assert dynamics.strain == pytest.approx(0.4 / length)
    assert np.array_equal(atoms.cell.array[[0, 2]], cell[[0, 2]])
    assert atoms.cell.array[1] / dynamics.length == pytest.approx(cell[1] / length)


def test_tension_of_a_cold_crystal_is_the_static_one(fluid) -> None:  # type: ignore[no-untyped-def]
    atoms = fluid(a=4.65)
    lattice = atoms.get_scaled_positions()
    atoms.set_scaled_positions(np.round(lattice * 4) / 4)
    dynamics = pull(atoms, timestep=2 * units.fs, temperature_K=1, rate_A_per_ps=0.5, n_equilibration=200)
    readings = []
    for _ in range(2):
        dynamics.run(200 if not readings else 800)
        static = atoms.copy()
        static.set_scaled_positions(np.round(lattice * 4) / 4)
        static.calc = atoms.calc.__class__()
        readings.append((dynamics.compute_tension(), static.get_stress()[0]))
    # the difference leaves the thermal pressure out
    moved, expected = np.subtract(readings[1], readings[0])
    assert expected > 4e-4
    assert moved == pytest.approx(expected, rel=0.05)


def test_temperature_is_held_while_pulling(fluid) -> None:  # type: ignore[no-untyped-def]
    dynamics = pull(fluid(a=5.2), timestep=5 * units.fs, temperature_K=300, rate_A_per_ps=0.02)
    values = [dynamics.get_temperature() for _ in dynamics.irun(6000)][500:]
    blocks = np.array([block.mean() for block in np.array_split(values, 20)])
    assert abs(blocks.mean() - 300) < 4 * blocks.std(ddof=1) / np.sqrt(20)
    assert np.std(values) == pytest.approx(300 * np.sqrt(2 / 96), rel=0.15)


def test_log_and_bad_input(fluid, tmp_path) -> None:  # type: ignore[no-untyped-def]
    dynamics = pull(fluid(a=5.0), timestep=2 * units.fs, temperature_K=300, rate_A_per_ps=0.5,
                    logfile=tmp_path / "log", loginterval=10)  # fmt: skip
    dynamics.run(20)
    header, *_, last = (tmp_path / "log").read_text().splitlines()
    columns = dict(zip(header.lstrip("#").split(), map(float, last.split())))
    assert columns["strain"] == pytest.approx(dynamics.strain, abs=1e-8)
    assert columns["tension/GPa"] == pytest.approx(columns["sxx/GPa"], abs=1e-4)
    good = {"timestep": 2 * units.fs, "temperature_K": 300, "rate_A_per_ps": 0.1}
    for change, text in (
        ({"mode": "uniaxal"}, "did you mean 'uniaxial'"),
        ({"axis": 3}, "no such cell vector"),
        ({"rate_A_per_ps": 50.0}, "per ps"),
        ({"temperature_K": 0.02}, "units.kB"),
    ):
        with pytest.raises(InputError, match=text):
            pull(fluid(), **{**good, **change})
    with pytest.raises(InputError, match="random forces"):
        TensileMD(fluid(), **good)
