"""Small crystals whose energy and forces are known sums, and a descriptor to match."""

from collections.abc import Callable

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.neighborlist import neighbor_list

from asennp.calculators.coulomb import CoulombCalculator
from asennp.models import AEVSettings

MakeFrames = Callable[..., list[Atoms]]


@pytest.fixture(scope="session")
def aev() -> AEVSettings:
    """A short descriptor of Mg and O."""
    return AEVSettings(
        species=("Mg", "O"),
        radial_cutoff=4.0,
        radial_shifts=tuple(np.arange(1.6, 4.0, 0.3)),
        radial_eta=8.0,
        angular_cutoff=3.0,
        angular_shifts=(1.5, 2.3),
        angular_eta=3.0,
        n_sections=2,
    )


@pytest.fixture(scope="session")
def make_frames() -> MakeFrames:
    """Return MgO crystals whose energy is Coulomb at a known charge and a pair term of short range."""

    def make(charge: float, short_range: float, n: int = 80) -> list[Atoms]:
        rng = np.random.default_rng(3)
        coulomb = CoulombCalculator({"Mg": charge, "O": -charge}) if charge else None
        frames = []
        for k in range(n):
            cells = (1, 1, 1 + k % 2)
            frame = bulk("MgO", "rocksalt", a=4.25 * (1 + 0.02 * rng.normal()), cubic=True) * cells
            frame.rattle(0.08, rng=rng)
            i, d, vectors = neighbor_list("idD", frame, {("Mg", "O"): 3.2})
            x = 1 - (d / 3.2) ** 2
            energy = short_range * (x**3).sum()
            # each pair is listed from both ends: twice the pair's term, twice its slope
            slopes = (2 * short_range * 3 * x**2 * (-2 * d / 3.2**2) / d)[:, None] * vectors
            forces = np.zeros((len(frame), 3))
            np.add.at(forces, i, slopes)
            if coulomb is not None:
                energy += coulomb.get_property("energy", frame)
                forces += coulomb.get_property("forces", frame)
            frame.info["REF_energy"] = float(energy) - 7.0 * len(frame)
            frame.arrays["REF_forces"] = forces
            frames.append(frame)
        return frames

    return make
