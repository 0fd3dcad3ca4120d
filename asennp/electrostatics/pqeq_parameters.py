"""Parameters of polarizable charge equilibration: small files of elements."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from ase.data import atomic_numbers, chemical_symbols

from asennp.errors import InputError, nearest

#: 1 eV in kcal/mol, as the method's papers have it.
KCAL_PER_EV = 23.060549
#: The constant with which the published code solves for charges and shells, eV Å.
PUBLISHED_COULOMB = 332.06371 / KCAL_PER_EV
#: The file that is shipped.
DEFAULT = "pqeq"
_KEYS = ("name", "base", "coulomb", "lambda", "Z", "source", "notes", "elements")
_ELEMENT_KEYS = ("chi", "eta", "radius", "spring", "Z")


@dataclass(frozen=True)
class PQEqElement:
    """Parameters of one element.

    Attributes
    ----------
    chi, eta
        Electronegativity, eV, and hardness, eV/e^2.
    radius
        Covalent radius R, Å: the Gaussian charges have the exponent lambda/(2 R^2).
    spring
        Force constant between core and shell, kcal/mol/Å^2.
    Z
        Charge that the shell takes from the core, e: the shell has -Z.
    """

    chi: float
    eta: float
    radius: float
    spring: float
    Z: float = 1.0


@dataclass(frozen=True, eq=False)
class AtomParameters:
    """Parameters of each atom, in eV, Å and e.

    Attributes
    ----------
    kinds
        Index of each atom's element in `symbols`, (N,).
    symbols
        The elements present, in the order of their atomic numbers.
    exponents
        alpha of each element's Gaussian exp(-alpha r^2), (K,), 1/Å^2.
    chi, eta, spring, shell
        Of each atom, (N,): eV, eV/e^2, eV/Å^2, and Z in e.
    """

    kinds: np.ndarray
    symbols: tuple[str, ...]
    exponents: np.ndarray
    chi: np.ndarray
    eta: np.ndarray
    spring: np.ndarray
    shell: np.ndarray


@dataclass(frozen=True)
class PQEqParameters:
    """A set of PQEq parameters.

    Attributes
    ----------
    elements
        Parameters by chemical symbol.
    coulomb
        e^2/(4 pi eps0), eV Å.
    lambda_
        Scale of the Gaussian exponents.
    name, source, notes
        Where the set comes from, and what to know.
    """

    elements: Mapping[str, PQEqElement]
    coulomb: float = 14.399645
    lambda_: float = 0.46277
    name: str = "parameters"
    source: str = ""
    notes: str = field(default="", repr=False)

    def of(self, numbers: np.ndarray) -> AtomParameters:
        """Return the parameters of each atom.

        Raises
        ------
        InputError
            An element without parameters; the message names it.
        """
        present, kinds = np.unique(numbers, return_inverse=True)
        symbols = tuple(chemical_symbols[number] for number in present)
        for symbol in symbols:
            if symbol not in self.elements:
                raise InputError(
                    f"no PQEq parameters for {symbol}",
                    where=self.name,
                    expected="chi, eta, radius and spring of each element",
                    got=f"atom {int(np.argmax(np.asarray(numbers) == atomic_numbers[symbol]))} is {symbol}",
                    do="give a parameter file that has it (base: pqeq takes the others from the shipped one)",
                )
        elements = [self.elements[symbol] for symbol in symbols]
        kinds = kinds.astype(np.int64)

        def each(name: str) -> np.ndarray:
            return np.array([getattr(element, name) for element in elements], float)[kinds]

        radii = np.array([element.radius for element in elements])
        return AtomParameters(
            kinds=kinds,
            symbols=symbols,
            exponents=self.lambda_ / (2.0 * radii**2),
            chi=each("chi"),
            eta=each("eta"),
            spring=each("spring") / KCAL_PER_EV,
            shell=each("Z"),
        )

    def with_values(self, values: Mapping[str, Mapping[str, float]]) -> "PQEqParameters":
        """Return a copy with some numbers of some elements changed, {"Li": {"chi": 3.9}}."""
        elements = dict(self.elements)
        for symbol, changes in values.items():
            if symbol not in elements:
                raise InputError("no such element", where=self.name, got=symbol, do=nearest(symbol, elements))
            _check_keys(changes, _ELEMENT_KEYS, f"{self.name}: {symbol}")
            elements[symbol] = replace(elements[symbol], **changes)
        return replace(self, elements=elements)

    def todict(self) -> dict[str, Any]:
        """Return plain values in the form of a parameter file."""
        return {
            "name": self.name,
            "coulomb": self.coulomb,
            "lambda": self.lambda_,
            "source": self.source,
            "notes": self.notes,
            "elements": {
                symbol: {key: getattr(element, key) for key in _ELEMENT_KEYS}
                for symbol, element in self.elements.items()
            },
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "parameters") -> "PQEqParameters":
        """Check and read the form of a parameter file.

        A key ``base`` names a set whose elements and constants hold unless the file gives its own.

        Raises
        ------
        InputError
            Unknown or missing keys, no element, a number that cannot be; the message names file and key.
        """
        if not isinstance(values, Mapping):
            raise InputError(
                "not PQEq parameters", where=where, expected=f"keys {', '.join(_KEYS)}", got=values
            )
        _check_keys(values, _KEYS, where)
        base = load_parameters(values["base"]) if "base" in values else cls({})
        given = values.get("elements")
        if not isinstance(given, Mapping) or not given:
            raise InputError("missing key", where=where, expected="elements", got=given)
        shell = values.get("Z", 1.0)
        elements = {
            str(symbol): _read_element(str(symbol), entry, shell, f"{where}: elements.{symbol}")
            for symbol, entry in given.items()
        }
        return cls(
            elements={**base.elements, **elements},
            coulomb=_positive(values.get("coulomb", base.coulomb), f"{where}: coulomb"),
            lambda_=_positive(values.get("lambda", base.lambda_), f"{where}: lambda"),
            name=str(values.get("name", where)),
            source=str(values.get("source", base.source)).strip(),
            notes=str(values.get("notes", "")).strip(),
        )


def _check_keys(values: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for key in values:
        if key not in known:
            raise InputError("unknown key", where=where, got=key, do=nearest(str(key), known))


def _positive(value: Any, where: str) -> float:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (number and math.isfinite(value) and value > 0):
        raise InputError("not a usable number", where=where, expected="a positive number", got=value)
    return float(value)


def _read_element(symbol: str, values: Any, shell: Any, where: str) -> PQEqElement:
    if symbol not in atomic_numbers or symbol == "X":
        raise InputError("not a chemical symbol", where=where, got=symbol)
    if not isinstance(values, Mapping):
        raise InputError("not an element", where=where, expected=", ".join(_ELEMENT_KEYS), got=values)
    _check_keys(values, _ELEMENT_KEYS, where)
    values = {"Z": shell, **values}
    numbers = {key: values.get(key) for key in _ELEMENT_KEYS}
    chi = numbers.pop("chi")
    if not isinstance(chi, (int, float)) or isinstance(chi, bool) or not math.isfinite(chi):
        raise InputError("not a usable number", where=f"{where}.chi", expected="a number, eV", got=chi)
    positive = {key: _positive(value, f"{where}.{key}") for key, value in numbers.items()}
    return PQEqElement(chi=float(chi), **positive)


def load_parameters(parameters: "str | Path | Mapping[str, Any] | PQEqParameters") -> PQEqParameters:
    """Return parameters from the shipped name ``"pqeq"``, a YAML file, its contents, or themselves.

    Raises
    ------
    InputError
        Neither of these, or contents that cannot be; see `PQEqParameters.from_dict`.
    """
    if isinstance(parameters, PQEqParameters):
        return parameters
    if isinstance(parameters, Mapping):
        return PQEqParameters.from_dict(parameters)
    if str(parameters) == DEFAULT:
        return _shipped()
    if not Path(parameters).is_file():
        raise InputError(
            "neither the shipped set nor a file",
            where="parameters",
            expected=f"{DEFAULT} or a YAML file",
            got=str(parameters),
        )
    try:
        values = yaml.safe_load(Path(parameters).read_text())
    except yaml.YAMLError as error:
        raise InputError("not a YAML file", where=str(parameters), got=str(error)) from None
    return PQEqParameters.from_dict(values, where=str(parameters))


@cache
def _shipped() -> PQEqParameters:
    text = resources.files("asennp.data").joinpath("potentials", f"{DEFAULT}.yaml").read_text()
    return PQEqParameters.from_dict(yaml.safe_load(text), where=DEFAULT)
