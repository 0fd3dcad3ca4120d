"""The bias surface: a tensor product of uniform cubic B-splines, local and twice differentiable."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from asennp.errors import InputError


@dataclass(frozen=True)
class Axis:
    """One axis of the mesh: `n` nodes from `low` to `high`; the first axis is always the enthalpy (eV)."""

    name: str
    low: float
    high: float
    n: int

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.high > self.low):
            raise InputError(
                "the mesh has no width",
                where=f"axis {self.name!r}",
                expected="low < high",
                got=(self.low, self.high),
            )
        if self.n < 4 or int(self.n) != self.n:
            raise InputError(
                "too few nodes for a cubic surface",
                where=f"axis {self.name!r}",
                expected="4 or more",
                got=self.n,
            )

    @property
    def spacing(self) -> float:
        """Distance of two nodes."""
        return (self.high - self.low) / (self.n - 1)

    def contains(self, value: float) -> bool:
        """Tell whether a value lies on the mesh."""
        return self.low <= value <= self.high

    def todict(self) -> dict[str, Any]:
        """Return the fields."""
        return {"name": self.name, "low": self.low, "high": self.high, "n": self.n}


def evaluate_surface(
    padded: np.ndarray, axes: tuple[Axis, ...], point: tuple[float, ...]
) -> tuple[float, list[float]]:
    """Return the value of a surface and its exact gradient at a point.

    Inside the mesh f(x) = sum_k c_k prod_a B3((x_a - x_k)/h_a): C2, and every slope is a convex combination
    of differences of neighbouring coefficients. Beyond an edge at x_c of the first axis (enthalpy) it goes on
    linearly, f(x_c) + (x - x_c) f'(x_c), so the slope is frozen. Beyond an edge of another axis it levels off
    smoothly, within a third of a spacing: there too the slope along the enthalpy stays a convex combination
    of coefficient differences, hence within its limits. Mixed derivatives included.

    Parameters
    ----------
    padded
        Coefficients with one ghost node at both ends of each axis, see `pad`.
    axes
        The mesh.
    point
        One value an axis.
    """
    bases = []
    corner = []
    for number, (axis, x) in enumerate(zip(axes, point)):
        spacing = axis.spacing
        inside = min(max(x, axis.low), axis.high)
        u = (inside - axis.low) / spacing
        k = min(int(u), axis.n - 2)
        corner.append(slice(k, k + 4))
        weights, slopes = _cubic_basis(u - k, spacing)
        beyond = x - inside
        if beyond != 0.0:
            reach, rate = (beyond, 1.0) if number == 0 else _level_off(beyond, spacing / 3.0)
            weights = [w + reach * s for w, s in zip(weights, slopes)]
            slopes = [rate * s for s in slopes]
        bases.append(np.array((weights, slopes)))
    block = padded[tuple(corner)]
    for basis in bases:
        # contract the leading axis into (value, slope) and put that pair last: mixed derivatives come along
        block = (basis @ block.reshape(4, -1)).T
    flat = block.reshape(-1).tolist()
    return flat[0], [flat[1 << (len(axes) - 1 - number)] for number in range(len(axes))]


def _cubic_basis(t: float, spacing: float) -> tuple[list[float], list[float]]:
    """Return the four B-spline weights at 0 <= t <= 1 between two nodes, and their slopes."""
    s = 1.0 - t
    weights = [
        s * s * s / 6.0,
        (3.0 * t * t * t - 6.0 * t * t + 4.0) / 6.0,
        (3.0 * s * s * s - 6.0 * s * s + 4.0) / 6.0,
        t * t * t / 6.0,
    ]
    half = 0.5 / spacing
    slopes = [-half * s * s, half * (3.0 * t * t - 4.0 * t), half * (4.0 * s - 3.0 * s * s), half * t * t]
    return weights, slopes


def _level_off(beyond: float, reach: float) -> tuple[float, float]:
    """Return a distance that saturates at `reach`, and its derivative (1 at the edge)."""
    ratio = 1.0 / (1.0 + abs(beyond) / reach)
    return beyond * ratio, ratio * ratio


def pad(coefficients: np.ndarray) -> np.ndarray:
    """Add the ghost nodes: a straight line along the enthalpy, level along the other axes.

    Both keep every difference along the enthalpy inside the range of those on the mesh.
    """
    padded = np.pad(coefficients, [(0, 0)] + [(1, 1)] * (coefficients.ndim - 1), mode="edge")
    below = 2.0 * padded[:1] - padded[1:2]
    above = 2.0 * padded[-1:] - padded[-2:-1]
    return np.concatenate([below, padded, above])


def limit_slope(coefficients: np.ndarray, start: int, lowest: float, highest: float) -> int:
    """Hold differences along the first axis inside [lowest, highest], in place; return how many moved.

    The sweep goes outward from the node `start`, which stays: nodes that would break the limit are taken
    along, as far out as need be.

    Parameters
    ----------
    coefficients
        Node values, shape (n_enthalpy, ...).
    start
        Index along the first axis the sweep starts from.
    lowest, highest
        Limits of c_{k+1} - c_k, eV.
    """
    rows = coefficients.reshape(len(coefficients), -1)
    moved = 0
    for k in range(start + 1, len(rows)):
        moved += _clip(rows[k], rows[k - 1] + lowest, rows[k - 1] + highest)
    for k in range(start - 1, -1, -1):
        moved += _clip(rows[k], rows[k + 1] - highest, rows[k + 1] - lowest)
    return moved


def _clip(row: np.ndarray, low: np.ndarray, high: np.ndarray) -> int:
    held = np.minimum(np.maximum(row, low), high)
    count = int(np.count_nonzero(held != row))
    row[...] = held
    return count
