"""Figure and table of defects and surfaces; each takes {name: result}."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from asennp.report.style import FULL, SLATE, TEAL, house_style, legend, panels, quiet
from asennp.report.tables import Table, Value


def tabulate_defects(results: Mapping[str, Any]) -> Table:
    """Tabulate formation energies (`DefectResult`); faces also per area."""
    rows: list[list[Value]] = []
    for name, r in results.items():
        face = r.area_A2 > 0.0
        rows.append(
            [
                name,
                r.label,
                None if face else r.energy_eV,
                r.surface_J_m2 if face else None,
                r.unrelaxed_J_m2 if face else r.unrelaxed_eV,
                r.n_atoms,
                "yes" if r.converged else "no",
            ]
        )
    head = (
        "", "defect", ("energy", "eV"), ("energy", "J/m²"), "before relaxation", "atoms", "converged",
    )  # fmt: skip
    note = " ".join(dict.fromkeys(f"{name}: {w}." for name, r in results.items() for w in r.warnings))
    return Table(head, rows, note=note)


@house_style
def plot_defects(results: Mapping[str, Any], width: float = FULL) -> Any:
    """Plot formation energies as bars, before and after relaxation; points (eV) and faces (J/m²) apart."""
    points, faces = (
        {name: r for name, r in results.items() if (r.area_A2 > 0.0) is wanted} for wanted in (False, True)
    )
    kinds = [
        ("Formation energy (eV)", [(n, r.energy_eV, r.unrelaxed_eV) for n, r in points.items()]),
        ("Surface energy (J/m²)", [(n, r.surface_J_m2, r.unrelaxed_J_m2) for n, r in faces.items()]),
    ]
    shown = [kind for kind in kinds if kind[1]]
    figure, axes = panels(1, len(shown), width=width, height=0.9 + 0.4 * max(len(k[1]) for k in shown))
    for ax, (title, bars) in zip(axes[0], shown, strict=True):
        y = np.arange(len(bars))
        ax.barh(y + 0.2, [b[2] for b in bars], 0.36, color=SLATE, label="as cut")
        ax.barh(y - 0.2, [b[1] for b in bars], 0.36, color=TEAL, label="relaxed")
        ax.set_yticks(y, [b[0] for b in bars])
        ax.set_title(title)
        quiet(ax, y=False)
    legend(axes[0, -1], loc="lower right")
    return figure
