"""The bias surface: a tensor product of uniform cubic B-splines, local and twice differentiable."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from asennp.errors import InputError
from asennp.md.kernels_surface import evaluate_points, raise_around


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

    @property
    def nodes(self) -> np.ndarray:
        """The nodes, (n,)."""
        return np.linspace(self.low, self.high, self.n)

    @property
    def edges(self) -> np.ndarray:
        """Edges of the cells around the nodes, (n + 1,); the outer ones reach half a spacing beyond."""
        return self.low + self.spacing * (np.arange(self.n + 1) - 0.5)

    def contains(self, value: float) -> bool:
        """Tell whether a value lies on the mesh."""
        return self.low <= value <= self.high

    def todict(self) -> dict[str, Any]:
        """Return the fields."""
        return {"name": self.name, "low": self.low, "high": self.high, "n": self.n}


class Surface:
    """f(x) = sum_k c_k prod_a B3((x_a - x_k)/h_a) on a mesh, with exact slopes on and off it.

    Inside the mesh f is C2, and every slope is a convex combination of differences of neighbouring
    coefficients. Beyond an edge x_c of the first axis (enthalpy) it goes on linearly,
    f(x_c) + (x - x_c) f'(x_c): the slope is frozen. Beyond an edge of another axis it levels off
    smoothly, within a third of a spacing: nothing pushes there, and there too the slope along the
    enthalpy stays a convex combination of differences along it, hence within their limits. A straight
    line there would not: its slope along the enthalpy grows without bound where two columns differ.

    Parameters
    ----------
    axes
        The mesh.

    Attributes
    ----------
    coefficients
        c_k, shape (n_enthalpy, n_order, ...): a view; call `refresh` after changing it.
    """

    def __init__(self, axes: tuple[Axis, ...]) -> None:
        self.axes = axes
        self._padded = np.zeros([axis.n + 2 for axis in axes])
        self._flat = self._padded.reshape(-1)
        self.coefficients = self._padded[(slice(1, -1),) * len(axes)]
        self._counts = np.array([axis.n for axis in axes])
        self._lows = np.array([axis.low for axis in axes])
        self._spacings = np.array([axis.spacing for axis in axes])
        self._point, self._value = np.empty((1, len(axes))), np.empty(1)
        self._slopes = np.empty((1, len(axes)))

    def __getstate__(self) -> dict[str, Any]:
        """Pickle mesh and coefficients: views would come apart."""
        return {"axes": self.axes, "coefficients": self.coefficients}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Surface.__init__(self, state["axes"])
        self.coefficients[...] = state["coefficients"]
        self.refresh()

    def evaluate(self, point: tuple[float, ...]) -> tuple[float, list[float]]:
        """Return the value and the slopes at one point."""
        self._point[0] = point
        evaluate_points(
            self._flat, self._counts, self._lows, self._spacings, self._point, self._value, self._slopes
        )
        return self._value.item(), self._slopes[0].tolist()

    def evaluate_many(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return values (n,) and slopes (n, d) at points (n, d)."""
        points = np.ascontiguousarray(points, dtype=float)
        values, slopes = np.empty(len(points)), np.empty(points.shape)
        evaluate_points(self._flat, self._counts, self._lows, self._spacings, points, values, slopes)
        return values, slopes

    def refresh(self) -> None:
        """Renew the ghost nodes: a straight line along the enthalpy, level along the other axes.

        Both keep every difference along the enthalpy inside the range of those on the mesh.
        """
        padded = self._padded
        padded[0] = 2.0 * padded[1] - padded[2]
        padded[-1] = 2.0 * padded[-2] - padded[-3]
        for axis in range(1, padded.ndim):
            self._level(axis)

    def _level(self, axis: int) -> None:
        across = np.moveaxis(self._padded, axis, 0)
        across[0], across[-1] = across[1], across[-2]

    def raise_around(
        self,
        scaled: tuple[float, ...],
        widths: tuple[float, ...],
        height: float,
        limits: tuple[float, float],
    ) -> int:
        """Add a Gaussian to the coefficients, then hold differences along the enthalpy inside `limits`.

        The work is local: only lines of nodes along the enthalpy within four widths are touched.

        Parameters
        ----------
        scaled
            The point in node spacings from the low edges.
        widths
            Width of the Gaussian in node spacings, one an axis.
        height
            eV.
        limits
            Least and largest difference of neighbours along the enthalpy, eV.

        Returns
        -------
        How many nodes the limits moved.
        """
        at, reach = np.array(scaled), np.array(widths)
        moved = raise_around(self._flat, self._counts, at, reach, height, *limits)
        for axis in range(1, len(self.axes)):
            if scaled[axis] < 4.0 * widths[axis] or scaled[axis] > self.axes[axis].n - 1 - 4.0 * widths[axis]:
                self._level(axis)
        return int(moved)

    def limit(self, lowest: float, highest: float) -> int:
        """Hold all differences along the enthalpy inside [lowest, highest]; return how many nodes moved.

        The sweep goes upward from the lowest node of each line, which stays.
        """
        rows, moved = self.coefficients, 0
        for k in range(1, len(rows)):
            held = np.clip(rows[k], rows[k - 1] + lowest, rows[k - 1] + highest)
            moved += int(np.count_nonzero(held != rows[k]))
            rows[k] = held
        self.refresh()
        return moved
