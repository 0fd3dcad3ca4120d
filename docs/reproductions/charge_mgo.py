"""The effective charge of MgO from density functional labels, without training: both sweeps, three windows.

    python docs/reproductions/charge_mgo.py FRAMES.extxyz OUT [--splits 16]

FRAMES is a labelled set (REF_energy, REF_forces). OUT gets one JSON file a sweep (what is there is not made
again), the table and the figure.
"""

import argparse
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from asennp.dataset import read_frames
from asennp.files import write_atomic
from asennp.qeff import SweepData, SweepResult, dielectric_estimate, sweep
from asennp.report.figures import plot_sweeps

CHARGES = {"Mg": 1.0, "O": -1.0}
WINDOWS = {"E - Emin < 0.3": 0.3, "E - Emin < 1": 1.0, "all": None}
#: Measured permittivities of MgO: the squared refractive index 1.736, and the static one (CRC Handbook).
EPS_INFINITY, EPS_STATIC = 3.01, 9.8
HEADS = ("on", "frames", "sweep", "optimum (e)", "5 to 95 %", "left at 0", "at the optimum", "at 2", "gain")


def main() -> None:
    """Sweep, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("frames", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--splits", type=int, default=16)
    arguments = parser.parse_args()
    frames = read_frames(arguments.frames)
    rows, shown = [], {}
    for on in ("energy", "forces"):
        for window, limit in WINDOWS.items():
            if on == "forces" and limit != min(filter(None, WINDOWS.values())):
                continue  # farther out they reach hundreds of eV/Å, which no linear model explains
            data = SweepData(frames, on=on, energy_window=limit)
            for method in ("plain", "regressed"):
                path = arguments.out / f"{on}-{method}-{limit or 'all'}.json"
                if not path.exists():
                    samples = arguments.splits if method == "regressed" else 300
                    sweep(data, CHARGES, method=method, samples=samples).to_json(path)
                result = SweepResult.from_json(path)
                rows.append(line(window, result))
                print(rows[-1], flush=True)
                if on == "energy":
                    shown[f"{method}, {window}"] = SimpleNamespace(
                        q=result.q, mae=1e3 * result.mae, optimum=result.optimum, interval=result.interval
                    )
    table = "\n".join(["| " + " | ".join(HEADS) + " |", "|" + "---|" * len(HEADS), *rows]) + "\n"
    write_atomic(arguments.out / "table.md", table)
    estimates = {
        "√ε∞ estimate": dielectric_estimate(2.0, EPS_INFINITY),
        "√ε₀ estimate": dielectric_estimate(2.0, EPS_STATIC),
    }
    print(json.dumps(estimates, ensure_ascii=False))
    pair = {name: shown[name] for name in shown if name.endswith("0.3")}
    plot_sweeps(pair, "meV/atom", marks=estimates, formal=2.0).savefig(arguments.out / "charge-mgo.svg")


def line(window: str, result: SweepResult) -> str:
    """Return one row of the table: energies in meV/atom, forces in meV/Å."""
    left = [1e3 * float(np.interp(q, result.q, result.mae)) for q in (0.0, result.optimum, 2.0)]
    low, high = result.interval
    cells = [result.on, f"{window} ({result.n_frames})", result.method, f"{result.optimum:.2f}"]
    cells += [f"{low:.2f} to {high:.2f}", *(f"{value:.2f}" for value in (*left, 1e3 * result.gain))]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
