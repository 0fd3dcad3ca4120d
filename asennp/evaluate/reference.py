"""Published values to stand beside: read from the shipped tables or from a user's file of the same form."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from asennp.errors import InputError, nearest
from asennp.results import Result

_FIELDS = ("phase", "property", "value", "unit", "method", "source")


@dataclass(frozen=True, eq=False)
class ReferenceValue(Result):
    """One published number.

    Attributes
    ----------
    phase, property
        Of what; properties have the names of the results' tables: a, c, u, C11, bulk, formation ...
    value, unit
        The number and its unit.
    method
        "experiment", a functional, or a model's name.
    source, doi
        Citation, and DOI (empty where the source has none).
    """

    phase: str
    property: str
    value: float
    unit: str
    method: str
    source: str
    doi: str


@dataclass(frozen=True, eq=False)
class ReferenceTable(Result):
    """All published values of a compound.

    Attributes
    ----------
    compound
        Formula.
    values
        The numbers, in the file's order.
    """

    compound: str
    values: tuple[ReferenceValue, ...]

    def find(
        self, phase: str | None = None, property: str | None = None, method: str | None = None
    ) -> tuple[ReferenceValue, ...]:
        """Return the values of a phase, property and method; None takes all."""
        asked = {"phase": phase, "property": property, "method": method}
        return tuple(v for v in self.values if all(w is None or getattr(v, k) == w for k, w in asked.items()))

    def by_method(self, phase: str) -> dict[str, dict[str, float]]:
        """Return {method: {property: value}} of a phase, for a table with one column a method."""
        table: dict[str, dict[str, float]] = {}
        for v in self.find(phase):
            table.setdefault(v.method, {})[v.property] = v.value
        return table


def reference_names() -> list[str]:
    """Return the names of the shipped tables."""
    folder = files("asennp.data") / "reference"
    return sorted(
        entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")
    )


def load_reference(source: str | Path) -> ReferenceTable:
    """Read a shipped table by its name ("zno", "mgo", "ni", "pbtio3"), or a YAML file of the same form.

    The file has ``compound``, ``sources`` ({key: {citation, doi}}) and ``values``: rows of phase, property,
    value, unit, method and the key of a source.

    Raises
    ------
    InputError
        No such table or file, missing keys, a row of another form, a source that is not listed.
    """
    where = str(source)
    if where.lower() in (names := reference_names()):
        text = (files("asennp.data") / "reference" / f"{where.lower()}.yaml").read_text(encoding="utf-8")
    elif Path(source).is_file():
        text = Path(source).read_text(encoding="utf-8")
    else:
        raise InputError("no such reference table", where="reference", got=where, do=nearest(where, names))
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError("not YAML", where=where, got=str(error)) from None
    missing = [key for key in ("compound", "sources", "values") if key not in (content or {})]
    if missing:
        raise InputError(f"no {missing[0]}", where=where, expected="compound, sources, values")
    rows = [_row(row, content["sources"], f"{where}: values[{k}]") for k, row in enumerate(content["values"])]
    return ReferenceTable(str(content["compound"]), tuple(rows))


def _row(row: Any, sources: Mapping[str, Mapping[str, str]], where: str) -> ReferenceValue:
    if not isinstance(row, list) or len(row) != len(_FIELDS) or not isinstance(row[2], int | float):
        raise InputError("not a row of the table", where=where, expected=", ".join(_FIELDS), got=row)
    if row[5] not in sources:
        raise InputError("unknown source", where=where, got=row[5], do=nearest(str(row[5]), sources))
    source = sources[row[5]]
    return ReferenceValue(
        phase=str(row[0]), property=str(row[1]), value=float(row[2]), unit=str(row[3]), method=str(row[4]),
        source=str(source["citation"]), doi=str(source.get("doi") or ""),
    )  # fmt: skip
