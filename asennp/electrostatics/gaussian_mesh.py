"""Gaussian charges in large periodic cells, summed with the help of a mesh: see `gaussian_lattice`.

Each kind of atom has a mesh of its own, over which its charges are spread by B-splines as in
`asennp.electrostatics.pme`; the meshes meet in reciprocal space, each weighted by the transform of its
Gaussian. All derivatives are those of the mesh's own energy, so charges and shells minimise it, and forces
are its gradient.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np
from scipy import fft

from asennp.electrostatics.gaussian import Curvature
from asennp.electrostatics.gaussian_lattice import LatticeSum, OwnPairs, Sites
from asennp.electrostatics.kernels_pme import gather, pad, spread
from asennp.electrostatics.kernels_sites import gather_curvature, gather_potential, spread_dipoles
from asennp.electrostatics.pme import (
    LARGEST_MESH,
    ORDERS,
    SECONDS_PER_POINT,
    SECONDS_PER_WEIGHT,
    cell_lengths,
    mesh_error,
    mesh_spacing,
    smooth_size,
    spline_factors,
)
from asennp.errors import InputError
from asennp.threads import check_threads, share


@dataclass(frozen=True)
class MeshSettings:
    """Order of the splines and points of the mesh."""

    order: int
    mesh: tuple[int, int, int]


@lru_cache(maxsize=64)
def choose_mesh(
    n_atoms: int,
    volume: float,
    lengths: tuple[float, float, float],
    width: float,
    n_kinds: int,
    accuracy: float,
    orders: tuple[int, ...],
) -> MeshSettings:
    """Return the settings of least cost, from numbers that small moves keep.

    Parameters
    ----------
    n_atoms, volume, lengths
        Of the cell: Å^3, Å.
    width
        Largest a of a pair of kinds, 1/Å.
    n_kinds
        Number of meshes.
    accuracy
        Relative force error.
    orders
        Orders to choose from.
    """
    best: tuple[float, MeshSettings] | None = None
    for order in orders:
        spacing = mesh_spacing(width, 2.0 * n_atoms / volume, order, accuracy)
        nx, ny, nz = (smooth_size(max(length / spacing, order)) for length in lengths)
        points = nx * ny * nz
        cost = 2.0 * n_atoms * SECONDS_PER_WEIGHT * order**3 + n_kinds * SECONDS_PER_POINT * points
        if points <= LARGEST_MESH and (best is None or cost < best[0]):
            best = cost, MeshSettings(order, (nx, ny, nz))
    if best is None:
        raise InputError(
            "the mesh would be too large",
            where="accuracy",
            expected=f"at most {LARGEST_MESH} points",
            got=accuracy,
            do="ask for less accuracy",
        )
    return best[1]


class MeshSum(LatticeSum):
    """Lattice sum over meshes, one a kind; work and memory grow with the number of atoms.

    Parameters
    ----------
    accuracy
        Relative error of the forces.
    orders
        Orders of the splines to choose from.
    threads
        Threads of one sum; the results do not depend on it.

    References
    ----------
    U. Essmann et al., J. Chem. Phys. 103, 8577 (1995), doi:10.1063/1.470117.
    """

    def __init__(
        self, accuracy: float = 1e-6, orders: tuple[int, ...] = tuple(ORDERS), threads: int = 1
    ) -> None:
        super().__init__(accuracy)
        self.orders, self.threads = orders, check_threads(threads)
        #: Settings of the last sum; None before.
        self.settings: MeshSettings | None = None
        #: Settings kept for every cell that they are good enough for; None: chosen for each cell.
        self.held: MeshSettings | None = None

    def at(
        self,
        positions: np.ndarray,
        cell: np.ndarray,
        pbc: np.ndarray,
        kinds: np.ndarray,
        exponents: np.ndarray,
    ) -> Self:
        """Take the atoms' places."""
        volume = abs(float(np.linalg.det(cell)))
        self.settings = self._choose(len(positions), volume, cell, exponents)
        order, self.mesh = self.settings.order, self.settings.mesh
        self._like = (0,) * order
        self._positions, self._inverse = positions, np.linalg.inv(cell)
        self._members = [np.flatnonzero(kinds == kind) for kind in range(len(exponents))]
        self._exponents = exponents
        self._own = OwnPairs(exponents, kinds)
        self._set_weights(volume, order)
        return self

    def _choose(self, n_atoms: int, volume: float, cell: np.ndarray, exponents: np.ndarray) -> MeshSettings:
        """Return the settings that are held, while their mesh keeps the accuracy, or those for this cell."""
        width, lengths = math.sqrt(0.5 * float(exponents.max())), cell_lengths(cell)
        if self.held is not None:
            spacing = max(length / n for length, n in zip(lengths, self.held.mesh))
            # meshes are chosen for half the error that is allowed
            if mesh_error(self.held.order, width * spacing, 2.0 * n_atoms / volume) <= self.accuracy:
                return self.held
        chosen = choose_mesh(n_atoms, volume, lengths, width, len(exponents), self.accuracy, self.orders)
        if self.held is not None:
            self.held = chosen
        return chosen

    def _set_weights(self, volume: float, order: int) -> None:
        """Set the wave vectors, what stands for 4 pi/(V k^2), and the Gaussians' transforms."""
        n0, n1, n2 = self.mesh
        integers = [fft.fftfreq(n0, 1.0 / n0), fft.fftfreq(n1, 1.0 / n1), np.arange(n2 // 2 + 1.0)]
        reciprocal = 2.0 * math.pi * self._inverse.T
        self._k = [
            integers[0][:, None, None] * reciprocal[0, c]
            + integers[1][:, None] * reciprocal[1, c]
            + integers[2] * reciprocal[2, c]
            for c in range(3)
        ]
        self._k2 = self._k[0] ** 2 + self._k[1] ** 2 + self._k[2] ** 2
        self._k2[0, 0, 0] = 1.0
        f0, f1, f2 = (spline_factors(n, order) for n in self.mesh)
        self._green = 4.0 * math.pi / volume * f0[:, None, None] * f1[:, None] * f2[: n2 // 2 + 1] / self._k2
        self._green[0, 0, 0] = 0.0
        self._transforms = [np.exp(-self._k2 / (4.0 * exponent)) for exponent in self._exponents]

    def sum_sites(self, core: np.ndarray, shell: np.ndarray, shells: np.ndarray) -> Sites:
        """Return the sums over all sites."""
        places = self._places(shells)
        modes = self._modes(places, core, shell)
        total = self._weigh(modes)
        virial = self._virial(modes, total)
        n = len(core)
        phi_core, phi_shell = np.empty(n), np.empty(n)
        grad_core, grad_shell = np.empty((n, 3)), np.empty((n, 3))
        for where, of, potential in zip(places, self._members, self._potentials(total)):
            phi, slopes = self._gather(where, self._pad(potential))
            phi_core[of], phi_shell[of] = phi[: len(of)], phi[len(of) :]
            grad_core[of], grad_shell[of] = slopes[: len(of)], slopes[len(of) :]
        return phi_core, phi_shell, grad_core, grad_shell, virial

    def charge_matrix(self) -> np.ndarray:
        """Return d2U/dq2."""
        n = len(self._positions)
        nothing = np.zeros((n, 3))
        return self.curvature(np.zeros(n), np.zeros(n), nothing).dense()[:n, :n]

    def curvature(self, core: np.ndarray, shell: np.ndarray, shells: np.ndarray) -> "MeshCurvature":
        """Return the second derivatives, without a matrix."""
        places = self._places(shells)
        modes = self._modes(places, core, shell)
        local = np.empty((len(core), 6))
        for where, of, potential in zip(places, self._members, self._potentials(self._weigh(modes))):
            bent = np.empty((len(of), 6))
            at = where[len(of) :]
            share(
                self.threads,
                len(of),
                lambda a, b, at=at, on=potential, out=bent: gather_curvature(  # type: ignore[misc]
                    a, b, at, self._inverse, on, self._like, out
                ),
            )
            local[of] = shell[of, None] * bent
        return MeshCurvature(self, shell, places, *self._own.curvature(core, shell, shells, local))

    def respond(
        self, places: list[np.ndarray], dq: np.ndarray, dipoles: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the potential at cores (N,) and its gradient at shells (N, 3), of charges and dipoles."""
        modes = []
        for where, of in zip(places, self._members):
            charges, moments = np.zeros(2 * len(of)), np.zeros((2 * len(of), 3))
            charges[: len(of)], moments[len(of) :] = dq[of], dipoles[of]
            mesh = np.empty(self.mesh)
            share(
                self.threads,
                self.mesh[0],
                lambda a, b, at=where, q=charges, p=moments, out=mesh: spread_dipoles(  # type: ignore[misc]
                    a, b, at, self._inverse, q, p, self._like, out
                ),
            )
            modes.append(fft.rfftn(mesh, workers=self.threads))
        phi_core, grad_shell = np.empty(len(dq)), np.empty((len(dq), 3))
        for where, of, potential in zip(places, self._members, self._potentials(self._weigh(modes))):
            padded, phi = self._pad(potential), np.empty(len(of))
            share(
                self.threads,
                len(of),
                lambda a, b, at=where, on=padded, out=phi: gather_potential(  # type: ignore[misc]
                    a, b, at, self._inverse, self.mesh, on, self._like, out
                ),
            )
            phi_core[of], grad_shell[of] = phi, self._gather(where[len(of) :], padded)[1]
        return phi_core, grad_shell

    def _places(self, shells: np.ndarray) -> list[np.ndarray]:
        """Return the cores, then the shells, of each kind."""
        moved = self._positions + shells
        return [np.concatenate([self._positions[of], moved[of]]) for of in self._members]

    def _modes(self, places: list[np.ndarray], core: np.ndarray, shell: np.ndarray) -> list[np.ndarray]:
        """Return the transforms of each kind's charges."""
        modes = []
        for where, of in zip(places, self._members):
            charges, mesh = np.concatenate([core[of], shell[of]]), np.empty(self.mesh)
            share(
                self.threads,
                self.mesh[0],
                lambda a, b, at=where, q=charges, out=mesh: spread(  # type: ignore[misc]
                    a, b, at, self._inverse, q, self._like, out
                ),
            )
            modes.append(fft.rfftn(mesh, workers=self.threads))
        return modes

    def _weigh(self, modes: list[np.ndarray]) -> np.ndarray:
        total = modes[0] * self._transforms[0]
        for mode, transform in zip(modes[1:], self._transforms[1:]):
            total += mode * transform
        return total

    def _potentials(self, total: np.ndarray) -> list[np.ndarray]:
        """Return the potential that each kind feels, on the mesh."""
        smooth = total * self._green
        return [
            fft.irfftn(smooth * transform, self.mesh, norm="forward", overwrite_x=True, workers=self.threads)
            for transform in self._transforms
        ]

    def _pad(self, potential: np.ndarray) -> np.ndarray:
        """Go on along the last axis, for the points of one atom to be contiguous."""
        padded = np.empty((*self.mesh[:2], self.mesh[2] + len(self._like)))
        share(self.threads, self.mesh[0], lambda a, b: pad(a, b, potential, padded))
        return padded

    def _gather(self, where: np.ndarray, padded: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return a potential (M,) and its gradient (M, 3) at sites."""
        halves, falls, ones = np.zeros(len(where)), np.zeros((len(where), 3)), np.ones(len(where))
        share(
            self.threads,
            len(where),
            lambda a, b: gather(
                a, b, where, self._inverse, ones, self.mesh, padded, self._like, halves, falls
            ),
        )
        return 2.0 * halves, -falls

    def _virial(self, modes: list[np.ndarray], total: np.ndarray) -> np.ndarray:
        """Return dU/deps of all sites at a fixed mesh."""
        narrowed = np.zeros_like(total)
        for mode, transform, exponent in zip(modes, self._transforms, self._exponents):
            narrowed -= mode * (transform / (4.0 * exponent))
        # modes with k > 0 along the last axis stand for their opposites too
        twice = self._green.copy()
        twice[:, :, 1:] *= 2.0
        energy = 0.5 * twice * (total.real**2 + total.imag**2)
        slope = twice * (total.real * narrowed.real + total.imag * narrowed.imag) - energy / self._k2
        virial = np.empty((3, 3))
        for a in range(3):
            for b in range(a + 1):
                virial[a, b] = virial[b, a] = -2.0 * float((slope * self._k[a] * self._k[b]).sum())
            virial[a, a] -= float(energy.sum())
        return virial


class MeshCurvature(Curvature):
    """Second derivatives, applied by a sum over the meshes each time."""

    def __init__(
        self,
        sums: MeshSum,
        shell: np.ndarray,
        places: list[np.ndarray],
        diagonal: np.ndarray,
        mixed: np.ndarray,
        local: np.ndarray,
    ) -> None:
        self._sums, self._shell, self._places = sums, shell, places
        self._diagonal, self._mixed, self._local = diagonal, mixed, local

    def apply(self, dq: np.ndarray, ds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return their product with a change."""
        by_q, by_s = self._sums.respond(self._places, dq, self._shell[:, None] * ds)
        by_q += self._diagonal * dq + (self._mixed * ds).sum(axis=1)
        by_s = self._shell[:, None] * by_s + self._mixed * dq[:, None]
        return by_q, by_s + np.einsum("iab,ib->ia", self._local, ds)

    def dense(self) -> np.ndarray:
        """Return the matrix, column by column: for comparisons."""
        n = len(self._shell)
        columns = []
        for unit in np.eye(4 * n):
            by_q, by_s = self.apply(unit[:n], unit[n:].reshape(n, 3))
            columns.append(np.concatenate([by_q, by_s.ravel()]))
        return np.array(columns)
