"""Coulomb sums of point charges: Ewald's method for periodic cells, the plain sum for open ones."""

import math
from dataclasses import dataclass

import numpy as np

from asennp.electrostatics.kernels import real_space, reciprocal_space
from asennp.errors import InputError
from asennp.neighbors import VerletPairs, check_geometry
from asennp.units import COULOMB_EV_A

#: Seconds per real-space pair and per (wave vector, atom): the constants of the cost model.
SECONDS_PER_PAIR, SECONDS_PER_WAVE = 30e-9, 1.3e-9
#: Real-space cut-offs come from a geometric ladder, so that settings change rarely with the volume.
LADDER = 1.2


@dataclass(frozen=True)
class EwaldSettings:
    """Parameters of one sum: the splitting alpha (1/Å), and the reach in real (Å) and k-space (1/Å)."""

    alpha: float
    real_cutoff: float
    k_cutoff: float


def check_accuracy(accuracy: float) -> float:
    """Return a relative accuracy that a float64 sum can have."""
    if not 1e-14 < accuracy < 1e-1:
        raise InputError("out of range", where="accuracy", expected="1e-14 ... 1e-1", got=accuracy)
    return float(accuracy)


def reach_factor(accuracy: float) -> float:
    """Return x = alpha r_c = k_c / 2 alpha at which exp(-x^2) has fallen to the accuracy, with a margin."""
    return math.sqrt(-math.log(accuracy)) + 0.35


def choose_settings(n_atoms: int, volume: float, accuracy: float) -> EwaldSettings:
    """Choose the cheapest settings for a relative force error, from the number of atoms and the volume.

    Both sums are cut at alpha r_c = k_c / 2 alpha = x, see `reach_factor`.
    The costs are n_pairs = (2 pi/3) (N^2/V) r_c^3 and n_waves N = N V k_c^3 / 12 pi^2. The choice
    never looks at a clock, and r_c is a step of a ladder: the same atoms always get the same sum, and
    nearby volumes nearly always too. Where the step changes, the energy jumps by less than its error.
    """
    x = reach_factor(accuracy)
    # pair_cost r_c^3 + wave_cost / r_c^3 is least where both are equal
    pair_cost = SECONDS_PER_PAIR * 2.0 * math.pi / 3.0 * n_atoms / volume
    wave_cost = SECONDS_PER_WAVE * volume * 8.0 * x**6 / (12.0 * math.pi**2)
    best = (wave_cost / pair_cost) ** (1.0 / 6.0)
    real_cutoff = LADDER ** round(math.log(best, LADDER))
    alpha = x / real_cutoff
    return EwaldSettings(alpha, real_cutoff, 2.0 * alpha * x)


def ewald_seconds(n_atoms: int, volume: float, settings: EwaldSettings) -> float:
    """Estimate the time of one sum on one core, s."""
    n_pairs = 2.0 * math.pi / 3.0 * n_atoms**2 / volume * settings.real_cutoff**3
    n_waves = volume * settings.k_cutoff**3 / (12.0 * math.pi**2)
    return SECONDS_PER_PAIR * n_pairs + SECONDS_PER_WAVE * n_waves * n_atoms


class Ewald:
    """Ewald sum at a stated accuracy, with tin-foil boundaries.

    E = sum over pairs of q_i q_j erfc(alpha r)/r + (2 pi/V) sum_k exp(-k^2/4 alpha^2)/k^2 |S(k)|^2
    - (alpha/√pi) sum_i q_i^2, times e^2/(4 pi eps0). Both sums end in a smooth taper, so forces and
    virial are exact derivatives of the energy at any accuracy. A net charge is compensated by a uniform
    background. Cells without periodicity are summed directly.

    Parameters
    ----------
    accuracy
        Relative error of the forces, measured against the typical force between neighbours.

    References
    ----------
    P. P. Ewald, Ann. Phys. 369, 253 (1921), doi:10.1002/andp.19213690304; J. Kolafa, J. W. Perram,
    Mol. Simul. 9, 351 (1992), doi:10.1080/08927029208049126.
    """

    def __init__(self, accuracy: float = 1e-6) -> None:
        self.accuracy = check_accuracy(accuracy)
        #: Settings of the last sum; None before, and for open cells.
        self.settings: EwaldSettings | None = None
        self._pairs = VerletPairs(0.0)

    def __repr__(self) -> str:
        return f"Ewald(accuracy={self.accuracy:g}, settings={self.settings})"

    def choose(self, n_atoms: int, volume: float, pbc: np.ndarray) -> EwaldSettings | None:
        """Return the settings for a cell (None: sum directly), and remember them."""
        if np.all(pbc):
            self.settings = choose_settings(n_atoms, volume, self.accuracy)
        elif np.any(pbc):
            raise InputError(
                "Coulomb sums need a cell periodic in all directions or in none",
                where="atoms.pbc",
                expected="all True or all False",
                got=np.asarray(pbc).tolist(),
                do="use a periodic cell with vacuum",
            )
        else:
            self.settings = None
        return self.settings

    def compute(
        self, positions: np.ndarray, cell: np.ndarray, charges: np.ndarray, pbc: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return atomic energies q_i phi_i/2 (N,) eV, forces (N, 3) eV/Å and the virial dE/deps (3, 3) eV.

        Parameters
        ----------
        positions, cell
            Å; positions may lie outside the cell.
        charges
            (N,), e.
        pbc
            All True or all False.
        """
        volume = check_geometry(positions, cell, pbc)
        settings = self.choose(len(positions), volume, pbc)
        energies, forces, virial = np.zeros(len(positions)), np.zeros((len(positions), 3)), np.zeros((3, 3))
        if settings is None:
            i, j, shifts = all_pairs(len(positions))
            alpha, cutoff = 0.0, math.inf
        else:
            alpha, cutoff = settings.alpha, settings.real_cutoff
            if self._pairs.cutoff != cutoff:
                self._pairs = VerletPairs(cutoff)
            i, j, shifts = self._pairs.update(positions, cell, pbc)
        shortest = real_space(positions, cell, charges, i, j, shifts, alpha, cutoff, energies, forces, virial)
        refuse_overlap(shortest)
        if settings is not None:
            add_reciprocal(positions, cell, volume, charges, settings, energies, forces, virial)
        mirror(virial)
        return COULOMB_EV_A * energies, COULOMB_EV_A * forces, COULOMB_EV_A * virial


def add_reciprocal(
    positions: np.ndarray,
    cell: np.ndarray,
    volume: float,
    charges: np.ndarray,
    settings: EwaldSettings,
    energies: np.ndarray,
    forces: np.ndarray,
    virial: np.ndarray,
) -> None:
    """Add all but the real-space part, in e^2/Å: reciprocal sum, self-energy and background."""
    reciprocal = 2.0 * math.pi * np.linalg.inv(cell).T
    reciprocal_space(
        positions, reciprocal, volume, charges, settings.alpha, settings.k_cutoff, energies, forces, virial
    )
    energies -= settings.alpha / math.sqrt(math.pi) * charges * charges
    total = float(charges.sum())
    if total != 0.0:
        share = -math.pi * total / (2.0 * volume * settings.alpha**2) * charges
        energies += share
        virial -= np.diag(np.full(3, share.sum()))


def all_pairs(n_atoms: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return every pair i < j once, as a neighbour list without shifts."""
    i, j = np.triu_indices(n_atoms, 1)
    return i.astype(np.int32), j.astype(np.int32), np.zeros((len(i), 3), np.int32)


def refuse_overlap(shortest: float) -> None:
    """Refuse atoms on top of each other."""
    if shortest < 1e-6:
        raise InputError("two atoms lie on top of each other", where="atoms", got=f"{shortest:.1e} Å apart")


def mirror(virial: np.ndarray) -> None:
    """Fill the lower triangle of a symmetric tensor of which the upper one is known."""
    virial[1, 0], virial[2, 0], virial[2, 1] = virial[0, 1], virial[0, 2], virial[1, 2]
