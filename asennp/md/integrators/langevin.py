"""Langevin's friction and noise on the particles and on the cell: BAOAB."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from ase import Atoms

from asennp.md.integrators.base import Drive, Integrator
from asennp.md.integrators.cells import CellMotion


class Langevin(Integrator):
    """Kick, half drift, friction and noise, half drift, kick: particles and cell alike.

    The centre of mass takes part: N_f = 3N. The heat that friction and noise bring is counted, so that
    there is a conserved quantity here too.

    Parameters
    ----------
    atoms, cell, kT, timestep
        See `Integrator`.
    tdamp, pdamp
        1/friction of particles and cell, ASE time.
    rng
        Source of the noise.

    References
    ----------
    Leimkuhler, Matthews, J. Chem. Phys. 138 (2013) 174102, doi:10.1063/1.4802990. Piston: Quigley, Probert,
    J. Chem. Phys. 120 (2004) 11432, doi:10.1063/1.1755657.
    """

    def __init__(
        self,
        atoms: Atoms,
        cell: CellMotion,
        kT: float,
        timestep: float,
        tdamp: float,
        pdamp: float,
        rng: np.random.Generator,
    ) -> None:
        super().__init__(atoms, cell, kT, timestep)
        self.rng = rng
        self._memory = math.exp(-timestep / tdamp)
        self._piston_memory = math.exp(-timestep / pdamp)
        self._noise = np.sqrt((1.0 - self._memory**2) * kT / self.inverse_masses)
        #: Heat taken up from the bath so far, eV.
        self.heat = 0.0

    @property
    def n_dof(self) -> int:
        """3N."""
        return 3 * len(self.atoms)

    def step(self, drive: Drive, look: Callable[[], Drive]) -> Drive:
        """Advance by one timestep with one evaluation."""
        half, cell = 0.5 * self.dt, self.cell
        cell.kick_piston(drive.virial, half)
        cell.kick_particles(drive.forces, half)
        cell.drift(half)
        self._exchange_heat()
        cell.drift(half)
        drive = look()
        cell.kick_particles(drive.forces, half)
        cell.kick_piston(drive.virial, half)
        return drive

    def _exchange_heat(self) -> None:
        momenta, cell = self.atoms.arrays["momenta"], self.cell
        before = self.twice_kinetic() + cell.twice_kinetic()
        momenta *= self._memory
        momenta += self._noise * self.rng.standard_normal(momenta.shape)
        cell.refresh(self._piston_memory, self.rng)
        self.heat += 0.5 * (self.twice_kinetic() + cell.twice_kinetic() - before)

    def energy(self) -> float:
        """Return the piston's energy less the heat taken up, eV."""
        return self.cell.energy() - self.heat

    def state(self) -> dict[str, Any]:
        """Return the heat and the piston's variables."""
        return {"heat": self.heat, "cell": self.cell.state()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Put `state` back."""
        self.heat = float(state["heat"])
        self.cell.set_state(state["cell"])
