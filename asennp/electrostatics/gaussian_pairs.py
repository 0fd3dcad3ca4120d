"""Gaussian charges summed pair by pair: all pairs of an open system, or tapered with all images."""

import math
from typing import Self

import numpy as np

from asennp.electrostatics.gaussian import Curvature, GaussianSum, SiteSums, full_blocks, pair_widths
from asennp.electrostatics.kernels_gaussian import (
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
        self._pairs = VerletPairs(self.cutoff + REACH)

    def at(
        self,
        positions: np.ndarray,
        cell: np.ndarray,
        pbc: np.ndarray,
        kinds: np.ndarray,
        exponents: np.ndarray,
    ) -> Self:
        """Take the atoms' places."""
        if math.isinf(self.cutoff):
            rows = _all_rows(len(positions))
        else:
            rows = self._pairs.rows(positions, cell, pbc)
        self._rows, self._offsets = rows, rows.shifts @ cell
        self._positions, self._kinds, self._widths = positions, kinds, pair_widths(exponents)
        return self

    def evaluate(self, core: np.ndarray, shell: np.ndarray, shells: np.ndarray) -> SiteSums:
        """Return potentials, gradients and virial."""
        n = len(core)
        phi_core, phi_shell = np.zeros(n), np.zeros(n)
        grad_core, grad_shell, virial = np.zeros((n, 3)), np.zeros((n, 3)), np.zeros((3, 3))
        rows = self._rows
        pair_sums(
            self._positions, shells, core, shell, rows.start, rows.j, rows.code, self._offsets, self._kinds,
            self._widths, self.cutoff, phi_core, phi_shell, grad_core, grad_shell, virial,
        )  # fmt: skip
        mirror(virial)
        energies = 0.5 * (core * phi_core + shell * phi_shell)
        return SiteSums(energies, phi_core, grad_core, grad_shell, virial)

    def curvature(self, core: np.ndarray, shell: np.ndarray, shells: np.ndarray) -> "PairCurvature":
        """Return the second derivatives, kept for each pair."""
        blocks, local = np.empty((len(self._rows.j), 13)), np.zeros((len(core), 6))
        rows = self._rows
        pair_blocks(
            self._positions, shells, core, shell, rows.start, rows.j, rows.code, self._offsets, self._kinds,
            self._widths, self.cutoff, blocks, local,
        )  # fmt: skip
        return PairCurvature(self._rows, blocks, local)

    def charge_matrix(self) -> np.ndarray:
        """Return d2U/dq2."""
        matrix = np.zeros((len(self._positions), len(self._positions)))
        rows = self._rows
        core_matrix(
            self._positions, rows.start, rows.j, rows.code, self._offsets, self._kinds, self._widths,
            self.cutoff, matrix,
        )  # fmt: skip
        return matrix

    def width_slopes(self, core: np.ndarray, shell: np.ndarray, shells: np.ndarray) -> np.ndarray:
        """Return dU/da of each pair of kinds (K, K), of which [k, l] and [l, k] add up; open systems."""
        slopes = np.zeros_like(self._widths)
        rows = self._rows
        width_slopes(
            self._positions, shells, core, shell, rows.start, rows.j, self._kinds, self._widths, slopes
        )
        return slopes


class PairCurvature(Curvature):
    """Second derivatives stored pair by pair."""

    def __init__(self, rows: Rows, blocks: np.ndarray, local: np.ndarray) -> None:
        self._rows, self._blocks, self._local = rows, blocks, full_blocks(local)

    def apply(self, dq: np.ndarray, ds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return their product with a change."""
        out_q, out_s = np.zeros_like(dq), np.einsum("iab,ib->ia", self._local, ds)
        apply_blocks(self._blocks, self._rows.start, self._rows.j, dq, ds, out_q, out_s)
        return out_q, out_s

    def dense(self) -> np.ndarray:
        """Return the matrix."""
        n = len(self._local)
        matrix = np.zeros((4 * n, 4 * n))
        spread_blocks(self._blocks, self._rows.start, self._rows.j, matrix)
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
