"""What a potential predicts: functions of atoms and any ASE calculator that return frozen results.

A calculator that computes in single precision is asked for double precision (`asennp.evaluate.precision`).
"""

from asennp.evaluate.committee import Interval, compare, compute_interval
from asennp.evaluate.elastic import ElasticResult, compute_elastic
from asennp.evaluate.eos import EosResult, TransitionResult, compute_eos, compute_transition_pressure
from asennp.evaluate.formation import FormationResult, compute_formation
from asennp.evaluate.lattice import LatticeResult, compute_lattice
from asennp.evaluate.parity import Errors, ParityResult, Predictions, compute_parity, predict
from asennp.evaluate.stability import StabilityResult, compute_stability
from asennp.evaluate.tensile import TensileResult, compute_tensile

__all__ = [
    "ElasticResult",
    "EosResult",
    "Errors",
    "FormationResult",
    "Interval",
    "LatticeResult",
    "ParityResult",
    "Predictions",
    "StabilityResult",
    "TensileResult",
    "TransitionResult",
    "compare",
    "compute_elastic",
    "compute_eos",
    "compute_formation",
    "compute_interval",
    "compute_lattice",
    "compute_parity",
    "compute_stability",
    "compute_tensile",
    "compute_transition_pressure",
    "predict",
]
