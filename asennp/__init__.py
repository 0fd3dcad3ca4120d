"""Neural network potentials for ionic solids, as ASE objects.

The names below are loaded on first use, so ``import asennp`` itself stays fast.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "BuckinghamCoulomb": "asennp.calculators.buckingham",
    "CoulombCalculator": "asennp.calculators.coulomb",
    "EAM": "asennp.calculators.eam",
    "EspressoLabeler": "asennp.calculators.espresso",
    "HybridNNPCalculator": "asennp.calculators.hybrid",
    "PQEqCalculator": "asennp.calculators.pqeq",
    "D3Calculator": "asennp.calculators.dispersion",
    "SumCalculator": "asennp.calculators.compose",
    "DeformationMD": "asennp.md.deformation",
    "MOMT": "asennp.md.momt",
    "WangLandauBias": "asennp.md.bias",
    "ReciprocalOrder": "asennp.order",
    "run_walkers": "asennp.md.walkers",
    "read_samples": "asennp.md.samples",
    "TensileMD": "asennp.md.tensile",
    "evaluate_frames": "asennp.train.prediction",
}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'asennp' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
