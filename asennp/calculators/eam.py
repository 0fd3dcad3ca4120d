"""The embedded-atom method for metals, from the files that ASE and LAMMPS read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.eam import EAM as ReferenceEAM
from ase.data import atomic_numbers, chemical_symbols
from scipy.interpolate import InterpolatedUnivariateSpline

from asennp.calculators.base import OnePassCalculator, pack_results
from asennp.calculators.kernels_eam import embedded_atoms
from asennp.electrostatics.screened import refuse_overlap
from asennp.electrostatics.sums import Sums
from asennp.errors import InputError
from asennp.neighbors import VerletPairs, check_geometry

#: Formats by the end of a file's name: setfl, Finnis-Sinclair, funcfl.
FORMS = {".alloy": "alloy", ".fs": "fs", ".eam": "eam"}
_HEADER_LINES = {"alloy": 3, "fs": 3, "eam": 1}


@dataclass(frozen=True, eq=False)
class EAMTables:
    """Functions of an embedded-atom potential as piecewise cubics, see `kernels_eam.cubic`.

    Attributes
    ----------
    elements
        Chemical symbols; the kinds of the tables.
    cutoff
        Å.
    radial_step, density_step
        Width of an interval, Å and density units.
    phi
        Pair energy, eV, (kinds, kinds, intervals, 4).
    density
        Density of an atom of the first kind at one of the second, (kinds, kinds, intervals, 4).
    embedding
        Embedding energy, eV, (kinds, intervals, 4).
    """

    elements: tuple[str, ...]
    cutoff: float
    radial_step: float
    density_step: float
    phi: np.ndarray
    density: np.ndarray
    embedding: np.ndarray


class EAM(OnePassCalculator):
    """Embedded-atom potential, E = sum_i F_i(sum_j rho_j(r_ij)) + sum over pairs of phi_ij(r_ij).

    Files and splines are those of `ase.calculators.eam.EAM`, and so are the numbers; this calculator
    adds atomic energies (half of each pair term, and the embedding energy of the atom) and speed.
    Cells may be periodic in any directions. Beyond the ends of the tables the last cubic goes on.

    Parameters
    ----------
    potential
        A file: setfl (``.alloy``), Finnis-Sinclair (``.fs``) or funcfl (``.eam``).
    form
        ``"alloy"``, ``"fs"`` or ``"eam"``; default: by the end of the file's name.

    Raises
    ------
    InputError
        A file that is missing, damaged or of another kind; elements that it does not hold; atoms on top
        of each other.

    References
    ----------
    M. S. Daw, M. I. Baskes, Phys. Rev. B 29, 6443 (1984), doi:10.1103/PhysRevB.29.6443.
    """

    default_parameters = {"potential": None, "form": None}  # noqa: RUF012

    def __init__(self, potential: str | Path, form: str | None = None, **kwargs: Any) -> None:
        super().__init__(potential=potential, form=form, **kwargs)

    def set(self, **kwargs: Any) -> dict[str, Any]:
        """Change parameters, as given to the constructor; results are dropped."""
        if "potential" in kwargs:
            kwargs["potential"] = str(kwargs["potential"])
        changed = super().set(**kwargs)
        if {"potential", "form"} & kwargs.keys():
            self.tables = read_eam(self.parameters["potential"], self.parameters["form"])
            #: Row of the tables for each atomic number; -1 for elements the file does not hold.
            self._kinds = np.full(len(chemical_symbols), -1, np.int32)
            self._kinds[[atomic_numbers[e] for e in self.tables.elements]] = range(len(self.tables.elements))
            self._pairs = VerletPairs(self.tables.cutoff)
        return changed

    def compute(self, atoms: Atoms) -> dict[str, Any]:
        """Return energies, forces and stress."""
        tables, positions, cell = self.tables, atoms.positions, atoms.cell.array
        volume = check_geometry(positions, cell, atoms.pbc)
        kinds = self._kinds[atoms.numbers]
        if kinds.min() < 0:
            raise InputError(
                f"the potential has no {chemical_symbols[int(atoms.numbers[kinds < 0][0])]}",
                where=self.parameters["potential"],
                expected=", ".join(tables.elements),
                got=str(atoms.symbols),
            )
        pairs = self._pairs.update(positions, cell, atoms.pbc)
        energies, forces, virial, shortest = embedded_atoms(
            positions, cell, kinds, *pairs, tables.cutoff, tables.radial_step, tables.phi, tables.density,
            tables.density_step, tables.embedding,
        )  # fmt: skip
        refuse_overlap(shortest)
        return pack_results(*Sums(energies, forces, virial).mirror(), volume)


def read_eam(path: str | Path, form: str | None = None) -> EAMTables:
    """Read a potential file.

    Raises
    ------
    InputError
        See `EAM`.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("no such file", where="potential", got=str(path))
    kind = form if form is not None else FORMS.get(path.suffix)
    if kind not in _HEADER_LINES:
        raise InputError(
            "not a known kind of embedded-atom file",
            where=str(path),
            expected=", ".join(f"{v} (*{k})" for k, v in FORMS.items()),
            got=form or path.suffix or "no suffix",
            do="name the kind by form=, if the file is one of these",
        )
    try:
        read = ReferenceEAM(potential=str(path), form=kind)
        _check(read, path, kind)
        return _tabulate(read)
    except InputError:
        raise
    except Exception as error:  # whatever the reader stumbles over
        raise InputError(
            "damaged, or not of this kind",
            where=str(path),
            expected=f"an embedded-atom file of the kind {kind!r}",
            got=f"{type(error).__name__}: {error}",
        ) from None


def _check(read: Any, path: Path, form: str) -> None:
    """Refuse what the reader lets pass: left-over numbers, odd elements, tables that cannot be used."""
    n, n_radial, n_density = read.Nelements, read.nr, read.nrho
    if form == "eam":
        length = 9 + n_density + 2 * n_radial
    else:
        n_functions = n if form == "fs" else 1
        length = 6 + n + n * (4 + n_density + n_functions * n_radial) + n * (n + 1) // 2 * n_radial
    with path.open() as lines:
        found = len("".join(lines.readlines()[_HEADER_LINES[form] :]).split())
    tables = [read.embedded_data, read.density_data, read.rphi_data]
    for good, what, expected, got in (
        (found == length, "the number of entries is not what the head states", length, found),
        (all(e in atomic_numbers for e in read.elements), "unknown element", "symbols", read.elements),
        (len(set(read.elements)) == n, "an element occurs twice", "each once", read.elements),
        (min(n_radial, n_density) >= 5, "tables too short", ">= 5 entries", (n_density, n_radial)),
        (read.dr > 0 and read.drho > 0, "steps are not positive", "> 0", (read.drho, read.dr)),
        (0 < read.cutoff < np.inf, "not a cut-off", "a length, Å", read.cutoff),
        (all(np.isfinite(t).all() for t in tables), "tables are not finite", "numbers", "nan or inf"),
    ):
        if not good:
            raise InputError(what, where=str(path), expected=expected, got=got)


def _tabulate(read: Any) -> EAMTables:
    """Turn the reader's splines into piecewise cubics."""
    n, kinds = read.Nelements, range(read.Nelements)

    def tables(shape: tuple[int, ...], n_points: int) -> np.ndarray:
        return np.empty((*shape, n_points - 1, 4))

    phi, density = tables((n, n), read.nr), tables((n, n), read.nr)
    embedding = tables((n,), read.nrho)
    for a in kinds:
        embedding[a] = piecewise(read.embedded_energy[a], read.rho)
        for b in kinds:
            source = read.electron_density[a, b] if read.form == "fs" else read.electron_density[a]
            density[a, b] = piecewise(source, read.r)
            phi[a, b] = piecewise(read.phi[a, b], read.r)
    return EAMTables(
        tuple(read.elements), float(read.cutoff), float(read.dr), float(read.drho), phi, density, embedding
    )


def piecewise(spline: InterpolatedUnivariateSpline, x: np.ndarray) -> np.ndarray:
    """Return the cubics of a spline on the intervals of an even mesh, (len(x) - 1, 4), lowest power first."""
    left = x[:-1]
    middle = left + 0.5 * np.diff(x)
    powers = (spline(left), spline(left, nu=1), spline(left, nu=2) / 2.0, spline(middle, nu=3) / 6.0)
    return np.stack(powers, axis=1)
