"""A Nose-Hoover chain that acts on one kinetic energy."""

from typing import Any

import numpy as np

from asennp.md.kernels import advance_chain


class NoseHooverChain:
    """Thermostat variables eta_k, p_k of a chain coupled to `n_dof` degrees of freedom.

    dp_1/dt = 2K - n_dof kT - p_1 p_2/Q_2, dp_k/dt = p_{k-1}^2/Q_{k-1} - kT - p_k p_{k+1}/Q_{k+1},
    deta_k/dt = p_k/Q_k, with Q_1 = n_dof kT tau^2 and Q_k = kT tau^2.

    Parameters
    ----------
    n_dof
        Degrees of freedom thermostatted.
    kT
        eV.
    damping
        tau, ASE time.
    length
        Members of the chain.

    References
    ----------
    Martyna, Tuckerman, Tobias, Klein, Mol. Phys. 87 (1996) 1117, doi:10.1080/00268979600100761.
    """

    def __init__(self, n_dof: int, kT: float, damping: float, length: int = 3) -> None:
        self.n_dof, self.kT = n_dof, kT
        self.masses = np.array([n_dof * kT * damping**2] + [kT * damping**2] * (length - 1))
        self.eta, self.p = np.zeros(length), np.zeros(length)

    def advance(self, twice_kinetic: float, time: float) -> float:
        """Move the chain on by `time` and return the factor by which the momenta scale."""
        return float(advance_chain(self.p, self.eta, self.masses, self.kT, self.n_dof, twice_kinetic, time))

    def energy(self) -> float:
        """Return the chain's share of the conserved quantity, eV."""
        kinetic = 0.5 * float(np.sum(self.p**2 / self.masses))
        return kinetic + self.kT * float(self.n_dof * self.eta[0] + np.sum(self.eta[1:]))

    def state(self) -> dict[str, Any]:
        """Return the variables."""
        return {"eta": self.eta.tolist(), "p": self.p.tolist()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Put `state`'s variables back."""
        self.eta[:], self.p[:] = state["eta"], state["p"]
