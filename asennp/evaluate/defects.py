"""Energies of vacancies, surfaces and any other defect that leaves the composition whole.

One balance serves all: the energy of a structure with defects less that of as many formula units of the
perfect crystal (and reservoirs, where atoms were exchanged).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms, units

from asennp.errors import InputError, nearest
from asennp.evaluate.capability import describe_reach, require_periodic, require_properties
from asennp.evaluate.precision import held, in_double
from asennp.evaluate.relax import relax
from asennp.evaluate.slab import build_slab
from asennp.results import Result

#: 1 eV/Å^2 in J/m^2.
_J_M2 = units.m**2 / units.J


@dataclass(frozen=True, eq=False)
class DefectResult(Result):
    """What a defect costs.

    Attributes
    ----------
    energy_eV
        Formation energy after relaxation of the ions, eV, of all defects in the cell together.
    unrelaxed_eV
        The same with ions as built.
    area_A2
        Area of the faces together, Å^2; 0 for a point defect.
    surface_J_m2, unrelaxed_J_m2
        Energies per area, J/m^2; NaN for a point defect.
    formula_units
        Formula units of crystal the structure was balanced with (may be a fraction).
    exchanged
        {symbol: atoms taken from a reservoir}, empty where the composition is that of the crystal.
    n_atoms
        Of the structure.
    label
        What it is.
    converged, max_force
        Whether the relaxation reached its tolerance, and the residual, eV/Å.
    atoms
        The relaxed structure.
    warnings
        What to know before believing the result.
    """

    energy_eV: float
    unrelaxed_eV: float
    area_A2: float
    surface_J_m2: float
    unrelaxed_J_m2: float
    formula_units: float
    exchanged: dict[str, float]
    n_atoms: int
    label: str
    converged: bool
    max_force: float
    atoms: Atoms
    warnings: tuple[str, ...]


def _balance(
    defective: Atoms, crystal: Atoms, chemical_potentials: Mapping[str, float]
) -> tuple[float, dict[str, float]]:
    """Return cells of crystal in the structure and what is left over, by species.

    Species without a reservoir fix the number of cells; they must agree on it.
    """
    cell, have = crystal.symbols.formula.count(), defective.symbols.formula.count()
    strangers = [s for s in have if s not in cell and s not in chemical_potentials]
    if strangers:
        raise InputError(
            "a species that the crystal does not have needs a chemical potential",
            where="chemical_potentials", expected=", ".join(strangers), got=dict(chemical_potentials),
        )  # fmt: skip
    fixed = [s for s in cell if s not in chemical_potentials] or list(cell)[:1]
    ratios = {s: have.get(s, 0) / cell[s] for s in fixed}
    if max(ratios.values()) - min(ratios.values()) > 1e-9:
        raise InputError(
            "the structure does not have the crystal's composition",
            where="atoms",
            expected=f"a multiple of {crystal.symbols.formula.reduce()[0]}",
            got=str(defective.symbols.formula),
            do="remove whole formula units (a Schottky set), or give chemical potentials in eV by species",
        )
    cells = ratios[fixed[0]]
    rest = {s: have.get(s, 0) - cells * cell.get(s, 0) for s in {*cell, *have}}
    return cells, {s: float(n) for s, n in rest.items() if abs(n) > 1e-9}


def compute_defect(
    atoms: Atoms,
    crystal: Atoms,
    calculator: Any,
    *,
    chemical_potentials: Mapping[str, float] | None = None,
    area_A2: float = 0.0,
    fmax: float = 0.01,
    steps: int = 300,
    label: str = "defect",
) -> DefectResult:
    """Return E(atoms) - n E(crystal) - sum over species of (surplus x chemical potential), relaxed.

    Parameters
    ----------
    atoms
        Structure with the defect (vacancies, a slab, an interstitial pair, a boundary ...).
    crystal
        The relaxed perfect crystal in any cell; its energy sets the zero.
    calculator
        Any ASE calculator with forces.
    chemical_potentials
        {symbol: eV} of the species that are exchanged with a reservoir. Without any the composition must be
        the crystal's: then no reservoir enters, and a cell of fixed charges stays neutral.
    area_A2
        Area of all faces, Å^2, for energies per area.
    fmax, steps
        Tolerance (eV/Å) and limit of the relaxation of ions; the cell stays.

    Raises
    ------
    InputError
        Compositions that do not match, or a calculator without forces.
    """
    require_properties(calculator, "forces", purpose="a defect's relaxation")
    mu = dict(chemical_potentials or {})
    cells, rest = _balance(atoms, crystal, mu)
    double = in_double(calculator)
    perfect = crystal.copy()
    perfect.calc = held(double, perfect)
    zero = cells * float(perfect.get_potential_energy()) + sum(n * mu[s] for s, n in rest.items())
    double = held(double, atoms)
    built = Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    built.calc = double
    unrelaxed = float(built.get_potential_energy()) - zero
    done = relax(built, double, cell="fixed", fmax=fmax, symmetry=False, steps=steps)
    energy = done.energy - zero
    per_area = _J_M2 / area_A2 if area_A2 > 0.0 else float("nan")
    units_per_cell = crystal.symbols.formula.reduce()[1]
    warnings = [] if done.converged else [f"forces of up to {done.max_force:.3f} eV/Å remain"]
    return DefectResult(
        energy_eV=energy,
        unrelaxed_eV=unrelaxed,
        area_A2=area_A2,
        surface_J_m2=energy * per_area,
        unrelaxed_J_m2=unrelaxed * per_area,
        formula_units=cells * units_per_cell,
        exchanged=rest,
        n_atoms=len(atoms),
        label=label,
        converged=done.converged,
        max_force=done.max_force,
        atoms=done.atoms,
        warnings=tuple(warnings),
    )


def build_vacancies(
    crystal: Atoms, repeat: int | tuple[int, int, int], remove: Mapping[str, int], separation: str = "near"
) -> Atoms:
    """Return a supercell with atoms missing.

    Parameters
    ----------
    crystal
        Any cell.
    repeat
        Supercell.
    remove
        {symbol: number}; for ionic crystals a whole formula unit (a Schottky set) keeps the cell neutral.
    separation
        "near": every further vacancy as close to the earlier ones as can be; "far": as far as can be.

    Raises
    ------
    InputError
        A species or number that is not there, or an unknown separation.
    """
    if separation not in ("near", "far"):
        raise InputError("unknown separation", where="separation", got=separation,
                         do=nearest(str(separation), ("near", "far")))  # fmt: skip
    supercell = crystal.repeat(repeat)
    symbols = np.array(supercell.get_chemical_symbols())
    gone: list[int] = []
    for symbol, number in remove.items():
        if number < 1 or (symbols == symbol).sum() <= number:
            raise InputError(
                "cannot remove these atoms", where=f"remove.{symbol}", got=number,
                expected=f"1 to {max(0, int((symbols == symbol).sum()) - 1)} of {crystal.symbols}",
            )  # fmt: skip
        for _ in range(number):
            left = [k for k in np.flatnonzero(symbols == symbol) if k not in gone]
            if not gone:
                gone.append(int(left[0]))
                continue
            distances = np.array([supercell.get_distances(k, left, mic=True) for k in gone])
            measure = distances.sum(axis=0) if separation == "near" else -distances.min(axis=0)
            # ties go to the lowest index, whatever the rounding
            gone.append(int(left[int(np.argmin(measure.round(6)))]))
    del supercell[gone]
    return supercell


def compute_vacancy(
    crystal: Atoms,
    calculator: Any,
    remove: Mapping[str, int],
    repeat: int | tuple[int, int, int] = 3,
    *,
    separation: str = "near",
    chemical_potentials: Mapping[str, float] | None = None,
    fmax: float = 0.01,
) -> DefectResult:
    """Return the formation energy of a set of vacancies: of one atom in a metal, of a formula unit in a salt.

    Parameters
    ----------
    crystal
        Relaxed crystal (see `compute_lattice`).
    remove, repeat, separation
        See `build_vacancies`; the finite supercell's error falls as its size grows.
    chemical_potentials, fmax
        See `compute_defect`.

    Raises
    ------
    InputError
        As of `build_vacancies` and `compute_defect`.
    """
    require_periodic(crystal, "a vacancy")
    atoms = build_vacancies(crystal, repeat, remove, separation)
    words = " + ".join(f"{n if n > 1 else ''}V({s})" for s, n in remove.items())
    result = compute_defect(
        atoms, crystal, calculator, chemical_potentials=chemical_potentials, fmax=fmax,
        label=words if sum(remove.values()) == 1 else f"{words}, {separation}",
    )  # fmt: skip
    reach = describe_reach(calculator, atoms)
    return (
        result if reach is None else DefectResult(**{**vars(result), "warnings": (*result.warnings, reach)})
    )


def compute_surface(
    crystal: Atoms,
    calculator: Any,
    miller: tuple[int, int, int],
    thickness_A: float = 15.0,
    vacuum_A: float = 12.0,
    *,
    charges: Mapping[str, float] | None = None,
    fmax: float = 0.01,
) -> DefectResult:
    """Return the energy of a surface: half of what a slab costs over the crystal, per area of a face.

    Parameters
    ----------
    crystal
        Relaxed crystal (see `compute_lattice`).
    miller, thickness_A, vacuum_A, charges
        See `build_slab`: among the terminations of a stoichiometric slab a nonpolar one is taken.
    fmax
        Tolerance of the relaxation of ions, eV/Å.

    Raises
    ------
    InputError
        As of `build_slab`: a polar surface.
    """
    slab = build_slab(crystal, miller, thickness_A, vacuum_A, charges)
    area = 2.0 * float(np.linalg.norm(np.cross(slab.cell[0], slab.cell[1])))
    name = f"({' '.join(str(i) for i in miller)}) surface"
    return compute_defect(slab, crystal, calculator, area_A2=area, fmax=fmax, label=name)
