"""The blocks a report is made of, and how each one reads as HTML."""

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from asennp.errors import InputError
from asennp.report.numbers import format_measured, format_number
from asennp.report.svg import to_svg


def escape(text: object) -> str:
    """Return text safe inside HTML."""
    return html.escape(str(text), quote=True)


@dataclass(frozen=True)
class Measured:
    """A number with its uncertainty, printed "12.3 ± 0.4"; `verdict` colours it."""

    value: float
    half_width: float | None = None
    verdict: Literal["", "better", "worse", "tie"] = ""

    @classmethod
    def of(cls, interval: Any, verdict: Literal["", "better", "worse", "tie"] = "") -> "Measured":
        """Take anything with ``mean``, ``low`` and ``high``."""
        return cls(interval.mean, 0.5 * (interval.high - interval.low), verdict)


@dataclass(frozen=True)
class Check:
    """A floor check: what was asked, what came, and whether it holds (None: not applicable)."""

    name: str
    passed: bool | None
    got: str = ""
    required: str = ""


Value = str | int | float | bool | Measured | Check | None


@dataclass(frozen=True)
class Table:
    """A table with units in its head; numbers are aligned and printed with `digits` digits.

    Attributes
    ----------
    columns
        Names, or (name, unit) pairs; the first column names the rows.
    rows
        One value a column; text, numbers, `Measured`, `Check` (a badge) or None.
    caption, note
        Above and below.
    digits
        Significant digits of bare numbers.
    best
        Columns (indices) whose smallest number is set bold.
    """

    columns: Sequence[str | tuple[str, str]]
    rows: Sequence[Sequence[Value]]
    caption: str = ""
    note: str = ""
    digits: int = 3
    best: Sequence[int] = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise InputError(
                    "a row does not match the columns",
                    where="Table",
                    expected=len(self.columns),
                    got=len(row),
                )


@dataclass(frozen=True)
class Figure:
    """A picture with its caption; `figure` is a matplotlib figure.

    `label` describes it to readers who do not see it (default: the caption).
    """

    figure: Any
    caption: str
    label: str = ""


@dataclass(frozen=True)
class Tile:
    """One headline number: label, value (with unit), a line below."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Tiles:
    """Headline numbers side by side."""

    tiles: Sequence[Tile]


@dataclass(frozen=True)
class Checks:
    """Floor checks as a list of badges with their numbers."""

    checks: Sequence[Check]


@dataclass(frozen=True)
class Note:
    """A remark set apart: "info", or "warning" for what the reader must not miss."""

    text: str
    kind: Literal["info", "warning"] = "info"


@dataclass(frozen=True)
class Side:
    """Blocks side by side where the screen is wide enough."""

    blocks: Sequence["Block"]


@dataclass(frozen=True)
class Details:
    """Blocks folded away under a summary line."""

    summary: str
    blocks: Sequence["Block"]


Block = str | Table | Figure | Tiles | Checks | Note | Side | Details


@dataclass(frozen=True)
class Section:
    """A section of the report; plain strings are paragraphs, those of several lines are shown as they are."""

    title: str
    blocks: Sequence[Block] = field(default_factory=tuple)
    lead: str = ""


@dataclass
class Counter:
    """Numbers figures and tables through the page."""

    figures: int = 0
    tables: int = 0


def _badge(check: Check) -> str:
    kind, word = {True: ("pass", "pass"), False: ("fail", "fail"), None: ("none", "n/a")}[check.passed]
    return f'<span class="badge {kind}">{word}</span>'


def _cell(value: Value, digits: int) -> str:
    """Return the HTML of one cell."""
    if value is None:
        return "—"
    if isinstance(value, Check):
        return _badge(value) + (f" {escape(value.got)}" if value.got else "")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Measured):
        text = escape(format_measured(value.value, value.half_width))
        return f'<span class="{value.verdict}">{text}</span>' if value.verdict else text
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\u202f").replace("-", "−")
    return escape(format_number(value, digits))


def _number(value: Value) -> float | None:
    if isinstance(value, Measured):
        return value.value
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _table(table: Table, counter: Counter) -> str:
    counter.tables += 1
    numeric = [any(_number(row[k]) is not None for row in table.rows) for k in range(len(table.columns))]
    best: dict[int, int] = {}
    for k in table.best:
        known = [(number, i) for i, row in enumerate(table.rows) if (number := _number(row[k])) is not None]
        if known:
            best[k] = min(known)[1]
    heads = []
    for k, column in enumerate(table.columns):
        name, unit = (column, "") if isinstance(column, str) else column
        shown = f' <span class="unit">{escape(unit)}</span>' if unit else ""
        heads.append(f'<th scope="col"{_aligned(numeric[k])}>{escape(name)}{shown}</th>')
    body = []
    for i, row in enumerate(table.rows):
        cells = []
        for k, value in enumerate(row):
            text = _cell(value, table.digits)
            if best.get(k) == i:
                text = f"<strong>{text}</strong>"
            right = _aligned(numeric[k])
            cells.append(f'<th scope="row">{text}</th>' if k == 0 else f"<td{right}>{text}</td>")
        body.append(f"<tr>{''.join(cells)}</tr>")
    caption = (
        f"<caption><b>Table {counter.tables}.</b> {escape(table.caption)}</caption>" if table.caption else ""
    )
    note = f'<p class="footnote">{escape(table.note)}</p>' if table.note else ""
    return (
        f'<div class="table"><div class="scroll" tabindex="0"><table>{caption}'
        f"<thead><tr>{''.join(heads)}</tr></thead>\n<tbody>"
        + "\n".join(body)
        + f"</tbody></table></div>{note}</div>"
    )


def _aligned(right: bool) -> str:
    return ' class="number"' if right else ""


def _figure(block: Figure, counter: Counter) -> str:
    counter.figures += 1
    svg = to_svg(block.figure, f"f{counter.figures}", block.label or block.caption)
    caption = f"<figcaption><b>Figure {counter.figures}.</b> {escape(block.caption)}</figcaption>"
    return f'<figure><div class="scroll">{svg}</div>\n{caption}</figure>'


def _with_unit(text: str) -> str:
    """Set what follows a number in smaller type."""
    number, _, unit = text.partition(" ")
    known = bool(unit) and " " not in unit and number[-1:].isdigit()
    return f'{escape(number)} <span class="unit">{escape(unit)}</span>' if known else escape(text)


def _tiles(block: Tiles) -> str:
    shown = [
        f'<div class="tile"><dt>{escape(t.label)}</dt><dd class="value">{_with_unit(t.value)}</dd>'
        + (f'<dd class="note">{escape(t.note)}</dd>' if t.note else "")
        + "</div>"
        for t in block.tiles
    ]
    return f'<dl class="tiles">{"".join(shown)}</dl>'


def _checks(block: Checks) -> str:
    rows = [
        f'<li>{_badge(c)} <span class="name">{escape(c.name)}</span> '
        f'<span class="got">{escape(c.got)}</span> '
        + (f'<span class="required">required {escape(c.required)}</span>' if c.required else "")
        + "</li>"
        for c in block.checks
    ]
    return f'<ul class="checks">{"".join(rows)}</ul>'


def render(block: Block, counter: Counter) -> str:
    """Return a block as HTML; figures and tables take their numbers from `counter`."""
    if isinstance(block, str):
        return f"<pre>{escape(block)}</pre>" if "\n" in block else f"<p>{escape(block)}</p>"
    if isinstance(block, Note):
        return f'<p class="remark {block.kind}">{escape(block.text)}</p>'
    if isinstance(block, Side):
        return f'<div class="side">{_all(block.blocks, counter)}</div>'
    if isinstance(block, Details):
        inside = _all(block.blocks, counter)
        return f"<details><summary>{escape(block.summary)}</summary>{inside}</details>"
    numbered: dict[type, Callable[[Any, Counter], str]] = {Table: _table, Figure: _figure}
    if type(block) in numbered:
        return numbered[type(block)](block, counter)
    plain: dict[type, Callable[[Any], str]] = {Tiles: _tiles, Checks: _checks}
    return plain[type(block)](block)


def _all(blocks: Sequence[Block], counter: Counter) -> str:
    return "\n".join(render(block, counter) for block in blocks)
