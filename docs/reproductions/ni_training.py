"""Nickel from embedded-atom labels: with and without stress in the loss, sheared frames, atomic energies.

    python docs/reproductions/ni_training.py FOLDER OUT [--fresh N] [--only NAME] [--workers N]

FOLDER holds ni32_eam.h5, eam_atomic_tot.npz and NiNb.eam.fs of the tutorials of the paper's author. OUT gets
the fresh frames of 32 and 108 atoms by MOMT, a folder a model and the tables of ni-training.md; started
again, it goes on.
"""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.build import bulk

from asennp import EAM, MOMT, HybridNNPCalculator, ReciprocalOrder, WangLandauBias
from asennp.dataset import compute_labels, load_pool, read_hdf5, split, write_pool
from asennp.evaluate import compute_elastic, compute_lattice
from asennp.files import read_json, write_atomic, write_json
from asennp.models.model import load_model
from asennp.processes import run_processes
from asennp.train.config import TrainConfig, preset
from asennp.train.loop import fit
from asennp.train.prediction import compute_errors, predict
from asennp.units import EV_A3_MPA

#: Frames between two blocks of the test set: neighbours in the file are neighbours in time.
BLOCK = 25
#: Ours, for a hundred epochs in place of thousands: steps along orthogonalised momentum, of few frames, at a
#: rate that ends at zero.
SHORT: dict[str, Any] = {
    "weight_optimizer": "muon",
    "lr_weights": 2e-3,
    "bias_optimizer": "adam",
    "lr_biases": 5e-4,
    "batch_size": 8,
    "schedule": "cosine",
    "validation_fraction": 0.1,
}
#: Fine-tuning begins lower.
FINE: dict[str, Any] = SHORT | {"lr_weights": 5e-4, "lr_biases": 1e-4}
#: Weights by which energies, forces and stress end with shares of one size: ours.
BALANCED: dict[str, Any] = {"force_weight": 0.8, "stress_weight": 0.01, "select": "loss", "epochs": 120}
TOTAL = preset("nickel-pretrain", energy_weight=0.2, **BALANCED, **SHORT)


@dataclass(frozen=True)
class Training:
    """Whether sheared frames are learnt too, the stages one after another, and how many members.

    The last stage is measured on every so-many-th of the fresh frames.
    """

    sheared: bool
    stages: tuple[TrainConfig, ...]
    members: int = 1
    every: int = 10


def published(sheared: bool, end: str) -> Training:
    """Return the published weights: the initial stage and fine-tuning, with stress or without ("-forces")."""
    initial, fine = preset(f"nickel-pretrain{end}", **SHORT), preset(f"nickel-fine-tune{end}", **FINE)
    return Training(sheared, (replace(initial, epochs=25), replace(fine, epochs=25)))


TRAININGS = {
    "cubic, stress": published(False, ""),
    "cubic, no stress": published(False, "-forces"),
    "all, stress": published(True, ""),
    "all, no stress": published(True, "-forces"),
    "all, atomic energies": Training(True, (preset("nickel-A", epochs=50, **SHORT),)),
    "cubic, balanced": Training(False, (TOTAL,), every=1),
    "all, balanced": Training(True, (TOTAL,), members=3, every=1),
    "all, balanced, atomic energies": Training(True, (replace(TOTAL, stage="A-Train", energy_weight=8.0),)),
}
#: Atoms of the cells that test what was learnt of 32.
FRESH = (32, 108)
COLUMNS = {"energy_mae": 1e3, "force_mae": 1e3, "stress_mae": EV_A3_MPA, "energies_mae": 1e3}


def divided(folder: Path) -> dict[str, list[Atoms]]:
    """Return the frames with their atomic energies, seen and test, by block of the file."""
    frames = read_hdf5(folder / "ni32_eam.h5", {"C": "Ni"})
    atomic = np.load(folder / "eam_atomic_tot.npz")["atomic_eV"]
    for frame, energies in zip(frames, atomic):
        frame.arrays["REF_energies"] = energies
    parts = split(frames, {"seen": 0.85, "test": 0.15}, seed=0, window=BLOCK)
    return {name: [frames[k] for k in indices] for name, indices in parts.items()}


def is_sheared(frame: Atoms) -> bool:
    """Say whether the cell has left the cube."""
    return bool(np.abs(frame.cell.array - np.diag(frame.cell.lengths())).max() > 1e-6)


def train(folder: Path, out: Path, name: str, member: int) -> None:
    """Train a member through its stages, and measure each."""
    training = TRAININGS[name]
    frames = divided(folder)
    seen = [frame for frame in frames["seen"] if training.sheared or not is_sheared(frame)]
    model = None
    for number, settings in enumerate(training.stages):
        place = place_of(out, name, member, number)
        fit(replace(settings, seed=member), seen, place, init=model, threads=1)
        model = load_model(place / "model.asennp")
        last = number == len(training.stages) - 1
        measure(folder, out, place, frames["test"], every=training.every if last else 10)


def place_of(out: Path, name: str, member: int, number: int) -> Path:
    """Return the folder of a stage."""
    return out / name.replace(", ", "-").replace(" ", "-") / f"{member}" / f"{number}"


def measure(folder: Path, out: Path, place: Path, test: list[Atoms], every: int) -> None:
    """Write a model's errors on the test sets, of the fresh frames on every so-many-th, and its crystal."""
    if (place / "measured.json").exists():
        return
    model = load_model(place / "model.asennp")
    sets = {
        "test, cubic": [frame for frame in test if not is_sheared(frame)],
        "test, sheared": [frame for frame in test if is_sheared(frame)],
    }
    for n_atoms in FRESH:
        fresh = load_pool(pool_of(out, n_atoms))[::every]
        quantities = ("energy", "forces", "stress", "energies")
        sets[f"fresh, {n_atoms} atoms"] = compute_labels(fresh, EAM(folder / "NiNb.eam.fs"), quantities)
    found: dict[str, Any] = {}
    for name, frames in sets.items():
        errors = compute_errors(predict(model, frames, threads=1), frames).to_dict()
        found[name] = {"frames": len(frames), **{c: factor * errors[c] for c, factor in COLUMNS.items()}}
    found["crystal"] = crystal(HybridNNPCalculator(model, dtype="float64"))
    write_json(place / "measured.json", found)


def pool_of(out: Path, n_atoms: int) -> Path:
    """Return the file of the fresh frames."""
    return out / f"fresh-{n_atoms}.npz"


def sample(folder: Path, out: Path, n_atoms: int, n_frames: int) -> None:
    """Write frames nobody trained on: MOMT of the labels' potential at 2000 K, one every 20 fs."""
    repeats = round((n_atoms / 4) ** (1 / 3))
    atoms = bulk("Ni", a=3.5162, cubic=True).repeat(repeats)
    atoms.calc = EAM(folder / "NiNb.eam.fs")
    order, lowest = ReciprocalOrder.fcc(atoms), float(atoms.get_potential_energy())
    bias = WangLandauBias(
        axes=[
            ("enthalpy", lowest, lowest + 0.7 * n_atoms, 60),
            ("order", -5.0, 1.1 * float(order(atoms)), 80),
        ],
        temperature_K=2000,
        ln_f=2.0,
        kernel_width=1.5,
        schedule="constant",
    )
    dynamics = MOMT(
        atoms,
        2 * units.fs,
        temperature_K=2000,
        pressure_au=units.bar,
        order=order,
        bias=bias,
        wl_interval=100,
        rng=np.random.default_rng(n_atoms),
    )
    frames = []
    for _ in range(n_frames):
        dynamics.run(10)
        point = dynamics.point
        info = {"step": dynamics.nsteps, "enthalpy": point.enthalpy, "order": point.orders[0]}
        frames.append(Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=True, info=info))
    write_pool(pool_of(out, n_atoms), frames)


def crystal(calculator: Any) -> dict[str, float]:
    """Return lattice constant (Å) and elastic constants (GPa) at 10 and 0.5 % strain."""
    lattice = compute_lattice(bulk("Ni", a=3.52), calculator, fmax=1e-4, smax_GPa=1e-3)
    found = {"a": lattice.a}
    for strain in (0.1, 0.005):
        c = compute_elastic(lattice.atoms, calculator, strain=strain, shear="simple").tensor_GPa
        values = {"C11": c[0, 0], "C12": c[0, 1], "C44": c[3, 3], "G": (c[0, 0] - c[0, 1]) / 2}
        found |= {f"{name} {100 * strain:g} %": float(value) for name, value in values.items()}
    return found


def mean_and_range(values: list[float], digits: int = 3) -> str:
    """Return the mean of the members, and of several their least and largest."""
    mean = f"{np.mean(values):.{digits}g}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.{digits}g}–{max(values):.{digits}g})"


def main() -> None:
    """Train, measure, tabulate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--fresh", type=int, default=20_000)
    parser.add_argument("--only", nargs="+", default=list(TRAININGS), choices=list(TRAININGS))
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    folder, out = arguments.folder, arguments.out
    out.mkdir(parents=True, exist_ok=True)
    unsampled = [n for n in FRESH if not pool_of(out, n).exists()]
    for _ in run_processes(sample, [(folder, out, n, arguments.fresh) for n in unsampled], arguments.workers):
        pass
    members = [(folder, out, name, k) for name in arguments.only for k in range(TRAININGS[name].members)]
    for _ in run_processes(train, members, arguments.workers):
        pass
    teacher = crystal(EAM(folder / "NiNb.eam.fs"))
    errors = ["| model | set | meV/atom | meV/Å | MPa | atomic energies, meV |", "|---|---|---|---|---|---|"]
    crystals = ["| | " + " | ".join(teacher) + " |", "|---|" + "---|" * len(teacher)]
    crystals.append("| EAM | " + " | ".join(f"{value:.4g}" for value in teacher.values()) + " |")
    for name in arguments.only:
        training = TRAININGS[name]
        for number in range(len(training.stages)):
            places = [place_of(out, name, k, number) for k in range(training.members)]
            found = [read_json(place / "measured.json") for place in places]
            words = name if len(training.stages) == 1 else f"{name}: {('initial', 'fine-tuned')[number]}"
            for place, row in found[0].items():
                if place != "crystal":
                    values = [[one[place][column] for one in found] for column in COLUMNS]
                    cells = " | ".join(mean_and_range(value) for value in values)
                    errors.append(f"| {words} | {place} ({row['frames']}) | {cells} |")
            values = [[one["crystal"][key] for one in found] for key in teacher]
            crystals.append(f"| {words} | " + " | ".join(mean_and_range(value, 4) for value in values) + " |")
    table = "\n".join([*errors, "", *crystals])
    print(table)
    write_atomic(out / "tables.md", table + "\n")


if __name__ == "__main__":
    main()
