"""Where along a ladder the phase changes: labels of rungs by three rules, and what follows from them.

lattice
    Edges are sorted; one counts as long when it exceeds the shortest by more than a quarter of the
    largest such excess on the ladder, by 0.5 %, and by three standard errors. No, one, two long edges: cubic,
    tetragonal, orthorhombic (a rhombohedral cell has no long edge).
polarisation
    A component counts as polar when its mean exceeds a quarter of the largest one on the ladder,
    0.02 C/m^2, and three standard errors. No, one, two, three polar axes: cubic, tetragonal,
    orthorhombic, rhombohedral.
phase
    The phase of at least half of the atoms, by `asennp.phases` or another classifier.

A rung whose seeds disagree is "mixed", one that broke or melted is named so. A transition lies between the
last rung of one phase and the first of the next: its value is the middle and its error half of the gap. Where
the ladder was climbed both ways, the error spans the brackets of both, hysteresis included.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from asennp.evaluate.ladder import Rung
from asennp.results import Result

RULES = ("lattice", "polarisation", "phase")
#: Labels by the number of long edges or polar axes.
AXES = ("cubic", "tetragonal", "orthorhombic", "rhombohedral")
#: Floors: relative excess of an edge, and polarisation (C/m^2).
_STRAIN, _POLAR = 0.005, 0.02
_SIGMAS = 3.0


@dataclass(frozen=True, eq=False)
class Change(Result):
    """A transition between neighbouring rungs.

    Attributes
    ----------
    rule
        One of "lattice", "polarisation", "phase".
    before, after
        Labels below and above, in rising order of the variable.
    value, half_width
        Middle and half width of the bracket, K or GPa.
    directions
        Climbs that showed it: "up", "down" or "up, down".
    """

    rule: str
    before: str
    after: str
    value: float
    half_width: float
    directions: str


def excess_edges(rung: Rung) -> tuple[np.ndarray, np.ndarray]:
    """Return the excess of the sorted edges over the shortest, (3,), and its standard error."""
    order = np.argsort(rung.lengths_A)
    lengths, errors = rung.lengths_A[order], rung.lengths_error_A[order]
    excess = lengths / lengths[0] - 1.0
    return excess, np.hypot(errors / lengths[0], errors[0] * lengths / lengths[0] ** 2) * (excess > 0)


def _count_axes(sizes: Sequence[tuple[np.ndarray, np.ndarray]], floor: float) -> list[str]:
    """Label by the number of components beyond a quarter of the largest, the floor and their errors."""
    largest = max((float(values.max()) for values, _ in sizes), default=0.0)
    limit = max(floor, 0.25 * largest)
    return [AXES[int(np.sum((v > limit) & (v > _SIGMAS * np.nan_to_num(e))))] for v, e in sizes]


def _by_lattice(rungs: Sequence[Rung]) -> list[str]:
    return _count_axes([excess_edges(rung) for rung in rungs], _STRAIN)


def _by_polarisation(rungs: Sequence[Rung]) -> list[str]:
    sizes = []
    for rung in rungs:
        assert rung.polarisation is not None and rung.polarisation_error is not None
        sizes.append((np.abs(rung.polarisation), rung.polarisation_error))
    return _count_axes(sizes, _POLAR)


def _by_phase(rungs: Sequence[Rung]) -> list[str]:
    labels = []
    for rung in rungs:
        assert rung.fractions is not None
        name = max(rung.fractions, key=lambda phase: rung.fractions[phase])  # type: ignore[index]
        labels.append(name if rung.fractions[name] >= 0.5 else "mixed")
    return labels


_LABEL: Mapping[str, tuple[Callable[[Sequence[Rung]], list[str]], Callable[[Rung], bool]]] = {
    "lattice": (_by_lattice, lambda rung: True),
    "polarisation": (_by_polarisation, lambda rung: rung.polarisation is not None),
    "phase": (_by_phase, lambda rung: rung.fractions is not None),
}


def label_rungs(rungs: Sequence[Rung], rule: str, variable: str) -> dict[tuple[str, float], str]:
    """Return the label of every (direction, value), seeds taken together."""
    label, applies = _LABEL[rule]
    sound = [rung for rung in rungs if rung.status == "ok" and applies(rung)]
    found: dict[tuple[str, float], set[str]] = {}
    for rung, name in zip(sound, label(sound)):
        found.setdefault((rung.direction, getattr(rung, variable)), set()).add(name)
    for rung in rungs:
        if rung.status != "ok":
            found.setdefault((rung.direction, getattr(rung, variable)), set()).add(rung.status)
    return {key: names.pop() if len(names) == 1 else "mixed" for key, names in found.items()}


def find_changes(rungs: Sequence[Rung], rule: str, variable: str) -> tuple[Change, ...]:
    """Return the transitions of a ladder by one rule, in rising order of the variable.

    Parameters
    ----------
    rule
        "lattice", "polarisation" or "phase".
    variable
        "temperature_K" or "pressure_GPa".
    """
    labels = label_rungs(rungs, rule, variable)
    broken = {"mixed"} | {rung.status for rung in rungs if rung.status != "ok"}
    brackets: dict[tuple[str, str], list[tuple[str, float, float]]] = {}
    for direction in ("up", "down"):
        known = sorted((v, name) for (d, v), name in labels.items() if d == direction and name not in broken)
        for (low, before), (high, after) in pairwise(known):
            if before != after:
                brackets.setdefault((before, after), []).append((direction, low, high))
    changes = []
    for (before, after), found in brackets.items():
        low, high = min(b[1] for b in found), max(b[2] for b in found)
        directions = ", ".join(dict.fromkeys(b[0] for b in found))
        changes.append(Change(rule, before, after, 0.5 * (low + high), 0.5 * (high - low), directions))
    return tuple(sorted(changes, key=lambda change: change.value))


def describe_changes(rungs: Sequence[Rung], changes: Sequence[Change], rule: str, variable: str) -> str:
    """Say in one sentence what a ladder showed by one rule."""
    unit = "K" if variable == "temperature_K" else "GPa"
    if changes:
        return "; ".join(f"{c.before} to {c.after} at {c.value:g} ± {c.half_width:g} {unit}" for c in changes)
    labels = label_rungs(rungs, rule, variable)
    if not labels:
        return "no rung to judge"
    values = [value for _, value in labels]
    seen = ", ".join(sorted(set(labels.values())))
    return f"none found from {min(values):g} to {max(values):g} {unit}: {seen} throughout"
