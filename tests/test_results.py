"""Results go to JSON and come back the same, nested and with atoms."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk

from asennp.results import Result


@dataclass(frozen=True, eq=False)
class Inner(Result):
    tensor: np.ndarray


@dataclass(frozen=True, eq=False)
class Outer(Result):
    atoms: Atoms
    inner: Inner
    by_phase: dict[str, Inner]
    pair: tuple[float, float]
    several: tuple[Inner, ...]
    nothing: float | None


def test_round_trip(tmp_path: Path) -> None:
    atoms = bulk("ZnO", "wurtzite", a=3.25, c=5.2)
    inner = Inner(np.eye(2) / 3)
    before = Outer(atoms, inner, {"W": inner}, (0.1, 1e-30), (inner, inner), None)
    before.to_json(tmp_path / "r.json")
    after = Outer.from_json(tmp_path / "r.json")
    assert after.atoms == atoms
    np.testing.assert_array_equal(after.by_phase["W"].tensor, inner.tensor)
    np.testing.assert_array_equal(after.several[1].tensor, inner.tensor)
    assert after.pair == before.pair
    assert after.nothing is None
