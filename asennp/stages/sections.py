"""The sections of the report: what each stage left, as text, tables and figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from ase import Atoms

from asennp.config import Config
from asennp.dataset import read_frames
from asennp.evaluate import Interval, ParityResult, StabilityResult
from asennp.files import read_json, read_jsonl
from asennp.md.bias import WangLandauBias
from asennp.qeff import ChargeComparison, SweepResult
from asennp.report import figures
from asennp.report.calibration import tabulate_calibration
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
from asennp.stages.parts import crystal, long_range
from asennp.stages.sample import walker_crystal, walker_orders
from asennp.stages.train import KINDS
from asennp.units import EV_A3_MPA

Summaries = Mapping[str, Any]
Row = list[Any]

_QUANTITY = {"energy": ("Energy", "meV/atom"), "forces": ("Forces", "meV/Å"), "stress": ("Stress", "MPa")}
_SET = {"test": "test set", "tensile": "unseen tensile"}


def overview(config: Config, summaries: Summaries, floor: Sequence[Mapping[str, Any]]) -> Section:
    """Show headline numbers, the floor, and the phases."""
    test = summaries["evaluate"]["parity"]["test"]["hybrid"]
    label, charge = summaries["label"], summaries["qeff"]
    force = _interval(test["forces"])
    tiles = Tiles(
        [
            Tile(
                "Force error, test set",
                f"{force.mean:.0f} meV/Å",
                f"± {force.half_width:.0f} over the committee",
            ),
            Tile(
                "Energy error",
                f"{test['energy']['mean']:.1f} meV/atom",
                f"{label['counts']['test']} frames nothing saw",
            ),
            Tile("Long range", "PQEq", "charges and shells that follow the atoms")
            if config.train.electrostatics == "pqeq"
            else Tile("Effective charge", f"{charge['q_eff']:.2f} e", f"by: {charge['chosen_by']}"),
            Tile(
                "Labels",
                f"{label['counts']['train']}",
                f"training frames by {label['teacher']}, {len(label['failed'])} failed",
            ),
        ]
    )
    phases = {
        phase: crystal(config, phase, (3, 2, 2) if p.prototype == "wurtzite" else 2)
        for phase, p in config.system.phases.items()
    }
    return Section(
        "Overview",
        [
            tiles,
            Checks([Check(line["name"], line["passed"], line["got"], line["required"]) for line in floor]),
            Figure(
                figures.plot_structures(phases), "The phases, at the empirical potential's lattice constants."
            ),
        ],
        "From an empirical potential to a trained and tested hybrid potential: sampling in enthalpy and "
        "order, distillation, labels by a better theory, a long range by physics, transfer learning.",
    )


def sampling(config: Config, summaries: Summaries, upstream: Mapping[str, Path]) -> Section:
    """Show where the walkers went, the bias they built, and the pull kept aside."""
    blocks: list[Block] = []
    rows: list[Row] = []
    for name, walker in config.sample.walkers.items():
        blocks += _walker_figures(config, name, upstream["sample"] / name)
        s = summaries["sample"][name]
        start = f"{walker.phase}, melted" if walker.melt else walker.phase
        if walker.pool is not None:
            start = f"pool {walker.pool}"
        visited = ", ".join(f"{phase} {100 * share:.0f} %" for phase, share in s["phases"].items())
        rows += [
            [name, start, s["steps"], s["wang_landau_updates"], order, 100 * found["coverage"],
             "{:.1f} to {:.1f}".format(*found["range"]), visited, s["guard_count"]]
            for order, found in s["orders"].items()
        ]  # fmt: skip
    table = Table(
        [
            "Walker",
            "Start",
            "Steps",
            "Updates",
            "Order",
            ("Mesh covered", "%"),
            "Range",
            "Frames by phase",
            "Guard acted",
        ],
        rows,
        note="Guard: pair evaluations inside the inner maximum of the pair potential, where it is spliced. "
        "A frame is of a phase when at least half of its atoms are, by their local environments.",
    )
    pull = config.tensile
    curve = Figure(
        figures.plot_stress_strain({config.potential.name: SimpleNamespace(**summaries["tensile"])}),
        f"The tensile pull kept aside: {pull.phase}, {pull.temperature_K:g} K, {pull.rate_A_per_ps:g} Å/ps, "
        "transverse cell fixed.",
    )
    return Section(
        "Sampling",
        [table, *blocks, curve],
        f"MOMT dynamics with {config.potential.name} at {config.sample.temperature_K:g} K and "
        f"{config.sample.pressure_bar:g} bar. The run explores: its bias grows to the end, so it is a source "
        "of configurations and not of thermodynamic averages.",
    )


def _walker_figures(config: Config, name: str, folder: Path) -> list[Block]:
    """Show one walker: its way, its phases, and for each order parameter the mesh and the bias on it."""
    walker = config.sample.walkers[name]
    frames = read_frames(folder / "frames.extxyz")
    time = np.array([frame.info["step"] for frame in frames]) * config.sample.timestep_fs / 1000.0
    enthalpy = np.array([frame.info["enthalpy"] for frame in frames])
    orders = np.array([np.atleast_1d(frame.info.get("order", ())) for frame in frames])
    history = read_json(folder / "phases.json")
    blocks: list[Block] = [
        Figure(
            figures.plot_phases(time, dict(zip(history["names"], np.transpose(history["fractions"])))),
            f"Walker {name}: phases of the atoms along the run.",
        )
    ]
    start = walker_crystal(config, name)
    bias = None if walker.enthalpy is None else WangLandauBias.load(folder / "bias.npz")
    for axis, (star, order_of) in enumerate(walker_orders(walker, start).items()):
        values = orders[:, axis]
        references = {walker.phase: order_of(start)}
        blocks.append(
            Figure(
                figures.plot_walkers([time], [values], [enthalpy], [name], references=references),
                f"Walker {name}: order parameter {star} and enthalpy along the run.",
            )
        )
        if bias is not None:
            visits, shift = figures.project_bias(bias, 0, axis + 1)
            marks = {"start": (float(enthalpy[0]), float(values[0]))}
            edges = bias.axes[0].edges, bias.axes[axis + 1].edges
            blocks.append(
                Figure(
                    figures.plot_map(*edges, visits, shift, marks=marks),
                    f"Walker {name}: where the Wang-Landau updates fell in {star}, and the partial enthalpy "
                    "they built.",
                )
            )
    return blocks


def distillation(summaries: Summaries) -> Section:
    """Show the learning curve and the scores of the last chunk."""
    s = summaries["distill"]
    columns = {
        "Atomic energy MAE (meV)": ("energies_mae", 1e3),
        "Force MAE (meV/Å)": ("force_mae", 1e3),
        "Stress MAE (MPa)": ("stress_mae", EV_A3_MPA),
    }
    curves = {
        title: {
            f"pool {name}": (curve["n_train"], factor * np.array(curve[column]))
            for name, curve in s["curve"].items()
        }
        for title, (column, factor) in columns.items()
    }
    blocks: list[Block] = [
        Figure(
            figures.plot_curves(curves, "Training frames"),
            "Errors of the committee on frames of the pool, round by round (short-range labels).",
        )
    ]
    screened = {f"pool {name}": found for name, found in s["last_scores"].items() if found}
    if screened:
        scores = {name: 1e3 * np.array(found["scores"]) for name, found in screened.items()}
        thresholds = {name: 1e3 * found["threshold"] for name, found in screened.items()}
        blocks.append(
            Figure(
                figures.plot_scores(scores, thresholds),
                "Scores of the last screened chunk: largest spread of an atomic energy.",
            )
        )
    return Section(
        "Distillation",
        blocks,
        f"{s['n_train']} of {sum(s['n_pool'].values())} pool frames were chosen by committees of "
        f"{s['settings']['n_members']} that disagreed on an atomic energy; {s['n_test']} test frames come "
        "from blocks of the trajectories that were set aside before any selection.",
    )


def labels(config: Config, summaries: Summaries) -> Section:
    """Show the teacher check and what was labelled."""
    s = summaries["label"]
    check = s["check"]
    blocks: list[Block] = [
        Table(
            ["Teacher check", "Largest difference", "Unit"],
            [
                ["Same crystal in two cells", check["cell_spread_meV"], "meV/atom"],
                ["Forces against differences of the energy", 1e3 * check["force_error"], "meV/Å"],
                ["Stress against differences of the energy", 1e3 * check["stress_error_GPa"], "MPa"],
            ],
        ),
        Table(["Frames", "Labelled"], [[use, count] for use, count in s["counts"].items()]),
    ]
    if s["failed"]:
        text = f"{len(s['failed'])} frames failed and were left out: see label/failed.json."
        blocks.append(Note(text, "warning"))
    n = config.label.crystals
    crystals = f" {n} strained and displaced crystals of each phase are among them." if n else ""
    return Section("Labels", blocks, f"Energies, forces and stress by {s['teacher']}.{crystals}")


def charge(config: Config, summaries: Summaries, upstream: Mapping[str, Path]) -> Section:
    """Show both sweeps beside the dielectric estimates."""
    s = summaries["qeff"]
    shown = {}
    rows: list[Row] = []
    remarks: list[Block] = []
    for method in ("plain", "regressed"):
        result = SweepResult.from_json(upstream["qeff"] / f"{method}.json")
        mae = 1e3 * result.mae
        shown[method] = SimpleNamespace(q=result.q, mae=mae, optimum=result.optimum, interval=result.interval)
        left = [float(np.interp(q, result.q, mae)) for q in (0.0, result.optimum, s["formal"])]
        interval = Measured(result.optimum, 0.5 * (result.interval[1] - result.interval[0]))
        rows.append([method, interval, *left])
        if result.note:
            remarks.append(Note(f"{method} sweep: {result.note}.", "warning"))
    marks = {
        "√ε∞ estimate": tuple(s["dielectric"]["infinity"]),
        "√ε₀ estimate": tuple(s["dielectric"]["zero"]),
    }
    table = Table(
        [
            "Sweep",
            ("Optimum", "e"),
            ("Left at 0", "meV/atom"),
            ("at the optimum", "meV/atom"),
            ("at the formal charge", "meV/atom"),
        ],
        rows,
        note="± is half of the 5 to 95 % range over samples (plain) or splits (regressed). Dielectric "
        f"estimates: formal charge over √ε; {s['dielectric']['source']}.",
    )
    compared = ChargeComparison.from_json(upstream["qeff"] / "compared.json")
    formal = compared.mean_charges["formal"]
    cation = max(formal, key=lambda species: formal[species])
    models = Table(
        ["Charges", (f"of {cation}", "e"), ("Left, plain", "meV/atom"), ("regressed", "meV/atom")],
        [
            [name, compared.mean_charges.get(name, {}).get(cation, 0.0), 1e3 * left, 1e3 * after]
            for name, left, after in zip(compared.names, compared.plain, compared.regressed)
        ],
        note="Each model's own Coulomb energy, taken from the labels; regressed: on test frames.",
    )
    return Section(
        "Effective charge",
        [
            Figure(
                figures.plot_sweeps(shown, "meV/atom", marks=marks, formal=s["formal"]),
                "Mean absolute residual against the charge.",
            ),
            table,
            models,
            *remarks,
        ],
        "What the Coulomb energy at charge q leaves over of the labels, without training a network. The "
        "regressed sweep first takes out what a linear model of the local descriptor explains: the rest is "
        f"long-ranged. Trained on: {_trained_on(config, s)}.",
    )


def _trained_on(config: Config, charge: Mapping[str, Any]) -> str:
    """Name the baseline of the hybrid model, and what chose its charge."""
    chosen = f"q_eff = {charge['q_eff']:.2f} e ({charge['chosen_by']})"
    if config.train.electrostatics == "point":
        return chosen
    return (
        f"{long_range(config)}, whose charges follow the atoms; by fixed charges it would have been {chosen}"
    )


def trained_charge(summaries: Summaries, upstream: Mapping[str, Path]) -> list[Section]:
    """Show the trained sweep beside the optima of those without training; nothing if none was asked for."""
    s = summaries["trained_sweep"]
    if not s:
        return []
    panels = {
        f"{name} MAE ({unit})": {curve: (s["q"], errors[quantity]) for curve, errors in s["errors"].items()}
        for quantity, (name, unit) in _QUANTITY.items()
    }
    marks = {
        method: SweepResult.from_json(upstream["qeff"] / f"{method}.json").optimum
        for method in ("plain", "regressed")
    }
    optima = Table(
        ["Least error at", *((f"{name}", "e") for name, _ in _QUANTITY.values())],
        [[curve, *(at[quantity] for quantity in _QUANTITY)] for curve, at in s["optimum"].items()],
        note=f"Trained at {', '.join(f'{q:g}' for q in s['q'])} e; without training: "
        f"plain {marks['plain']:.2f}, regressed {marks['regressed']:.2f} e.",
    )
    added = s["retrained"]
    words = {"held": f"{added['n_held']} tensile frames held out", "test": "test set"}
    retrained = Table(
        [f"At {added['q']:g} e", *((f"{name} MAE", unit) for name, unit in _QUANTITY.values())],
        [
            [f"{words[use]}, {way} tensile frames in training", *(added[use][way][q] for q in _QUANTITY)]
            for use in words
            for way in ("without", "with")
        ],
        note=f"{added['n_added']} tensile frames were added, by block of the pull.",
    )
    return [
        Section(
            "Charge sweep by training",
            [
                Figure(
                    figures.plot_curves(panels, "Charge q (e)", marks=marks),
                    "Errors of short trainings on the residual at each charge; dotted: the optima of the "
                    "sweeps without training.",
                ),
                optima,
                retrained,
            ],
            "One network a charge, pretrained, transferred and fine-tuned as the hybrid, only shorter. "
            "Does the cheap protocol find the trained optimum?",
        )
    ]


def training(config: Config, summaries: Summaries) -> Section:
    """Show validation errors of pretraining and transfer, and the label audit."""
    pretrained, fitted = summaries["pretrain"]["history"], summaries["train"]["history"]
    columns = {
        "Energy MAE (meV/atom)": ("energy_mae", 1e3),
        "Force MAE (meV/Å)": ("force_mae", 1e3),
        "Stress MAE (MPa)": ("stress_mae", EV_A3_MPA),
    }
    before = {title: {"pretraining": _band(pretrained, *column)} for title, column in columns.items()}
    after = {
        title: {kind: _band(fitted[kind], *column) for kind in KINDS} for title, column in columns.items()
    }
    marks = {"fine-tuning": config.train.transfer.epochs} if config.train.fine_tune else None
    audit = summaries["train"]["audit"]
    counts = ", ".join(f"{name} on {count}" for name, count in audit["counts"].items() if count)
    return Section(
        "Training",
        [
            Figure(
                figures.plot_curves(before, "Epoch", log=True, dots=False),
                "Pretraining on short-range atomic energies: validation errors of the members.",
            ),
            Figure(
                figures.plot_curves(after, "Epoch", log=True, dots=False, marks=marks),
                "Transfer: validation errors; direct starts from nothing and has as many epochs.",
            ),
            Details(
                "Label audit before training",
                [f"{audit['n_frames']} frames, {audit['n_duplicates']} duplicates; labels: {counts}"],
            ),
            *(Note(f"Label audit: {doubt}.", "warning") for doubt in audit["doubts"]),
        ],
        f"Committees of {config.train.members}; bands reach from the least to the greatest member.",
    )


def _band(
    histories: Sequence[Mapping[str, Any]], column: str, factor: float
) -> tuple[np.ndarray, np.ndarray]:
    values = factor * np.array([history[column] for history in histories])
    return np.arange(1, values.shape[1] + 1), values


def _interval(values: Mapping[str, Any]) -> Interval:
    """Return the interval that a summary's row holds among other things."""
    return Interval(**{name: values[name] for name in Interval.__dataclass_fields__})


def accuracy(config: Config, summaries: Summaries, upstream: Mapping[str, Path]) -> Section:
    """Compare the three committees on the test set and on the unseen pull."""
    s = summaries["evaluate"]["parity"]
    panels = {
        f"{name} MAE ({unit})": {_SET[use]: {kind: _interval(s[use][kind][q]) for kind in KINDS} for use in s}
        for q, (name, unit) in _QUANTITY.items()
    }
    rows: list[Row] = []
    for use in s:
        for kind in KINDS:
            found = s[use][kind]
            cells = [Measured.of(_interval(found[q]), found["against_direct"][q]) for q in _QUANTITY]
            against = "transferred" if kind == "hybrid" else "direct"
            verdicts = ", ".join(f"{q} {verdict}" for q, verdict in found[f"against_{against}"].items())
            words = "" if kind == "direct" else f"{against}: {verdicts}"
            rows.append([f"{_SET[use]}, {kind}", *cells, words])
    table = Table(
        ["Set, model", *((f"{name} MAE", unit) for name, unit in _QUANTITY.values()), "Against"],
        rows,
        note="Mean over the members ± half of the 90 % Student interval; overlapping intervals are a tie. "
        f"Direct: no pretraining, no Coulomb. Transferred: pretrained, no Coulomb. Hybrid: pretrained, "
        f"{long_range(config)}. Colours compare with direct.",
    )
    clouds = {
        kind: {
            _SET[use]: ParityResult.from_json(upstream["evaluate"] / f"parity-{kind}-{use}-mean.json")
            for use in s
        }
        for kind in KINDS
    }
    return Section(
        "Accuracy",
        [
            table,
            Figure(figures.plot_methods(panels), "Errors with committee intervals; ticks are the members."),
            Figure(figures.plot_parity(clouds), "Committee means against the labels."),
            *_calibration(clouds["hybrid"]),
        ],
        "On frames that no training, selection or fine-tuning has seen.",
    )


def _calibration(results: Mapping[str, ParityResult]) -> list[Block]:
    """Show the hybrid committee's spread beside its error; nothing for evaluations that did not note it."""
    known = {name: r for name, r in results.items() if r.calibration}
    if not known:
        return []
    return [
        Figure(figures.plot_calibration(known), "Spread of the hybrid committee beside its errors."),
        tabulate_calibration(known),
    ]


def crystals(summaries: Summaries) -> Section:
    """Compare lattices, energies and elastic constants with the teacher's own."""
    s = summaries["evaluate"]["crystals"]
    rows: list[Row] = []
    remarks: list[Block] = []
    groups: dict[str, list[figures.PropertyRow]] = {"Lattice": [], "Elastic constants": []}
    for phase, found in s["phases"].items():
        for name, row in found["rows"].items():
            if "refused" in row:
                rows.append([f"{phase}, {name}", None, None, f"refused: {row['refused']}"])
                continue
            interval = _interval(row)
            verdict = "within the interval" if row["agrees"] else "differs"
            rows.append([f"{phase}, {name}", row["teacher"], Measured.of(interval), verdict])
            group = "Lattice" if "Å" in name else "Elastic constants" if "GPa" in name else None
            if group:
                label = f"{phase} {name.split(' ')[0]}"
                groups[group].append(figures.PropertyRow(label, row["teacher"], {"hybrid": interval}, 4))
        for flag, words in (
            ("same_spacegroup", "left its space group in a relaxation"),
            ("converged", "did not reach the tolerances of the relaxation"),
            ("is_stable", "violates Born's criterion with a member"),
        ):
            if not found[flag]:
                remarks.append(Note(f"{phase} {words}.", "warning"))
    return Section(
        "Crystals",
        [
            *remarks,
            Figure(
                figures.plot_properties({k: v for k, v in groups.items() if v}, relative=tuple(groups)),
                "Deviation from the teacher, with the committee's interval.",
            ),
            Table(
                ["Property", "Teacher", "Hybrid", "Teacher's value"],
                rows,
                digits=4,
                note=f"Energies are relative to {s['ground_state']}, the teacher's ground state.",
            ),
        ],
        "Relaxed lattices, energies between phases and elastic constants, against the teacher itself.",
    )


def dynamics(config: Config, upstream: Mapping[str, Path]) -> Section:
    """Show the NVT run and the pull with the hybrid potential."""
    nvt = StabilityResult.from_json(upstream["evaluate"] / "nvt.json")
    pull = read_json(upstream["evaluate"] / "pull.json")
    strain = np.array(pull["strain"])
    curve = SimpleNamespace(strain=strain, stress_GPa=np.array(pull["stress_GPa"]))
    frames = [pull["frames"][k] for k in np.linspace(0, len(pull["frames"]) - 1, 4).round().astype(int)]
    pictures = {
        f"{100 * frame['strain']:.0f} % strain": Atoms(
            pull["symbols"], positions=frame["positions"], cell=frame["cell"], pbc=True
        )
        for frame in frames
    }
    spread = {"Largest spread (meV)": {"of an atomic energy": (100 * strain, pull["uncertainty_meV"])}}
    return Section(
        "Molecular dynamics",
        [
            Figure(figures.plot_stability(nvt), f"{config.evaluate.nvt_ps:g} ps NVT at {nvt.target_K:g} K."),
            Figure(
                figures.plot_stress_strain({"hybrid": curve}),
                f"A tensile pull at {config.evaluate.pull_rate_A_per_ps:g} Å/ps.",
            ),
            Figure(figures.plot_structures(pictures), "Frames of the pull."),
            Figure(
                figures.plot_curves(spread, "Strain (%)", dots=False),
                "The committee says where it leaves what it has learnt.",
            ),
        ],
        f"{config.tensile.phase}, {len(nvt.final)} atoms, with HybridNNPCalculator in ASE's drivers.",
    )


def record(folder: Path) -> Section:
    """Show times, versions and the configuration."""
    done = {r["stage"]: r for r in read_jsonl(folder / "ledger.jsonl") if r["status"] == "done"}
    seconds = {name: float(entry["seconds"]) for name, entry in done.items()}
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
