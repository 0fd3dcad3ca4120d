"""Gaussian charges in small periodic cells, summed over explicit plane waves: see `gaussian_lattice`."""

import math
from typing import Self

import numpy as np

from asennp.electrostatics.gaussian import Curvature
from asennp.electrostatics.gaussian_lattice import LatticeSum, OwnPairs, Sites
from asennp.electrostatics.gaussian_pairs import add_local
from asennp.electrostatics.kernels import TAPER
from asennp.electrostatics.kernels_waves import plane_waves
from asennp.electrostatics.mesh import wave_integers
from asennp.electrostatics.screened import reach_factor


def wave_reach(exponents: np.ndarray, accuracy: float) -> float:
    """Return the |k|, 1/Å, at which the narrowest pair's transform has fallen to the accuracy."""
    return 2.0 * math.sqrt(0.5 * float(exponents.max())) * reach_factor(accuracy)


class WaveSum(LatticeSum):
    """Lattice sum over explicit plane waves; for small cells, in which matrices are affordable."""

    def at(
        self,
        positions: np.ndarray,
        cell: np.ndarray,
        pbc: np.ndarray,
        kinds: np.ndarray,
        exponents: np.ndarray,
    ) -> Self:
        """Take the atoms' places."""
        reach = wave_reach(exponents, self.accuracy)
        integers = wave_integers(cell, reach).astype(np.int64)
        first, second, third = integers.T
        half = (first > 0) | ((first == 0) & ((second > 0) | ((second == 0) & (third > 0))))
        self._integers = np.ascontiguousarray(integers[half])
        self._reciprocal = 2.0 * math.pi * np.linalg.inv(cell).T
        self._k = self._integers @ self._reciprocal
        self._k2 = (self._k**2).sum(axis=1)
        taper, self._log_taper = _taper(np.sqrt(self._k2), reach)
        weights = 8.0 * math.pi / abs(float(np.linalg.det(cell))) * taper / self._k2
        self._amplitudes = np.sqrt(weights) * np.exp(-0.25 * self._k2 / exponents[:, None])
        self._positions, self._kinds = positions, kinds
        self._inverse_exponents = 1.0 / exponents[kinds]
        self._own = OwnPairs(exponents, kinds)
        self._cores = self._waves(positions)
        return self

    def _waves(self, positions: np.ndarray) -> np.ndarray:
        waves = np.empty((len(positions), 2 * len(self._integers)))
        plane_waves(positions, self._reciprocal, self._integers, self._amplitudes, self._kinds, waves)
        return waves

    def _turned(self, waves: np.ndarray) -> np.ndarray:
        """Return the waves' derivatives with respect to the phase."""
        n = len(self._integers)
        return np.concatenate([-waves[:, n:], waves[:, :n]], axis=1)

    def sum_sites(self, core: np.ndarray, shell: np.ndarray, shells: np.ndarray) -> Sites:
        """Return the sums over all sites."""
        waves = self._waves(self._positions + shells)
        total = core @ self._cores + shell @ waves
        return (
            self._cores @ total,
            waves @ total,
            self._slopes(self._cores, total),
            self._slopes(waves, total),
            self._virial(core, shell, waves, total),
        )

    def _slopes(self, waves: np.ndarray, total: np.ndarray) -> np.ndarray:
        """Return the gradient of the potential at each site."""
        n = len(self._integers)
        turned = waves[:, :n] * total[n:] - waves[:, n:] * total[:n]
        slopes: np.ndarray = turned @ self._k
        return slopes

    def _virial(
        self, core: np.ndarray, shell: np.ndarray, waves: np.ndarray, total: np.ndarray
    ) -> np.ndarray:
        """Return dU/deps of all sites: the volume, the length of k, and the Gaussians' transforms."""
        n = len(self._integers)
        by_k2 = -0.25 * self._inverse_exponents
        narrowed = (core * by_k2) @ self._cores + (shell * by_k2) @ waves
        energy = 0.5 * (total[:n] ** 2 + total[n:] ** 2)
        slope = energy * (self._log_taper - 1.0 / self._k2)
        slope += total[:n] * narrowed[:n] + total[n:] * narrowed[n:]
        virial: np.ndarray = -energy.sum() * np.eye(3) - 2.0 * (self._k * slope[:, None]).T @ self._k
        return virial

    def charge_matrix(self) -> np.ndarray:
        """Return d2U/dq2."""
        matrix: np.ndarray = self._cores @ self._cores.T
        return self._own.take_out_charges(matrix)

    def curvature(self, core: np.ndarray, shell: np.ndarray, shells: np.ndarray) -> "WaveCurvature":
        """Return the second derivatives, as a matrix."""
        n_atoms = len(core)
        waves = self._waves(self._positions + shells)
        total = core @ self._cores + shell @ waves
        turned = shell[:, None] * self._turned(waves)
        k = np.concatenate([self._k, self._k])
        slopes = (turned[:, None, :] * k.T).reshape(3 * n_atoms, -1)
        basis = np.concatenate([self._cores, slopes])
        matrix = basis @ basis.T
        potential = waves * total
        products = k[:, [0, 1, 2, 1, 0, 0]] * k[:, [0, 1, 2, 2, 2, 1]]
        local = -shell[:, None] * (potential @ products)
        return WaveCurvature(matrix, *self._own.curvature(core, shell, shells, local))


class WaveCurvature(Curvature):
    """Second derivatives as a matrix."""

    def __init__(
        self, matrix: np.ndarray, diagonal: np.ndarray, mixed: np.ndarray, local: np.ndarray
    ) -> None:
        n = len(diagonal)
        each = np.arange(n)
        matrix[each, each] += diagonal
        matrix[:n, n:].reshape(n, n, 3)[each, each] += mixed
        matrix[n:, :n].reshape(n, 3, n)[each, :, each] += mixed
        add_local(matrix, local)
        self._matrix, self._n = matrix, n

    def apply(self, dq: np.ndarray, ds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return their product with a change."""
        product = self._matrix @ np.concatenate([dq, ds.ravel()])
        return product[: self._n], product[self._n :].reshape(-1, 3)

    def dense(self) -> np.ndarray:
        """Return the matrix."""
        return self._matrix


def _taper(k: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Return a C2 step to zero over the last part of the reach, and d ln/dk^2 of it."""
    onset = (1.0 - TAPER) * reach
    x = np.clip((k - onset) / (reach - onset), 0.0, 1.0)
    # factored, so that rounding never makes it negative
    step = (1.0 - x) ** 3 * (1.0 + x * (3.0 + 6.0 * x))
    slope = -30.0 * x**2 * (1.0 - x) ** 2 / (reach - onset)
    with np.errstate(divide="ignore", invalid="ignore"):
        log = np.where(step > 0.0, slope / (2.0 * k * step), 0.0)
    return step, log
