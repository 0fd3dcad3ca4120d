"""Figure and table of a committee's spread beside its error (`CalibrationResult`); {name: ParityResult}."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from asennp.report.style import FULL, MUTED, colours, house_style, legend, panels, plain_log
from asennp.report.tables import Table, Value

_QUANTITIES = {"energy": "Energy (meV/atom)", "forces": "Forces (meV/Å)", "stress": "Stress (MPa)"}


def _known(results: Mapping[str, Any]) -> list[str]:
    return [what for what in _QUANTITIES if any(what in r.calibration for r in results.values())]


@house_style
def plot_calibration(results: Mapping[str, Any], width: float = FULL) -> Any:
    """Plot error against spread by bins, one panel a quantity, and below the coverage of the intervals.

    On the dashed lines the spread is the size of the error; above them, in the upper row, and below, in the
    lower one, the committee is too sure of itself.
    """
    known = _known(results)
    colour = colours(results)
    figure, axes = panels(2, len(known), width=min(width, 2.6 * len(known) + 0.4), height=4.6)
    for top, below, what in zip(axes[0], axes[1], known):
        found = {name: r.calibration[what] for name, r in results.items() if what in r.calibration}
        both = np.concatenate([np.r_[c.bin_spread, c.bin_error] for c in found.values()])
        ends = 0.8 * both[both > 0].min(initial=both.max()), 1.25 * both.max()
        top.plot(ends, ends, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
        below.plot([0, 1], [0, 1], color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
        for name, c in found.items():
            label = f"{name}, ratio {c.ratio:.2f}"
            top.plot(c.bin_spread, c.bin_error, "o-", color=colour[name], linewidth=1.0, label=label)
            below.plot(c.levels, c.coverage, color=colour[name])
        top.set_xscale("log")
        top.set_yscale("log")
        plain_log(top.xaxis)
        plain_log(top.yaxis)
        top.set_title(_QUANTITIES[what])
        top.set_xlabel("Spread of the committee")
        below.set_xlabel("Confidence")
        below.set_xlim(0.0, 1.0)
        below.set_ylim(0.0, 1.0)
        legend(top, loc="lower right")
    axes[0, 0].set_ylabel("Error (rms by bins)")
    axes[1, 0].set_ylabel("Errors within the interval")
    return figure


def tabulate_calibration(results: Mapping[str, Any]) -> Table:
    """Tabulate ratios, coverage and rank correlation."""
    rows: list[list[Value]] = []
    for name, r in results.items():
        for what in _known({name: r}):
            c = r.calibration[what]
            words = f"{name}, {what}" if len(results) > 1 else what
            rows.append(
                [words, c.ratio, c.z_rms, 100.0 * c.within_one, 100.0 * c.within_two, c.rank_correlation,
                 100.0 * c.miscalibration, c.n]
            )  # fmt: skip
    head = (
        "", "error / spread", "rms of z", ("within 1 spread", "%"), ("within 2", "%"), "rank correlation",
        ("miscalibration", "%"), "values",
    )  # fmt: skip
    note = (
        "Error of the committee's mean against the standard deviation over its members. Calibrated: 1, 1, "
        "68.3 %, 95.4 %, and 0 % miscalibration (mean over bins of |error - spread|/spread)."
    )
    return Table(head, rows, note=note)
