"""Coulomb energy of atoms made of two Gaussian charges: a core at r, a shell at r + s."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Self

import numpy as np


@dataclass(frozen=True, eq=False)
class SiteSums:
    """Potentials and gradients of U, in e, Å and e^2/Å, without the Coulomb constant.

    Attributes
    ----------
    energies
        Half of each site's charge times its potential, by atom, (N,).
    core_potential
        dU/dq of the core charges, (N,).
    core_gradient, shell_gradient
        dU with respect to the places of cores and shells, (N, 3).
    virial
        dU/deps at fixed shell displacements, (3, 3).
    """

    energies: np.ndarray
    core_potential: np.ndarray
    core_gradient: np.ndarray
    shell_gradient: np.ndarray
    virial: np.ndarray


class Curvature(ABC):
    """Second derivatives of U with respect to charges and shell displacements, at one point."""

    @abstractmethod
    def apply(self, dq: np.ndarray, ds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return their product with a change of charges (N,) and shells (N, 3)."""

    @abstractmethod
    def dense(self) -> np.ndarray:
        """Return the symmetric matrix (4N, 4N) over q_1 ... q_N, s_1x, s_1y, ..."""


class GaussianSum(ABC):
    """U = 1/2 sum of charge products times erf(a r)/r over all pairs of sites but an atom's own.

    Sites are cores of the charges `core` and shells of the charges `shell`, of an exponent for each kind
    of atom; 1/a^2 = 1/alpha_i + 1/alpha_j. Subclasses say which pairs are summed, and how: with
    `at`, they take the atoms' places; the other methods belong to these.
    """

    @abstractmethod
    def at(
        self,
        positions: np.ndarray,
        cell: np.ndarray,
        pbc: np.ndarray,
        kinds: np.ndarray,
        exponents: np.ndarray,
    ) -> Self:
        """Take the atoms' places.

        Parameters
        ----------
        positions, cell, pbc
            (N, 3) and (3, 3), Å.
        kinds, exponents
            Index of each atom's exponent, (N,), and the exponents, 1/Å^2.
        """

    @abstractmethod
    def evaluate(self, core: np.ndarray, shell: np.ndarray, shells: np.ndarray) -> SiteSums:
        """Return potentials, gradients and virial for charges (N,) and shell displacements (N, 3), Å."""

    @abstractmethod
    def charge_matrix(self) -> np.ndarray:
        """Return d2U/dq2 (N, N), which the shells do not change."""

    @abstractmethod
    def curvature(self, core: np.ndarray, shell: np.ndarray, shells: np.ndarray) -> Curvature:
        """Return the second derivatives there."""


def pair_widths(exponents: np.ndarray) -> np.ndarray:
    """Return a of each pair of kinds, 1/Å."""
    product = exponents[:, None] * exponents
    widths: np.ndarray = np.sqrt(product / (exponents[:, None] + exponents))
    return widths


def full_blocks(local: np.ndarray) -> np.ndarray:
    """Turn rows xx yy zz yz xz xy into symmetric matrices (N, 3, 3)."""
    return local[:, [[0, 5, 4], [5, 1, 3], [4, 3, 2]]]
