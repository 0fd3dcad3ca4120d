"""Plain drawings of crystals: every atom a disc, seen along one direction without perspective."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.data.colors import jmol_colors
from ase.neighborlist import neighbor_list
from ase.utils import rotate

from asennp.report.style import FULL, INK, PAPER, RULE, SLATE, house_style, panels

#: Colours of the elements met most; the rest have ASE's.
_ELEMENTS = {"Zn": "#7f86b8", "O": "#d8564e", "Mg": "#6fae4f", "Ca": "#6fae4f", "Ni": "#4f9d78"}


def element_colour(symbol: str, number: int) -> str:
    """Return the colour of an element."""
    from matplotlib.colors import to_hex

    return _ELEMENTS.get(symbol) or str(to_hex(jmol_colors[number]))


def _fade(colour: str, amount: float) -> Any:
    """Mix a colour with the grey of distance."""
    from matplotlib.colors import to_hex, to_rgb

    mixed = (1.0 - amount) * np.array(to_rgb(colour)) + amount * np.array(to_rgb("#c9d0d8"))
    return to_hex((float(mixed[0]), float(mixed[1]), float(mixed[2])))


def _corners(atoms: Atoms) -> tuple[np.ndarray, np.ndarray]:
    """Return the twelve edges of the cell as (12, 3) starts and ends."""
    axes = atoms.cell.array
    starts, ends = [], []
    for k in range(3):
        i, j = (k + 1) % 3, (k + 2) % 3
        for a, b in ((0, 0), (0, 1), (1, 0), (1, 1)):
            corner = a * axes[i] + b * axes[j]
            starts.append(corner)
            ends.append(corner + axes[k])
    return np.array(starts), np.array(ends)


def _bonds(atoms: Atoms) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs (i, j) of unlike atoms that are neighbours without crossing the cell's border."""
    numbers = atoms.numbers
    i, j, distance, shift = neighbor_list("ijdS", atoms, 1.25 * 2 * covalent_radii[numbers].max())
    near = distance < 1.25 * (covalent_radii[numbers[i]] + covalent_radii[numbers[j]])
    unlike = (numbers[i] != numbers[j]) | (len(set(numbers)) == 1)
    keep = near & unlike & (i < j) & (np.abs(shift).sum(axis=1) == 0)
    return i[keep], j[keep]


def _draw(ax: Any, atoms: Atoms, view: str) -> None:
    from matplotlib.collections import EllipseCollection, LineCollection

    turn = rotate(view)
    positions = atoms.positions @ turn
    depth = positions[:, 2]
    far = (depth.max() - depth) / max(float(np.ptp(depth)), 1e-9)
    starts, ends = (corner @ turn for corner in _corners(atoms))
    edges = np.stack([starts[:, :2], ends[:, :2]], axis=1)
    ax.add_collection(LineCollection(list(edges), colors=RULE, linewidths=0.8, zorder=0))
    i, j = _bonds(atoms)
    lines = np.stack([positions[i, :2], positions[j, :2]], axis=1)
    ax.add_collection(LineCollection(list(lines), colors=SLATE, linewidths=1.1, alpha=0.5, zorder=1))
    order = np.argsort(depth, kind="stable")
    size = 2 * 0.42 * covalent_radii[atoms.numbers[order]] ** 0.5 * 1.05
    faces = [_fade(element_colour(atoms[int(k)].symbol, int(atoms.numbers[k])), 0.55 * far[k]) for k in order]
    ax.add_collection(
        EllipseCollection(
            size, size, 0.0, units="xy", offsets=positions[order, :2], transOffset=ax.transData,
            facecolors=faces, edgecolors=PAPER, linewidths=0.5, zorder=2,
        )
    )  # fmt: skip
    everything = np.concatenate([positions[:, :2], starts[:, :2], ends[:, :2]])
    low, high = everything.min(axis=0) - 0.7, everything.max(axis=0) + 0.7
    ax.set_xlim(low[0], high[0])
    ax.set_ylim(low[1], high[1])
    ax.set_aspect("equal")
    ax.axis("off")


@house_style
def plot_structures(
    structures: Mapping[str, Atoms], view: str = "-78x,14y,4z", columns: int = 4, height: float = 2.1
) -> Any:
    """Draw structures side by side; far atoms are paler, the cell is outlined.

    Parameters
    ----------
    structures
        {title: atoms}.
    view
        Rotation as ASE writes it ("-90x": looking along y).
    columns
        Pictures a row at most.
    height
        Of one row, inches.
    """
    n = len(structures)
    width = min(n, columns)
    rows = -(-n // width)
    figure, axes = panels(rows, width, width=FULL * min(1.0, max(width, 2) / 4 + 0.15), height=height * rows)
    for ax in axes.ravel():
        ax.axis("off")
    for ax, (title, atoms) in zip(axes.ravel(), structures.items()):
        _draw(ax, atoms, view)
        ax.set_title(title, loc="center")
    _species_legend(figure, structures)
    return figure


def _species_legend(figure: Any, structures: Mapping[str, Atoms]) -> None:
    from matplotlib.lines import Line2D

    species = {s: int(n) for atoms in structures.values() for s, n in zip(atoms.symbols, atoms.numbers)}
    dots = [
        Line2D([], [], marker="o", linestyle="", markersize=6, color=element_colour(s, n))
        for s, n in species.items()
    ]
    figure.legend(
        dots, list(species), loc="outside lower center", ncols=len(dots), handletextpad=0.1, labelcolor=INK
    )
