"""Rigid ions: Buckingham pairs and full Coulomb sums, as an ASE calculator."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols

from asennp.calculators.base import OnePassCalculator, pack_results
from asennp.calculators.kernels import TABLE_COLUMNS, buckingham
from asennp.calculators.potential import Potential, inner_maximum, load_potential
from asennp.electrostatics.charges import assign_charges
from asennp.electrostatics.ewald import Ewald
from asennp.electrostatics.kernels_pairs import tabulated_pairs
from asennp.electrostatics.pme import PME, prefer_mesh
from asennp.electrostatics.screened import Settings, all_pairs, mirror, refuse_overlap
from asennp.electrostatics.slab import add_dipole_term, is_slab, pad_slab
from asennp.electrostatics.table import (
    TABLE_ACCURACY,
    TABLE_START,
    screened_curve,
    step_down,
    tabulate,
)
from asennp.errors import InputError
from asennp.neighbors import VerletPairs, check_geometry
from asennp.units import COULOMB_EV_A


class BuckinghamCoulomb(OnePassCalculator):
    """Buckingham pairs and point charges in one pass.

    E = sum over pairs of [A exp(-r/rho) - C/r^6] + Coulomb. The short-range terms end plainly
    (unshifted) at the cut-off unless a switch is asked for; the Coulomb sum is complete (tin-foil).
    Atomic energies hold half of each pair term, and q_i phi_i/2. The Coulomb sum is Ewald's or, where a
    cost model of the cell and the number of atoms finds that cheaper, by a particle mesh; `electrostatics`
    shows which, with its settings.

    Parameters
    ----------
    potential
        A shipped name, a YAML file, or a `Potential`.
    coulomb
        False leaves the Coulomb sum out.
    cutoff
        Of the short-range terms, Å; default: the potential's.
    accuracy
        Relative force error of the Coulomb sum.
    switch
        Width, Å, over which the short-range terms go smoothly (C2) to zero before the cut-off; default none.
    guard
        At short distance the curve of a pair, bare Coulomb included, turns down without bound. With the
        guard it goes on from its inner maximum as the upward parabola of the same height and curvature
        (C1); `guard_count` counts the pairs it acted on. Without, such a frame is refused.

    Raises
    ------
    InputError
        Unknown species, a cell that is not neutral or periodic in one direction only, atoms on top of
        each other or (without the guard) inside an inner maximum.
    """

    implemented_properties = ["energy", "free_energy", "energies", "forces", "stress", "charges"]  # noqa: RUF012
    default_parameters = {  # noqa: RUF012
        "potential": "zno-lewis-catlow",
        "coulomb": True,
        "cutoff": None,
        "accuracy": 1e-6,
        "switch": None,
        "guard": False,
    }

    def __init__(
        self,
        potential: str | Path | Potential | Mapping[str, Any] = "zno-lewis-catlow",
        coulomb: bool = True,
        cutoff: float | None = None,
        accuracy: float = 1e-6,
        switch: float | None = None,
        guard: bool = False,
        **kwargs: Any,
    ) -> None:
        #: Pair evaluations on which the guard has acted, since the calculator was made.
        self.guard_count = 0
        super().__init__(
            potential=potential,
            coulomb=coulomb,
            cutoff=cutoff,
            accuracy=accuracy,
            switch=switch,
            guard=guard,
            **kwargs,
        )

    def set(self, **kwargs: Any) -> dict[str, Any]:
        """Change parameters, as given to the constructor; results are dropped."""
        if "potential" in kwargs:
            given = kwargs["potential"]
            self.potential = load_potential(given)
            kwargs["potential"] = str(given) if isinstance(given, (str, Path)) else self.potential.todict()
        changed = super().set(**kwargs)
        self._prepare()
        return changed

    def _prepare(self) -> None:
        """Derive what depends on the parameters alone."""
        p = self.parameters
        self.cutoff = self.potential.cutoff if p["cutoff"] is None else float(p["cutoff"])
        if not 0 < self.cutoff < math.inf:
            raise InputError(
                "not a cut-off", where="cutoff", expected="a positive length, Å", got=self.cutoff
            )
        width = 0.0 if p["switch"] is None else float(p["switch"])
        if not 0 <= width < self.cutoff:
            raise InputError(
                "not a width", where="switch", expected=f"0 ... {self.cutoff} Å or None", got=width
            )
        self._onset = self.cutoff - width
        self.electrostatics: Ewald | PME = Ewald(p["accuracy"], self.cutoff)
        self._pairs = VerletPairs(self.cutoff)
        #: Tables of the pair curves by alpha and real-space reach of the Coulomb sum.
        self._curves: dict[tuple[float, float], tuple[np.ndarray, np.ndarray, np.ndarray, int]] = {}
        species = self.potential.species
        #: Row of the pair table for each atomic number; -1 for species the potential does not know.
        self._kinds = np.full(len(chemical_symbols), -1, np.int32)
        self._table = np.zeros((len(species), len(species), TABLE_COLUMNS))
        for a, first in enumerate(species):
            self._kinds[atomic_numbers[first]] = a
            for b, second in enumerate(species):
                pair = self.potential.pair(first, second)
                A, rho, C = pair if pair is not None else (0.0, 1.0, 0.0)
                product = self.potential.charges[first] * self.potential.charges[second]
                self._table[a, b] = [A, 1.0 / rho, C, *inner_maximum(pair, product)]

    def compute(self, atoms: Atoms) -> dict[str, Any]:
        """Return energies, forces, stress and charges."""
        positions, cell, pbc, numbers = atoms.positions, atoms.cell.array, atoms.pbc, atoms.numbers
        volume = check_geometry(positions, cell, pbc)
        kinds = self._kinds[numbers]
        if kinds.min() < 0:
            unknown = chemical_symbols[int(numbers[kinds < 0][0])]
            raise InputError(
                f"the potential {self.potential.name} has no {unknown}",
                where="atoms",
                expected=", ".join(self.potential.species),
                got=str(atoms.symbols),
            )
        coulomb = bool(self.parameters["coulomb"])
        charges = assign_charges(
            numbers, self.potential.charges, background=not coulomb, where=self.potential.name
        )
        # in root(eV Å), so that products over distances are energies in eV
        strengths = math.sqrt(COULOMB_EV_A) * charges
        active = coulomb and bool(charges.any())
        slab = active and is_slab(pbc)
        if slab:
            cell = pad_slab(positions, cell, charges, pbc, self.parameters["accuracy"], self.cutoff)
            pbc = np.ones(3, bool)
        inside = abs(float(np.linalg.det(cell))) if slab else volume
        settings = self._choose(cell, len(positions), inside, pbc) if active else None
        alpha, reach = (0.0, math.inf) if settings is None else (settings.alpha, settings.real_cutoff)
        if not active:
            alpha, reach = 0.0, 0.0
        out = self._sum_tabulated(positions, cell, pbc, kinds, alpha, reach)
        if out is None:
            out = self._sum_pairs(atoms, cell, pbc, kinds, strengths, active, alpha, reach)
        energies, forces, virial = out
        if settings is not None:
            self.electrostatics.add_rest(positions, cell, inside, strengths, energies, forces, virial)
        mirror(virial)
        if slab:
            add_dipole_term(positions, cell, strengths, atoms.pbc, energies, forces, virial)
        results = pack_results(energies, forces, virial, volume)
        results["charges"] = charges
        return results

    def _choose(self, cell: np.ndarray, n_atoms: int, volume: float, pbc: np.ndarray) -> Settings | None:
        """Choose the Coulomb sum and its settings for a cell (None: sum directly)."""
        accuracy = self.parameters["accuracy"]
        mesh = np.all(pbc) and prefer_mesh(cell, n_atoms, volume, accuracy, self.cutoff)
        if mesh != isinstance(self.electrostatics, PME):
            self.electrostatics = (PME if mesh else Ewald)(accuracy, self.cutoff)
        return self.electrostatics.choose(cell, n_atoms, volume, pbc)

    def _sum_tabulated(
        self,
        positions: np.ndarray,
        cell: np.ndarray,
        pbc: np.ndarray,
        kinds: np.ndarray,
        alpha: float,
        reach: float,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Sum all pair terms in one pass over a table; None where that will not do.

        It will not for open clusters, for very high accuracy, or while any pair is close: there the pairs are
        summed term by term. The choice depends on the atoms alone.
        """
        if self.parameters["accuracy"] < TABLE_ACCURACY or not np.all(pbc):
            return None
        if (alpha, reach) not in self._curves:
            if len(self._curves) >= 8:
                self._curves.clear()
            self._curves[alpha, reach] = self._tabulate(alpha, reach)
        first, nearest, table, beyond = self._curves[alpha, reach]
        n, longest = len(positions), max(self.cutoff, reach)
        out = np.zeros(n), np.zeros((n, 3)), np.zeros((3, 3))
        rows = self._list(longest).rows(positions, cell, pbc)
        n_close = tabulated_pairs(
            positions, rows.start, rows.j, rows.code, rows.shifts @ cell, np.ones(n), kinds,
            first, nearest, table, self.cutoff, beyond, longest, *out,
        )  # fmt: skip
        return None if n_close else out

    def _tabulate(self, alpha: float, reach: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
        """Return where each pair of species begins in the table and in space, the table, and where its
        second half begins: the curves beyond the cut-off of the short-range terms."""
        curves, n, longest = [], len(self._table), max(self.cutoff, reach)
        charges = [self.potential.charges[s] for s in self.potential.species]
        for short in (1.0, 0.0):
            for a in range(n):
                for b in range(n):
                    A, stiffness, C = self._table[a, b, :3]
                    product = COULOMB_EV_A * charges[a] * charges[b]

                    def curve(
                        r: np.ndarray,
                        A: float = short * A,
                        k: float = stiffness,
                        C: float = short * C,
                        qq: float = product,
                    ) -> np.ndarray:
                        value = A * np.exp(-k * r) - C / r**6
                        if self._onset < self.cutoff:
                            value *= step_down((r - self._onset) / (self.cutoff - self._onset))
                        return value + qq * screened_curve(r, alpha, reach) if reach > 0.0 else value

                    curves.append(tabulate(curve, longest))
        bins = len(curves[0])
        first = np.arange(n * n).reshape(n, n) * bins
        return first, np.maximum(self._table[:, :, 3], TABLE_START), np.concatenate(curves), n * n * bins

    def _sum_pairs(
        self,
        atoms: Atoms,
        cell: np.ndarray,
        pbc: np.ndarray,
        kinds: np.ndarray,
        strengths: np.ndarray,
        active: bool,
        alpha: float,
        reach: float,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sum all pair terms term by term, with the guard."""
        positions, guard = atoms.positions, bool(self.parameters["guard"])
        if reach == math.inf:
            pairs = all_pairs(len(positions))
        else:
            pairs = self._list(max(self.cutoff, reach)).update(positions, cell, pbc)
        energies, forces, virial, guarded, worst, shortest = buckingham(
            positions, cell, kinds, self._table, *pairs, self.cutoff, self._onset,
            guard, active, strengths, alpha, reach,
        )  # fmt: skip
        refuse_overlap(shortest)
        if guarded and not guard:
            raise self._catastrophe(guarded, shortest, int(pairs[0][worst]), int(pairs[1][worst]), atoms)
        self.guard_count += guarded
        return energies, forces, virial

    def _list(self, reach: float) -> VerletPairs:
        """Return the list of pairs that short-range and Coulomb terms share."""
        if reach != self._pairs.cutoff:
            self._pairs = VerletPairs(reach)
        return self._pairs

    def _catastrophe(self, count: int, shortest: float, a: int, b: int, atoms: Atoms) -> InputError:
        radius = self._table[self._kinds[atoms.numbers[a]], self._kinds[atoms.numbers[b]], 3]
        return InputError(
            f"{atoms.symbols[a]}-{atoms.symbols[b]} pairs are inside the inner maximum of their curve",
            where=f"atoms {a} and {b}",
            expected=f"farther apart than {radius:.3f} Å",
            got=f"{count} such pairs, the shortest distance of all is {shortest:.3f} Å",
            do="start from a sensible structure, or use guard=True",
        )
