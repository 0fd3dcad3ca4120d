"""MgO by residual networks: which baseline leaves the easier rest, fixed effective charges or PQEq?

    python docs/reproductions/pqeq_mgo.py FRAMES.extxyz OUT [--epochs 120] [--seeds 3]

FRAMES is a labelled set (REF_energy, REF_forces, REF_stress); frames within 1 eV/atom of the lowest energy
are used, and a fifth of them validates. Networks, split and seed are the same for every baseline; each seed
has its own split. Then the first PQEq model is tuned on forces alone, on a fifth of hotter frames (1 to
2 eV/atom). Stopped, the same command goes on.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from ase import Atoms

from asennp import CoulombCalculator, PQEqCalculator
from asennp.dataset import read_frames, residual_targets
from asennp.evaluate import compute_interval
from asennp.models import load_model
from asennp.report import figures
from asennp.train import FitResult, TrainConfig, fit, predict, preset

CHARGES = {"Mg": 0.95, "O": -0.95}
BASELINES = {"fixed charges": CoulombCalculator(CHARGES), "PQEq": PQEqCalculator(), "none": None}
#: What the trained models' files say of them.
RECORDS = {"fixed charges": {"charges": CHARGES}, "PQEq": {"electrostatics": "pqeq"}, "none": {}}
HIDDEN = (64, 48, 32)
QUANTITIES = {"Energy MAE (meV/atom)": ("energy_mae", 1e3), "Force MAE (meV/Å)": ("force_mae", 1e3),
              "Stress MAE (MPa)": ("stress_mae", 160217.6634)}  # fmt: skip


def residuals(frames: list[Atoms], name: str) -> list[Atoms]:
    """Take a baseline out of the labels."""
    baseline = BASELINES[name]
    return frames if baseline is None else residual_targets(frames, baseline)


def parts_of(n_frames: int, seed: int) -> dict[str, np.ndarray]:
    """Split at random, a fifth for validation."""
    order = np.random.default_rng(seed).permutation(n_frames)
    return {"train": np.sort(order[n_frames // 5 :]), "validation": np.sort(order[: n_frames // 5])}


def train(targets: list[Atoms], name: str, out: Path, seed: int, epochs: int) -> FitResult:
    """Train one model; of one that is done, return the result."""
    config = preset("short-T", epochs=epochs, hidden=HIDDEN, seed=seed)
    return fit(config, targets, out, parts=parts_of(len(targets), seed), **RECORDS[name])


def tune_on_forces(start: Path, frames: list[Atoms], out: Path, epochs: int) -> None:
    """Go on from a model with the forces of a fifth of new frames alone; print its errors on the rest."""
    targets = residuals(frames, "PQEq")
    parts = parts_of(len(targets), 0)
    fifth = {"train": parts["validation"], "validation": parts["train"]}
    unseen = [targets[k] for k in fifth["validation"]]
    labels = np.concatenate([frame.arrays["REF_forces"] for frame in unseen])
    config = TrainConfig(
        energy_weight=0.0, force_weight=1.0, stress_weight=0.0, select="force_mae", schedule="cosine",
        batch_size=4, hidden=HIDDEN, lr_weights=5e-4, epochs=epochs,
    )  # fmt: skip
    before = 1e3 * np.abs(predict(start, unseen).forces - labels).mean()
    after = 1e3 * fit(config, targets, out, init=load_model(start), parts=fifth).validation.force_mae
    print(f"{len(unseen)} unseen hot frames: {before:.1f} meV/Å, after tuning on the forces of "
          f"{len(fifth['train'])} others {after:.1f} meV/Å")  # fmt: skip


def print_rows(results: dict[str, list[FitResult]]) -> None:
    """Print validation errors as mean and 90 % interval, and paired differences to fixed charges."""
    for name, runs in results.items():
        cells = []
        for title, (field, unit) in QUANTITIES.items():
            values = np.array([unit * getattr(run.validation, field) for run in runs])
            fixed = np.array([unit * getattr(run.validation, field) for run in results["fixed charges"]])
            mean, less = compute_interval(values), compute_interval(values - fixed)
            cells.append(
                f"{title}: {mean.mean:.2f} ± {mean.half_width:.2f} "
                f"(less that of fixed charges: {less.mean:+.2f} ± {less.half_width:.2f})"
            )
        print(f"{name}: " + "; ".join(cells), flush=True)


def draw(results: dict[str, list[FitResult]], path: Path) -> None:
    """Draw the validation errors of all seeds against the epoch."""
    curves = {
        title: {
            name: (np.arange(1, runs[0].epochs + 1), unit * np.array([run.history[field] for run in runs]))
            for name, runs in results.items()
        }
        for title, (field, unit) in QUANTITIES.items()
    }
    figures.plot_curves(curves, "Epoch", log=True, dots=False).savefig(path)


def main() -> None:
    """Train, print tables and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("frames", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--epochs", type=int, default=120)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    frames = read_frames(arguments.frames)
    energies = np.array([frame.info["REF_energy"] / len(frame) for frame in frames])
    energies -= energies.min()
    calm = [frame for frame, energy in zip(frames, energies) if energy < 1.0]
    targets = {name: residuals(calm, name) for name in BASELINES}
    for name, those in targets.items():
        spread = np.std([frame.info["REF_energy"] / len(frame) for frame in those])
        rms = np.sqrt(np.mean([frame.arrays["REF_forces"] ** 2 for frame in those]))
        print(f"{name}: targets' spread {1e3 * spread:.0f} meV/atom, rms force {rms:.3f} eV/Å", flush=True)

    results: dict[str, list[FitResult]] = {name: [] for name in BASELINES}
    for seed in range(arguments.seeds):
        for name in BASELINES:
            place = arguments.out / f"{name.replace(' ', '-')}-{seed}"
            results[name].append(train(targets[name], name, place, seed, arguments.epochs))
        print(f"--- {seed + 1} seed(s), {arguments.epochs} epochs, {len(calm)} frames")
        print_rows(results)
    draw(results, arguments.out / "pqeq-mgo.svg")
    hot = [frame for frame, energy in zip(frames, energies) if 1.0 <= energy < 2.0]
    tune_on_forces(Path(results["PQEq"][0].model), hot, arguments.out / "hot", arguments.epochs // 4)


if __name__ == "__main__":
    main()
