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
from asennp.evaluate import LatticeResult, compute_lattice
from asennp.evaluations.schema import load_evaluation
from asennp.models.aev import AEVSettings
from asennp.train import TrainConfig, fit

CELLS = ((1, 1, 1), (1, 1, 2), (2, 1, 1))
#: Shares of the way from cubic to tetragonal and beyond that frames are taken from.
WAY = (-0.1, 1.15)
N_FRAMES, STRAIN, RATTLE_A = 360, 0.02, (0.02, 0.15)


def relaxed(folder: Path, teacher: str) -> dict[str, Atoms]:
    """Relax both phases with the teacher: the benchmark's static step."""
    phases = {}
    for name, structure in load_evaluation("pbtio3").structures.items():
        path = folder / f"{name}.json"
        if not path.exists():
            compute_lattice(structure.build(name), make_calculator(teacher), fmax=1e-3).to_json(path)
        phases[name] = LatticeResult.from_json(path).atoms
    return phases


def draw_frames(phases: dict[str, Atoms], rng: np.random.Generator) -> list[Atoms]:
    """Draw strained and displaced crystals along the polar path, which is what heat explores."""
    cubic, polar = phases["cubic"], phases["tetragonal"]
    shift = polar.get_scaled_positions() - cubic.get_scaled_positions()
    shift -= np.round(shift)
    frames = []
    for k in range(N_FRAMES):
        share = rng.uniform(*WAY)
        frame = cubic.copy()
        edges = (1 - share) * cubic.cell.lengths() + share * polar.cell.lengths()
        frame.set_cell(np.diag(edges), scale_atoms=True)
        # the ions lag behind or lead the strain: the two are coupled, not one
        frame.set_scaled_positions(cubic.get_scaled_positions() + rng.uniform(0.0, 1.2) * share * shift)
        frame = frame.repeat(CELLS[k % len(CELLS)])
        strain = rng.normal(0.0, STRAIN, (3, 3))
        frame.set_cell(frame.cell.array @ (np.eye(3) + 0.5 * (strain + strain.T)), scale_atoms=True)
        frame.positions += rng.normal(0.0, rng.uniform(*RATTLE_A), frame.positions.shape)
        frames.append(frame)
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


def main() -> None:
    """Walk through the four steps."""
    folder, teacher = Path(sys.argv[1]), (sys.argv[2:] or ["chgnet"])[0]
    folder.mkdir(parents=True, exist_ok=True)
    phases = relaxed(folder, teacher)
    frames = label(draw_frames(phases, np.random.default_rng(0)), teacher, folder / "frames.extxyz")
    settings = TrainConfig(
        energy_weight=0.5, force_weight=1.0, stress_weight=5e-4, lr_weights=4e-3, lr_biases=4e-3,
        bias_optimizer="adam", batch_size=8, epochs=150, schedule="cosine", hidden=(96, 80, 64),
        select="loss",
    )  # fmt: skip
    aev = AEVSettings(("O", "Pb", "Ti"), radial_cutoff=6.0, angular_cutoff=3.5)
    result = fit(settings, frames, folder / "train", aev=aev, threads=1)
    print("validation:", result.validation)
    model = folder / "train" / "model.asennp"
    # the ladder of docs/reproductions/pto-chgnet.md, so that the two stand side by side
    asked = {
        "ladder.temperatures_K": "[300,900]",
        "ladder.repeat": "[2,2,2]",
        "ladder.equilibration_ps": "0.3",
        "ladder.production_ps": "0.5",
        "fixed_cell": "null",
        "speed": "null",
        "phonons": "[]",
    }
    again = ["transition", "pbtio3", "-c", f"student={model}", "-o", str(folder / "again"), "-s", "workers=1"]
    for key, value in asked.items():
        again += ["-s", f"properties.transition.{key}={value}"]
    command = [sys.executable, "-m", "asennp", *again]
    sys.exit(subprocess.run(command).returncode)


if __name__ == "__main__":
    main()
