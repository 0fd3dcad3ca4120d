"""Words that the sections share."""

from collections.abc import Mapping
from typing import Any

from asennp.evaluate import Interval

Summaries = Mapping[str, Any]
Row = list[Any]

#: Quantity -> its name and unit in tables.
QUANTITY = {"energy": ("Energy", "meV/atom"), "forces": ("Forces", "meV/Å"), "stress": ("Stress", "MPa")}
#: Set of frames -> its name in tables.
SET = {"test": "test set", "tensile": "unseen tensile"}


def interval_of(values: Mapping[str, Any]) -> Interval:
    """Return the interval that a summary's row holds among other things."""
    return Interval(**{name: values[name] for name in Interval.__dataclass_fields__})
