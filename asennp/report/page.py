"""One page that needs nothing but itself: style, figures and tables are inside."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from asennp.files import write_atomic
from asennp.report.stylesheet import STYLESHEET
from asennp.report.tables import Counter, Section, escape, render


def _anchor(title: str, taken: set[str]) -> str:
    """Return a readable id that is not taken yet."""
    base = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "section"
    name, k = base, 2
    while name in taken:
        name, k = f"{base}-{k}", k + 1
    taken.add(name)
    return name


def _section(section: Section, anchor: str, counter: Counter) -> str:
    lead = f'<p class="lead">{escape(section.lead)}</p>' if section.lead else ""
    body = "\n".join(render(block, counter) for block in section.blocks)
    return f'<section id="{anchor}"><h2>{escape(section.title)}</h2>{lead}\n{body}\n</section>'


def render_report(
    sections: Sequence[Section],
    title: str = "Report",
    subtitle: str = "",
    facts: Mapping[str, object] | None = None,
) -> str:
    """Return the page as text; see `write_report`."""
    taken = {"top", "contents"}
    anchors = [_anchor(section.title, taken) for section in sections]
    counter = Counter()
    body = "\n".join(_section(s, a, counter) for s, a in zip(sections, anchors))
    links = "".join(f'<li><a href="#{a}">{escape(s.title)}</a></li>' for s, a in zip(sections, anchors))
    shown = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in (facts or {}).items()
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<style>
{STYLESHEET}
</style>
</head>
<body id="top">
<header>
<h1>{escape(title)}</h1>
{f'<p class="subtitle">{escape(subtitle)}</p>' if subtitle else ""}
{f'<dl class="facts">{shown}</dl>' if shown else ""}
</header>
<div class="columns">
<nav aria-label="Contents"><p>Contents</p><ol>{links}</ol></nav>
<main>
{body}
</main>
</div>
<footer><p>Written by asennp. This page is one file and loads nothing from anywhere.</p></footer>
</body>
</html>
"""


def write_report(
    path: str | Path,
    sections: Sequence[Section],
    title: str = "Report",
    subtitle: str = "",
    facts: Mapping[str, object] | None = None,
) -> Path:
    """Write one self-contained HTML page; the same input gives the same bytes.

    Parameters
    ----------
    path
        Where to write; the file appears whole or not at all.
    sections
        In reading order (see `asennp.report.tables` for their blocks). All text is escaped.
    title, subtitle
        Head of the page.
    facts
        {name: value} of the run, shown in the head: preset, version, seed, time.
    """
    return write_atomic(path, render_report(sections, title, subtitle, facts))
