"""What a calculator must offer for a property, said before any work is done."""

from typing import Any

import numpy as np
from ase import Atoms

from asennp.errors import InputError


def require_properties(calculator: Any, *properties: str, purpose: str) -> None:
    """Refuse a calculator that does not offer what `purpose` needs.

    Calculators that state nothing (no ``implemented_properties``) pass: they fail where they are asked.

    Raises
    ------
    InputError
        A property is missing.
    """
    offered = getattr(calculator, "implemented_properties", None)
    if offered is None:
        return
    missing = [name for name in properties if name not in offered]
    if missing:
        raise InputError(
            f"{purpose} needs {' and '.join(missing)}",
            where=type(calculator).__name__,
            expected=", ".join(properties),
            got=", ".join(offered),
            do="take one that offers it, or ase.calculators.fd.FiniteDifferenceCalculator around this one",
        )


def require_periodic(atoms: Atoms, purpose: str) -> None:
    """Refuse a structure that is not periodic in three directions.

    Raises
    ------
    InputError
        It is not, or its cell has no volume.
    """
    if not atoms.pbc.all() or abs(np.linalg.det(atoms.cell.array)) < 1e-6:
        raise InputError(
            f"{purpose} needs a crystal",
            where="atoms",
            expected="pbc=True and a cell",
            got=f"pbc={atoms.pbc.tolist()}, volume {abs(np.linalg.det(atoms.cell.array)):.3g} Å^3",
        )


def describe_reach(calculator: Any, atoms: Atoms) -> str | None:
    """Return a warning where a supercell is narrower than twice the calculator's stated cut-off.

    Only calculators with a number ``cutoff`` (Å) can be judged.
    """
    cutoff = getattr(calculator, "cutoff", None)
    if not isinstance(cutoff, int | float):
        return None
    height = float(1.0 / np.linalg.norm(np.linalg.inv(atoms.cell.array), axis=0).max())
    if height >= 2.0 * cutoff:
        return None
    return (
        f"the supercell's least height is {height:.1f} Å, below twice the cut-off of {cutoff:g} Å: "
        "interactions with images are folded into it"
    )
