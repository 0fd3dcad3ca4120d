"""ZnO on density functional labels: charge sweep, transfer from the empirical potential, crystals.

    python docs/reproductions/zno_qe.py LABELS... POOL OUT [--epochs 120] [--members 3] [--workers 2]

LABELS are files, or shipped pools such as zno_qe, of cells of 8 atoms with REF_energy, REF_forces, REF_stress
(REF_stress_pulaycorr is preferred).
POOL is what ``asennp sample zno-tiny -s sample.steps=40000 -s sample.frame_interval=200`` writes: frames of
the empirical potential, from which the networks learn its short range first. Started again, it goes on.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from ase import Atoms

from asennp import BuckinghamCoulomb, CoulombCalculator, HybridNNPCalculator
from asennp.dataset import compute_labels, load_pool, read_frames, residual_targets, split
from asennp.evaluate import compute_interval, compute_lattice, compute_parity
from asennp.files import read_json, write_json
from asennp.models.model import load_model
from asennp.processes import run_processes
from asennp.qeff import SweepData, sweep
from asennp.qeff.rows import lowest
from asennp.structures import build_phase
from asennp.train.config import PRESETS
from asennp.train.loop import fit

UNIT = {"Zn": 1.0, "O": -1.0}
KINDS = ("direct", "transferred", "hybrid")
#: Start of the relaxations: lattice constants near the labels' own.
PHASES = {
    "W": build_phase("ZnO", "wurtzite", 3.27, c=5.28, u=0.379),
    "ZB": build_phase("ZnO", "zincblende", 4.60),
    "RS": build_phase("ZnO", "rocksalt", 4.31),
}
#: Frames this far (eV/atom) above the lowest.
WINDOW = 1.0
SMALL = (64, 48, 32)


def labelled(labels: Sequence[str]) -> list[Atoms]:
    """Return the frames; those of one chain are neighbours to the splits, every other frame is by itself."""
    frames = lowest([frame for source in labels for frame in load_pool(source)], WINDOW)
    for k, frame in enumerate(frames):
        frame.info["source"] = str(frame.info.get("chain", f"frame {k}"))
        frame.info["step"] = int(frame.info.get("md_step", 0))
        corrected = frame.info.get("REF_stress_pulaycorr")
        if corrected is not None:
            frame.info["REF_stress"] = np.asarray(corrected, dtype=float)
    return frames


def pretrain(pool: Path, out: Path, member: int, epochs: int) -> None:
    """Learn the atomic energies of the empirical short range on the pool and on warm wurtzite."""
    frames = [frame for name in ("SC", "FCC") for frame in read_frames(pool / name / "frames.extxyz")[::2]]
    rng = np.random.default_rng(5)
    crystal = build_phase("ZnO", "wurtzite", 3.2304, c=5.0769, u=0.3891).repeat((2, 1, 1))
    for k in range(60):
        atoms = crystal.copy()
        strain = rng.uniform(-0.03, 0.03, (3, 3))
        atoms.set_cell(crystal.cell.array @ (np.eye(3) + (strain + strain.T) / 2), scale_atoms=True)
        atoms.positions += rng.normal(0.0, 0.12 * (k + 1) / 60, atoms.positions.shape)
        frames.append(atoms)
    bare = [Atoms(f.numbers, f.positions, cell=f.cell, pbc=True) for f in frames]
    calculator = BuckinghamCoulomb("zno-lewis-catlow", coulomb=False, guard=True)
    targets = compute_labels(bare, calculator, ("energy", "forces", "stress", "energies"))
    settings = replace(PRESETS["short-A"], seed=member, epochs=epochs // 2, hidden=SMALL, batch_size=8)
    fit(settings, targets, out / f"pretrained-{member}", threads=1)


def train(labels: Sequence[str], out: Path, kind: str, member: int, q: float, epochs: int) -> None:
    """Learn the labels, from nothing or from the pretrained network, with or without a Coulomb baseline."""
    frames = labelled(labels)
    seen = [frames[k] for k in split(frames, {"seen": 0.8, "test": 0.2}, 0)["seen"]]
    charges = {species: sign * q for species, sign in UNIT.items()} if kind == "hybrid" else {}
    targets = residual_targets(seen, CoulombCalculator(charges)) if charges else seen
    init = None if kind == "direct" else load_model(out / f"pretrained-{member}" / "model.asennp")
    settings = replace(PRESETS["short-T"], seed=member, epochs=epochs, hidden=SMALL)
    fit(settings, targets, out / f"{kind}-{member}", init=init, charges=charges, threads=1)


def measure(labels: Sequence[str], out: Path, kind: str, member: int) -> None:
    """Write the errors on test frames and the relaxed crystals of one model."""
    frames = labelled(labels)
    test = [frames[k] for k in split(frames, {"seen": 0.8, "test": 0.2}, 0)["test"]]
    calculator = HybridNNPCalculator(out / f"{kind}-{member}" / "model.asennp", dtype="float64")
    parity = compute_parity(test, calculator)
    figures = {name: getattr(parity, name).mae for name in ("energy", "forces", "stress")}
    energies = {}
    for phase, atoms in PHASES.items():
        lattice = compute_lattice(atoms, calculator)
        figures[f"{phase} a"] = lattice.a
        energies[phase] = 1e3 * lattice.energy_per_atom
        if phase == "W":
            figures["W c"] = lattice.c
    for phase in ("ZB", "RS"):
        figures[f"{phase} above W"] = energies[phase] - energies["W"]
    write_json(out / f"measured-{kind}-{member}.json", {"n_test": len(test), **figures})


def main() -> None:
    """Sweep, train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("labels", nargs="+")
    parser.add_argument("pool", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--epochs", type=int, default=120)
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    labels, out = arguments.labels, arguments.out
    frames = labelled(labels)
    for on in ("energy", "forces"):
        data = SweepData(frames, on=on)
        for method in ("plain", "regressed"):
            path = out / f"{on}-{method}.json"
            if not path.exists():
                sweep(data, UNIT, method=method).to_json(path)
            found = read_json(path)
            low, high = found["interval"]
            mae = found["mae"]
            left = ", ".join(f"{1e3 * value:.2f}" for value in (mae[0], min(mae), mae[-1]))
            print(f"{on:7} {method:10} {found['optimum']:.2f} ({low:.2f} to {high:.2f})  {found['note']}")
            print(f"        left at 0, at the optimum, at 2: {left}", flush=True)
    q = round(float(read_json(out / "forces-regressed.json")["optimum"]), 2)
    members = range(arguments.members)
    epochs = arguments.epochs
    models = [(labels, out, kind, k) for k in members for kind in KINDS]
    steps = [
        (pretrain, [(arguments.pool, out, k, epochs) for k in members], "pretrained-{2}/result.json"),
        (train, [(*model, q, epochs) for model in models], "{2}-{3}/result.json"),
        (measure, models, "measured-{2}-{3}.json"),
    ]
    for function, tasks, result in steps:
        missing = [task for task in tasks if not (out / result.format(*task)).exists()]
        for _ in run_processes(function, missing, arguments.workers):
            pass
    print(f"trained at q = {q}")
    for kind in KINDS:
        rows = [read_json(out / f"measured-{kind}-{k}.json") for k in members]
        table = {name: compute_interval([row[name] for row in rows]) for name in rows[0]}
        words = {name: f"{i.mean:.3f} ± {(i.high - i.low) / 2:.3f}" for name, i in table.items()}
        print(kind, json.dumps(words, ensure_ascii=False))


if __name__ == "__main__":
    main()
