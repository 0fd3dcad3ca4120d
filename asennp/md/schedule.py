"""How fast a Wang-Landau bias grows: when ln f, the modification factor, becomes smaller."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from asennp.errors import InputError, nearest

SCHEDULES = ("flatness", "1/t", "constant")
#: Share of the nodes, the least visited, that need not be flat: corners a system hardly reaches.
_RARE = 0.05


@dataclass(frozen=True)
class Schedule:
    """A rule for ln f.

    Attributes
    ----------
    name
        "flatness": ln f is halved whenever the visits since the last change are even, and follows
        N_visited/t once that is the larger. "1/t": N_visited/t from the start, never above the first ln f;
        for meshes whose reachable part has a ragged edge, which never becomes flat. "constant": ln f stays.
    ln_f
        First modification factor.
    flatness
        Least visits of a node over the mean that count as even, the rarest 5 % of the nodes left out.
    check_interval
        Updates between two looks at the flatness.

    References
    ----------
    Wang, Landau, Phys. Rev. Lett. 86 (2001) 2050, doi:10.1103/PhysRevLett.86.2050; 1/t: Belardinelli,
    Pereyra, Phys. Rev. E 75 (2007) 046701, doi:10.1103/PhysRevE.75.046701.
    """

    name: str = "flatness"
    ln_f: float = 1.0
    flatness: float = 0.8
    check_interval: int = 1000

    def __post_init__(self) -> None:
        if self.name not in SCHEDULES:
            raise InputError(
                "unknown schedule", where="schedule", got=self.name, do=nearest(self.name, SCHEDULES)
            )
        if not (self.ln_f > 0.0 and self.check_interval >= 1 and 0.0 < self.flatness < 1.0):
            raise InputError(
                "out of range",
                where="ln_f, flatness, check_interval",
                expected="ln_f > 0, 0 < flatness < 1, check_interval >= 1",
                got=(self.ln_f, self.flatness, self.check_interval),
            )

    def is_flat(self, histogram: np.ndarray, counted: Callable[[], np.ndarray]) -> bool:
        """Tell whether the visits of the nodes that count are even."""
        visited = np.sort(histogram[counted()])
        if len(visited) == 0:
            return False
        return bool(visited[int(_RARE * len(visited))] >= self.flatness * visited.mean())
