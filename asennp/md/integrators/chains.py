"""Nose-Hoover chains on the particles and on the cell: deterministic, reversible."""

from collections.abc import Callable
from typing import Any

from ase import Atoms

from asennp.md.chain import NoseHooverChain
from asennp.md.integrators.base import Drive, Integrator, stop_drift
from asennp.md.integrators.cells import CellMotion


class Chains(Integrator):
    """Particles and cell each under a chain of their own; symmetric splitting, second order.

    The total momentum is zero and stays so: N_f = 3N - 3.

    Parameters
    ----------
    atoms, cell, kT, timestep
        See `Integrator`.
    tdamp, pdamp
        Time constants of the two chains, ASE time.
    chain_length
        Members of each.
    """

    def __init__(
        self,
        atoms: Atoms,
        cell: CellMotion,
        kT: float,
        timestep: float,
        tdamp: float,
        pdamp: float,
        chain_length: int,
    ) -> None:
        super().__init__(atoms, cell, kT, timestep)
        stop_drift(atoms)
        self.thermostat = NoseHooverChain(self.n_dof, kT, tdamp, chain_length)
        self.barostat = NoseHooverChain(cell.n_piston, kT, pdamp, chain_length) if cell.moves else None

    @property
    def n_dof(self) -> int:
        """3N - 3."""
        return 3 * len(self.atoms) - 3

    def step(self, drive: Drive, look: Callable[[], Drive]) -> Drive:
        """Chains, piston, particles, drift, then the same backwards."""
        half, cell = 0.5 * self.dt, self.cell
        self._advance_barostat(half)
        self._advance_thermostat(half)
        cell.kick_piston(drive.virial, half)
        cell.kick_particles(drive.forces, half)
        cell.drift(self.dt)
        drive = look()
        cell.kick_particles(drive.forces, half)
        cell.kick_piston(drive.virial, half)
        self._advance_thermostat(half)
        self._advance_barostat(half)
        return drive

    def _advance_thermostat(self, time: float) -> None:
        momenta = self.atoms.arrays["momenta"]
        momenta *= self.thermostat.advance(self.twice_kinetic(), time)

    def _advance_barostat(self, time: float) -> None:
        if self.barostat is not None:
            self.cell.scale(self.barostat.advance(self.cell.twice_kinetic(), time))

    def energy(self) -> float:
        """Return piston and chains, eV."""
        chains = self.thermostat.energy() + (0.0 if self.barostat is None else self.barostat.energy())
        return chains + self.cell.energy()

    def state(self) -> dict[str, Any]:
        """Return the chains' variables and the piston's."""
        return {
            "thermostat": self.thermostat.state(),
            "barostat": None if self.barostat is None else self.barostat.state(),
            "cell": self.cell.state(),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Put `state` back."""
        self.thermostat.set_state(state["thermostat"])
        if self.barostat is not None:
            self.barostat.set_state(state["barostat"])
        self.cell.set_state(state["cell"])
