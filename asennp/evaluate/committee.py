"""Intervals over a committee's members, and what may be said about two of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from asennp.errors import InputError, nearest
from asennp.results import Result

Verdict = Literal["better", "worse", "tie"]


@dataclass(frozen=True, eq=False)
class Interval(Result):
    """A mean over committee members with an interval; the unit is that of the values.

    Attributes
    ----------
    mean, low, high
        Mean of the members and ends of the interval.
    n
        Number of members.
    kind
        "student": mean ± t s/sqrt(n), the confidence interval of the mean; "range": least to greatest
        member.
    confidence
        Of the Student interval; 1 for the range.
    values
        (n,) the members' values.
    """

    mean: float
    low: float
    high: float
    n: int
    kind: str
    confidence: float
    values: np.ndarray

    @property
    def half_width(self) -> float:
        """Half of the interval's width, for printing "mean ± half_width"."""
        return 0.5 * (self.high - self.low)


def compute_interval(
    values: Sequence[float] | np.ndarray,
    kind: Literal["student", "range"] = "student",
    confidence: float = 0.9,
) -> Interval:
    """Return the mean of the members' values and its interval.

    ``kind="student"``: mean ± t_{(1+confidence)/2, n-1} s / sqrt(n), with s the sample standard
    deviation. Members trained on overlapping data are not independent, so it is a lower bound of the
    uncertainty. ``kind="range"``: least to greatest member. One member gives an interval of no width.

    Raises
    ------
    InputError
        No values, a value that is not finite, an unknown kind.
    """
    members = np.asarray(values, dtype=float).ravel()
    if members.size == 0 or not np.all(np.isfinite(members)):
        raise InputError("members' values must be finite and at least one", where="values", got=members)
    mean = float(members.mean())
    if kind == "range":
        low, high, confidence = float(members.min()), float(members.max()), 1.0
    elif kind == "student":
        half = 0.0
        if members.size > 1:
            from scipy.stats import t

            quantile = t.ppf(0.5 * (1.0 + confidence), members.size - 1)
            half = float(quantile * members.std(ddof=1) / np.sqrt(members.size))
        low, high = mean - half, mean + half
    else:
        raise InputError("unknown kind of interval", where="kind", got=kind,
                         do=nearest(str(kind), ("student", "range")))  # fmt: skip
    return Interval(mean, low, high, int(members.size), kind, confidence, members)


def compare(a: Interval, b: Interval, lower_is_better: bool = True) -> Verdict:
    """Say whether `a` is "better" or "worse" than `b`; intervals that touch or overlap are a "tie"."""
    if a.low <= b.high and b.low <= a.high:
        return "tie"
    return "better" if (a.mean < b.mean) == lower_is_better else "worse"
