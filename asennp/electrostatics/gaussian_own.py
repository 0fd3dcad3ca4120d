"""What a lattice sum over all sites holds of an atom's own core and shell, to be taken out."""

import math

import numpy as np

from asennp.electrostatics.gaussian import full_blocks
from asennp.electrostatics.kernels_gaussian import own_functions


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
