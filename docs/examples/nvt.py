"""Wurtzite at 300 K with the shipped hybrid potential: one picosecond of NVT."""

import numpy as np
from ase import units
from ase.md.langevinbaoab import LangevinBAOAB
from ase.md.velocitydistribution import thermalize_momenta

from asennp import HybridNNPCalculator
from asennp.structures import build_phase

atoms = build_phase("ZnO", "wurtzite", a=3.29, c=5.28, repeat=(3, 3, 2))
atoms.calc = HybridNNPCalculator("zno-demo")

rng = np.random.default_rng(1)
thermalize_momenta(atoms, temperature_K=300, rng=rng)
dyn = LangevinBAOAB(atoms, timestep=1.0 * units.fs, temperature_K=300, T_tau=100 * units.fs, rng=rng)


def report() -> None:
    energy = atoms.get_potential_energy() / len(atoms)
    spread = 1000 * atoms.calc.committee.energies_std.max()
    print(f"{dyn.get_time() / units.fs:6.0f} fs  {energy:9.4f} eV/atom  "
          f"{atoms.get_temperature():5.0f} K  largest spread {spread:4.1f} meV")  # fmt: skip


dyn.attach(report, interval=200)
dyn.run(1000)
