"""What the parts of a sum hand to each other: charges in a cell, and what is added up over them."""

from typing import NamedTuple, Self

import numpy as np


class ChargedCell(NamedTuple):
    """Charges in a cell.

    Attributes
    ----------
    positions, cell
        (N, 3) and (3, 3), Å.
    volume
        Å^3.
    charges
        (N,), e, or times the root of a prefactor.
    """

    positions: np.ndarray
    cell: np.ndarray
    volume: float
    charges: np.ndarray


class Sums(NamedTuple):
    """Atomic energies (N,), forces (N, 3) and the virial dE/deps (3, 3), in units of the caller."""

    energies: np.ndarray
    forces: np.ndarray
    virial: np.ndarray

    @classmethod
    def zeros(cls, n_atoms: int) -> Self:
        """Return sums of nothing."""
        return cls(np.zeros(n_atoms), np.zeros((n_atoms, 3)), np.zeros((3, 3)))

    def mirror(self) -> Self:
        """Fill the lower triangle of the virial from the upper one."""
        mirror(self.virial)
        return self


def mirror(virial: np.ndarray) -> None:
    """Fill the lower triangle of a symmetric tensor of which the upper one is known."""
    virial[1, 0], virial[2, 0], virial[2, 1] = virial[0, 1], virial[0, 2], virial[1, 2]
