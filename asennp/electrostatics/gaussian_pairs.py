"""Gaussian charges summed pair by pair: all pairs of an open system, or tapered with all images."""

import math
from typing import Self

import numpy as np

from asennp.electrostatics.gaussian import Curvature, GaussianSum, SiteSums, full_blocks, pair_widths
from asennp.electrostatics.kernels_gaussian import (
    Pairs,
    apply_blocks,
    core_matrix,
    pair_blocks,
    pair_sums,
    spread_blocks,
    width_slopes,
)
from asennp.electrostatics.sums import mirror
from asennp.neighbors import Rows, VerletPairs

#: Pairs are listed so much further than the taper, Å: shells reach beyond their cores.
REACH = 0.5


class PairSum(GaussianSum):
    """Sum over pairs, cut by a taper: erf(a r)/r (1 - 35 x^4 + 84 x^5 - 70 x^6 + 20 x^7), x = r/cutoff.

    All images closer than the cut-off count, in cells of any size and periodicity.

    Parameters
    ----------
    cutoff
        Where the taper ends, Å; infinite: all pairs of an open system, without a taper.
    """

    def __init__(self, cutoff: float = math.inf) -> None:
        self.cutoff = float(cutoff)
        self._list = VerletPairs(self.cutoff + REACH)

    def at(
        self,
        positions: np.ndarray,
        cell: np.ndarray,
        pbc: np.ndarray,
        kinds: np.ndarray,
        exponents: np.ndarray,
    ) -> Self:
        """Take the atoms' places."""
        everything = math.isinf(self.cutoff)
        rows = _all_rows(len(positions)) if everything else self._list.rows(positions, cell, pbc)
        self._pairs = Pairs(
            positions,
            rows.start,
            rows.j,
            rows.code,
            rows.shifts @ cell,
            kinds,
            pair_widths(exponents),
            self.cutoff,
        )
        return self

    def evaluate(self, core: np.ndarray, shell: np.ndarray, shells: np.ndarray) -> SiteSums:
        """Return potentials, gradients and virial."""
        charges = np.column_stack([core, shell])
        phi, slopes, virial = np.zeros_like(charges), np.zeros((*charges.shape, 3)), np.zeros((3, 3))
        pair_sums(self._pairs, charges, shells, phi, slopes, virial)
        mirror(virial)
        energies = 0.5 * (charges * phi).sum(axis=1)
        return SiteSums(energies, phi[:, 0].copy(), slopes[:, 0].copy(), slopes[:, 1].copy(), virial)

    def curvature(self, core: np.ndarray, shell: np.ndarray, shells: np.ndarray) -> "PairCurvature":
        """Return the second derivatives, kept for each pair."""
        blocks, local = np.zeros((len(self._pairs.j), 13)), np.zeros((len(core), 6))
        pair_blocks(self._pairs, np.column_stack([core, shell]), shells, blocks, local)
        return PairCurvature(self._pairs, blocks, local)

    def charge_matrix(self) -> np.ndarray:
        """Return d2U/dq2."""
        matrix = np.zeros((len(self._pairs.positions), len(self._pairs.positions)))
        core_matrix(self._pairs, matrix)
        return matrix

    def width_slopes(self, core: np.ndarray, shell: np.ndarray, shells: np.ndarray) -> np.ndarray:
        """Return dU/da of each pair of kinds (K, K), of which [k, l] and [l, k] add up; open systems."""
        slopes = np.zeros_like(self._pairs.widths)
        width_slopes(self._pairs, np.column_stack([core, shell]), shells, slopes)
        return slopes


class PairCurvature(Curvature):
    """Second derivatives stored pair by pair."""

    def __init__(self, pairs: Pairs, blocks: np.ndarray, local: np.ndarray) -> None:
        self._pairs, self._blocks, self._local = pairs, blocks, full_blocks(local)

    def apply(self, dq: np.ndarray, ds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return their product with a change."""
        out_q, out_s = np.zeros_like(dq), np.einsum("iab,ib->ia", self._local, ds)
        apply_blocks(self._blocks, self._pairs.start, self._pairs.j, dq, ds, out_q, out_s)
        return out_q, out_s

    def dense(self) -> np.ndarray:
        """Return the matrix."""
        n = len(self._local)
        matrix = np.zeros((4 * n, 4 * n))
        spread_blocks(self._blocks, self._pairs.start, self._pairs.j, matrix)
        add_local(matrix, self._local)
        return matrix


def add_local(matrix: np.ndarray, local: np.ndarray) -> None:
    """Add the blocks of single shells to a matrix over charges and shells."""
    n = len(local)
    shells = matrix[n:, n:].reshape(n, 3, n, 3)
    each = np.arange(n)
    shells[each, :, each, :] += local


def _all_rows(n_atoms: int) -> Rows:
    """Return every pair once."""
    i, j = np.triu_indices(n_atoms, 1)
    start = np.searchsorted(i, np.arange(n_atoms + 1))
    return Rows(start, j.astype(np.int32), np.zeros(len(j), np.int32), np.zeros((1, 3)))
