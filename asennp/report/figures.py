"""All figures of the report in one place; each takes arrays or results and returns a matplotlib figure."""

from asennp.report.calibration import plot_calibration
from asennp.report.charge import plot_sweeps
from asennp.report.crystals import plot_elastic, plot_enthalpies
from asennp.report.defects import plot_defects
from asennp.report.learning import plot_curves, plot_foresight, plot_history, plot_scores, plot_stages
from asennp.report.mechanics import plot_eos, plot_stability, plot_stress_strain
from asennp.report.methods import PropertyRow, plot_methods, plot_parity, plot_properties
from asennp.report.phonons import plot_phonons, plot_quasiharmonic, plot_thermal
from asennp.report.sampling import plot_map, plot_phases, plot_walkers
from asennp.report.structures import plot_structures
from asennp.report.thermodynamics import (
    plot_bias,
    plot_free_energy,
    plot_heat_capacity,
    plot_populations,
    project_bias,
)
from asennp.report.transition import plot_fixed_cell, plot_ladders, plot_runs, plot_speed
from asennp.report.transport import plot_diffusion, plot_msd, plot_rdf

__all__ = [
    "PropertyRow",
    "plot_bias",
    "plot_calibration",
    "plot_curves",
    "plot_defects",
    "plot_diffusion",
    "plot_elastic",
    "plot_enthalpies",
    "plot_eos",
    "plot_fixed_cell",
    "plot_foresight",
    "plot_free_energy",
    "plot_heat_capacity",
    "plot_history",
    "plot_ladders",
    "plot_map",
    "plot_methods",
    "plot_msd",
    "plot_parity",
    "plot_phases",
    "plot_phonons",
    "plot_populations",
    "plot_properties",
    "plot_quasiharmonic",
    "plot_rdf",
    "plot_runs",
    "plot_scores",
    "plot_speed",
    "plot_stability",
    "plot_stages",
    "plot_stress_strain",
    "plot_structures",
    "plot_sweeps",
    "plot_thermal",
    "plot_walkers",
    "project_bias",
]
