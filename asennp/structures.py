"""Prototype crystals of binary compounds and perovskites, as ASE objects."""

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.build import bulk, make_supercell
from ase.formula import Formula

from asennp.errors import InputError, nearest

#: Prototype -> formula of one unit (cation first), and whether it is cubic.
PROTOTYPES = {
    "rocksalt": ("AB", True),
    "zincblende": ("AB", True),
    "cesiumchloride": ("AB", True),
    "fluorite": ("AB2", True),
    "wurtzite": ("AB", False),
}

#: Wurtzite's internal parameter and axial ratio with regular tetrahedra.
IDEAL_U, IDEAL_COVERA = 3.0 / 8.0, float(np.sqrt(8.0 / 3.0))


def _species(formula: str, prototype: str) -> str:
    """Return the formula reduced to one unit, if the prototype can hold it."""
    if prototype not in PROTOTYPES:
        raise InputError(
            "unknown prototype", where="prototype", got=prototype, do=nearest(prototype, PROTOTYPES)
        )
    wanted, _ = PROTOTYPES[prototype]
    try:
        reduced, _ = Formula(formula).reduce()
        counts = list(reduced.count().values())
    except ValueError:
        counts = []
    if counts != list(Formula(wanted).count().values()):
        raise InputError(
            f"{prototype} holds compounds {wanted}", where="formula", expected=f"like {wanted}", got=formula
        )
    return str(reduced)


def build_phase(
    formula: str,
    prototype: str,
    a: float,
    c: float | None = None,
    u: float | None = None,
    cubic: bool = True,
    repeat: int | tuple[int, int, int] = 1,
) -> Atoms:
    """Build a crystal of a binary compound in a named prototype.

    Parameters
    ----------
    formula
        The compound, first species first: ``"ZnO"``, ``"MgO"``, ``"NaCl"``, ``"CaF2"``.
    prototype
        ``rocksalt``, ``zincblende``, ``cesiumchloride``, ``fluorite`` or ``wurtzite``.
    a, c
        Lattice parameters, Å; `c` is for wurtzite (default a √(8/3)).
    u
        Wurtzite's internal parameter (default 3/8).
    cubic
        The conventional cell of a cubic prototype (8 atoms for rock salt) instead of the primitive one.
        Wurtzite always has its 4-atom cell; see `orthorhombic` for a right-angled one.
    repeat
        Supercell; ``repeat=2`` of a cubic rock salt or zincblende cell is the 64-atom cube of edge 2a.
    """
    unit = _species(formula, prototype)
    if not a > 0 or (c is not None and not c > 0):
        raise InputError("lattice parameters must be positive", where="a, c", got=(a, c))
    if prototype == "wurtzite":
        covera = IDEAL_COVERA if c is None else c / a
        # ASE places the second species at u c above the first
        atoms = bulk(unit, "wurtzite", a=a, c=covera * a, u=IDEAL_U if u is None else u)
    elif c is not None or u is not None:
        raise InputError(
            f"{prototype} is cubic: it has neither c nor u", where="c, u", expected=None, got=(c, u)
        )
    else:
        atoms = bulk(unit, prototype, a=a, cubic=cubic and prototype != "cesiumchloride")
    return atoms.repeat(repeat)


def orthorhombic(atoms: Atoms) -> Atoms:
    """Return the right-angled double cell (a, √3 a, c) of a hexagonal crystal with b at 120 degrees to a."""
    return make_supercell(atoms, [[1, 0, 0], [1, 2, 0], [0, 0, 1]])


def build_perovskite(
    formula: str,
    a: float,
    c: float | None = None,
    mode: Sequence[float] = (0.0, 0.0, 0.0, 0.0),
    along: Sequence[int] = (0, 0, 1),
    repeat: int | tuple[int, int, int] = 1,
) -> Atoms:
    """Build a perovskite ABO3 with its right-angled five-atom cell, cubic or polar.

    Atoms of a cell are in the order A (corner), B (centre), O on the faces normal to x, y and z.

    Parameters
    ----------
    formula
        ``"PbTiO3"``: A, B and three of the anion, in this order.
    a, c
        Edges, Å; `c` (along z) makes the cell tetragonal.
    mode
        Shifts of A, B, the O whose bonds to B lie along the shift, and the other two O, in edges.
    along
        Axes that the shifts go along, 0, 1 or -1 each: (0, 0, 1) is tetragonal, (0, 1, 1) orthorhombic,
        (1, 1, 1) rhombohedral (in a cell still to be relaxed).
    repeat
        Supercell.
    """
    try:
        counts = Formula(formula).count()
        (first, second, anion), numbers = tuple(counts), tuple(counts.values())
    except ValueError:
        numbers = ()
    if numbers != (1, 1, 3):
        raise InputError("not a perovskite", where="formula", expected="like PbTiO3", got=formula)
    if not a > 0 or (c is not None and not c > 0):
        raise InputError("lattice parameters must be positive", where="a, c", got=(a, c))
    sites = np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    shift_a, shift_b, parallel, across = mode
    for axis, sign in enumerate(along):
        shifts = np.array([shift_a, shift_b, *(parallel if k == axis else across for k in range(3))])
        sites[:, axis] += sign * shifts
    edges = (a, a, a if c is None else c)
    atoms = Atoms([first, second, *[anion] * 3], scaled_positions=sites, cell=edges, pbc=True)
    return atoms.repeat(repeat)


def perovskite_born_charges(a: float, b: float, parallel: float, across: float) -> np.ndarray:
    """Return Born charges (5, 3, 3) of `build_perovskite`'s cell from the four independent ones, e.

    `parallel` is that of O for shifts along its bonds to B, `across` for the other two directions.
    """
    oxygen = [np.diag([parallel if k == axis else across for k in range(3)]) for axis in range(3)]
    return np.array([a * np.eye(3), b * np.eye(3), *oxygen])
