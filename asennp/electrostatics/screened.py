"""What sums of screened charges share: the pairs in real space, the self-energy and the background."""

import math
from abc import abstractmethod
from typing import Any, Protocol

import numpy as np

from asennp.electrostatics.kernels import real_space, self_energy
from asennp.electrostatics.pairs import PairCurves, add_tabulated
from asennp.electrostatics.slab import is_slab, sum_slab
from asennp.electrostatics.sums import ChargedCell, Sums
from asennp.electrostatics.table import TABLE_ACCURACY, TABLE_START, screened_table
from asennp.errors import InputError
from asennp.neighbors import VerletPairs, check_geometry
from asennp.threads import check_threads
from asennp.units import COULOMB_EV_A

#: Real-space cut-offs come from a geometric ladder, so that settings change rarely with the volume.
LADDER = 1.2
#: Up to this number of atoms sums reach further.
FEW_ATOMS = 16
#: Seconds per real-space pair on one core: a constant of the cost model (measured).
SECONDS_PER_PAIR = 9e-9
_ONE_KIND, _ONE_START = np.zeros((1, 1), np.int64), np.full((1, 1), TABLE_START)


class Settings(Protocol):
    """Parameters that every screened sum has: the splitting alpha (1/Å) and the reach in real space (Å)."""

    @property
    def alpha(self) -> float:
        """Inverse width of the screening charges, 1/Å."""

    @property
    def real_cutoff(self) -> float:
        """Where the screened pair terms end, Å."""


class ScreenedSum:
    """Coulomb sum split into screened pairs and a smooth rest, at a stated accuracy.

    Subclasses choose the settings and sum the rest over k-space.

    Parameters
    ----------
    accuracy
        Relative error of the forces, measured against the typical force between neighbours.
    shared_cutoff
        Distance, Å, up to which the caller visits all pairs anyway; it enters the choice of the settings.
    threads
        Threads of one sum; the results do not depend on it.
    """

    #: Its name among the methods of `asennp.electrostatics.splitting`.
    method: str

    def __init__(self, accuracy: float = 1e-6, shared_cutoff: float = 0.0, threads: int = 1) -> None:
        self.accuracy = check_accuracy(accuracy)
        self.shared_cutoff = float(shared_cutoff)
        self.threads = check_threads(threads)
        #: Settings of the last sum; None before, and for open cells.
        self.settings: Settings | None = None
        #: Settings kept for every cell that they are good enough for; None: chosen for each cell.
        self.held: Settings | None = None
        self._pairs = VerletPairs(0.0)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(accuracy={self.accuracy:g}, settings={self.settings})"

    def choose(self, cell: np.ndarray, n_atoms: int, volume: float, pbc: np.ndarray) -> Settings | None:
        """Return the settings for a cell (None: sum directly), and remember them."""
        if not check_periodic(pbc):
            self.settings = None
        elif self.held is not None and self._serves(self.held, cell, n_atoms, volume):
            self.settings = self.held
        else:
            self.settings = self._choose(cell, n_atoms, volume)
            if self.held is not None:
                self.held = self.settings
        return self.settings

    @abstractmethod
    def _choose(self, cell: np.ndarray, n_atoms: int, volume: float) -> Settings:
        """Choose the settings for a periodic cell."""

    def _serves(self, settings: Any, cell: np.ndarray, n_atoms: int, volume: float) -> bool:
        """Tell whether settings chosen for another cell keep the accuracy in this one."""
        return True

    @abstractmethod
    def add_smooth(self, charged: ChargedCell, out: Sums) -> None:
        """Add the sum over k-space by the chosen settings, in e^2/Å; the virial in its upper triangle."""

    def add_rest(self, charged: ChargedCell, out: Sums) -> None:
        """Add all but the pairs in real space, in e^2/Å: nothing in open cells."""
        if self.settings is not None:
            self.add_smooth(charged, out)
            self_energy(charged.charges, charged.volume, self.settings.alpha, out.energies, out.virial)

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
            Three, two (see `asennp.electrostatics.slab`) or no directions True.
        """
        volume = check_geometry(positions, cell, pbc)
        if is_slab(pbc):
            return sum_slab(self.compute, positions, cell, charges, pbc, self.accuracy)
        settings = self.choose(cell, len(positions), volume, pbc)
        charged, out = ChargedCell(positions, cell, volume, charges), Sums.zeros(len(positions))
        if settings is None:
            self._add_pairs(charged, all_pairs(len(positions)), 0.0, math.inf, out)
        elif self.accuracy < TABLE_ACCURACY or not self._add_tabulated(charged, settings, out):
            pairs = self._list(settings.real_cutoff).update(positions, cell, pbc)
            self._add_pairs(charged, pairs, settings.alpha, settings.real_cutoff, out)
        self.add_rest(charged, out)
        energies, forces, virial = out.mirror()
        return COULOMB_EV_A * energies, COULOMB_EV_A * forces, COULOMB_EV_A * virial

    def _list(self, cutoff: float) -> VerletPairs:
        """Return the list of real-space pairs."""
        if self._pairs.cutoff != cutoff:
            self._pairs = VerletPairs(cutoff)
        return self._pairs

    def _add_tabulated(self, charged: ChargedCell, settings: Settings, out: Sums) -> bool:
        """Add the real-space pairs by a table; return False, with nothing added, where that will not do."""
        positions, cell, _, charges = charged
        rows = self._list(settings.real_cutoff).rows(positions, cell, np.ones(3, bool))
        table = screened_table(settings.alpha, settings.real_cutoff)
        curves = PairCurves(_ONE_KIND, _ONE_START, table, settings.real_cutoff)
        kinds = np.zeros(len(positions), np.int32)
        return add_tabulated(positions, cell, rows, charges, kinds, curves, out, self.threads)

    def _add_pairs(
        self,
        charged: ChargedCell,
        pairs: tuple[np.ndarray, np.ndarray, np.ndarray],
        alpha: float,
        cutoff: float,
        out: Sums,
    ) -> None:
        """Add the real-space pairs term by term; alpha = 0 without a cut-off gives the bare sum."""
        positions, cell, _, charges = charged
        refuse_overlap(real_space(positions, cell, charges, *pairs, alpha, cutoff, *out))


def check_accuracy(accuracy: float) -> float:
    """Return a relative accuracy that a float64 sum can have."""
    number = isinstance(accuracy, (int, float, np.number)) and not isinstance(accuracy, bool)
    if not (number and 1e-14 < accuracy < 1e-1):
        raise InputError("out of range", where="accuracy", expected="1e-14 ... 1e-1", got=accuracy)
    return float(accuracy)


def reach_factor(accuracy: float, n_atoms: int = FEW_ATOMS + 1) -> float:
    """Return x = alpha r_c = k_c / 2 alpha at which exp(-x^2) has fallen to the accuracy, with a margin.

    It is wider for few atoms, whose images beyond the reach all add up alike.
    """
    return math.sqrt(-math.log(accuracy)) + (0.4 if n_atoms > FEW_ATOMS else 0.6)


def pair_seconds(n_atoms: int, volume: float, cutoff: float, shared_cutoff: float = 0.0) -> float:
    """Estimate the time of the real-space pairs on one core, s; those visited anyway cost nothing more."""
    whole = 2.0 * math.pi / 3.0 * n_atoms**2 / volume * SECONDS_PER_PAIR
    return whole * max(cutoff**3 - shared_cutoff**3, 0.0)


def check_periodic(pbc: np.ndarray) -> bool:
    """Tell a fully periodic cell from an open one; refuse anything between."""
    if np.all(pbc):
        return True
    if np.any(pbc):
        raise InputError(
            "Coulomb sums need a cell periodic in all directions or in none",
            where="atoms.pbc",
            expected="all True or all False",
            got=np.asarray(pbc).tolist(),
            do="use a periodic cell with vacuum",
        )
    return False


def all_pairs(n_atoms: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return every pair i < j once, as a neighbour list without shifts."""
    i, j = np.triu_indices(n_atoms, 1)
    return i.astype(np.int32), j.astype(np.int32), np.zeros((len(i), 3), np.int32)


def refuse_overlap(shortest: float) -> None:
    """Refuse atoms on top of each other."""
    if shortest < 1e-6:
        raise InputError("two atoms lie on top of each other", where="atoms", got=f"{shortest:.1e} Å apart")
