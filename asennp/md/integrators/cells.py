"""How the cell moves: not at all, or isotropically by a Martyna-Tobias-Klein piston."""

import math
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from ase import Atoms


class CellMotion(ABC):
    """Motion of the cell and, with it, of the particles.

    Parameters
    ----------
    atoms
        Positions, momenta and cell are moved in place.
    n_dof
        N_f of the particles.
    kT
        Temperature, eV.
    damping
        Time constant of the piston, ASE time.
    """

    #: Degrees of freedom of the cell.
    n_piston: int = 0

    def __init__(self, atoms: Atoms, n_dof: int, kT: float, damping: float) -> None:
        self.atoms, self.n_dof, self.kT, self.damping = atoms, n_dof, kT, damping
        self.inverse_masses = 1.0 / atoms.get_masses()[:, None]

    @property
    def moves(self) -> bool:
        """Whether the cell moves at all, which takes a virial."""
        return self.n_piston > 0

    @abstractmethod
    def kick_piston(self, virial: np.ndarray | None, time: float) -> None:
        """Change the piston's momentum at fixed positions and particle momenta."""

    @abstractmethod
    def kick_particles(self, forces: np.ndarray, time: float) -> None:
        """Change the particles' momenta by forces and the drag of the moving cell."""

    @abstractmethod
    def drift(self, time: float) -> None:
        """Move positions and cell at constant momenta."""

    def twice_kinetic(self) -> float:
        """Return p_g^2/W: n_piston kT on average, eV."""
        return 0.0

    def scale(self, factor: float) -> None:  # noqa: B027  (a fixed cell has no momentum)
        """Multiply the piston's momentum."""

    def refresh(self, memory: float, rng: np.random.Generator) -> None:  # noqa: B027
        """Mix the piston's momentum with noise of its thermal width: p <- memory p + sqrt(1 - memory^2) w."""

    def energy(self) -> float:
        """Return the piston's share of the conserved quantity, eV."""
        return 0.5 * self.twice_kinetic()

    def state(self) -> dict[str, Any]:
        """Return the variables."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:  # noqa: B027  (a fixed cell has none)
        """Put `state`'s variables back."""


class FixedCell(CellMotion):
    """A cell that stays as it is."""

    def kick_piston(self, virial: np.ndarray | None, time: float) -> None:
        """Do nothing."""

    def kick_particles(self, forces: np.ndarray, time: float) -> None:
        """Advance p by F t."""
        momenta = self.atoms.arrays["momenta"]
        momenta += time * forces

    def drift(self, time: float) -> None:
        """Advance r by p t/m."""
        positions = self.atoms.arrays["positions"]
        positions += time * (self.atoms.arrays["momenta"] * self.inverse_masses)


class IsotropicCell(CellMotion):
    """All lengths scale alike: e = ln L with momentum p_e and mass W = (N_f + 3) kT tau^2.

        dr/dt = p/m + (p_e/W) r,      dp/dt = F - (1 + 3/N_f) (p_e/W) p,      dh/dt = (p_e/W) h
        dp_e/dt = (1 + 3/N_f) sum p^2/m + tr(virial)

    Volume measure: V^(N-1) with N_f = 3N - 3, V^N with N_f = 3N.
    """

    n_piston = 1

    def __init__(self, atoms: Atoms, n_dof: int, kT: float, damping: float) -> None:
        super().__init__(atoms, n_dof, kT, damping)
        self.mass = (n_dof + 3) * kT * damping**2
        self.momentum = 0.0
        self._ratio = 1.0 + 3.0 / n_dof

    def piston_force(self, virial: np.ndarray, flux: float) -> float:
        """Return dp_e/dt from the virial (3, 3) and the kinetic flux sum p^2/m, eV."""
        return self._ratio * flux + float(virial[0, 0] + virial[1, 1] + virial[2, 2])

    def kick_piston(self, virial: np.ndarray | None, time: float) -> None:
        """Advance p_e."""
        assert virial is not None
        momenta = self.atoms.arrays["momenta"]
        flux = float(np.vdot(momenta, momenta * self.inverse_masses))
        self.momentum += time * self.piston_force(virial, flux)

    def kick_particles(self, forces: np.ndarray, time: float) -> None:
        """Advance p, exactly for constant F and p_e."""
        momenta = self.atoms.arrays["momenta"]
        drag = -self._ratio * self.momentum / self.mass * time
        momenta *= math.exp(drag)
        momenta += (time * _exprel(drag)) * forces

    def drift(self, time: float) -> None:
        """Advance r and h, exactly for constant p and p_e."""
        positions = self.atoms.arrays["positions"]
        growth = time * self.momentum / self.mass
        factor = math.exp(growth)
        positions *= factor
        self.atoms.cell.array[...] *= factor
        positions += (time * _exprel(growth)) * (self.atoms.arrays["momenta"] * self.inverse_masses)

    def twice_kinetic(self) -> float:
        """Return p_e^2/W, eV."""
        return self.momentum**2 / self.mass

    def scale(self, factor: float) -> None:
        """Multiply p_e."""
        self.momentum *= factor

    def refresh(self, memory: float, rng: np.random.Generator) -> None:
        """Mix p_e with noise."""
        width = math.sqrt((1.0 - memory**2) * self.kT * self.mass)
        self.momentum = memory * self.momentum + width * float(rng.standard_normal())

    def state(self) -> dict[str, Any]:
        """Return p_e."""
        return {"momentum": self.momentum}

    def set_state(self, state: dict[str, Any]) -> None:
        """Put p_e back."""
        self.momentum = float(state["momentum"])


def _exprel(x: float) -> float:
    """Return (e^x - 1)/x, 1 at x = 0."""
    return math.expm1(x) / x if x != 0.0 else 1.0
