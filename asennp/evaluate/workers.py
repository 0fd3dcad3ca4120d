"""A calculator, or a function that makes one: what work side by side needs."""

from collections.abc import Callable, Sequence
from typing import Any

from asennp.errors import InputError
from asennp.processes import run_processes

#: An ASE calculator, or a function of no arguments, importable by name, that makes one.
Calculators = Any


def is_maker(calculator: Calculators) -> bool:
    """Tell a function that makes a calculator from a calculator."""
    return callable(calculator) and not hasattr(calculator, "get_property")


def as_calculator(calculator: Calculators) -> Any:
    """Return the calculator."""
    return calculator() if is_maker(calculator) else calculator


def run_tasks(
    function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], calculator: Calculators, workers: int
) -> None:
    """Call ``function(*arguments[k], calculator)`` for all k.

    A calculator is used in this process, one task after the other; a function that makes one goes to
    `workers` processes of one thread each.

    Raises
    ------
    InputError
        Several workers, and a calculator that cannot be in two processes.
    """
    if is_maker(calculator):
        for _ in run_processes(function, [(*one, calculator) for one in arguments], workers):
            pass
        return
    if workers > 1:
        raise InputError(
            "one calculator cannot work in several processes",
            where="workers",
            expected="1, or a function that makes the calculator",
            got=workers,
            do='give calculator_maker("name") of asennp.calculators.named, or a function of your own',
        )
    for one in arguments:
        function(*one, calculator)
