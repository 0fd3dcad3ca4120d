"""Figures, tables and one offline page from results; nothing is computed here."""

from asennp.report.page import write_report
from asennp.report.tables import (
    Check,
    Checks,
    Details,
    Figure,
    Measured,
    Note,
    Section,
    Side,
    Table,
    Tile,
    Tiles,
)

__all__ = [
    "Check",
    "Checks",
    "Details",
    "Figure",
    "Measured",
    "Note",
    "Section",
    "Side",
    "Table",
    "Tile",
    "Tiles",
    "write_report",
]
