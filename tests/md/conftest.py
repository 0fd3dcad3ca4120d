"""A small fast fluid for the molecular dynamics tests."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes


class SoftSpheres(Calculator):
    """Pairs e (s/r)^12 - a (s/r)^6, smoothly ended (C2) at half the box: all pairs, nearest image."""

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012
    default_parameters = {"epsilon": 0.02, "sigma": 3.1, "attraction": 0.5, "cutoff": 4.6}  # noqa: RUF012

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):  # type: ignore[no-untyped-def]
        super().calculate(atoms, properties, system_changes)
        p = self.parameters
        r, h = self.atoms.positions, self.atoms.cell.array
        i, j = _pairs(len(r))
        d = r[j] - r[i]
        s = d @ np.linalg.inv(h)
        d -= np.rint(s) @ h
        r2 = np.einsum("ij,ij->i", d, d)
        near = r2 < p["cutoff"] ** 2
        i, j, d, r2 = i[near], j[near], d[near], r2[near]
        x = r2 / p["cutoff"] ** 2
        end, slope = (1 - x) ** 3, -3 * (1 - x) ** 2 / p["cutoff"] ** 2
        s6 = (p["sigma"] ** 2 / r2) ** 3
        bare = p["epsilon"] * (s6 * s6 - p["attraction"] * s6)
        bare_slope = p["epsilon"] * (-6 * s6 * s6 + 3 * p["attraction"] * s6) / r2
        f = -2 * (bare_slope * end + bare * slope)  # force along d per unit length
        force = f[:, None] * d
        forces = np.empty_like(r)
        for k in range(3):
            forces[:, k] = np.bincount(j, force[:, k], len(r)) - np.bincount(i, force[:, k], len(r))
        virial = -(d.T @ force) / abs(np.linalg.det(h))
        stress = virial[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        energy = float((bare * end).sum())
        self.results = {"energy": energy, "free_energy": energy, "forces": forces, "stress": stress}


def _pairs(n: int, cache: dict = {}) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]  # noqa: B006
    if n not in cache:
        cache[n] = np.triu_indices(n, 1)
    return cache[n]


@pytest.fixture
def fluid():  # type: ignore[no-untyped-def]
    """Return a function that makes 32 dense argon-like atoms with a calculator."""

    def make(seed: int = 0, a: float = 5.6) -> Atoms:
        atoms = bulk("Ar", "fcc", a=a, cubic=True) * 2
        atoms.rattle(0.1, seed=seed)
        atoms.calc = SoftSpheres()
        return atoms

    return make
