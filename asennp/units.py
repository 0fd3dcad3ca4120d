"""Conversions to and from ASE's units (eV, Å, amu, K), in one named place.

Inside the package everything is in ASE's units; a name says so where it is not.
"""

from ase import units

#: e^2 / (4 pi eps0) in eV Å (CODATA 2018); LAMMPS's ``metal`` units round it to 14.399645.
COULOMB_EV_A = 14.39964547842567
#: Energy unit of TorchANI and of the papers' loss weights (CODATA 2014, as TorchANI has it), in eV.
HARTREE_EV = 27.211386024367243
#: 1 eV/Å^3 in GPa and in MPa.
EV_A3_GPA = 1.0 / units.GPa
EV_A3_MPA = 1000.0 / units.GPa
#: Boltzmann's constant in eV/K.
KB = units.kB
