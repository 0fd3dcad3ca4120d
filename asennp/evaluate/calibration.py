"""Is the spread of a committee the size of its error? Reliability by bins, z-scores, coverage.

A spread s is calibrated when errors e are drawn from a normal distribution of that width: then <z^2> = 1 for
z = e/s, the errors of values of one spread have that root mean square, and 68.3 % of them lie within s.

References
----------
Levi, Gispan, Giladi, Fetaya, Sensors 22 (2022) 5540, doi:10.3390/s22155540 (binned calibration error).
Kuleshov, Fenner, Ermon, ICML 2018, arXiv:1807.00263 (coverage against confidence).
"""

from dataclasses import dataclass

import numpy as np

from asennp.errors import InputError
from asennp.results import Result

#: Confidence levels at which the coverage is noted.
LEVELS = np.linspace(0.05, 0.95, 19)


@dataclass(frozen=True, eq=False)
class CalibrationResult(Result):
    """Spread of a committee beside the error of its mean; the unit is that of the errors.

    Attributes
    ----------
    ratio
        Root mean square error over root mean square spread: 1 if calibrated, above 1 where the committee is
        too sure of itself.
    z_rms
        Root mean square of error/spread: as the ratio, but every value weighs the same.
    within_one, within_two
        Share of the values within one and two spreads; 0.683 and 0.954 if calibrated.
    rank_correlation
        Spearman's, of spread and absolute error: whether large spreads find large errors at all; 0 where
        one of the two does not vary.
    miscalibration
        Mean over the bins of |error - spread|/spread.
    bin_spread, bin_error
        (b,) root mean square spread and error of bins of equal numbers of values, by rising spread.
    levels, coverage
        (m,) confidence levels, and the share of the values within the central interval of each.
    n
        Number of values.
    unit
        "meV/atom", "meV/Å" or "MPa".
    """

    ratio: float
    z_rms: float
    within_one: float
    within_two: float
    rank_correlation: float
    miscalibration: float
    bin_spread: np.ndarray
    bin_error: np.ndarray
    levels: np.ndarray
    coverage: np.ndarray
    n: int
    unit: str


def compute_calibration(
    error: np.ndarray, spread: np.ndarray, unit: str = "", bins: int = 10
) -> CalibrationResult:
    """Compare errors with the spreads that were given for them.

    Parameters
    ----------
    error, spread
        (n,) error of the mean, and standard deviation over the members, in one unit. Values whose spread is
        zero (by symmetry, say) are left out.
    bins
        Bins of equal numbers of values; fewer where there are less than ten values for each.

    Raises
    ------
    InputError
        Shapes that differ, a negative or lost spread, or fewer than two spreads above zero.
    """
    error, spread = np.ravel(error).astype(float), np.ravel(spread).astype(float)
    if error.shape != spread.shape or not np.all(np.isfinite(spread)) or np.any(spread < 0.0):
        raise InputError(
            "spreads must be finite, not negative, and one for each error",
            where="spread",
            expected=error.shape,
            got=spread.shape,
        )
    known = spread > 1e-12 * spread.max(initial=0.0)
    error, spread = error[known], spread[known]
    if len(spread) < 2:
        raise InputError("a calibration needs two spreads above zero", where="spread", got=len(spread))
    from scipy.special import ndtri
    from scipy.stats import spearmanr

    z = np.abs(error / spread)
    varied = np.ptp(spread) > 0.0 and np.ptp(np.abs(error)) > 0.0
    order = np.argsort(spread, kind="stable")
    parts = np.array_split(order, max(1, min(bins, len(order) // 10)))
    bin_spread, bin_error = (np.array([_rms(values[part]) for part in parts]) for values in (spread, error))
    return CalibrationResult(
        ratio=_rms(error) / _rms(spread),
        z_rms=_rms(z),
        within_one=float(np.mean(z <= 1.0)),
        within_two=float(np.mean(z <= 2.0)),
        rank_correlation=float(spearmanr(spread, np.abs(error)).statistic) if varied else 0.0,
        miscalibration=float(np.mean(np.abs(bin_error - bin_spread) / bin_spread)),
        bin_spread=bin_spread,
        bin_error=bin_error,
        levels=LEVELS.copy(),
        coverage=np.array([np.mean(z <= reach) for reach in ndtri(0.5 + 0.5 * LEVELS)]),
        n=len(spread),
        unit=unit,
    )


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))
