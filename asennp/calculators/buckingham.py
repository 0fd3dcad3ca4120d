"""Rigid ions: Buckingham pairs and full Coulomb sums, as an ASE calculator."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols

from asennp.calculators.base import ChargedCalculator, pack_results
from asennp.calculators.kernels import TABLE_COLUMNS, buckingham
from asennp.calculators.potential import Potential, inner_maximum, load_potential
from asennp.electrostatics.charges import assign_charges
from asennp.electrostatics.pairs import PairCurves, add_tabulated
from asennp.electrostatics.screened import ScreenedSum, all_pairs, refuse_overlap
from asennp.electrostatics.slab import add_dipole_term, is_slab, pad_slab
from asennp.electrostatics.splitting import Splitting
from asennp.electrostatics.sums import ChargedCell, Sums
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


class BuckinghamCoulomb(ChargedCalculator):
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
    threads
        Threads of one evaluation; results do not depend on it. Open clusters, accuracies below 1e-9 and
        frames with close pairs are summed term by term, the pairs in one thread.

    Raises
    ------
    InputError
        Unknown species, a cell that is not neutral or periodic in one direction only, atoms on top of
        each other or (without the guard) inside an inner maximum.
    """

    splitting: Splitting
    implemented_properties = ["energy", "free_energy", "energies", "forces", "stress", "charges"]  # noqa: RUF012
    default_parameters = {  # noqa: RUF012
        "potential": "zno-lewis-catlow",
        "coulomb": True,
        "cutoff": None,
        "accuracy": 1e-6,
        "switch": None,
        "guard": False,
        "threads": 1,
    }

    def __init__(
        self,
        potential: str | Path | Potential | Mapping[str, Any] = "zno-lewis-catlow",
        coulomb: bool = True,
        cutoff: float | None = None,
        accuracy: float = 1e-6,
        switch: float | None = None,
        guard: bool = False,
        threads: int = 1,
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
            threads=threads,
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
        self.splitting = Splitting("auto", p["accuracy"], self.cutoff, p["threads"])
        self._pairs = VerletPairs(self.cutoff)
        #: Tables of the pair curves by alpha and real-space reach of the Coulomb sum.
        self._curves: dict[tuple[float, float], PairCurves] = {}
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
        volume = inside = check_geometry(positions, cell, pbc)
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
        active = coulomb and bool(charges.any())
        slab = active and is_slab(pbc)
        if slab:
            cell = pad_slab(positions, cell, charges, pbc, self.splitting.accuracy, self.cutoff)
            pbc, inside = np.ones(3, bool), abs(float(np.linalg.det(cell)))
        alpha, reach, coulomb_sum = 0.0, 0.0, None
        if active:
            coulomb_sum = self.splitting.select(cell, len(positions), inside, pbc)
            settings: Any = coulomb_sum.choose(cell, len(positions), inside, pbc)
            alpha, reach = (0.0, math.inf) if settings is None else (settings.alpha, settings.real_cutoff)
        # charges in root(eV Å), so that products over distances are energies in eV
        charged = ChargedCell(positions, cell, inside, math.sqrt(COULOMB_EV_A) * charges)
        out = Sums.zeros(len(positions))
        if not self._add_tabulated(charged, pbc, kinds, alpha, reach, out):
            out = self._sum_pairs(atoms, charged, pbc, kinds, active, alpha, reach)
        if isinstance(coulomb_sum, ScreenedSum):
            coulomb_sum.add_rest(charged, out)
        out.mirror()
        if slab:
            add_dipole_term(positions, cell, charged.charges, atoms.pbc, *out)
        results = pack_results(*out, volume)
        results["charges"] = charges
        return results

    def _add_tabulated(
        self,
        charged: ChargedCell,
        pbc: np.ndarray,
        kinds: np.ndarray,
        alpha: float,
        reach: float,
        out: Sums,
    ) -> bool:
        """Add all pair terms by tables; return False, with nothing added, where that will not do.

        It will not for open clusters, for very high accuracy, or while any pair is close: there the pairs are
        summed term by term. The choice depends on the atoms alone.
        """
        if self.splitting.accuracy < TABLE_ACCURACY or not np.all(pbc):
            return False
        if (alpha, reach) not in self._curves:
            if len(self._curves) >= 8:
                self._curves.clear()
            self._curves[alpha, reach] = self._tabulate(alpha, reach)
        curves, positions, cell = self._curves[alpha, reach], charged.positions, charged.cell
        rows = self._list(curves.reach).rows(positions, cell, pbc)
        ones = np.ones(len(positions))
        return add_tabulated(positions, cell, rows, ones, kinds, curves, out, self.splitting.threads)

    def _tabulate(self, alpha: float, reach: float) -> PairCurves:
        """Tabulate the curves of every pair of species, and those beyond the short-range cut-off."""
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
        return PairCurves(
            first=np.arange(n * n).reshape(n, n) * bins,
            nearest=np.maximum(self._table[:, :, 3], TABLE_START),
            table=np.concatenate(curves),
            reach=longest,
            border=self.cutoff,
            beyond=n * n * bins,
        )

    def _sum_pairs(
        self,
        atoms: Atoms,
        charged: ChargedCell,
        pbc: np.ndarray,
        kinds: np.ndarray,
        active: bool,
        alpha: float,
        reach: float,
    ) -> Sums:
        """Sum all pair terms term by term, with the guard."""
        positions, cell, _, strengths = charged
        guard = bool(self.parameters["guard"])
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
        return Sums(energies, forces, virial)

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
