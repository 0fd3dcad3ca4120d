"""The effective charge: at which charge does a Coulomb baseline leave least to be learnt?

With all species' charges scaled by q, X_Coul(q) = q^2 X_Coul(1) for energies and forces alike: a whole sweep
needs one Coulomb evaluation a frame. Two protocols:

- plain: the mean absolute error of X - X_Coul(q), energies after a shift (one a composition).
- regressed: first take out what a local linear model explains, a ridge regression on each species'
  summed AEVs (or, for forces, on their derivatives). By Frisch and Waugh the residual at charge q is
  r_X - q^2 r_C, with r_X and r_C the residuals of label and Coulomb term on the same features, so all charges
  together cost one solve. What is left is long-ranged, and the optimum is sharp where the plain one is not.

`sweep` keeps the ratios of the charges fixed, `fit_charges` lets several go free under neutrality, and
`compare_charges` sets other people's charges (formal, Bader, a teacher's) beside them. All take frames, or
`SweepData` made of them once.
"""

from asennp.qeff.baselines import ChargeComparison, compare_charges, read_acf
from asennp.qeff.free import ChargeFit, fit_charges
from asennp.qeff.rows import SweepData, summed_features
from asennp.qeff.sweep import SweepResult, dielectric_estimate, sweep, sweep_by

__all__ = [
    "ChargeComparison",
    "ChargeFit",
    "SweepData",
    "SweepResult",
    "compare_charges",
    "dielectric_estimate",
    "fit_charges",
    "read_acf",
    "summed_features",
    "sweep",
    "sweep_by",
]
