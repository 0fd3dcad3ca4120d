"""What integrators share: they move particles and cell under any potential, bias or none."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms

from asennp.md.integrators.cells import CellMotion


@dataclass(slots=True)
class Drive:
    """How a potential Phi(r, h) pushes: for MOMT Phi = U + P V + dH.

    Attributes
    ----------
    forces
        -dPhi/dr at fixed cell, shape (N, 3), eV/Å.
    virial
        -dPhi/deps for a homogeneous strain of positions and cell, shape (3, 3), eV; without the kinetic
        term. None where the cell is fixed.
    """

    forces: np.ndarray
    virial: np.ndarray | None


class Integrator(ABC):
    """Equations of motion: a way to move the cell together with a heat bath.

    Parameters
    ----------
    atoms
        Positions, momenta and cell are moved in place.
    cell
        How the cell moves, if it does.
    kT
        Temperature, eV.
    timestep
        ASE time.
    """

    def __init__(self, atoms: Atoms, cell: CellMotion, kT: float, timestep: float) -> None:
        self.atoms, self.cell, self.kT, self.dt = atoms, cell, kT, timestep
        self.inverse_masses = 1.0 / atoms.get_masses()[:, None]

    @property
    @abstractmethod
    def n_dof(self) -> int:
        """Degrees of freedom N_f of the particles: sum p^2/m is N_f kT on average."""

    @abstractmethod
    def step(self, drive: Drive, look: Callable[[], Drive]) -> Drive:
        """Move on by one timestep; `look` evaluates the potential at new positions, once."""

    @abstractmethod
    def energy(self) -> float:
        """Return what completes K + Phi to the conserved quantity: piston, baths, heat given away, eV."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return the variables that are not in the atoms, as plain values."""

    @abstractmethod
    def set_state(self, state: dict[str, Any]) -> None:
        """Put `state` back."""

    def twice_kinetic(self) -> float:
        """Return sum p^2/m, eV."""
        momenta = self.atoms.arrays["momenta"]
        return float(np.vdot(momenta, momenta * self.inverse_masses))


def stop_drift(atoms: Atoms) -> None:
    """Take out the total momentum."""
    momenta, masses = atoms.arrays["momenta"], atoms.get_masses()[:, None]
    momenta -= masses * (momenta.sum(axis=0) / masses.sum())
