"""Tables of zno-chgnet.md from a finished run, and networks trained beside frame-resolved QEq charges.

    asennp run zno-chgnet -o RUN
    python docs/reproductions/zno_chgnet.py RUN FIGURES

The QEq training lives in RUN-qeq and goes on where it was stopped.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from asennp import HybridNNPCalculator, PQEqCalculator
from asennp.config import Config, load_config
from asennp.dataset import Store, read_frames, residual_targets, write_frames
from asennp.evaluate import compute_parity
from asennp.files import read_json, write_json
from asennp.qeff import SweepResult
from asennp.report.learning import plot_curves
from asennp.stages.fits import Chain, member_seed, run_chains
from asennp.stages.pretrain import pretrained_models

QUANTITIES = {"energy": "meV/atom", "forces": "meV/Å", "stress": "MPa"}
SETS = {"test": "held-out frames of the runs", "tensile": "the pull, unseen"}


def train_on_qeq(config: Config, run: Path, out: Path) -> None:
    """Train one network, as long as the trained sweep does, on labels less the QEq energy of each frame."""
    settings = config.trained_sweep
    assert settings is not None and config.train.fine_tune is not None
    baseline = PQEqCalculator(polarizable=False)
    for use in ("train", *SETS):
        path = out / f"{use}.extxyz"
        if not path.exists():
            write_frames(path, residual_targets(Store(run / "label" / use).frames(), baseline))
    stages = tuple(
        replace(stage, epochs=epochs, seed=member_seed(config, 0))
        for stage, epochs in (
            (config.train.transfer, settings.epochs),
            (config.train.fine_tune, settings.fine_tune_epochs),
        )
    )
    chain = Chain(out / "qeq", out / "train.extxyz", stages, pretrained_models(run / "pretrain")[0])
    run_chains(config, "QEq", [chain])
    calculator = HybridNNPCalculator(chain.results[-1].parent / "model.asennp", device="cpu")
    found = {}
    for use in SETS:
        # the residual's error is the whole model's: QEq comes back with the sign it left with
        parity = compute_parity(read_frames(out / f"{use}.extxyz"), calculator)
        found[use] = {quantity: getattr(parity, quantity).mae for quantity in QUANTITIES}
    write_json(out / "qeq.json", found)


def table(heads: list[str], rows: list[list[Any]]) -> None:
    """Print a table in Markdown."""
    print("\n| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print(flush=True)


def measured(row: dict[str, float], digits: int) -> str:
    """Return mean ± half of the 90 % interval."""
    return f"{row['mean']:.{digits}f} ± {(row['high'] - row['low']) / 2:.{digits}f}"


def main() -> None:
    """Print the tables and write the figure."""
    run, out = Path(sys.argv[1]), Path(sys.argv[2])
    config = load_config(run / "config.yaml")
    summaries = {name: read_json(run / name / "summary.json") for name in
                 ("distill", "label", "qeff", "evaluate", "trained_sweep")}  # fmt: skip
    evaluated, swept, charge = (summaries[name] for name in ("evaluate", "trained_sweep", "qeff"))
    print(summaries["distill"]["n_chosen"], summaries["label"]["counts"])

    table(
        ["", *(f"{q} ({unit})" for q, unit in QUANTITIES.items())],
        [
            [f"{kind}, {words}", *(measured(evaluated["parity"][use][kind][q], 1) for q in QUANTITIES)]
            for use, words in SETS.items()
            for kind in ("direct", "transferred", "hybrid")
        ],
    )
    for use in SETS:
        print(use, "hybrid against transferred:", evaluated["parity"][use]["hybrid"]["against_transferred"])
        print(use, "transferred against direct:", evaluated["parity"][use]["transferred"]["against_direct"])

    qeq = run.with_name(run.name + "-qeq")
    if not (qeq / "qeq.json").exists():
        train_on_qeq(config, run, qeq)
    of = read_json(qeq / "qeq.json")
    rows = [
        [f"{q:g}", *(f"{swept['errors'][name][quantity][k]:.1f}" for name in list(swept["errors"])[1:]
                     for quantity in QUANTITIES)]
        for k, q in enumerate(swept["q"])
    ]  # fmt: skip
    rows.append(["QEq", *(f"{of[use][quantity]:.1f}" for use in SETS for quantity in QUANTITIES)])
    heads = [f"{use}: {q} ({unit})" for use in ("test", "pull") for q, unit in QUANTITIES.items()]
    table(["charge (e)", *heads], rows)
    print("optima:", swept["optimum"])
    for method in ("plain", "regressed"):
        s = SweepResult.from_json(run / "qeff" / f"{method}.json")
        left = [1e3 * float(np.interp(q, s.q, s.mae)) for q in (0.0, s.optimum, 2.0)]
        print(f"{method}: {s.optimum:.2f} ({s.interval[0]:.2f} to {s.interval[1]:.2f}), left {left} {s.note}")
    print("chosen:", charge["q_eff"], charge["chosen_by"], charge["dielectric"])
    print("retrained:", swept["retrained"])

    crystals = evaluated["crystals"]["phases"]
    table(
        ["", "CHGNet", "hybrid", "in the interval"],
        [
            [f"{phase}: {name}", f"{row['teacher']:.4g}", measured(row, 3 if "Å" in name else 1),
             "yes" if row["agrees"] else "no"]
            for phase, found in crystals.items()
            for name, row in found["rows"].items()
            if "refused" not in row
        ],
    )  # fmt: skip
    matplotlib.rcParams["svg.fonttype"] = "none"
    panels = {
        f"{quantity} MAE ({unit})": {name: (swept["q"], by[quantity]) for name, by in swept["errors"].items()}
        for quantity, unit in QUANTITIES.items()
    }
    marks = {
        method: SweepResult.from_json(run / "qeff" / f"{method}.json").optimum
        for method in ("plain", "regressed")
    }
    plot_curves(panels, "Charge q (e)", marks=marks).savefig(out / "zno-chgnet-charges.svg")


if __name__ == "__main__":
    main()
