"""Shear a crystal by jumps and read its shear modulus from the curve."""

import tempfile
from pathlib import Path

import numpy as np
from ase import units

from asennp import BuckinghamCoulomb, DeformationMD
from asennp.md.stress_strain import read_stress_strain
from asennp.structures import build_phase

atoms = build_phase("ZnO", "rocksalt", a=4.28, repeat=2)
atoms.calc = BuckinghamCoulomb("zno-lewis-catlow", cutoff=8.0, accuracy=1e-4)
with tempfile.TemporaryDirectory() as folder:
    dyn = DeformationMD(
        atoms,
        timestep=1.0 * units.fs,
        temperature_K=50,
        mode="shear",
        component="xy",
        strain_step=0.005,
        steps_per_strain=200,
        n_equilibration=200,
        curve=Path(folder) / "curve.csv",
        rng=np.random.default_rng(1),
    )
    dyn.run(1000)
    curve = read_stress_strain(Path(folder) / "curve.csv")
for strain, load in zip(curve.strain, curve.load_GPa):
    print(f"strain {100 * strain:4.1f} %  shear stress {load:5.2f} GPa")
print(f"shear modulus C44 {curve.modulus_GPa():.0f} GPa (static: 163)")
