"""A fast Lennard-Jones solid and fluid in a cubic box: all pairs, no list, nothing to rebuild in a melt."""

import math
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk
from numba import njit

from asennp.calculators.base import OnePassCalculator, pack_results
from asennp.units import KB

#: Any choice will do, results are in reduced units. A light atom, so that 0.005 is a usual timestep.
EPSILON, SIGMA, MASS = 0.0104, 3.4, 4.0
TEMPERATURE_K = EPSILON / KB
PRESSURE = EPSILON / SIGMA**3


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nsz"})
def pair_sums(positions, edge, epsilon, sigma2, reach, shift):  # type: ignore[no-untyped-def]
    """Return energies, forces and virial; boxes may be down to `reach` wide (further images are added)."""
    n, reach2, inverse_edge = len(positions), reach * reach, 1.0 / edge
    energies, forces, virial = np.zeros(n), np.zeros((n, 3)), np.zeros((3, 3))
    x, y, z = positions[:, 0].copy(), positions[:, 1].copy(), positions[:, 2].copy()
    near, images = np.empty(n, np.int64), np.empty((n, 3))
    for a in range(n):
        m = 0
        for b in range(a + 1, n):
            dx, dy, dz = x[b] - x[a], y[b] - y[a], z[b] - z[a]
            dx -= edge * math.floor(dx * inverse_edge + 0.5)
            dy -= edge * math.floor(dy * inverse_edge + 0.5)
            dz -= edge * math.floor(dz * inverse_edge + 0.5)
            near[m] = b
            images[m, 0], images[m, 1], images[m, 2] = dx, dy, dz
            m += dx * dx + dy * dy + dz * dz < reach2
        for k in range(m):
            b = near[k]
            dx, dy, dz = images[k, 0], images[k, 1], images[k, 2]
            # the next image along an edge lies on the other side
            for ix in range(1 + (edge - abs(dx) < reach)):
                ux = dx - ix * math.copysign(edge, dx)
                for iy in range(1 + (edge - abs(dy) < reach)):
                    uy = dy - iy * math.copysign(edge, dy)
                    for iz in range(1 + (edge - abs(dz) < reach)):
                        uz = dz - iz * math.copysign(edge, dz)
                        d2 = ux * ux + uy * uy + uz * uz
                        if d2 >= reach2:
                            continue
                        inverse = 1.0 / d2
                        s6 = sigma2 * inverse
                        s6 = s6 * s6 * s6
                        half = 2.0 * epsilon * (s6 * s6 - s6) - 0.5 * shift
                        slope = -24.0 * epsilon * (2.0 * s6 * s6 - s6) * inverse
                        energies[a] += half
                        energies[b] += half
                        gx, gy, gz = slope * ux, slope * uy, slope * uz
                        forces[a, 0] += gx
                        forces[a, 1] += gy
                        forces[a, 2] += gz
                        forces[b, 0] -= gx
                        forces[b, 1] -= gy
                        forces[b, 2] -= gz
                        virial[0, 0] += gx * ux
                        virial[1, 1] += gy * uy
                        virial[2, 2] += gz * uz
                        virial[1, 2] += gy * uz
                        virial[0, 2] += gx * uz
                        virial[0, 1] += gx * uy
    return energies, forces, virial


class FastLennardJones(OnePassCalculator):
    """4 eps [(s/r)^12 - (s/r)^6] up to the cut-off (in units of sigma) in a cubic box no thinner than that.

    A plain cut of the forces leaves no impulse at the cut-off, so dynamics samples the energy that is their
    integral: the shifted one.
    """

    default_parameters = {"cutoff": 2.5}  # noqa: RUF012

    def __init__(self, cutoff: float = 2.5) -> None:
        super().__init__(cutoff=cutoff)
        s6 = cutoff**-6
        self._shift = 4.0 * EPSILON * (s6 * s6 - s6)

    def calculate(self, atoms=None, properties=None, system_changes=()):  # type: ignore[no-untyped-def]
        """Fill the results, without the copy of the atoms that a cache of results needs."""
        self.results = self.compute(atoms)

    def compute(self, atoms: Atoms) -> dict[str, Any]:
        """Return every property."""
        edge, reach = float(atoms.cell.array[0, 0]), self.parameters["cutoff"] * SIGMA
        assert reach < edge, "the box is thinner than the cut-off"
        sums = pair_sums(atoms.positions, edge, EPSILON, SIGMA**2, reach, self._shift)
        return pack_results(*sums, edge**3)


def crystal(repeat: int, density: float = 0.96, cutoff: float = 2.5) -> Atoms:
    """Return 4 repeat^3 atoms of the face-centred crystal at a reduced density, with the calculator."""
    edge = SIGMA * (4.0 / density) ** (1.0 / 3.0)
    atoms = bulk("Ar", "fcc", a=edge, cubic=True) * repeat
    atoms.set_masses([MASS] * len(atoms))
    atoms.calc = FastLennardJones(cutoff)
    return atoms


def reduced_time() -> float:
    """Return sigma sqrt(m/eps) in ASE's unit of time."""
    return SIGMA * math.sqrt(MASS / EPSILON)
