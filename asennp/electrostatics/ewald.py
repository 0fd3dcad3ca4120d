"""Coulomb sums of point charges: Ewald's method for periodic cells, the plain sum for open ones."""

import math
from dataclasses import dataclass

import numpy as np

from asennp.electrostatics.kernels import add_planes, reciprocal_planes, wave_powers
from asennp.electrostatics.screened import LADDER, ScreenedSum, pair_seconds, reach_factor
from asennp.electrostatics.sums import ChargedCell, Sums
from asennp.threads import LEAST_SECONDS, share

#: Seconds per (wave vector, atom) on one core: a constant of the cost model.
SECONDS_PER_WAVE = 1.3e-9


@dataclass(frozen=True)
class EwaldSettings:
    """Parameters of one sum: the splitting alpha (1/Å), and the reach in real (Å) and k-space (1/Å)."""

    alpha: float
    real_cutoff: float
    k_cutoff: float


def choose_settings(
    n_atoms: int, volume: float, accuracy: float, shared_cutoff: float = 0.0
) -> EwaldSettings:
    """Choose the cheapest settings for a relative force error, from the number of atoms and the volume.

    Both sums are cut at alpha r_c = k_c / 2 alpha = x, see `reach_factor`.
    The costs are n_pairs = (2 pi/3) (N^2/V) r_c^3 and n_waves N = N V k_c^3 / 12 pi^2. The choice
    never looks at a clock, and r_c is a step of a ladder: the same atoms always get the same sum, and
    nearby volumes nearly always too. Where the step changes, the energy jumps by less than its error.
    Pairs up to `shared_cutoff` (Å) are visited for other terms anyway: r_c is then at least that.
    """
    x = reach_factor(accuracy, n_atoms)
    # pair_cost r_c^3 + wave_cost / r_c^3 is least where both are equal
    pair_cost = pair_seconds(n_atoms, volume, 1.0)
    wave_cost = wave_seconds(n_atoms, volume, 2.0 * x * x)
    best = (wave_cost / pair_cost) ** (1.0 / 6.0)
    real_cutoff = max(LADDER ** round(math.log(best, LADDER)), shared_cutoff)
    return EwaldSettings(x / real_cutoff, real_cutoff, 2.0 * x * x / real_cutoff)


def wave_seconds(n_atoms: int, volume: float, k_cutoff: float) -> float:
    """Estimate the time of the sum over k-space on one core, s."""
    return SECONDS_PER_WAVE * n_atoms * volume * k_cutoff**3 / (12.0 * math.pi**2)


def ewald_seconds(n_atoms: int, volume: float, settings: EwaldSettings, shared_cutoff: float = 0.0) -> float:
    """Estimate the time of one sum on one core, s."""
    pairs = pair_seconds(n_atoms, volume, settings.real_cutoff, shared_cutoff)
    return pairs + wave_seconds(n_atoms, volume, settings.k_cutoff)


class Ewald(ScreenedSum):
    """Ewald sum at a stated accuracy, with tin-foil boundaries.

    E = sum over pairs of q_i q_j erfc(alpha r)/r + (2 pi/V) sum_k exp(-k^2/4 alpha^2)/k^2 |S(k)|^2
    - (alpha/√pi) sum_i q_i^2, times e^2/(4 pi eps0). Both sums end in a smooth taper, so forces and
    virial are exact derivatives of the energy at any accuracy. A net charge is compensated by a uniform
    background. Cells without periodicity are summed directly.

    Parameters
    ----------
    accuracy
        Relative error of the forces, measured against the typical force between neighbours.
    shared_cutoff
        Distance, Å, up to which the caller visits all pairs anyway; it enters the choice of the settings.
    threads
        Threads of one sum; the results do not depend on it.

    References
    ----------
    P. P. Ewald, Ann. Phys. 369, 253 (1921), doi:10.1002/andp.19213690304; J. Kolafa, J. W. Perram,
    Mol. Simul. 9, 351 (1992), doi:10.1080/08927029208049126.
    """

    method = "ewald"

    def _choose(self, cell: np.ndarray, n_atoms: int, volume: float) -> EwaldSettings:
        return choose_settings(n_atoms, volume, self.accuracy, self.shared_cutoff)

    def add_smooth(self, charged: ChargedCell, out: Sums) -> None:
        """Add the reciprocal sum, in e^2/Å; the virial in its upper triangle."""
        assert isinstance(self.settings, EwaldSettings)
        positions, cell, volume, charges = charged
        alpha, reach = self.settings.alpha, self.settings.k_cutoff
        reciprocal = 2.0 * math.pi * np.linalg.inv(cell).T
        n_max, c, s, sums, virials = wave_powers(positions, reciprocal, reach)

        def work(first: int, last: int) -> None:
            reciprocal_planes(
                first, last, n_max, c, s, reciprocal, volume, charges, alpha, reach, sums, virials
            )

        short = wave_seconds(len(positions), volume, reach) < LEAST_SECONDS
        share(1 if short else self.threads, len(sums), work, parts=4)
        add_planes(charges, sums, virials, *out)
