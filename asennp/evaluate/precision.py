"""Double precision where a calculator offers it: differences of energies and stresses need the digits."""

from copy import deepcopy
from typing import Any

from ase import Atoms


def in_double(calculator: Any) -> Any:
    """Return a double-precision form of `calculator` where it has one, else `calculator` itself.

    Two hooks, tried in order; the given calculator stays as it is:

    - a method ``with_dtype(name)`` that returns a calculator of the same potential computing in that type;
    - a default parameter ``dtype`` that stands at "float32": a copy is made and ``set(dtype="float64")``.

    Calculators with neither are used as given; relaxations stop at the floor of their noise and say so.
    """
    hook = getattr(calculator, "with_dtype", None)
    if hook is not None:
        return hook("float64")
    offered = "dtype" in getattr(calculator, "default_parameters", {})
    if offered and calculator.parameters["dtype"] == "float32":
        calculator = deepcopy(calculator)
        calculator.set(dtype="float64")
    return calculator


def held(calculator: Any, atoms: Atoms) -> Any:
    """Return a copy of `calculator` that keeps what it else chooses for each cell as it is for `atoms`.

    Such a choice is the mesh of a Coulomb sum: it must stay the same through a strain scan. The hook is a
    method ``hold(atoms)``; calculators without are returned as given.
    """
    if not hasattr(calculator, "hold"):
        return calculator
    calculator = deepcopy(calculator)
    calculator.hold(atoms)
    return calculator
