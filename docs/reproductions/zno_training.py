"""ZnO, empirical level: total energies with Coulomb (T-Train) against atomic energies without (A-Train).

    python docs/reproductions/zno_training.py OUT [--sizes 100 300 900] [--epochs 40] [--distil]
    python docs/reproductions/zno_training.py OUT --final 400 5

From the shipped pools. The second line trains five members on the distilled set for as long as the papers do.
OUT gets a folder a training, a distillation, the table and the figure; started again
it goes on.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from ase import Atoms

from asennp import BuckinghamCoulomb
from asennp.dataset import compute_labels, load_pool, split
from asennp.distill import DistillSettings, distill
from asennp.evaluate import compute_interval
from asennp.files import read_json, read_jsonl, write_atomic, write_json
from asennp.models.model import load_model
from asennp.processes import run_processes
from asennp.report.figures import plot_curves, plot_foresight
from asennp.train.config import PRESETS
from asennp.train.loop import fit
from asennp.train.prediction import compute_errors, predict
from asennp.units import EV_A3_MPA

#: Weights of forces and stress, and what is kept.
SAME = {"force_weight": 1.0, "stress_weight": 5e-4, "select": "force_mae"}
#: Kind -> (settings, whether the labels hold the Coulomb sum of the formal charges).
KINDS = {
    "T-Train": (replace(PRESETS["short-T"], **SAME), True),
    "A-Train, same weights": (replace(PRESETS["short-A"], **SAME), False),
    "A-Train": (PRESETS["short-A"], False),
    "A-Train, Muon": (PRESETS["muon-A"], False),
}
FORMAL = {"Zn": 2.0, "O": -2.0}
POOLS = {"SC": "zno-sc", "FCC": "zno-fcc"}
#: MD steps of a block: frames nearer than this in time are on one side of the split.
BLOCK = 20_000
ERRORS = {
    "energy (meV/atom)": ("energy_mae", 1e3),
    "forces (meV/Å)": ("force_mae", 1e3),
    "stress (MPa)": ("stress_mae", EV_A3_MPA),
}


def frames_of(pool: str, part: str) -> list[Atoms]:
    """Return the part of a pool that trainings may see, or its test frames, by block of the walk."""
    frames = load_pool(POOLS[pool])
    parts = split(frames, {"seen": 0.85, "test": 0.15}, seed=0, window=BLOCK)
    return [frames[k] for k in parts[part]]


def labelled(frames: list[Atoms], coulomb: bool) -> list[Atoms]:
    """Label frames by the empirical potential, with or without its Coulomb sum."""
    calculator = BuckinghamCoulomb("zno-lewis-catlow", coulomb=coulomb, cutoff=10.0, guard=True)
    return compute_labels(frames, calculator, ("energy", "energies", "forces", "stress"))


def name_of(kind: str, chosen: str, n: int, member: int) -> str:
    """Return the folder of a training."""
    return "-".join([*kind.replace(",", "").split(), chosen, str(n), str(member)])


def train(out: Path, kind: str, chosen: str, n: int, member: int, epochs: int, n_test: int) -> None:
    """Train on n frames of the SC pool, by chance or distilled, and measure on the test frames of both pools.

    Coulomb at the formal charges is exact: a model of the short range errs on the whole potential by what
    it errs on the short range.
    """
    folder = out / name_of(kind, chosen, n, member)
    if (folder / "test.json").exists():
        return
    settings, coulomb = KINDS[kind]
    seen = frames_of("SC", "seen")
    order = np.random.default_rng(member).permutation(len(seen))[:n]
    picked = read_json(out / "distilled.json")["indices"] if chosen == "distilled" else order.tolist()
    frames = labelled([seen[k] for k in picked], coulomb)
    settings = replace(settings, seed=member, epochs=epochs)
    result = fit(settings, frames, folder, charges={} if coulomb else FORMAL, threads=1)
    errors = {}
    for pool in POOLS:
        test = frames_of(pool, "test")
        test = labelled([test[k] for k in np.linspace(0, len(test) - 1, n_test).astype(int)], coulomb)
        found = compute_errors(predict(load_model(result.model), test, threads=1), test)
        errors[pool] = {name: factor * getattr(found, column) for name, (column, factor) in ERRORS.items()}
    write_json(folder / "test.json", {"n_test": n_test, "n": len(frames), **errors})


def distil(out: Path, n: int) -> None:
    """Choose about n frames of the SC pool by committees that learn atomic energies alone."""
    seen = labelled(frames_of("SC", "seen"), coulomb=False)
    atomic = replace(PRESETS["short-A"], force_weight=0.0, stress_weight=0.0, epochs=30, batch_size=8)
    rounds = 6
    initial = n // 3
    settings = DistillSettings(
        initial=initial,
        chunk=-(-(len(seen) - initial) // rounds),
        n_sd=1.0,
        cap=-(-(n - initial) // rounds),
        n_members=3,
        train=atomic,
        warm_epochs=15,
        curve_frames=100,
    )
    result = distill(seen, settings, out / "distillation", workers=1)
    write_json(out / "distilled.json", {"indices": result.indices.tolist(), "n_pool": result.n_pool})


def finish(
    out: Path, n: int, epochs: int, members: int, n_test: int, workers: int, kinds: Sequence[str]
) -> None:
    """Train members on the distilled set and print their errors, mean ± half of the 90 % interval."""
    final = out / "final"
    final.mkdir(exist_ok=True)
    write_json(final / "distilled.json", read_json(out / "distilled.json"))
    for kind in kinds:
        tasks = [(final, kind, "distilled", n, k, epochs, n_test) for k in range(members)]
        for _ in run_processes(train, tasks, workers):
            pass
        found = [read_json(final / name_of(kind, "distilled", n, k) / "test.json") for k in range(members)]
        for pool in POOLS:
            each = {name: compute_interval([row[pool][name] for row in found]) for name in ERRORS}
            cells = [f"{i.mean:.3g} ± {(i.high - i.low) / 2:.2g}" for i in each.values()]
            print(f"| {kind}, distilled | {found[0]['n']} | {pool} | " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    """Train, tabulate, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=(100, 300, 900))
    parser.add_argument(
        "--distil", action="store_true", help="also train on a distilled set of the middle size"
    )
    parser.add_argument("--final", type=int, nargs=2, metavar=("EPOCHS", "MEMBERS"))
    parser.add_argument("--kinds", nargs="+", default=list(KINDS)[:3], choices=list(KINDS))
    parser.add_argument("--members", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--test", type=int, default=300)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    out, members, sizes = arguments.out, range(arguments.members), sorted(arguments.sizes)
    rest = (arguments.epochs, arguments.test)
    # the distilled set is of the middle size, so that chance and choice compare at as many frames
    middle = sizes[len(sizes) // 2]
    if arguments.final:
        kinds = [kind for kind in arguments.kinds if kind != "T-Train"]
        finish(out, middle, *arguments.final, arguments.test, arguments.workers, kinds)
        return
    runs = [(kind, "chance", n) for n in sizes for kind in arguments.kinds]
    runs += [("A-Train", "distilled", middle)] if arguments.distil else []
    tasks = [(out, *run, k, *rest) for k in members for run in runs]
    if arguments.distil and not (out / "distilled.json").exists():
        for _ in run_processes(distil, [(out, middle)], 1):
            pass
    for _ in run_processes(train, tasks, arguments.workers):
        pass

    lines = ["| training | frames | test on | " + " | ".join(ERRORS) + " |", "|---|---|---|---|---|---|"]
    curves: dict[str, dict[str, tuple[list[int], np.ndarray]]] = {name: {} for name in ERRORS}
    for kind, chosen, n in runs:
        found = [read_json(out / name_of(kind, chosen, n, k) / "test.json") for k in members]
        for pool in POOLS:
            cells = [f"{compute_interval([row[pool][name] for row in found]).mean:.3g}" for name in ERRORS]
            lines.append(f"| {kind}, {chosen} | {found[0]['n']} | {pool} | " + " | ".join(cells) + " |")
    for kind in arguments.kinds:
        for name, panel in curves.items():
            values = [
                [read_json(out / name_of(kind, "chance", n, k) / "test.json")["SC"][name] for n in sizes]
                for k in members
            ]
            panel[kind] = (sizes, np.array(values))
    table = "\n".join(lines)
    print(table)
    write_atomic(out / "table.md", table + "\n")
    titles = {name.capitalize().replace(" (", " MAE ("): panel for name, panel in curves.items()}
    plot_curves(titles, "Training frames", log=True).savefig(out / "zno-training.svg")
    if arguments.distil:
        rounds = [one for one in read_jsonl(out / "distillation" / "rounds.jsonl") if one["screened"]][::2]
        scores, errors = (
            {f"{one['n_train']} frames": 1e3 * np.array(one[what][::2]) for one in rounds}
            for what in ("scores", "errors")
        )
        plot_foresight(scores, errors).savefig(out / "zno-training-foresight.svg")


if __name__ == "__main__":
    main()
