"""What a potential predicts: functions of atoms and any ASE calculator that return frozen results.

A calculator that computes in single precision is asked for double precision (`asennp.evaluate.precision`).
"""

from asennp.evaluate.born import BornCharges, model_born_charges
from asennp.evaluate.calibration import CalibrationResult, compute_calibration
from asennp.evaluate.committee import Interval, compare, compute_interval
from asennp.evaluate.defects import (
    DefectResult,
    build_vacancies,
    compute_defect,
    compute_surface,
    compute_vacancy,
)
from asennp.evaluate.diffusion import (
    ArrheniusFit,
    DiffusionResult,
    MsdResult,
    compute_diffusion,
    compute_msd,
    fit_arrhenius,
)
from asennp.evaluate.elastic import ElasticResult, compute_elastic
from asennp.evaluate.enthalpy import TransitionPressureResult, compute_transition_pressure, find_transitions
from asennp.evaluate.eos import EosResult, compute_eos, fit_eos
from asennp.evaluate.formation import FormationResult, compute_formation
from asennp.evaluate.ladder import Ladder
from asennp.evaluate.lattice import LatticeResult, compute_lattice
from asennp.evaluate.parity import Errors, ParityResult, Predictions, compute_parity, predict
from asennp.evaluate.phonons import ImaginaryMode, PhononResult, compute_phonons
from asennp.evaluate.pull import PullResult, compute_pull
from asennp.evaluate.quasiharmonic import QuasiharmonicResult, compute_quasiharmonic
from asennp.evaluate.slab import build_slab
from asennp.evaluate.sound import christoffel_velocities
from asennp.evaluate.stability import StabilityResult, compute_stability
from asennp.evaluate.structure_functions import RdfResult, compute_rdf
from asennp.evaluate.tensile import TensileResult, compute_shear, compute_tensile
from asennp.evaluate.transition import TransitionResult, compute_transition

__all__ = [
    "ArrheniusFit",
    "BornCharges",
    "CalibrationResult",
    "DefectResult",
    "DiffusionResult",
    "ElasticResult",
    "EosResult",
    "Errors",
    "FormationResult",
    "ImaginaryMode",
    "Interval",
    "Ladder",
    "LatticeResult",
    "MsdResult",
    "ParityResult",
    "PhononResult",
    "Predictions",
    "PullResult",
    "QuasiharmonicResult",
    "RdfResult",
    "StabilityResult",
    "TensileResult",
    "TransitionPressureResult",
    "TransitionResult",
    "build_slab",
    "build_vacancies",
    "christoffel_velocities",
    "compare",
    "compute_calibration",
    "compute_defect",
    "compute_diffusion",
    "compute_elastic",
    "compute_eos",
    "compute_formation",
    "compute_interval",
    "compute_lattice",
    "compute_msd",
    "compute_parity",
    "compute_phonons",
    "compute_pull",
    "compute_quasiharmonic",
    "compute_rdf",
    "compute_shear",
    "compute_stability",
    "compute_surface",
    "compute_tensile",
    "compute_transition",
    "compute_transition_pressure",
    "compute_vacancy",
    "find_transitions",
    "fit_arrhenius",
    "fit_eos",
    "model_born_charges",
    "predict",
]
