"""LAMMPS for large systems: its integrators and Coulomb sum, our networks, any number of MPI ranks.

E = sum_i [mean over members of f_species(i)(G_i) + offset] + E_Coulomb(charges): LAMMPS sums the charges
(``coul/long`` and ``pppm``) and moves the atoms; a ``fix external`` adds the networks' part.
"""

from asennp.lammps.engine import LammpsResult, run, run_folder
from asennp.lammps.inputs import LammpsSettings, make_settings, write_input

__all__ = ["LammpsResult", "LammpsSettings", "make_settings", "run", "run_folder", "write_input"]
