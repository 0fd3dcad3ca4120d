"""What a stage hands back."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class StageOutput:
    """The files later stages read, the numbers the report shows, and one line for the terminal."""

    files: list[Path]
    headline: str
    summary: dict[str, Any] = field(default_factory=dict)
