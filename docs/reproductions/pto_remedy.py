"""From a failed benchmark to a specialised model: frames, labels by a teacher, training, the benchmark again.

    python docs/reproductions/pto_remedy.py FOLDER [TEACHER]

The teacher is any calculator by name (`asennp.calculators.named`); what it says is what the model learns.
Each step leaves its files in FOLDER and is skipped when they are there.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
from ase import Atoms

from asennp.calculators.named import make_calculator
from asennp.dataset import attach_labels, read_frames, write_frames
from asennp.evaluate import LatticeResult, TransitionResult, compute_lattice
from asennp.evaluate.runs import RunSettings, run_md
from asennp.evaluations.schema import load_evaluation
from asennp.models import load_model
from asennp.models.aev import AEVSettings
from asennp.train import TrainConfig, fit

CELLS = ((1, 1, 1), (1, 1, 2), (2, 1, 1))
#: Shares of the way from cubic to tetragonal and beyond that frames are taken from.
WAY = (-0.1, 1.15)
N_FRAMES, STRAIN, RATTLE_A = 300, 0.02, (0.02, 0.15)
#: Of a round: frames near the teacher's phases, and runs of the student that give frames.
N_NEAR, NEAR_STRAIN, NEAR_RATTLE_A = 80, 0.006, (0.0, 0.04)
TEMPERATURES_K, RUN_CELLS, RUN_PS, SAMPLE_PS = (300.0, 600.0, 900.0), (2, 2, 1), 0.6, 0.02
ROUNDS, EPOCHS = 1, (100, 80)


def relaxed(folder: Path, teacher: str) -> dict[str, Atoms]:
    """Relax both phases with the teacher: the benchmark's static step."""
    phases = {}
    for name, structure in load_evaluation("pbtio3").structures.items():
        path = folder / f"{name}.json"
        if not path.exists():
            compute_lattice(structure.build(name), make_calculator(teacher), fmax=1e-3).to_json(path)
        phases[name] = LatticeResult.from_json(path).atoms
    return phases


def draw_frames(
    phases: dict[str, Atoms],
    rng: np.random.Generator,
    n: int,
    way: tuple[float, float],
    strain: float,
    rattle: tuple[float, float],
) -> list[Atoms]:
    """Draw strained and displaced crystals along the polar path, which is what heat explores."""
    cubic, polar = phases["cubic"], phases["tetragonal"]
    shift = polar.get_scaled_positions() - cubic.get_scaled_positions()
    shift -= np.round(shift)
    frames = []
    for k in range(n):
        share = rng.uniform(*way)
        frame = cubic.copy()
        edges = (1 - share) * cubic.cell.lengths() + share * polar.cell.lengths()
        frame.set_cell(np.diag(edges), scale_atoms=True)
        # the ions lag behind or lead the strain: the two are coupled, not one
        frame.set_scaled_positions(cubic.get_scaled_positions() + rng.uniform(0.0, 1.2) * share * shift)
        frame = frame.repeat(CELLS[k % len(CELLS)])
        pulled = rng.normal(0.0, strain, (3, 3))
        frame.set_cell(frame.cell.array @ (np.eye(3) + 0.5 * (pulled + pulled.T)), scale_atoms=True)
        frame.positions += rng.normal(0.0, rng.uniform(*rattle), frame.positions.shape)
        frames.append(frame)
    return frames


def near_frames(phases: dict[str, Atoms], rng: np.random.Generator) -> list[Atoms]:
    """Draw small strains and displacements of the phases and of what lies between them."""
    ends = draw_frames(phases, rng, N_NEAR // 2, (0.9, 1.1), NEAR_STRAIN, NEAR_RATTLE_A)
    return ends + draw_frames(phases, rng, N_NEAR - len(ends), WAY, NEAR_STRAIN, NEAR_RATTLE_A)


def explore(model: Path, start: Atoms, folder: Path) -> list[Atoms]:
    """Let the student run from the teacher's crystal; where it goes wrong, its frames show where to teach."""
    calculator = make_calculator(str(model))
    frames = []
    for k, temperature in enumerate(TEMPERATURES_K):
        settings = RunSettings(
            temperature,
            steps=round(1000.0 * RUN_PS / 2.0),
            sample_interval=round(1000.0 * SAMPLE_PS / 2.0),
            cell="diagonal",
            barostat_fs=300.0,
            seed=(k,),
        )
        run = run_md(
            start.repeat(RUN_CELLS), calculator, settings, folder / f"{temperature:g}K",
            observe=lambda atoms: {"positions": atoms.positions},
        )  # fmt: skip
        print(f"{temperature:g} K: {run.status}", run.message)
        for positions, cell in zip(run.observed["positions"], run.cells):
            frames.append(Atoms(run.final.symbols, positions=positions, cell=cell, pbc=True))
    return frames


def label(frames: list[Atoms], teacher: str, path: Path) -> list[Atoms]:
    """Let the teacher speak, and keep what it said."""
    if not path.exists():
        calculator = make_calculator(teacher)
        labelled = []
        for frame in frames:
            calculator.calculate(frame, ["energy", "forces", "stress"])
            labelled.append(attach_labels(frame, calculator.results))
        write_frames(path, labelled)
    return read_frames(path)


def train(frames: list[Atoms], folder: Path, epochs: int, before: Path | None) -> Path:
    """Train a student, or go on with the one before: warm, at half the rate."""
    rate = 4e-3 if before is None else 2e-3
    # cells of five to twenty atoms: the published weights, meant for larger ones, would leave energy and
    # stress a hundredth of the loss
    settings = TrainConfig(
        energy_weight=20.0, force_weight=1.0, stress_weight=0.02, lr_weights=rate, lr_biases=rate,
        bias_optimizer="adam", batch_size=8, epochs=epochs, schedule="cosine", hidden=(96, 80, 64),
        select="loss",
    )  # fmt: skip
    aev = AEVSettings(("O", "Pb", "Ti"), radial_cutoff=6.0, angular_cutoff=3.5) if before is None else None
    result = fit(settings, frames, folder, init=before and load_model(before), aev=aev, threads=1)
    print("validation:", result.validation)
    return Path(result.model)


def benchmark(model: Path, out: Path) -> None:
    """Ask the questions of docs/reproductions/pto-chgnet.md, so that the two stand side by side."""
    asked = {
        "ladder.temperatures_K": "[300,900]",
        "ladder.repeat": "[2,2,2]",
        "ladder.equilibration_ps": "0.3",
        "ladder.production_ps": "0.5",
        "fixed_cell": "null",
        "speed": "null",
        "phonons": "[]",
    }
    command = [sys.executable, "-m", "asennp", "transition", "pbtio3", "-c", f"student={model}"]
    command += ["-o", str(out), "-s", "workers=1"]
    for key, value in asked.items():
        command += ["-s", f"properties.transition.{key}={value}"]
    subprocess.run(command, check=True)
    found = TransitionResult.from_json(out / "student" / "transition" / "all.json")
    for name, phase in found.static.items():
        a, _, c = phase.edges_A
        print(
            f"{name}: a {a:.3f}, c {c:.3f}, c/a {c / a:.3f}, {phase.energy_above:.3f} eV above {phase.left}"
        )
    for rung in found.rungs:
        print(f"{rung.temperature_K:g} K: edges {np.round(rung.lengths_A, 3)}, {rung.status} {rung.message}")


def main() -> None:
    """Walk through the four steps, and once more with what the student got wrong."""
    folder, teacher = Path(sys.argv[1]), (sys.argv[2:] or ["chgnet"])[0]
    folder.mkdir(parents=True, exist_ok=True)
    phases, rng = relaxed(folder, teacher), np.random.default_rng(0)
    frames = label(
        draw_frames(phases, rng, N_FRAMES, WAY, STRAIN, RATTLE_A), teacher, folder / "frames.extxyz"
    )
    model = train(frames, folder / "train", EPOCHS[0], None)
    benchmark(model, folder / "again")
    for k in range(1, ROUNDS + 1):
        found = explore(model, phases["tetragonal"], folder / f"explore-{k}")
        frames += label(near_frames(phases, rng) + found, teacher, folder / f"frames-{k}.extxyz")
        model = train(frames, folder / f"train-{k}", EPOCHS[1], model)
        benchmark(model, folder / f"again-{k}")


if __name__ == "__main__":
    main()
