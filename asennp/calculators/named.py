"""Any calculator by one word: a model, a potential, a known teacher, an ASE name, or a dotted path."""

from functools import partial
from pathlib import Path
from typing import Any

from ase.calculators.calculator import get_calculator_class
from ase.calculators.calculator import names as ase_names

from asennp.calculators.potential import known_potentials
from asennp.calculators.teachers import TEACHERS, make_teacher
from asennp.errors import InputError, nearest
from asennp.files import shipped_models

_EAM_ENDINGS = (".eam", ".alloy", ".fs", ".adp")


def make_calculator(name: str, arguments: dict[str, Any] | None = None) -> Any:
    """Make a calculator.

    Parameters
    ----------
    name
        Tried in this order: a shipped model or an ``.asennp`` file; a shipped potential or a ``.yaml`` file
        of one; an EAM file (``.eam``, ``.alloy``, ``.fs``); a teacher (``chgnet``, ``espresso``...);
        ``package.module:Class`` or ``package.module.Class``; a name of ASE (``emt``, ``lj``...).
    arguments
        Keyword arguments of the calculator.

    Raises
    ------
    InputError
        None of these, or arguments that the class refuses.
    """
    given = arguments or {}
    ending = Path(name).suffix
    if ending == ".asennp" or name in shipped_models():
        from asennp.calculators.hybrid import HybridNNPCalculator

        return _call(HybridNNPCalculator, name, {"model": name, **given})
    if ending in (".yaml", ".yml") or name in known_potentials():
        from asennp.calculators.buckingham import BuckinghamCoulomb

        return _call(BuckinghamCoulomb, name, {"potential": name, **given})
    if ending in _EAM_ENDINGS:
        from asennp.calculators.eam import EAM

        return _call(EAM, name, {"potential": name, **given})
    if name in TEACHERS or ":" in name:
        return make_teacher(name, given)
    if "." in name:
        module, _, attribute = name.rpartition(".")
        return make_teacher(f"{module}:{attribute}", given)
    if name in ase_names:
        return _call(get_calculator_class(name), name, given)
    known = [*shipped_models(), *known_potentials(), *TEACHERS, *ase_names]
    raise InputError(
        f"no calculator {name!r}",
        expected="a model, a potential, a teacher, a name of ASE, or package.module:Class",
        do=nearest(name, known),
    )


def calculator_maker(name: str, arguments: dict[str, Any] | None = None) -> partial[Any]:
    """Return a function of no arguments that makes the calculator, in any process."""
    return partial(make_calculator, name, arguments)


def _call(kind: Any, name: str, arguments: dict[str, Any]) -> Any:
    try:
        return kind(**arguments)
    except TypeError as error:
        raise InputError(f"calculator {name!r} refuses its arguments", got=str(error)) from None
