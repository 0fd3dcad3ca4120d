import re
from html.parser import HTMLParser

import numpy as np
import pytest

from asennp.errors import InputError
from asennp.report import (
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
    write_report,
)
from asennp.report.figures import plot_curves, plot_map

VOID = {"meta", "br", "hr", "img", "input", "link"}


class Balance(HTMLParser):
    """Follows the tags of a page and keeps ids and everything a browser might load."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.loads, self.tags = [], [], [], []

    def handle_starttag(self, tag, attributes):
        self.note(tag, attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.note(tag, attributes)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()

    def note(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "xlink:href", "data", "action", "srcset"):
                self.loads.append(value)


def curves():
    x = np.arange(5)
    return plot_curves({"Force MAE (meV/Å)": {"hybrid": (x, 5.0 - x), "direct": (x, 9.0 - x)}}, "Frames")


def density():
    visits = np.outer(np.arange(6), np.arange(8))
    return plot_map(np.linspace(-10, 0, 7), np.linspace(0, 64, 9), visits, -1.0 * visits)


def sections():
    table = Table(
        ["Method", ("Energy MAE", "meV/atom"), ("Stable", "")],
        [["hybrid", Measured(2.91, 0.2, "better"), Check("x", True, "all")], ["<b>bold</b>", 4.5, False]],
        caption="Errors & intervals",
        best=[1],
    )
    return [
        Section("Results", ["A <script>alert(1)</script> text.", table], lead="5 < 6"),
        Section("Results", [Side([Figure(curves(), "Curves"), Figure(density(), 'A "map"')])]),
        Section(
            "Checks",
            [
                Tiles([Tile("Energy", "2.91 meV/atom", "note")]),
                Checks([Check("floor", False, "9 meV", "≤ 8"), Check("offered", None)]),
                Note("mind this", "warning"),
                Details("more", ["inside", "key: <1>\nother: 2", table]),
            ],
        ),
    ]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    return write_report(path, sections(), title="A & B", facts={"Seed": 1, "Teacher": "<none>"}).read_text()


@pytest.fixture(scope="module")
def parsed(page):
    parser = Balance()
    parser.feed(page)
    parser.close()
    return parser


def test_tags_are_balanced_and_ids_unique(parsed):
    assert parsed.open == []
    assert len(parsed.ids) == len(set(parsed.ids))
    assert {"results", "results-2", "checks"} <= set(parsed.ids)


def test_nothing_is_loaded(page, parsed):
    assert all(load.startswith(("#", "data:image/png;base64,")) for load in parsed.loads)
    assert "http" not in page and "@import" not in page and "javascript:" not in page
    assert not {"script", "link", "iframe", "object"} & set(parsed.tags)
    assert re.findall(r"url\((?!#)", page) == []


def test_every_reference_has_its_target(page, parsed):
    targets = {load[1:] for load in parsed.loads if load.startswith("#")}
    targets |= set(re.findall(r"url\(#([^)]+)\)", page))
    assert targets and targets <= set(parsed.ids)


def test_text_is_escaped(page):
    assert "<script>" not in page and "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<b>bold</b>" not in page and "&lt;b&gt;bold&lt;/b&gt;" in page
    assert "<title>A &amp; B</title>" in page and "&lt;none&gt;" in page
    assert 'aria-label="A &quot;map&quot;"' in page


def test_tables_carry_units_intervals_and_badges(page):
    assert '<th scope="col" class="number">Energy MAE <span class="unit">meV/atom</span></th>' in page
    assert '<strong><span class="better">2.9 ± 0.2</span></strong>' in page
    assert '<span class="badge pass">pass</span> all' in page
    assert '<span class="badge fail">fail</span>' in page and "required ≤ 8" in page
    assert '<th scope="row">hybrid</th>' in page


def test_text_of_several_lines_keeps_them(page):
    assert "<pre>key: &lt;1&gt;\nother: 2</pre>" in page


def test_figures_and_tables_are_numbered(page):
    assert [int(n) for n in re.findall(r"<b>Figure (\d+)\.</b>", page)] == [1, 2]
    assert [int(n) for n in re.findall(r"<b>Table (\d+)\.</b>", page)] == [1, 2]


def test_figures_follow_the_theme(page):
    svg = page[page.index("<svg") : page.index("</svg>")]
    assert "var(--blue, #2f6fb5)" in svg and "var(--ink" in svg
    assert "<style" not in svg  # a style inside would reach the whole page
    assert "prefers-color-scheme: dark" in page and "@media print" in page


def test_same_input_same_bytes(page, tmp_path):
    again = write_report(
        tmp_path / "r.html", sections(), title="A & B", facts={"Seed": 1, "Teacher": "<none>"}
    )
    assert again.read_text() == page


def test_a_short_row_is_refused():
    with pytest.raises(InputError, match="row does not match"):
        Table(["a", "b"], [["only one"]])
