"""Polarizable charge equilibration: the energy of charges and shells, and its derivatives.

With s_i the displacement of shell i from its core,
E = sum_i [chi_i q_i + eta_i q_i^2/2 + K_i s_i^2/2] + U(q + Z, -Z; R, R + s) - sum_i F.(q_i R_i - Z_i s_i),
where U sums the Coulomb energy of Gaussian cores and shells over all pairs of atoms, images included, and
F is a uniform field. Charges make E least at a given sum, shells make it stationary.
"""

from dataclasses import dataclass

import numpy as np

from asennp.electrostatics.gaussian import Curvature, GaussianSum, SiteSums
from asennp.electrostatics.pqeq_parameters import AtomParameters


@dataclass(frozen=True, eq=False)
class Problem:
    """The energy as a function of charges (N,), e, and shell displacements (N, 3), Å.

    Attributes
    ----------
    atoms
        Parameters of each atom.
    gaussians
        The Coulomb sum, at the atoms' places.
    coulomb
        e^2/(4 pi eps0), eV Å.
    total_charge
        What the charges sum to, e.
    positions
        (N, 3), Å.
    field
        Uniform field, (3,), V/Å.
    polarizable
        False: shells stay on their cores (plain charge equilibration).
    rough
        A cheaper sum at the same places, good enough for the second derivatives of Newton's steps; what these
        converge to is the first sum's. None: the first.
    """

    atoms: AtomParameters
    gaussians: GaussianSum
    coulomb: float
    total_charge: float
    positions: np.ndarray
    field: np.ndarray
    polarizable: bool = True
    rough: GaussianSum | None = None

    def __len__(self) -> int:
        return len(self.positions)

    def start(self) -> tuple[np.ndarray, np.ndarray]:
        """Return charges that are all the same, and shells on their cores."""
        n = len(self)
        return np.full(n, self.total_charge / n), np.zeros((n, 3))

    def sums(self, q: np.ndarray, s: np.ndarray) -> SiteSums:
        """Return potentials and gradients of the Coulomb energy."""
        return self.gaussians.evaluate(q + self.atoms.shell, -self.atoms.shell, s)

    def gradient(self, q: np.ndarray, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return dE/dq (N,), eV/e, and dE/ds (N, 3), eV/Å."""
        sums, atoms = self.sums(q, s), self.atoms
        by_charge = atoms.chi + atoms.eta * q + self.coulomb * sums.core_potential
        by_shell = atoms.spring[:, None] * s + self.coulomb * sums.shell_gradient
        return by_charge - self.positions @ self.field, by_shell + np.outer(atoms.shell, self.field)

    def curvature(self, q: np.ndarray, s: np.ndarray) -> Curvature:
        """Return the second derivatives of the Coulomb energy, in e^2/Å without the constant."""
        return self.gaussians.curvature(q + self.atoms.shell, -self.atoms.shell, s)

    def rough_curvature(self, q: np.ndarray, s: np.ndarray) -> Curvature:
        """Return the same, approximately, for Newton's steps."""
        gaussians = self.gaussians if self.rough is None else self.rough
        return gaussians.curvature(q + self.atoms.shell, -self.atoms.shell, s)

    def results(self, q: np.ndarray, s: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return atomic energies (N,) eV, forces (N, 3) eV/Å and dE/deps (3, 3) eV at fixed q and s."""
        sums, atoms = self.sums(q, s), self.atoms
        energies = (
            q * (atoms.chi + 0.5 * atoms.eta * q)
            + 0.5 * atoms.spring * (s * s).sum(axis=1)
            + self.coulomb * sums.energies
            - (q[:, None] * self.positions - atoms.shell[:, None] * s) @ self.field
        )
        forces = np.outer(q, self.field) - self.coulomb * (sums.core_gradient + sums.shell_gradient)
        return energies, forces, self.coulomb * sums.virial

    def dipole(self, q: np.ndarray, s: np.ndarray) -> np.ndarray:
        """Return sum_i q_i R_i - Z_i s_i, (3,), e Å."""
        dipole: np.ndarray = q @ self.positions - self.atoms.shell @ s
        return dipole
