"""Phonons of rigid-ion MgO: stability, the splitting of its optical branches, sound, heat capacity."""

import numpy as np

from asennp import BuckinghamCoulomb
from asennp.evaluate import compute_lattice, compute_phonons
from asennp.structures import build_phase

calculator = BuckinghamCoulomb("mgo-lewis-catlow", cutoff=8.0, switch=2.0, accuracy=1e-6)
start = build_phase("MgO", "rocksalt", a=4.2, cubic=False)
crystal = compute_lattice(start, calculator, fmax=1e-4).atoms
phonons = compute_phonons(crystal, calculator, length_A=8.0)

transverse, longitudinal = np.sort(phonons.gamma_THz)[3], phonons.path_frequencies_THz.max()
print(f"stable: {phonons.is_stable}, imaginary modes: {len(phonons.imaginary)}")
print(f"transverse optical at the zone's centre {transverse:.1f} THz, highest of all {longitudinal:.1f} THz")
print(f"sound along x: {', '.join(f'{v:.1f}' for v in phonons.sound_km_s[0])} km/s")
print(f"zero-point energy {1000 * phonons.zero_point_eV:.0f} meV/atom")
for temperature in (100, 300, 1000):
    at = int(np.argmin(np.abs(phonons.temperatures_K - temperature)))
    print(f"{temperature:5d} K  heat capacity {phonons.heat_capacity_kB[at]:.2f} k_B/atom")
for warning in phonons.warnings:
    print("warning:", warning)
