"""The tables and figures of shipped-models.md from the folder of an evaluation.

    asennp evaluate zno-models -o zno-models
    python docs/reproductions/shipped_models.py zno-models docs/reproductions

prints a table in Markdown, the first calculator beside the second, and writes figures into the second folder.

    python docs/reproductions/shipped_models.py frames zno-models test.extxyz
    asennp evaluate zno-models -o zno-models -s 'properties.parity={file: test.extxyz}'

labels strained and displaced crystals by the second calculator, and says how good and how sure the first is.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from asennp.calculators.named import make_calculator
from asennp.dataset import attach_labels, write_frames
from asennp.evaluations.schema import EvaluationConfig, load_evaluation
from asennp.evaluations.steps import KINDS, result_path
from asennp.report.calibration import plot_calibration
from asennp.report.crystals import CONSTANTS, plot_enthalpies
from asennp.report.numbers import format_number
from asennp.report.phonons import plot_phonons

#: property -> (label, value of a result, digits)
VALUES: dict[str, list[tuple[str, Callable[[Any], float], int]]] = {
    "lattice": [("a (Å)", lambda r: r.a, 4), ("c (Å)", lambda r: r.c, 4)],
    "elastic": [
        *((f"{n} (GPa)", lambda r, ij=ij: r.tensor_GPa[ij], 3) for n, ij in CONSTANTS.items()),
        ("bulk modulus (GPa)", lambda r: r.bulk_GPa, 3),
        ("shear modulus (GPa)", lambda r: r.shear_GPa, 3),
    ],
    "eos": [("bulk modulus, equation of state (GPa)", lambda r: r.bulk_GPa, 3)],
    "phonons": [
        ("highest frequency (THz)", lambda r: r.path_frequencies_THz.max(), 3),
        ("lowest frequency (THz)", lambda r: r.path_frequencies_THz.min(), 2),
        ("zero-point energy (meV/atom)", lambda r: 1000.0 * r.zero_point_eV, 3),
    ],
    "quasiharmonic": [
        ("thermal expansion at 300 K (10⁻⁶/K)",
         lambda r: 1e6 * r.expansion_per_K[np.argmin(np.abs(r.temperatures_K - 300.0))], 3),
    ],
    "tensile": [("tensile strength, 20 % at most (GPa)", lambda r: r.strength_GPa, 3)],
    "shear": [("shear strength, 24 % at most (GPa)", lambda r: r.strength_GPa, 3)],
    "vacancy": [("vacancy pair (eV)", lambda r: r.energy_eV, 3)],
    "surface": [("(110) surface (J/m²)", lambda r: r.surface_J_m2, 3)],
    "stability": [
        ("300 K: drift (meV/atom/ps)", lambda r: r.drift_meV_per_ps, 2),
        ("300 K: largest displacement (Å)", lambda r: r.max_displacement_A, 2),
    ],
}  # fmt: skip


def draw_frames(config: EvaluationConfig, path: Path, n: int = 10) -> None:
    """Label n strained (2 %) and displaced (0.02 to 0.15 Å) supercells of every structure by the teacher."""
    rng = np.random.default_rng(config.seed)
    given = list(config.calculators.values())[1]
    calculator = make_calculator(given.use, given.arguments)
    frames = []
    for name, structure in config.structures.items():
        for _ in range(n):
            frame = structure.build(name).repeat(2)
            strain = rng.normal(0.0, 0.02, (3, 3))
            frame.set_cell(frame.cell.array @ (np.eye(3) + 0.5 * (strain + strain.T)), scale_atoms=True)
            frame.positions += rng.normal(0.0, rng.uniform(0.02, 0.15), frame.positions.shape)
            calculator.calculate(frame, ["energy", "forces", "stress"])
            frames.append(attach_labels(frame, calculator.results))
            frames[-1].info["group"] = name
    write_frames(path, frames)


def read(root: Path, config: EvaluationConfig, property_: str, structure: str) -> list[Any]:
    """Read what the two calculators gave; None where a step is not done."""
    kind = KINDS[property_][1]
    paths = [result_path(root, one, property_, structure) for one in config.calculators]
    return [kind.from_json(path) if path.is_file() else None for path in paths]


def rows(root: Path, config: EvaluationConfig) -> Iterator[tuple[str, list[float | None], int]]:
    """List what is compared: name, (model, teacher, experiment), digits."""
    lattices = {structure: read(root, config, "lattice", structure) for structure in config.structures}
    lowest = [min(found[k].energy_per_atom for found in lattices.values()) for k in (0, 1)]
    for structure, found in lattices.items():
        known = config.reference.get(structure, {})
        above = [1000.0 * (r.energy_per_atom - e) for r, e in zip(found, lowest)]
        if max(above) > 0.0:
            yield f"{structure}: above the lowest (meV/atom)", [*above, None], 4
        cubic = config.structures[structure].prototype != "wurtzite"
        for name, values in VALUES.items():
            if getattr(config.properties, name) is None:
                continue
            both = read(root, config, name, structure)
            for label, value, digits in values:
                short = label.split(" ")[0]
                if any(r is not None for r in both) and not (cubic and short in ("c", "C13", "C33", "C66")):
                    numbers = [None if r is None else float(value(r)) for r in both]
                    yield f"{structure}: {label}", [*numbers, known.get(short)], digits


def main() -> None:
    """Print the table and write the figures, or label frames."""
    if sys.argv[1] == "frames":
        draw_frames(load_evaluation(sys.argv[2]), Path(sys.argv[3]))
        return
    root, out = Path(sys.argv[1]), Path(sys.argv[2])
    config = load_evaluation(root / "config.yaml")
    model, teacher = config.calculators
    print(f"| | {model} | {teacher} | experiment |\n|---|---|---|---|")
    for label, numbers, digits in rows(root, config):
        print(
            f"| {label} | "
            + " | ".join("" if v is None else format_number(v, digits) for v in numbers)
            + " |"
        )
    pressures = dict(zip(config.calculators, read(root, config, "transition_pressure", "all")))
    pressures = {name: r for name, r in pressures.items() if r is not None}
    for name, r in pressures.items():
        order = " > ".join(r.phases)
        at = ", ".join(f"{p:.2f} GPa ({100 * v:.1f} %)" for p, v in zip(r.pressures_GPa, r.volume_changes))
        print(f"\n{name}: {order} {at or f'up to {r.maximum_GPa:g} GPa'}")
    matplotlib.rcParams["svg.fonttype"] = "none"  # words stay words, and the files small
    first = next(iter(config.structures))
    bands = dict(zip(config.calculators, read(root, config, "phonons", first)))
    bands = {name: r for name, r in bands.items() if r is not None}
    if bands:
        plot_phonons(bands).savefig(out / f"{config.name}-phonons.svg")
    asked = dict(zip(config.calculators, read(root, config, "parity", "all")))
    sure = {name: r for name, r in asked.items() if r is not None and r.calibration}
    if sure:
        plot_calibration(sure).savefig(out / f"{config.name}-calibration.svg")
    if pressures and all(len(r.pressures_GPa) and r.points for r in pressures.values()):
        plot_enthalpies(pressures).savefig(out / f"{config.name}-enthalpies.svg")


if __name__ == "__main__":
    main()
