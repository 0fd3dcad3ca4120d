"""Gaussian charges in periodic cells, summed in reciprocal space alone.

A Gaussian charge is its own screening charge: its transform falls as exp(-k^2/4 alpha), so the lattice sum
of U = (2 pi/V) sum_k |S(k)|^2/k^2, S(k) = sum of charges times exp(-k^2/4 alpha + i k.r), converges without
a part in real space, with tin-foil boundaries. What it holds of an atom's core and shell with themselves and
each other is taken out.
"""

import math
from abc import abstractmethod

import numpy as np

from asennp.electrostatics.gaussian import GaussianSum, SiteSums, full_blocks
from asennp.electrostatics.kernels_gaussian import own_functions
from asennp.electrostatics.screened import check_accuracy

#: Potentials at cores and shells (N,), their gradients there (N, 3), and dU/deps of all sites (3, 3).
Sites = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


class LatticeSum(GaussianSum):
    """Sum over the infinite lattice, at a stated accuracy.

    Parameters
    ----------
    accuracy
        Relative error of the forces.
    """

    def __init__(self, accuracy: float = 1e-6) -> None:
        self.accuracy = check_accuracy(accuracy)
        self._own: OwnPairs

    @abstractmethod
    def sum_sites(self, core: np.ndarray, shell: np.ndarray, shells: np.ndarray) -> Sites:
        """Return the sums over all sites, an atom's own among them."""

    def evaluate(self, core: np.ndarray, shell: np.ndarray, shells: np.ndarray) -> SiteSums:
        """Return potentials, gradients and virial."""
        phi_core, phi_shell, grad_core, grad_shell, virial = self.sum_sites(core, shell, shells)
        grad_core, grad_shell = core[:, None] * grad_core, shell[:, None] * grad_shell
        # strain moves shells along with their cores
        stretched = grad_shell.T @ shells
        virial = virial - 0.5 * (stretched + stretched.T)
        self._own.take_out(core, shell, shells, phi_core, phi_shell, grad_core, grad_shell)
        energies = 0.5 * (core * phi_core + shell * phi_shell)
        return SiteSums(energies, phi_core, grad_core, grad_shell, virial)


class OwnPairs:
    """Core and shell of each atom with themselves, 2 a/√π each, and with each other, erf(a s)/s.

    Parameters
    ----------
    exponents, kinds
        As of `asennp.electrostatics.gaussian.GaussianSum.at`.
    """

    def __init__(self, exponents: np.ndarray, kinds: np.ndarray) -> None:
        self._widths = np.sqrt(0.5 * exponents)[kinds]
        self._self = 2.0 / math.sqrt(math.pi) * self._widths

    def take_out(
        self,
        core: np.ndarray,
        shell: np.ndarray,
        shells: np.ndarray,
        phi_core: np.ndarray,
        phi_shell: np.ndarray,
        grad_core: np.ndarray,
        grad_shell: np.ndarray,
    ) -> None:
        """Subtract their potentials and gradients."""
        f, f1, _ = own_functions(self._widths, shells)
        phi_core -= core * self._self + shell * f
        phi_shell -= shell * self._self + core * f
        pull = (core * shell * f1)[:, None] * shells
        grad_core += pull
        grad_shell -= pull

    def take_out_charges(self, matrix: np.ndarray) -> np.ndarray:
        """Subtract them from d2U/dq2."""
        matrix[np.diag_indices_from(matrix)] -= self._self
        return matrix

    def curvature(
        self, core: np.ndarray, shell: np.ndarray, shells: np.ndarray, local: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return what to add to d2U/dq_i^2 (N,) and d2U/dq_i ds_i (N, 3), and d2U/ds_i^2 (N, 3, 3).

        `local` (N, 6) holds the last of the sum over all sites.
        """
        _, f1, f2 = own_functions(self._widths, shells)
        mixed = -(shell * f1)[:, None] * shells
        x, y, z = shells.T
        product = core * shell
        own = np.stack(
            [f1 + f2 * x * x, f1 + f2 * y * y, f1 + f2 * z * z, f2 * y * z, f2 * x * z, f2 * x * y], axis=1
        )
        return -self._self, mixed, full_blocks(local - product[:, None] * own)
