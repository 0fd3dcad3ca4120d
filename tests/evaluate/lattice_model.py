"""A ferroelectric that can be solved exactly: double wells coupled to their mean and to the cell.

Every B atom sits in V(u) = -A u^2/2 + B u^4/4 along z, all feel their mean m through -N J m^2/2, and the
cell's edge stretches with m^2: E_cell = N v C sum ln(L_k/L_k0)^2/2 - N g m^2 ln(L_z/L_z0). Displacements
scale with the cell, so there is no thermal expansion, and for many cells the strain leaves -g^2 m^4/(2 v C):

    f(m) = -J m^2/2 - g^2 m^4/(2 v C) + max_h [h m - kT ln int exp((h u - V(u))/kT) du]

decides where order and disorder are in balance.
"""

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from scipy.optimize import brentq
from scipy.special import logsumexp

from asennp.units import KB

A0 = 4.0


def build_cell() -> Atoms:
    """One cell: a heavy corner and the ion in the double well."""
    return Atoms("PbTi", scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]], cell=[A0] * 3, pbc=True)


class DoubleWells(Calculator):
    """The model as an ASE calculator; `twist` turns the forces away from the gradient."""

    implemented_properties = ("energy", "free_energy", "forces", "stress")
    well, quartic, spring = 0.5, 15.0, 6.0
    coupling, stretch, stiffness = 0.9, 6.0, 0.8

    def __init__(self, twist: float = 0.0, **given: float) -> None:
        super().__init__()
        self.twist, self.sites = twist, None
        vars(self).update(given)

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        edges = np.diag(atoms.cell.array)
        if self.sites is None or len(self.sites) != len(atoms):
            self.cells = np.round(edges / A0).astype(int)
            self.sites = build_cell().repeat(self.cells).get_scaled_positions()
            self.b = atoms.numbers == 22
        n, b, volume = len(atoms) // 2, self.b, A0**3
        away = atoms.positions @ np.linalg.inv(atoms.cell.array) - self.sites
        away -= np.round(away)
        d = (away - away[~b].mean(axis=0)) @ atoms.cell.array
        eta = np.log(edges / (self.cells * A0))
        u = d[b, 2]
        m = u.mean()
        gradient = self.spring * d
        gradient[b, 2] = (
            -self.well * u + self.quartic * u**3 - (self.coupling + 2 * self.stretch * eta[2]) * m
        )
        energy = 0.5 * self.spring * ((d**2).sum() - (u**2).sum())
        energy += (-0.5 * self.well * u**2 + 0.25 * self.quartic * u**4).sum()
        energy += n * (0.5 * volume * self.stiffness * (eta**2).sum() - 0.5 * self.coupling * m**2)
        energy -= n * self.stretch * m**2 * eta[2]
        strain = np.diag(n * volume * self.stiffness * eta) + d.T @ gradient
        strain[2, 2] -= n * self.stretch * m**2
        strain = 0.5 * (strain + strain.T)
        forces = -gradient + self.twist * np.roll(d, 1, axis=1)
        forces[~b] -= forces.sum(axis=0) / n
        stress = strain.ravel()[[0, 4, 8, 5, 2, 1]] / atoms.cell.volume
        self.results = {"energy": energy, "free_energy": energy, "forces": forces, "stress": stress}

    def transition_K(self) -> float:
        """Temperature at which the ordered and the disordered state have the same free energy."""
        u, h = np.linspace(-1.5, 1.5, 3001), np.linspace(0.0, 6.0, 601)[:, None]
        wells = -0.5 * self.well * u**2 + 0.25 * self.quartic * u**4
        gamma = self.stretch**2 / (A0**3 * self.stiffness)

        def gain(temperature: float) -> float:
            """Free energy of the ordered state above that of the disordered one."""
            kT = KB * temperature
            exponent = (h * u - wells) / kT
            partition = logsumexp(exponent, axis=1)
            m = (np.exp(exponent - partition[:, None]) * u).sum(axis=1)
            f = h[:, 0] * m - kT * partition - 0.5 * self.coupling * m**2 - 0.5 * gamma * m**4
            return float(f[m > 0.08].min() - f[0])

        return float(brentq(gain, 50.0, 3000.0, xtol=0.5))
