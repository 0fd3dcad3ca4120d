"""Results are frozen dataclasses that go to JSON and come back the same."""

import dataclasses
import types
import typing
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from ase import Atoms

from asennp.files import read_json, write_json


def _encode(value: Any) -> Any:
    if isinstance(value, Result):
        return {f.name: _encode(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Atoms):
        return {
            "symbols": str(value.symbols),
            "positions": value.positions.tolist(),
            "cell": value.cell.array.tolist(),
            "pbc": value.pbc.tolist(),
        }
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {str(key): _encode(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_encode(item) for item in value]
    return value


def _decode(hint: Any, value: Any) -> Any:
    if value is None:
        return None
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _decode(next(a for a in arguments if a is not type(None)), value)
    if origin is tuple:
        kinds = [arguments[0]] * len(value) if arguments[-1:] == (...,) else arguments
        return tuple(_decode(kind, item) for kind, item in zip(kinds, value))
    if origin is list:
        return [_decode(arguments[0], item) for item in value]
    if origin is dict:
        return {arguments[0](key): _decode(arguments[1], item) for key, item in value.items()}
    if hint is np.ndarray or origin is np.ndarray:
        return np.array(value)
    if hint is Atoms:
        return Atoms(**value)
    if isinstance(hint, type) and issubclass(hint, Result):
        return hint.from_dict(value)
    return value


class Result:
    """Base of all results: subclasses are ``@dataclass(frozen=True, eq=False)`` with typed fields.

    Fields may be numbers, text, ``np.ndarray``, ``ase.Atoms``, other results, and tuples, lists or
    dicts of these (dict keys: str, int or float).
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return typing.cast(dict[str, Any], _encode(self))

    def to_json(self, path: str | Path) -> Path:
        """Write the fields as JSON, atomically."""
        return write_json(path, self.to_dict())

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Rebuild a result from `to_dict`'s form."""
        hints = typing.get_type_hints(cls)
        return cls(**{name: _decode(hints[name], value) for name, value in values.items()})

    @classmethod
    def from_json(cls, path: str | Path) -> Self:
        """Read a result written by `to_json`."""
        return cls.from_dict(read_json(path))
