"""A Schottky pair, bound and apart, and the (100) face of rigid-ion MgO."""

from asennp import BuckinghamCoulomb
from asennp.evaluate import compute_lattice, compute_surface, compute_vacancy
from asennp.structures import build_phase

calculator = BuckinghamCoulomb("mgo-lewis-catlow", cutoff=8.0, switch=2.0, accuracy=1e-6)
crystal = compute_lattice(build_phase("MgO", "rocksalt", a=4.2), calculator).atoms

energies = {}
for separation in ("near", "far"):
    pair = compute_vacancy(crystal, calculator, {"Mg": 1, "O": 1}, repeat=2, separation=separation)
    energies[separation] = pair.energy_eV
    print(f"{pair.label}: {pair.energy_eV:.2f} eV ({pair.unrelaxed_eV:.2f} eV unrelaxed)")
print(f"bound by {energies['far'] - energies['near']:.2f} eV, in cells of {pair.n_atoms} atoms")

for thickness in (8.0, 12.0):
    face = compute_surface(crystal, calculator, (1, 0, 0), thickness, charges={"Mg": 2, "O": -2})
    print(f"(100), {thickness:g} Å thick: {face.surface_J_m2:.3f} J/m^2 ({face.unrelaxed_J_m2:.3f} as cut)")
