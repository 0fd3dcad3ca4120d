"""A Nose-Hoover chain that acts on one kinetic energy."""

import math
from typing import Any


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
        self.masses = [n_dof * kT * damping**2] + [kT * damping**2] * (length - 1)
        self.eta = [0.0] * length
        self.p = [0.0] * length

    def advance(self, twice_kinetic: float, time: float) -> float:
        """Move the chain on by `time` and return the factor by which the momenta scale."""
        p, masses = self.p, self.masses
        half, quarter, last = 0.5 * time, 0.25 * time, len(p) - 1
        for k in range(last, 0, -1):
            self._kick(k, p[k - 1] ** 2 / masses[k - 1] - self.kT, half, quarter)
        self._kick(0, twice_kinetic - self.n_dof * self.kT, half, quarter)
        factor = math.exp(-time * p[0] / masses[0])
        for k in range(last + 1):
            self.eta[k] += time * p[k] / masses[k]
        self._kick(0, twice_kinetic * factor * factor - self.n_dof * self.kT, half, quarter)
        for k in range(1, last + 1):
            self._kick(k, p[k - 1] ** 2 / masses[k - 1] - self.kT, half, quarter)
        return factor

    def _kick(self, k: int, force: float, half: float, quarter: float) -> None:
        if k + 1 < len(self.p):
            drag = math.exp(-quarter * self.p[k + 1] / self.masses[k + 1])
            self.p[k] = (self.p[k] * drag + half * force) * drag
        else:
            self.p[k] += half * force

    def energy(self) -> float:
        """Return the chain's share of the conserved quantity, eV."""
        kinetic = sum(0.5 * p * p / mass for p, mass in zip(self.p, self.masses))
        return kinetic + self.kT * (self.n_dof * self.eta[0] + sum(self.eta[1:]))

    def state(self) -> dict[str, Any]:
        """Return the variables."""
        return {"eta": list(self.eta), "p": list(self.p)}

    def set_state(self, state: dict[str, Any]) -> None:
        """Put `state`'s variables back."""
        self.eta[:], self.p[:] = state["eta"], state["p"]
