"""MgO on density functional labels: networks trained on what Coulomb at charge q leaves, q = 0 (direct) to 2.

    python docs/reproductions/mgo_training.py FRAMES.extxyz OUT [--members 5] [--epochs 60] [--workers 1]

FRAMES is a labelled set (REF_energy, REF_forces, REF_stress). OUT gets a folder a model, its errors on the
test set, the table and the figure; started again, it goes on.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from ase import Atoms

from asennp import CoulombCalculator
from asennp.dataset import read_frames, residual_targets, split
from asennp.evaluate import Interval, compute_interval
from asennp.files import read_json, write_atomic, write_json
from asennp.models.model import Model, load_model
from asennp.processes import run_processes
from asennp.report.figures import plot_curves
from asennp.train.config import PRESETS
from asennp.train.loop import fit
from asennp.train.prediction import compute_errors, evaluate_frames
from asennp.units import EV_A3_MPA

CHARGES = (0.0, 0.8, 1.12, 1.7, 2.0)
#: Frames this far (eV/atom) above the lowest.
WINDOW = 1.0
ERRORS = {
    "energy": ("energy_mae", 1e3, "meV/atom"),
    "forces": ("force_mae", 1e3, "meV/Å"),
    "stress": ("stress_mae", EV_A3_MPA, "MPa"),
}


def divided(path: Path) -> dict[str, list[Atoms]]:
    """Return the frames near the crystal: those the trainings see, and the test set."""
    frames = read_frames(path)
    energies = np.array([frame.info["REF_energy"] / len(frame) for frame in frames])
    near = [frame for frame, energy in zip(frames, energies) if energy - energies.min() < WINDOW]
    parts = split(near, {"seen": 0.85, "test": 0.15}, seed=0)
    return {name: [near[k] for k in indices] for name, indices in parts.items()}


def train(path: Path, out: Path, q: float, member: int, epochs: int) -> None:
    """Train one member on the residual at charge q, and write its errors on the test set."""
    frames = divided(path)
    charges = {"Mg": q, "O": -q} if q else {}
    targets = residual_targets(frames["seen"], CoulombCalculator(charges)) if q else frames["seen"]
    folder = out / f"q{q:g}-{member}"
    settings = replace(PRESETS["short-T"], seed=member, epochs=epochs)
    result = fit(settings, targets, folder, charges=charges, threads=1)
    found = evaluate_frames(load_model(result.model), frames["test"], threads=1)
    errors = compute_errors(found, frames["test"])
    write_json(folder / "test.json", {"n_test": len(frames["test"]), **errors.to_dict()})


def main() -> None:
    """Train, tabulate, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("frames", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--members", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    out, members = arguments.out, range(arguments.members)
    tasks = [(arguments.frames, out, q, k, arguments.epochs) for k in members for q in CHARGES]
    missing = [task for task in tasks if not (out / f"q{task[2]:g}-{task[3]}" / "test.json").exists()]
    for _ in run_processes(train, missing, arguments.workers):
        pass

    found = {q: [read_json(out / f"q{q:g}-{k}" / "test.json") for k in members] for q in CHARGES}
    lines = ["| q (e) | " + " | ".join(f"{name} ({unit})" for name, (_, _, unit) in ERRORS.items())]
    lines[0] += " | " + " | ".join(f"{name}, less q = 0" for name in ERRORS) + " |"
    lines.append("|" + "---|" * (1 + 2 * len(ERRORS)))
    panels = {f"{name} MAE ({unit})": {} for name, (_, _, unit) in ERRORS.items()}
    values = {
        name: {q: np.array([factor * row[column] for row in found[q]]) for q in CHARGES}
        for name, (column, factor, _) in ERRORS.items()
    }
    for q in CHARGES:
        cells = [written(compute_interval(values[name][q])) for name in ERRORS]
        # members of one number share their seed, so their difference is the charge's doing alone
        cells += [written(compute_interval(values[name][q] - values[name][0.0])) for name in ERRORS]
        lines.append(f"| {q:g} | " + " | ".join(cells) + " |")
    for name, panel in zip(ERRORS, panels.values()):
        panel["test set"] = (CHARGES, np.array([values[name][q] for q in CHARGES]).T)
    table = "\n".join(lines)
    print(table)
    write_atomic(out / "table.md", table + "\n")
    plot_curves(panels, "Charge q (e)", dots=True).savefig(out / "mgo-training.svg")
    for q in CHARGES:
        models = [load_model(out / f"q{q:g}-{k}" / "model.asennp") for k in members]
        Model.stack(models).save(out / f"q{q:g}.asennp")


def written(interval: Interval) -> str:
    """Return mean ± half width with digits that mean something."""
    digits = max(0, 1 - int(np.floor(np.log10(max(interval.half_width, 1e-3)))))
    return f"{interval.mean:.{digits}f} ± {interval.half_width:.{digits}f}"


if __name__ == "__main__":
    main()
