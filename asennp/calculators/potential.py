"""Buckingham parameter sets: small files of species, charges and pairs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy.optimize import brentq

from asennp.electrostatics.charges import check_charges
from asennp.electrostatics.pqeq_parameters import DEFAULT as PQEQ
from asennp.errors import InputError, nearest
from asennp.units import COULOMB_EV_A

_KEYS = ("name", "species", "charges", "pairs", "cutoff", "source", "notes")
_PAIR_KEYS = ("A", "rho", "C")


@dataclass(frozen=True)
class Potential:
    """A rigid-ion Buckingham potential, A exp(-r/rho) - C/r^6 for each pair of species.

    Attributes
    ----------
    name
        Name, or the file's.
    charges
        Charge of each species, e.
    pairs
        (A eV, rho Å, C eV Å^6) of each pair of species "X-Y", None where there is no short-range term.
    cutoff
        Cut-off of the short-range terms, Å.
    source, notes
        Where the parameters come from, and what to know.
    """

    name: str
    charges: dict[str, float]
    pairs: dict[str, tuple[float, float, float] | None]
    cutoff: float = 10.0
    source: str = ""
    notes: str = ""

    @property
    def species(self) -> tuple[str, ...]:
        """Chemical symbols, in the file's order."""
        return tuple(self.charges)

    def pair(self, a: str, b: str) -> tuple[float, float, float] | None:
        """Return the parameters of a pair of species in either order."""
        return self.pairs[f"{a}-{b}"] if f"{a}-{b}" in self.pairs else self.pairs[f"{b}-{a}"]

    def todict(self) -> dict[str, Any]:
        """Return plain values in the form of a potential file."""
        return {
            "name": self.name,
            "species": list(self.species),
            "charges": dict(self.charges),
            "pairs": {
                key: "none" if value is None else dict(zip(_PAIR_KEYS, value))
                for key, value in self.pairs.items()
            },
            "cutoff": self.cutoff,
            "source": self.source,
            "notes": self.notes,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "potential") -> "Potential":
        """Check and read the form of a potential file.

        Raises
        ------
        InputError
            Unknown or missing keys, species, pairs or numbers; the message names the file and the key.
        """
        if not isinstance(values, Mapping):
            raise InputError("not a potential", where=where, expected=f"keys {', '.join(_KEYS)}", got=values)
        for key in values:
            if key not in _KEYS:
                raise InputError("unknown key", where=where, got=key, do=nearest(str(key), _KEYS))
        for key in ("species", "charges", "pairs"):
            if not values.get(key):
                raise InputError("missing key", where=where, expected=key)
        species = [str(s) for s in values["species"]]
        charges = check_charges(values["charges"], where=f"{where}: charges")
        if sorted(charges) != sorted(species):
            raise InputError(
                "charges do not match the species", where=f"{where}: charges", expected=species, got=charges
            )
        return cls(
            name=str(values.get("name", where)),
            charges={s: charges[s] for s in species},
            pairs=_read_pairs(values["pairs"], species, where),
            cutoff=_number(values.get("cutoff", 10.0), f"{where}: cutoff", positive=True),
            source=str(values.get("source", "")).strip(),
            notes=str(values.get("notes", "")).strip(),
        )


def _number(value: Any, where: str, positive: bool = False) -> float:
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not good or value < 0 or (positive and value == 0):
        raise InputError(
            "not a usable number",
            where=where,
            expected="a positive number" if positive else ">= 0",
            got=value,
        )
    return float(value)


def _read_pairs(
    values: Mapping[str, Any], species: list[str], where: str
) -> dict[str, tuple[float, float, float] | None]:
    wanted = {
        f"{a}-{b}": (f"{a}-{b}", f"{b}-{a}") for n, a in enumerate(species) for b in species[n:]
    }  # fmt: skip
    known = [name for names in wanted.values() for name in names]
    for key in values:
        if key not in known:
            raise InputError("unknown pair", where=f"{where}: pairs", got=key, do=nearest(str(key), wanted))
    pairs: dict[str, tuple[float, float, float] | None] = {}
    for key, names in wanted.items():
        given = [name for name in dict.fromkeys(names) if name in values]
        if len(given) != 1:
            raise InputError(
                "a pair must be given once ('none' where it has no short-range term)",
                where=f"{where}: pairs",
                expected=key,
                got=given or "nothing",
            )
        value, place = values[given[0]], f"{where}: pairs.{key}"
        if value is None or value == "none":
            pairs[key] = None
            continue
        if not isinstance(value, Mapping) or sorted(value) != sorted(_PAIR_KEYS):
            raise InputError(
                "not a Buckingham pair", where=place, expected="A, rho and C, or 'none'", got=value
            )
        a, rho, c = (_number(value[k], f"{place}.{k}", positive=k == "rho") for k in _PAIR_KEYS)
        pairs[key] = (a, rho, c)
    return pairs


def known_potentials() -> list[str]:
    """Return the names of the shipped Buckingham potentials."""
    folder = resources.files("asennp.data").joinpath("potentials")
    names = [entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")]
    return sorted(name for name in names if name != PQEQ)


def load_potential(potential: "str | Path | Mapping[str, Any] | Potential") -> Potential:
    """Return a potential from a shipped name, a YAML file, its contents, or itself."""
    if isinstance(potential, Potential):
        return potential
    if isinstance(potential, Mapping):
        return Potential.from_dict(potential)
    known = known_potentials()
    if str(potential) in known:
        text = resources.files("asennp.data").joinpath("potentials", f"{potential}.yaml").read_text()
    elif Path(potential).is_file():
        text = Path(potential).read_text()
    else:
        raise InputError(
            "neither a shipped potential nor a file",
            where="potential",
            got=str(potential),
            do=nearest(str(potential), known),
        )
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError("not a YAML file", where=str(potential), got=str(error)) from None
    return Potential.from_dict(values, where=str(potential))


def inner_maximum(
    parameters: tuple[float, float, float] | None, charge_product: float
) -> tuple[float, float, float]:
    """Find where a pair's curve, bare Coulomb included, turns down towards the catastrophe at r = 0.

    Returns the position (Å), height (eV) and absolute curvature (eV/Å^2) of the innermost maximum of
    A exp(-r/rho) - C/r^6 + q_i q_j/(4 pi eps0 r), or zeros if the curve has none.
    """
    if parameters is None:
        return 0.0, 0.0, 0.0
    a, rho, c = parameters
    k = COULOMB_EV_A * charge_product

    def slope(r: float) -> float:
        return float(-a / rho * np.exp(-r / rho) + 6.0 * c / r**7 - k / r**2)

    radii = np.geomspace(0.02, 6.0, 2000)
    slopes = np.array([slope(r) for r in radii])
    turns = np.flatnonzero((slopes[:-1] > 0) & (slopes[1:] <= 0))
    if not (c > 0 or k < 0) or len(turns) == 0:
        return 0.0, 0.0, 0.0
    r = float(brentq(slope, radii[turns[0]], radii[turns[0] + 1], xtol=1e-14))
    height = a * math.exp(-r / rho) - c / r**6 + k / r
    curvature = a / rho**2 * math.exp(-r / rho) - 42.0 * c / r**8 + 2.0 * k / r**3
    return r, height, abs(curvature)
