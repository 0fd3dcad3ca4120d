"""PQEq and D3 under an equivariant network: a small MACE trained on what they leave, composed with them.

Exits with 77 where mace-torch (extra ``mace``) or dftd3 (extra ``d3``) is missing.
"""

import contextlib
import io
import os
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from ase.build import bulk

from asennp import BuckinghamCoulomb, D3Calculator, PQEqCalculator, SumCalculator
from asennp.dataset import residual_targets, write_frames
from asennp.dataset.targets import compute_labels

for package in ("mace", "dftd3"):
    if find_spec(package) is None:
        print(f"{package} is not installed: pip install asennp[mace,d3]")
        sys.exit(77)

# frames with labels; an empirical potential stands for density-functional theory here
rng = np.random.default_rng(0)
frames = []
for _ in range(60):
    atoms = bulk("MgO", "rocksalt", a=rng.uniform(4.1, 4.35), cubic=True)
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + rng.normal(0.0, 0.01, (3, 3))), scale_atoms=True)
    atoms.positions += rng.normal(0.0, 0.08, atoms.positions.shape)
    frames.append(atoms)
teacher = BuckinghamCoulomb("mgo-lewis-catlow")
labelled = compute_labels(frames, teacher)

# what electrostatics and dispersion leave is the network's to learn
long_range = SumCalculator([PQEqCalculator(), D3Calculator("pbe", "d3zero")])
residual = residual_targets(labelled, long_range)
print(f"forces: {np.std([f.arrays['REF_forces'] for f in labelled]):.3f} eV/Å, "
      f"of the residual {np.std([f.arrays['REF_forces'] for f in residual]):.3f} eV/Å")  # fmt: skip

with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    write_frames(folder / "train.extxyz", residual[:50])
    os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"  # mace's own checkpoints are pickles
    from mace.cli.run_train import run
    from mace.tools import build_default_arg_parser

    arguments = build_default_arg_parser().parse_args(
        f"--name mgo --train_file {folder / 'train.extxyz'} --work_dir {folder} --valid_fraction 0.1 "
        "--energy_key REF_energy --forces_key REF_forces --stress_key REF_stress --E0s average --model MACE "
        "--num_interactions 2 --num_channels 8 --max_L 0 --correlation 2 --r_max 4.0 --batch_size 5 "
        "--max_num_epochs 25 --lr 0.02 --energy_weight 1 --forces_weight 100 --device cpu --seed 1 "
        "--default_dtype float64 --error_table TotalMAE".split()
    )
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        run(arguments)
    from mace.calculators import MACECalculator

    model = next(folder.glob("mgo.model"), None) or next(folder.rglob("*.model"))
    short = MACECalculator(model_paths=str(model), device="cpu", default_dtype="float64")

composed = SumCalculator([short, PQEqCalculator(), D3Calculator("pbe", "d3zero")])
errors = [composed.get_property("forces", f) - f.arrays["REF_forces"] for f in labelled[50:]]
print(f"force error on unseen frames: {1e3 * np.abs(errors).mean():.1f} meV/Å")

atoms = frames[-1].copy()
forces = composed.get_property("forces", atoms)
energies = []
for sign in (1, -1):
    moved = atoms.copy()
    moved.positions[0, 0] += sign * 1e-4
    energies.append(composed.get_property("energy", moved))
print(f"force and finite difference: {forces[0, 0]:.6f} {(energies[1] - energies[0]) / 2e-4:.6f} eV/Å")
ratio = composed.get_property("energy", atoms.repeat((2, 1, 1))) / composed.get_property("energy", atoms)
print(f"energy of a double cell: {ratio:.8f} times as large")
print("charges:", np.round(composed.get_property("charges", atoms), 3).tolist())
