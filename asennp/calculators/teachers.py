"""Teachers: any ASE calculator, by a known name or a dotted path, made with no further set-up."""

import contextlib
import io
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

from ase.calculators.calculator import Calculator

from asennp.errors import InputError, nearest


def _chgnet(**arguments: Any) -> Calculator:
    """CHGNet (Deng et al., 2023, doi:10.1038/s42256-023-00716-3): weights come with the package."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            from chgnet.model.dynamics import CHGNetCalculator
        except ImportError:
            raise InputError(
                "the teacher 'chgnet' is not installed", do="pip install 'asennp[teachers]'"
            ) from None

        class QuietCHGNet(CHGNetCalculator):
            """CHGNet without its warnings about tensors and about constraints it need not know."""

            def calculate(self, *positional: Any, **named: Any) -> None:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    super().calculate(*positional, **named)

        return QuietCHGNet(**{"use_device": "cpu", **arguments})


def _buckingham(**arguments: Any) -> Calculator:
    """The empirical potential as its own teacher: for tests of the protocol, since the answer is known."""
    from asennp.calculators.buckingham import BuckinghamCoulomb

    return BuckinghamCoulomb(**arguments)


def _espresso(**arguments: Any) -> Any:
    """Quantum ESPRESSO; without arguments but `pseudo_dir`, at the settings of the ZnO papers."""
    from asennp.calculators.espresso import EspressoLabeler

    return EspressoLabeler(**arguments)


TEACHERS: dict[str, Callable[..., Any]] = {
    "chgnet": _chgnet,
    "buckingham": _buckingham,
    "espresso": _espresso,
}


def make_teacher(name: str, arguments: dict[str, Any] | None = None) -> Any:
    """Make a teacher.

    Parameters
    ----------
    name
        One of `TEACHERS`, or ``package.module:Class`` of any ASE calculator.
    arguments
        Keyword arguments of the calculator.

    Raises
    ------
    InputError
        Unknown name, module or class, or arguments the class refuses.
    """
    arguments = arguments or {}
    if name in TEACHERS:
        return TEACHERS[name](**arguments)
    module, colon, attribute = name.partition(":")
    if not colon:
        raise InputError(
            f"no teacher {name!r}",
            expected="a known name or package.module:Class",
            do=nearest(name, TEACHERS),
        )
    try:
        return getattr(import_module(module), attribute)(**arguments)
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"cannot load teacher {name!r}", got=str(error), do="install it, or mend the path"
        ) from None
    except TypeError as error:
        raise InputError(f"teacher {name!r} refuses its arguments", got=str(error)) from None
