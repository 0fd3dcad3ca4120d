"""Double precision where a calculator offers it: differences of energies and stresses need the digits."""

from typing import Any


def in_double(calculator: Any) -> Any:
    """Return a double-precision form of `calculator` where it has one, else `calculator` itself.

    The hook is a method ``with_dtype(name)`` that returns a calculator of the same potential computing
    in that type (the given calculator stays as it is). Calculators without it are used as given; the
    relaxations stop at the floor of their noise and say so.
    """
    hook = getattr(calculator, "with_dtype", None)
    return calculator if hook is None else hook("float64")
