"""MgO by residual networks: which baseline leaves the easier rest, fixed effective charges or PQEq?

    python docs/reproductions/pqeq_mgo.py FRAMES.extxyz OUT [--epochs 60]

FRAMES is a labelled set (REF_energy, REF_forces, REF_stress); frames within 1 eV/atom of the lowest energy
are used. Networks, seed and split are the same for every baseline. Then the PQEq model is tuned on the forces
of a fifth of the frames alone.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from asennp import CoulombCalculator, PQEqCalculator
from asennp.dataset import read_frames, residual_targets
from asennp.models import load_model
from asennp.train import TrainConfig, fit

BASELINES = {
    "none": None,
    "q_eff 0.95": CoulombCalculator({"Mg": 0.95, "O": -0.95}),
    "PQEq": PQEqCalculator(),
}


def main() -> None:
    """Train and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("frames", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--epochs", type=int, default=60)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    frames = read_frames(arguments.frames)
    energies = np.array([frame.info["REF_energy"] / len(frame) for frame in frames])
    frames = [frame for frame, energy in zip(frames, energies) if energy < energies.min() + 1.0]
    order = np.random.default_rng(0).permutation(len(frames))
    n_test = len(frames) // 5
    parts = {"train": np.sort(order[n_test:]), "validation": np.sort(order[:n_test])}
    config = TrainConfig(
        energy_weight=1.0, force_weight=1.0, stress_weight=0.1, lr_weights=1e-3, batch_size=16,
        epochs=arguments.epochs, hidden=(64, 48, 32), select="loss", plateau_patience=8,
    )  # fmt: skip
    table = {}
    for name, baseline in BASELINES.items():
        targets = frames if baseline is None else residual_targets(frames, baseline)
        spread = np.std([frame.info["REF_energy"] / len(frame) for frame in targets])
        forces = np.concatenate([frame.arrays["REF_forces"] for frame in targets])
        result = fit(config, targets, arguments.out / name.replace(" ", "-"), parts=parts)
        errors = result.validation
        table[name] = {
            "targets' spread (meV/atom)": 1e3 * spread,
            "targets' force rms (eV/Å)": float(np.sqrt(np.mean(forces**2))),
            "energy MAE (meV/atom)": 1e3 * errors.energy_mae,
            "force MAE (meV/Å)": 1e3 * errors.force_mae,
            "stress MAE (MPa)": 160217.6634 * errors.stress_mae,
        }  # fmt: skip
        print(name, json.dumps({k: round(v, 2) for k, v in table[name].items()}), flush=True)

    # two steps as for foundation models: a general training, then forces alone on a fifth of the frames
    targets = residual_targets(frames, BASELINES["PQEq"])
    start = load_model(arguments.out / "PQEq" / "model.asennp")
    fifth = {"train": parts["train"][::5], "validation": parts["validation"]}
    forces_only = TrainConfig(
        energy_weight=0.0, force_weight=1.0, stress_weight=0.0, lr_weights=3e-4, batch_size=16,
        epochs=arguments.epochs // 3, hidden=(64, 48, 32), select="force_rmse",
    )  # fmt: skip
    errors = fit(forces_only, targets, arguments.out / "forces-only", init=start, parts=fifth).validation
    print("forces alone, a fifth of the frames:", f"{1e3 * errors.force_mae:.1f} meV/Å")


if __name__ == "__main__":
    main()
