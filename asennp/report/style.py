"""The house style of every figure: colours, sizes, type, and the bare axes they start from.

Colours are tokens: in the page they follow the reader's light or dark theme (see `asennp.report.svg`).
"""

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

#: name -> (on a light page, on a dark page)
TOKENS = {
    "ink": ("#1d2733", "#e6ebf1"),
    "muted": ("#5f6b7a", "#9aa7b5"),
    "rule": ("#b9c2cc", "#48535f"),
    "grid": ("#e4e9ef", "#2b343e"),
    "paper": ("#fdfefe", "#161c23"),
    "blue": ("#2f6fb5", "#6ea9ea"),
    "amber": ("#d97f1e", "#f0a650"),
    "green": ("#2f9e6e", "#5fca9a"),
    "magenta": ("#b04a8c", "#d98abc"),
    "red": ("#cf4a45", "#f1837c"),
    "teal": ("#1f9bb0", "#58c6d8"),
    "slate": ("#76828f", "#a5b0bc"),
}
INK, MUTED, RULE, GRID, PAPER = (TOKENS[name][0] for name in ("ink", "muted", "rule", "grid", "paper"))
BLUE, AMBER, GREEN, MAGENTA, RED, TEAL, SLATE = (
    TOKENS[name][0] for name in ("blue", "amber", "green", "magenta", "red", "teal", "slate")
)
SERIES = (BLUE, AMBER, GREEN, MAGENTA, TEAL, RED, SLATE)

#: One thing keeps one colour through the whole report.
KNOWN = {
    "hybrid": BLUE,
    "direct": SLATE,
    "transferred": AMBER,
    "pretrained": GREEN,
    "teacher": INK,
    "test": BLUE,
    "unseen tensile": AMBER,
    "wurtzite": BLUE,
    "zincblende": GREEN,
    "rocksalt": AMBER,
    "rock salt": AMBER,
}

#: Widths in inches: the column, and half of it.
FULL, HALF = 7.6, 3.7
#: Sequential colour map of densities and surfaces (even in lightness, safe for colour-blind readers).
COLOUR_MAP = "viridis"
#: Points of a line beyond this many are thinned: no eye can tell, and the page stays small.
MAX_POINTS = 1200

#: matplotlib's settings while a figure is made and saved.
RC: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.0,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 7.0,
    "axes.titlecolor": INK,
    "axes.labelsize": 8.0,
    "axes.labelcolor": INK,
    "axes.edgecolor": RULE,
    "axes.facecolor": "none",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "axes.formatter.use_mathtext": False,
    "axes.formatter.useoffset": False,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.major.size": 3.0,
    "ytick.major.size": 0.0,
    "xtick.minor.size": 0.0,
    "ytick.minor.size": 0.0,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "legend.handlelength": 1.4,
    "legend.borderaxespad": 0.2,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.0,
    "lines.solid_capstyle": "round",
    "patch.linewidth": 0.0,
    "text.color": INK,
    "figure.facecolor": "none",
    "figure.dpi": 72.0,
    "figure.constrained_layout.w_pad": 0.06,
    "figure.constrained_layout.h_pad": 0.06,
    "svg.fonttype": "none",
    "svg.hashsalt": "asennp",
    "savefig.facecolor": "none",
    "savefig.dpi": 200.0,
}


def house_style(function: Callable[P, R]) -> Callable[P, R]:
    """Run a plotting function under the house style, leaving matplotlib's settings as they were."""

    @wraps(function)
    def styled(*args: P.args, **kwargs: P.kwargs) -> R:
        import matplotlib

        with matplotlib.rc_context(RC):
            return function(*args, **kwargs)

    return styled


def new_figure(width: float = FULL, height: float = 2.6) -> Any:
    """Return an empty figure (inches) that lays itself out; no pyplot, so nothing global."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def panels(n_rows: int, n_columns: int, width: float = FULL, height: float = 2.6, **kwargs: Any) -> Any:
    """Return (figure, axes of shape (n_rows, n_columns))."""
    figure = new_figure(width, height)
    return figure, figure.subplots(n_rows, n_columns, squeeze=False, **kwargs)


def colours(names: Iterable[str]) -> dict[str, str]:
    """Give every name a colour: its own where it has one, else the next that is free."""
    names = list(dict.fromkeys(names))
    chosen = {name: KNOWN[name] for name in names if name in KNOWN}
    free = [colour for colour in SERIES if colour not in chosen.values()] or list(SERIES)
    rest = [name for name in names if name not in chosen]
    return chosen | {name: free[k % len(free)] for k, name in enumerate(rest)}


def legend(axes: Any, **kwargs: Any) -> None:
    """Put a legend on axes that have named artists."""
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        axes.legend(handles, labels, **kwargs)


def legend_above(figure: Any, *axes: Any) -> None:
    """Put one legend of what the axes show, each name once, above all panels."""
    named: dict[str, Any] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels()):
            named.setdefault(label, handle)
    if named:
        figure.legend(
            list(named.values()), list(named), loc="outside upper right", ncols=len(named), columnspacing=1.6
        )


#: Background of words that stand on data.
HALO: Any = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.8, "pad": 1.2}


def plain_log(axis: Any) -> None:
    """Label a logarithmic axis by plain numbers, at 1, 2 and 5."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0), numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def quiet(axes: Any, x: bool = True, y: bool = True) -> None:
    """Keep the grid of one direction only."""
    axes.grid(x, axis="x")
    axes.grid(y, axis="y")
