"""Pools: written and read back in single precision, the shipped ones whole and of what they say."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from asennp.dataset import describe_pools, load_pool, shipped_pools, write_frames, write_pool
from asennp.errors import InputError


def frames(n: int = 3) -> list[Atoms]:
    made = []
    for k in range(n):
        atoms = bulk("ZnO", "rocksalt", a=4.2 + 0.1 * k, cubic=True)
        atoms.rattle(0.1, seed=k)
        atoms.info = {"step": k, "order": [1.0 * k, 2.0], "enthalpy": -1.5 * k}
        made.append(atoms)
    return made


def test_there_and_back(tmp_path: Path) -> None:
    given = frames()
    for a, b in zip(given, load_pool(write_pool(tmp_path / "pool.npz", given))):
        np.testing.assert_allclose(b.positions, a.positions, atol=1e-6)
        np.testing.assert_allclose(b.cell.array, a.cell.array, atol=1e-6)
        assert (b.numbers == a.numbers).all() and b.pbc.all()
        assert b.info == a.info


def test_a_labelled_pool_is_extended_xyz(tmp_path: Path) -> None:
    given = frames()
    for k, frame in enumerate(given):
        frame.info["REF_energy"] = -8.0 * k
    write_frames(tmp_path / "pool.extxyz", given)
    pool = load_pool(tmp_path / "pool.extxyz", known=("step", "enthalpy"))
    assert [frame.info["REF_energy"] for frame in pool] == [0.0, -8.0, -16.0]
    with pytest.raises(InputError, match="do not know their strain"):
        load_pool(tmp_path / "pool.extxyz", known=("step", "strain"))


def test_what_cannot_be_written_or_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs frames"):
        write_pool(tmp_path / "pool.npz", [])
    with pytest.raises(InputError, match=r"frame 1(.|\n)*one composition|one composition(.|\n)*frame 1"):
        write_pool(tmp_path / "pool.npz", [frames(1)[0], bulk("MgO", "rocksalt", a=4.2, cubic=True)])
    with pytest.raises(InputError, match="no such pool"):
        load_pool("zno-scc")
    torn = write_pool(tmp_path / "pool.npz", frames())
    torn.write_bytes(torn.read_bytes()[:-200])
    with pytest.raises(InputError, match="not a pool"):
        load_pool(torn)


@pytest.mark.parametrize("name", sorted(shipped_pools()))
def test_shipped_pools_are_whole(name: str) -> None:
    described = describe_pools()[name]
    pool = load_pool(name)
    assert len(pool) == described["frames"]
    assert pool[0].get_chemical_formula() == described["formula"]
    assert set(described) - {"settings"} == {"sha256", "frames", "formula", "source", "command"}
    volumes = np.array([frame.cell.volume for frame in pool]) / len(pool[0])
    assert 8.0 < volumes.min() < volumes.max() < 30.0  # the hottest melts reach 26 Å^3 an atom


@pytest.mark.parametrize("name", [name for name, path in shipped_pools().items() if path.suffix == ".extxyz"])
def test_labels_of_shipped_pools_are_whole(name: str) -> None:
    assert describe_pools()[name]["settings"]["pseudopotentials"]
    for frame in load_pool(name, known=("REF_energy", "REF_free_energy", "REF_stress")):
        assert frame.info["REF_energy"] >= frame.info["REF_free_energy"]  # entropy of smearing
        assert np.abs(frame.arrays["REF_forces"].sum(axis=0)).max() < 1e-2
        assert np.shape(frame.info["REF_stress"]) == (6,) and np.isfinite(frame.info["REF_stress"]).all()
