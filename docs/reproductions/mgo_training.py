"""MgO on density functional labels: networks trained on what Coulomb at charge q leaves, q = 0 (direct) to 2.

    python docs/reproductions/mgo_training.py FRAMES.extxyz OUT [--members 5] [--epochs 60] [--workers 1]

FRAMES is a labelled set (REF_energy, REF_forces, REF_stress). OUT gets a folder a model, its errors on the
test set, the table and the figure; started again, it goes on.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from ase import Atoms

from asennp import CoulombCalculator
from asennp.dataset import read_frames, residual_targets, split
from asennp.evaluate import compute_interval
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


def train(path: Path, out: Path, q: float, member: int, epochs: int, preset: str) -> None:
    """Train one member on the residual at charge q, and write its errors on the test set."""
    frames = divided(path)
    charges = {"Mg": q, "O": -q} if q else {}
    targets = residual_targets(frames["seen"], CoulombCalculator(charges)) if q else frames["seen"]
    folder = out / f"q{q:g}-{member}"
    settings = replace(PRESETS[preset], seed=member, epochs=epochs)
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
    parser.add_argument("--preset", default="short-T", choices=("short-T", "muon-T"))
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--table", action="store_true", help="train nothing, tabulate what is there")
    arguments = parser.parse_args()
    out, members = arguments.out, range(arguments.members)
    rest = (arguments.epochs, arguments.preset)
    tasks = [(arguments.frames, out, q, k, *rest) for k in members for q in CHARGES]
    missing = [task for task in tasks if not (out / f"q{task[2]:g}-{task[3]}" / "test.json").exists()]
    for _ in run_processes(train, [] if arguments.table else missing, arguments.workers):
        pass

    values = {q: measured(out, q, len(members)) for q in CHARGES}
    lines = ["| q (e) | members | " + " | ".join(f"{name} ({unit})" for name, (_, _, unit) in ERRORS.items())]
    lines[0] += " | " + " | ".join(f"{name}, less q = 0" for name in ERRORS) + " |"
    lines.append("|" + "---|" * (2 + 2 * len(ERRORS)))
    for q in CHARGES:
        cells = [written([row[name] for row in values[q].values()]) for name in ERRORS]
        # members of one number share seed and split: their difference is the charge's doing
        both = [k for k in values[q] if k in values[0.0]]
        cells += [written([values[q][k][name] - values[0.0][k][name] for k in both]) for name in ERRORS]
        lines.append(f"| {q:g} | {len(values[q])} | " + " | ".join(cells) + " |")
    table = "\n".join(lines)
    print(table)
    write_atomic(out / "table.md", table + "\n")
    panels = {
        f"{name.capitalize()} MAE ({unit})": {
            f"seed {k}": ([q for q in CHARGES if k in values[q]],
                          [values[q][k][name] for q in CHARGES if k in values[q]])
            for k in members
            if any(k in values[q] for q in CHARGES)
        }
        for name, (_, _, unit) in ERRORS.items()
    }  # fmt: skip
    plot_curves(panels, "Charge q (e)", dots=True).savefig(out / "mgo-training.svg")
    for q in CHARGES:
        models = [load_model(out / f"q{q:g}-{k}" / "model.asennp") for k in values[q]]
        card = {
            "name": f"MgO at {q:g} e",
            "made_by": "docs/reproductions/mgo_training.py",
            "teacher": "VASP, PBE-like (pypolymlp's MgO frames)",
            "n_frames": models[0].meta["n_train"],
            "test": {
                f"{name} ({unit})": round(float(np.mean([row[name] for row in values[q].values()])), 2)
                for name, (_, _, unit) in ERRORS.items()
            },
        }
        Model.stack(models, card).save(out / f"q{q:g}.asennp")


def measured(out: Path, q: float, members: int) -> dict[int, dict[str, float]]:
    """Return the errors of the members that are there, in the units of the table."""
    paths = {k: out / f"q{q:g}-{k}" / "test.json" for k in range(members)}
    rows = {k: read_json(path) for k, path in paths.items() if path.exists()}
    return {
        k: {name: factor * row[column] for name, (column, factor, _) in ERRORS.items()}
        for k, row in rows.items()
    }


def written(members: Sequence[float]) -> str:
    """Return mean ± half of the 90 % interval; a lone member has none."""
    interval = compute_interval(members)
    if interval.half_width == 0.0:
        return f"{interval.mean:.3g}"
    digits = max(0, 1 - int(np.floor(np.log10(max(interval.half_width, 1e-3)))))
    return f"{interval.mean:.{digits}f} ± {interval.half_width:.{digits}f}"


if __name__ == "__main__":
    main()
