"""From a figure to a fragment of SVG that can stand in a page beside others."""

import io
import re
from typing import Any

from asennp.report.style import RC, TOKENS

_TOKEN_OF = {light: name for name, (light, _) in TOKENS.items()}
#: CSS pixels a point of the figure takes on the page.
PIXELS_PER_POINT = 1.5


def _keep_used_ids(svg: str, key: str) -> str:
    """Drop ids nobody refers to and put `key` before the others: a page has each id once."""
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg))
    svg = re.sub(r' id="([^"]*)"', lambda m: f' id="{key}-{m[1]}"' if m[1] in used else "", svg)
    return re.sub(r'(url\(#|href="#)', rf"\g<1>{key}-", svg)


def _theme(svg: str) -> str:
    """Let colours of the house style follow the page's theme; the light one is the fallback."""

    def variable(match: re.Match[str]) -> str:
        name = _TOKEN_OF.get(match[2].lower())
        return f"{match[1]}: var(--{name}, {match[2]})" if name else match[0]

    svg = re.sub(r"(fill|stroke): (#[0-9a-fA-F]{6})", variable, svg)
    # text without a colour of its own is black: let it be ink
    return re.sub(r'(<text style=")(?![^"]*fill:)', r"\1fill: var(--ink, #1d2733); ", svg)


def to_svg(figure: Any, key: str, label: str = "") -> str:
    """Return a figure as an inline ``<svg>`` element: no header, no metadata, no fonts of its own.

    Parameters
    ----------
    figure
        A `matplotlib.figure.Figure`.
    key
        Prefix of the ids inside, unique on the page.
    label
        Text for readers who do not see the picture.
    """
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context(RC):
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", metadata=nothing, transparent=True)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r" font-family: [^;\"]*;?", "", svg)
    svg = svg.replace("xlink:href", "href")
    svg = _theme(_keep_used_ids(svg, key))
    svg = re.sub(r"\s*\n\s*", " ", svg)
    # coordinates to a thousandth of a point
    svg = re.sub(r"(\d\.\d{3})\d+", r"\1", svg)
    svg = re.sub(r"> <", ">\n<", svg)
    view = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    assert view is not None
    wide = float(view[1]) * PIXELS_PER_POINT
    kind = ' class="wide"' if wide > 600 else ""
    head = (
        f'<svg{kind} viewBox="{view[0][9:-1]}" role="img" aria-label="{_attribute(label)}" '
        f'style="max-width: {wide:.0f}px" stroke-linejoin="round">'
    )
    return head + svg[svg.index(">") + 1 :].strip()


def _attribute(text: str) -> str:
    import html

    return html.escape(text, quote=True)
