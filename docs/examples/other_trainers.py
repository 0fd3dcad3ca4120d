"""Residual data for MACE, NequIP and DeePMD: take a baseline out, write each one's keys, add it back."""

import tempfile
from pathlib import Path

import numpy as np
from ase.build import bulk
from ase.io import read

from asennp import BuckinghamCoulomb, CoulombCalculator
from asennp.dataset import compute_labels, fit_offsets, residual_targets, write_training_data

# frames with labels; an empirical potential stands for density-functional theory here
rng = np.random.default_rng(0)
frames = []
for _ in range(20):
    atoms = bulk("MgO", "rocksalt", a=rng.uniform(4.1, 4.35), cubic=True)
    atoms.positions += rng.normal(0.0, 0.08, atoms.positions.shape)
    frames.append(atoms)
labelled = compute_labels(frames, BuckinghamCoulomb("mgo-lewis-catlow"))

# any ASE calculator can be the baseline: fixed charges, PQEqCalculator(), a SumCalculator
baseline = CoulombCalculator({"Mg": 2.0, "O": -2.0})
residual = residual_targets(labelled, baseline)
print(f"energy per atom: {labelled[0].info['REF_energy'] / 8:.3f} eV, of the residual "
      f"{residual[0].info['REF_energy'] / 8:.3f} eV")  # fmt: skip

offsets = fit_offsets(residual)
print("offsets (eV):", {species: round(value, 3) for species, value in offsets.items()})

with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    for trainer in ("mace", "nequip", "deepmd"):
        lone = offsets if trainer == "mace" else None
        path = write_training_data(folder / f"{trainer}.extxyz", residual, trainer, isolated_atoms=lone)
        header = path.read_text().splitlines()[1]
        print(f"{trainer:8}", [word.split("=")[0] for word in header.split() if "=" in word])
    back = read(folder / "nequip.extxyz", 0)

# whatever learns the residual is composed with the baseline; here the residual itself stands for it
total = back.get_forces() + baseline.get_property("forces", frames[0])
print(f"forces add up to {np.abs(total - labelled[0].arrays['REF_forces']).max():.1e} eV/Å")
