"""No bath at all: velocity Verlet at constant energy."""

from collections.abc import Callable
from typing import Any

from ase import Atoms

from asennp.md.integrators.base import Drive, Integrator, stop_drift
from asennp.md.integrators.cells import CellMotion


class Verlet(Integrator):
    """Kick, drift, kick; the total momentum is zero, so N_f = 3N - 3.

    Parameters
    ----------
    atoms, cell, kT, timestep
        See `Integrator`; the cell is a fixed one.
    """

    def __init__(self, atoms: Atoms, cell: CellMotion, kT: float, timestep: float) -> None:
        super().__init__(atoms, cell, kT, timestep)
        stop_drift(atoms)

    @property
    def n_dof(self) -> int:
        """3N - 3."""
        return 3 * len(self.atoms) - 3

    def step(self, drive: Drive, look: Callable[[], Drive]) -> Drive:
        """Advance by one timestep with one evaluation."""
        self.cell.kick_particles(drive.forces, 0.5 * self.dt)
        self.cell.drift(self.dt)
        drive = look()
        self.cell.kick_particles(drive.forces, 0.5 * self.dt)
        return drive

    def energy(self) -> float:
        """Return 0: K + U is conserved as it is."""
        return 0.0

    def state(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Do nothing."""
