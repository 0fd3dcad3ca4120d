"""Does a crystal stay a crystal? What is looked at during a run, and the criteria of its end."""

from typing import Any

import numpy as np
from ase import Atoms

from asennp.neighbors import neighbor_pairs

#: A run has broken when it is hotter than so many times its target,
HOTTEST = 3.0
#: a pair is closer than this fraction of the start's shortest distance,
CLOSEST = 0.6
#: or its cell has run away: volume, or length along any direction, out of these ranges of the start's. The
#: largest known shape of a ferroelectric (CHGNet's PbTiO3, c/a 1.32) shrinks to 0.79 where it turns cubic.
VOLUMES = (0.5, 1.4)
STRETCHES = (0.65, 1.35)
#: No thermostat held a run whose mean temperature, over its later half, is off by more than this fraction and
#: by four times the error that so many atoms allow. Runs shorter than this, ps, are not judged: a crystal
#: that starts without displacements first gives half of its heat away.
MEAN_TEMPERATURE = 0.15
SHORTEST_PS = 0.5
#: A run has melted when the root mean square displacement at its end exceeds this fraction of the start's
#: shortest distance.
MELTED = 0.6

#: In words.
CELL_CRITERIA = (
    f"volume within {VOLUMES[0]:g} and {VOLUMES[1]:g} times the start's",
    f"no direction of the cell below {STRETCHES[0]:g} or above {STRETCHES[1]:g} times the start's",
)


def cell_ran_away(start: Any, cell: Any) -> str:
    """Say in words how a cell (3, 3) has left what a crystal's does; empty if it has not.

    Stretches are the singular values of the deformation from the start, so turning the cell is none.
    """
    deformation = np.linalg.solve(np.asarray(start), np.asarray(cell))
    growth = abs(float(np.linalg.det(deformation)))
    if not VOLUMES[0] <= growth <= VOLUMES[1]:
        return f"{growth:.2f} times the start's volume"
    stretches = np.linalg.svd(deformation, compute_uv=False)
    worst = float(max(stretches, key=lambda s: abs(np.log(s))))
    if not STRETCHES[0] <= worst <= STRETCHES[1]:
        return f"{worst:.2f} times the start's length along one direction"
    return ""


class Watch:
    """Measure how far atoms have gone from their start, and say when a run has lost its meaning.

    Displacements are those of the scaled coordinates times the present cell, so that a cell that changes
    shape is no displacement; the crystal's drift as a whole is taken out.

    Parameters
    ----------
    start
        First frame.
    target_K
        Temperature asked for.
    """

    def __init__(self, start: Atoms, target_K: float) -> None:
        self.target = target_K
        self.cell = start.cell.array.copy()
        self.volume = float(start.cell.volume)
        self.freedom = 3 * len(start)
        self.scaled = start.cell.scaled_positions(start.positions)
        self.reach = 1.5 * float(start.cell.volume / len(start)) ** (1 / 3)
        self.nearest = self._shortest(start)
        self.criteria = (
            "every number is finite",
            f"temperature never above {HOTTEST:g} times the target ({HOTTEST * target_K:.0f} K)",
            f"no pair closer than {CLOSEST * self.nearest:.2f} Å",
            *CELL_CRITERIA,
            f"mean temperature within {100 * MEAN_TEMPERATURE:g} % of the target",
        )

    def _shortest(self, atoms: Atoms) -> float:
        pairs = neighbor_pairs(atoms.positions, atoms.cell.array, atoms.pbc, self.reach)
        return float(pairs.distances.min(initial=self.reach))

    def look(self, atoms: Atoms) -> dict[str, float]:
        """Return ``drift_A``, ``farthest_A`` and ``closest_A`` of a frame."""
        if not (np.all(np.isfinite(atoms.positions)) and np.all(np.isfinite(atoms.cell.array))):
            return dict.fromkeys(("drift_A", "farthest_A", "closest_A"), float("nan"))
        away = atoms.cell.scaled_positions(atoms.positions) - self.scaled
        squared = (((away - away.mean(axis=0)) @ atoms.cell.array) ** 2).sum(axis=1)
        sane = atoms.cell.volume < 10 * self.volume and squared.max() < 1e4
        return {
            "drift_A": float(np.sqrt(squared.mean())),
            "farthest_A": float(np.sqrt(squared.max())),
            "closest_A": self._shortest(atoms) if sane else float("nan"),
        }

    def broken(self, row: dict[str, Any]) -> tuple[str, str] | None:
        """Return (status, what came) where a sample violates a criterion: the run ends there."""
        numbers = [row[k] for k in ("energy", "temperature_K", "drift_A", "closest_A")]
        at = f"at {row['time_ps']:.2f} ps"
        if not np.all(np.isfinite(numbers)):
            return "lost numbers", f"a number was lost {at}"
        if row["temperature_K"] > HOTTEST * self.target:
            return "overheated", f"{row['temperature_K']:.0f} K {at}, asked for {self.target:g} K"
        if row["closest_A"] < CLOSEST * self.nearest:
            return "collapsed", f"a pair at {row['closest_A']:.2f} Å {at}"
        if away := cell_ran_away(self.cell, row["cell"]):
            return "ran away", f"{away} {at}"
        return None

    def verdict(self, rows: list[dict[str, Any]]) -> tuple[str, str]:
        """Return (status, message) of a whole run."""
        if (found := self.broken(rows[-1])) is not None:
            return found
        if away := self._mean_temperature_off(rows):
            return "ran away", away
        late = rows[-max(1, len(rows) // 5) :]
        drift = float(np.mean([row["drift_A"] for row in late]))
        if drift > MELTED * self.nearest:
            return "melted", f"atoms are {drift:.2f} Å (rms) from their start in the last fifth of the run"
        return "ok", ""

    def _mean_temperature_off(self, rows: list[dict[str, Any]]) -> str:
        """Say in words that the later half was not at the temperature asked for; empty if it was."""
        later = np.array([row["temperature_K"] for row in rows[len(rows) // 2 :]])
        # the kinetic energy of f degrees of freedom fluctuates by sqrt(2/f); five samples count as one
        error = np.sqrt(2.0 / self.freedom / max(1.0, len(later) / 5.0))
        mean = float(later.mean())
        held = abs(mean / self.target - 1.0) <= max(MEAN_TEMPERATURE, 4.0 * error)
        if held or rows[-1]["time_ps"] < SHORTEST_PS:
            return ""
        return f"{mean:.0f} K in the mean of the later half, asked for {self.target:g} K"
