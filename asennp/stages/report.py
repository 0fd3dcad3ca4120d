"""The report: one page of figures and tables from what the other stages left, and the floor of the run."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
from ase import Atoms

from asennp import __version__
from asennp.config import Config
from asennp.dataset import read_frames
from asennp.evaluate import Interval, ParityResult, StabilityResult
from asennp.files import read_json, read_jsonl
from asennp.md.bias import WangLandauBias
from asennp.qeff import SweepResult
from asennp.report import figures
from asennp.report.page import write_report
from asennp.report.tables import (
    Block,
    Check,
    Checks,
    Details,
    Figure,
    Measured,
    Note,
    Section,
    Table,
    Tile,
    Tiles,
)
from asennp.stages.output import StageOutput
from asennp.stages.parts import crystal
from asennp.stages.sample import walker_orders
from asennp.stages.train import KINDS

_QUANTITY = {"energy": ("Energy", "meV/atom"), "forces": ("Forces", "meV/Å"), "stress": ("Stress", "MPa")}
_SET = {"test": "test set", "tensile": "unseen tensile"}


def report(config: Config, folder: Path, upstream: dict[str, Path]) -> StageOutput:
    """Check the floor and write ``report.html`` beside the stages."""
    summaries = {
        name: read_json(path / "summary.json") for name, path in upstream.items() if name != "report"
    }
    floor = check_floor(config, summaries)
    sections = [
        _overview(config, summaries, floor),
        _sampling(config, summaries, upstream),
        _distillation(summaries),
        _labels(config, summaries),
        _charge(config, summaries, upstream),
        _training(config, summaries),
        _accuracy(summaries, upstream),
        _crystals(config, summaries),
        _dynamics(config, summaries, upstream),
        _record(folder.parent),
    ]
    page = write_report(
        folder.parent / "report.html",
        sections,
        title=f"{config.name}: a hybrid potential for {''.join(config.system.charges)}",
        subtitle=f"{config.potential.name} → {config.label.teacher} → short-range network + Coulomb at q_eff",
        facts={"asennp": __version__, "seed": config.seed, "teacher": config.label.teacher},
    )
    failed = [line["text"] for line in floor if not line["passed"]]
    headline = f"{page}" if not failed else f"{page}; below the floor: {'; '.join(failed)}"
    return StageOutput([page], headline, {"floor": floor})


# --- the floor --------------------------------------------------------------------------------------


def check_floor(config: Config, summaries: dict[str, Any]) -> list[dict[str, Any]]:
    """Compare the run with the least it must reach; each line has its text, numbers and verdict."""
    least, lines = config.floor, []

    def line(text: str, got: str, required: str, passed: bool) -> None:
        lines.append({"text": f"{text}: {got} ({required})", "name": text, "got": got, "required": required,
                      "passed": bool(passed)})  # fmt: skip

    for name, walker in summaries["sample"].items():
        updates, covered = walker["wang_landau_updates"], walker["order_coverage"]
        line(f"walker {name}, Wang-Landau updates", f"{updates}", f"at least {least.wang_landau_updates}",
             updates >= least.wang_landau_updates)  # fmt: skip
        line(f"walker {name}, order range covered", f"{100 * covered:.0f} %",
             f"at least {100 * least.order_coverage:.0f} %", covered >= least.order_coverage)  # fmt: skip
    evaluated = summaries["evaluate"]
    mae = evaluated["parity"]["test"]["hybrid"]["forces"]["mean"]
    share = mae / evaluated["force_mad_meV_A"]
    line("hybrid force MAE on the test set over the labels' mean absolute deviation", f"{100 * share:.0f} %",
         f"below {100 * least.force_mae_fraction:.0f} %", share < least.force_mae_fraction)  # fmt: skip
    nvt = evaluated["nvt"]
    line(f"{config.evaluate.nvt_ps:g} ps NVT with the hybrid potential",
         "bounded" if nvt["bounded"] else "; ".join(nvt["violations"]), "bounded", nvt["bounded"])  # fmt: skip
    return lines


# --- sections ---------------------------------------------------------------------------------------


def _overview(config: Config, summaries: dict[str, Any], floor: list[dict[str, Any]]) -> Section:
    test = summaries["evaluate"]["parity"]["test"]["hybrid"]
    counts = summaries["label"]["counts"]
    phases = {
        phase: crystal(config, phase, 2 if config.system.phases[phase].prototype != "wurtzite" else (3, 2, 2))
        for phase in config.system.phases
    }
    tiles = Tiles(
        [
            Tile("Force error, test set", f"{test['forces']['mean']:.0f} meV/Å",
                 f"± {(test['forces']['high'] - test['forces']['low']) / 2:.0f} over the committee"),
            Tile("Energy error", f"{test['energy']['mean']:.1f} meV/atom", f"{counts['test']} frames nothing saw"),
            Tile("Effective charge", f"{summaries['qeff']['q_eff']:.2f} e", f"by: {summaries['qeff']['chosen_by']}"),
            Tile("Labels", f"{counts['train']}", f"training frames by {summaries['label']['teacher']}, "
                 f"{len(summaries['label']['failed'])} failed"),
        ]
    )  # fmt: skip
    checks = Checks([Check(line["name"], line["passed"], line["got"], line["required"]) for line in floor])
    lead = (
        "From an empirical potential to a trained and tested hybrid potential: sampling in enthalpy and order, "
        "distillation, labels by a better theory, an effective charge for the long range, transfer learning."
    )
    picture = Figure(
        figures.plot_structures(phases), "The phases, at the empirical potential's lattice constants."
    )
    return Section("Overview", [tiles, checks, picture], lead)


def _sampling(config: Config, summaries: dict[str, Any], upstream: dict[str, Path]) -> Section:
    blocks: list[Block] = []
    rows: list[list[Any]] = []
    for name, walker in config.sample.walkers.items():
        frames = read_frames(upstream["sample"] / name / "frames.extxyz")
        time = np.array([frame.info["step"] for frame in frames]) * config.sample.timestep_fs / 1000.0
        order = np.array([frame.info["order"] for frame in frames])
        enthalpy = np.array([frame.info["enthalpy"] for frame in frames])
        blocks.append(
            Figure(
                figures.plot_walkers([time], [order], [enthalpy], [name]),
                f"Walker {name}: order parameter and enthalpy along the run from perfect {walker.phase}.",
            )
        )
        bias = WangLandauBias.load(upstream["sample"] / name / "bias.npz")
        start, order_of = walker_orders(config, name)
        blocks.append(
            Figure(
                figures.plot_map(
                    *(_edges(axis.low, axis.high, axis.n) for axis in bias.axes),
                    bias.state.visits,
                    bias.state.coefficients,
                    marks={walker.phase: (float(enthalpy[0]), float(order_of(start)))},
                ),
                f"Walker {name}: where the Wang-Landau updates fell, and the partial enthalpy they built.",
            )
        )
        s = summaries["sample"][name]
        rows.append([name, walker.phase, s["steps"], s["wang_landau_updates"], 100 * s["order_coverage"],
                     f"{s['order_range'][0]:.1f} to {s['order_range'][1]:.1f}", s["guard_count"]])  # fmt: skip
    table = Table(
        ["Walker", "Start", "Steps", "Updates", ("Order mesh covered", "%"), "Order range", "Guard acted"],
        rows,
        note="Guard: pair evaluations inside the inner maximum of the pair potential, where it is spliced.",
    )
    lead = (
        f"MOMT dynamics with {config.potential.name} at {config.sample.temperature_K:g} K and "
        f"{config.sample.pressure_bar:g} bar. The run explores: its bias grows to the end, so it is a source of "
        "configurations and not of thermodynamic averages."
    )
    pulled = summaries["tensile"]
    blocks += [
        Figure(
            figures.plot_stress_strain({config.potential.name: SimpleNamespace(**pulled)}),
            f"The tensile pull kept aside: {config.tensile.phase}, {config.tensile.temperature_K:g} K, "
            f"{config.tensile.rate_A_per_ps:g} Å/ps, transverse cell fixed.",
        )
    ]
    return Section("Sampling", [table, *blocks], lead)


def _edges(low: float, high: float, n: int) -> np.ndarray:
    """Return the borders of the cells around the nodes of a mesh."""
    half = 0.5 * (high - low) / (n - 1)
    return np.linspace(low - half, high + half, n + 1)


def _distillation(summaries: dict[str, Any]) -> Section:
    s = summaries["distill"]
    units = {"energies_mae": ("Atomic energy MAE (meV)", 1e3), "force_mae": ("Force MAE (meV/Å)", 1e3),
             "stress_mae": ("Stress MAE (MPa)", 160217.66)}  # fmt: skip
    curves = {
        title: {
            f"pool {name}": (curve["n_train"], factor * np.array(curve[column]))
            for name, curve in s["curve"].items()
        }
        for column, (title, factor) in units.items()
    }
    blocks: list[Block] = [
        Figure(figures.plot_curves(curves, "Training frames"),
               "Errors of the committee on frames of the pool, round by round (short-range labels)."),
    ]  # fmt: skip
    scores = {f"pool {name}": 1e3 * np.array(v["scores"]) for name, v in s["last_scores"].items() if v}
    if scores:
        thresholds = {f"pool {name}": 1e3 * v["threshold"] for name, v in s["last_scores"].items() if v}
        blocks.append(Figure(figures.plot_scores(scores, thresholds),
                             "Scores of the last screened chunk: largest spread of an atomic energy."))  # fmt: skip
    total = sum(s["n_pool"].values())
    lead = (
        f"{s['n_train']} of {total} pool frames were chosen by committees of {s['settings']['n_members']} that "
        f"disagreed on an atomic energy; {s['n_test']} test frames come from blocks of the trajectories that were "
        "set aside before any selection."
    )
    return Section("Distillation", blocks, lead)


def _labels(config: Config, summaries: dict[str, Any]) -> Section:
    s = summaries["label"]
    check = s["check"]
    rows = [
        ["Same crystal in two cells", check["cell_spread_meV"], "meV/atom"],
        ["Forces against differences of the energy", 1e3 * check["force_error"], "meV/Å"],
        ["Stress against differences of the energy", 1e3 * check["stress_error_GPa"], "MPa"],
    ]
    blocks: list[Block] = [
        Table(["Teacher check", "Largest difference", "Unit"], rows),
        Table(["Frames", "Labelled"], [[use, count] for use, count in s["counts"].items()]),
    ]
    if s["failed"]:
        blocks.append(
            Note(f"{len(s['failed'])} frames failed and were left out: see label/failed.json.", "warning")
        )
    crystals = ", of them strained and displaced crystals of every phase" if config.label.crystals else ""
    return Section("Labels", blocks, f"Energies, forces and stress by {s['teacher']}{crystals}.")


def _charge(config: Config, summaries: dict[str, Any], upstream: dict[str, Path]) -> Section:
    s = summaries["qeff"]
    shown = {}
    rows: list[list[Any]] = []
    for method in ("plain", "regressed"):
        result = SweepResult.from_json(upstream["qeff"] / f"{method}.json")
        shown[method] = SimpleNamespace(
            q=result.q, mae=1e3 * result.mae, optimum=result.optimum, interval=result.interval
        )
        low, high = result.interval
        at = [float(1e3 * np.interp(q, result.q, result.mae)) for q in (0.0, result.optimum, s["formal"])]
        rows.append([method, result.optimum, f"{low:.2f} to {high:.2f}", *at, result.note or "—"])
    marks = {
        "√ε∞ estimate": tuple(s["dielectric"]["infinity"]),
        "√ε₀ estimate": tuple(s["dielectric"]["zero"]),
    }
    figure = figures.plot_sweeps(shown, "meV/atom", marks=marks, formal=s["formal"])
    table = Table(
        ["Sweep", ("Optimum", "e"), ("5 to 95 %", "e"), ("Left at q = 0", "meV/atom"), ("at the optimum", "meV/atom"),
         ("at the formal charge", "meV/atom"), "Remark"],
        rows,
        note=f"Dielectric estimates: formal charge over √ε; {s['dielectric']['source']}.",
    )  # fmt: skip
    lead = (
        "What Coulomb energy at charge q leaves over of the labels, without training a network. The regressed sweep "
        "first takes out what a linear model of the local descriptor explains: the rest is long-ranged. "
        f"Trained on: q_eff = {s['q_eff']:.2f} e ({s['chosen_by']})."
    )
    return Section(
        "Effective charge", [Figure(figure, "Mean absolute residual against the charge."), table], lead
    )


def _training(config: Config, summaries: dict[str, Any]) -> Section:
    pre = summaries["pretrain"]
    histories = {
        "Force MAE (meV/Å)": {"pretraining": _band(pre["history"], "force_mae", 1e3)},
        "Stress MAE (MPa)": {"pretraining": _band(pre["history"], "stress_mae", 160217.66)},
    }
    transfer = summaries["train"]["history"]
    fitted = {
        title: {kind: _band(transfer[kind], column, factor) for kind in KINDS}
        for title, column, factor in (
            ("Energy MAE (meV/atom)", "energy_mae", 1e3),
            ("Force MAE (meV/Å)", "force_mae", 1e3),
            ("Stress MAE (MPa)", "stress_mae", 160217.66),
        )
    }
    audit = summaries["train"]["audit"]
    blocks: list[Block] = [
        Figure(figures.plot_curves(histories, "Epoch", log=True, dots=False),
               "Pretraining on short-range atomic energies: validation errors of the members."),
        Figure(figures.plot_curves(fitted, "Epoch", log=True, dots=False,
                                   marks={"fine-tuning": config.train.transfer.epochs} if config.train.fine_tune else None),
               "Transfer: validation errors; direct starts from nothing and has as many epochs."),
        Details("Label audit before training", [
            f"{audit['n_frames']} frames, {audit['n_duplicates']} duplicates; labels: "
            + ", ".join(f"{k} on {v}" for k, v in audit["counts"].items() if v)]),
    ]  # fmt: skip
    return Section(
        "Training",
        blocks,
        f"Committees of {config.train.members}; bands reach from the least to the greatest member.",
    )


def _band(histories: Sequence[dict[str, Any]], column: str, factor: float) -> tuple[np.ndarray, np.ndarray]:
    values = factor * np.array([history[column] for history in histories])
    return np.arange(1, values.shape[1] + 1), values


def _interval(values: dict[str, Any]) -> Interval:
    return Interval(
        **{name: values[name] for name in ("mean", "low", "high", "n", "kind", "confidence", "values")}
    )


def _accuracy(summaries: dict[str, Any], upstream: dict[str, Path]) -> Section:
    s = summaries["evaluate"]["parity"]
    panels = {
        f"{name} MAE ({unit})": {_SET[use]: {kind: _interval(s[use][kind][q]) for kind in KINDS} for use in s}
        for q, (name, unit) in _QUANTITY.items()
    }
    rows: list[list[Any]] = []
    for use in s:
        for kind in KINDS:
            cells = [_measured(s[use][kind][q], s[use][kind]["against_direct"][q]) for q in _QUANTITY]
            verdicts = (
                s[use][kind]["against_transferred"] if kind == "hybrid" else s[use][kind]["against_direct"]
            )
            against = "transferred" if kind == "hybrid" else "direct"
            words = (
                "—"
                if kind == "direct"
                else f"{against}: " + ", ".join(f"{q} {v}" for q, v in verdicts.items())
            )
            rows.append([f"{_SET[use]}, {kind}", *cells, words])
    table = Table(
        ["Set, model", *((f"{n} MAE", u) for n, u in _QUANTITY.values()), "Against"],
        rows,
        note="Mean over the members ± half of the 90 % Student interval; overlapping intervals are a tie. "
        "Direct: no pretraining, no Coulomb. Transferred: pretrained, no Coulomb. Hybrid: pretrained, Coulomb at q_eff.",
    )
    clouds = {
        kind: {
            _SET[use]: ParityResult.from_json(upstream["evaluate"] / f"parity-{kind}-{use}-mean.json")
            for use in s
        }
        for kind in KINDS
    }
    blocks: list[Block] = [
        table,
        Figure(figures.plot_methods(panels), "Errors with committee intervals; ticks are the members."),
        Figure(figures.plot_parity(clouds), "Committee means against the labels."),
    ]
    return Section("Accuracy", blocks, "On frames that no training, selection or fine-tuning has seen.")


def _measured(values: dict[str, Any], verdict: Literal["better", "worse", "tie"]) -> Measured:
    return Measured(values["mean"], 0.5 * (values["high"] - values["low"]), verdict)


def _crystals(config: Config, summaries: dict[str, Any]) -> Section:
    s = summaries["evaluate"]["crystals"]
    rows: list[list[Any]] = []
    remarks: list[Block] = []
    groups: dict[str, list[figures.PropertyRow]] = {"Lattice": [], "Elastic constants": []}
    for phase, found in s["phases"].items():
        for name, row in found["rows"].items():
            if "refused" in row:
                rows.append([f"{phase}, {name}", None, None, f"refused: {row['refused']}"])
                continue
            rows.append([f"{phase}, {name}", row["teacher"], Measured(row["mean"], (row["high"] - row["low"]) / 2),
                         "agrees within the interval" if row["agrees"] == "tie" else "differs"])  # fmt: skip
            group = "Lattice" if "Å" in name else "Elastic constants" if "GPa" in name else None
            if group:
                label = f"{phase} {name.split(' ')[0]}"
                groups[group].append(figures.PropertyRow(label, row["teacher"], {"hybrid": _interval(row)}))
        for flag, words in (("same_spacegroup", "left its space group in a relaxation"),
                            ("converged", "did not reach the tolerances of the relaxation"),
                            ("is_stable", "violates Born's criterion with a member")):  # fmt: skip
            if not found[flag]:
                remarks.append(Note(f"{phase} {words}.", "warning"))
    table = Table(["Property", "Teacher", "Hybrid", "Verdict"], rows, digits=4,
                  note=f"Energies are relative to {s['ground_state']}, the teacher's ground state.")  # fmt: skip
    figure = figures.plot_properties({k: v for k, v in groups.items() if v}, relative=tuple(groups))
    return Section(
        "Crystals",
        [*remarks, Figure(figure, "Deviation from the teacher, with the committee's interval."), table],
        "Relaxed lattices, energies between phases and elastic constants (relaxed ions), against the teacher itself.",
    )


def _dynamics(config: Config, summaries: dict[str, Any], upstream: dict[str, Path]) -> Section:
    nvt = StabilityResult.from_json(upstream["evaluate"] / "nvt.json")
    pull = read_json(upstream["evaluate"] / "pull.json")
    curve = SimpleNamespace(strain=np.array(pull["strain"]), stress_GPa=np.array(pull["stress_GPa"]))
    picked = [pull["frames"][k] for k in np.linspace(0, len(pull["frames"]) - 1, 4).round().astype(int)]
    pictures = {
        f"{100 * f['strain']:.0f} % strain": Atoms(
            pull["symbols"], positions=f["positions"], cell=f["cell"], pbc=True
        )
        for f in picked
    }
    spread = {
        "Largest spread (meV)": {
            "atomic energy": (100 * curve.strain, 1e3 * np.array(pull["uncertainty_eV"]))
        }
    }
    steps = config.evaluate.pull_rate_A_per_ps
    return Section(
        "Molecular dynamics",
        [
            Figure(figures.plot_stability(nvt), f"{config.evaluate.nvt_ps:g} ps NVT at {nvt.target_K:g} K."),
            Figure(figures.plot_stress_strain({"hybrid": curve}), f"A tensile pull at {steps:g} Å/ps."),
            Figure(figures.plot_structures(pictures), "Frames of the pull."),
            Figure(figures.plot_curves(spread, "Strain (%)", dots=False),
                   "The committee says where it leaves what it has learnt."),
        ],
        f"{config.tensile.phase}, 64 atoms, with `HybridNNPCalculator` in ASE's drivers.",
    )  # fmt: skip


def _record(folder: Path) -> Section:
    done = {r["stage"]: r for r in read_jsonl(folder / "ledger.jsonl") if r["status"] == "done"}
    seconds = {name: float(record["seconds"]) for name, record in done.items()}
    versions = next(iter(done.values()))["versions"]
    return Section(
        "Record",
        [
            Figure(figures.plot_stages(seconds), "Seconds a stage took."),
            Details("Versions", [Table(["Package", "Version"], [[k, v] for k, v in versions.items()])]),
            Details("Configuration", [(folder / "config.yaml").read_text()]),
        ],
        f"{sum(seconds.values()) / 60:.1f} minutes; the ledger holds inputs, seeds and checksums.",
    )
