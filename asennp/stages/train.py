"""Transfer to the teacher's labels, and the comparisons that show what each ingredient is worth.

Three committees see the same frames and as many epochs: *direct* starts from nothing, *transferred* from
the pretrained networks, and *hybrid* from the pretrained networks with the Coulomb energy of the effective
charges (or PQEq's, `electrostatics: pqeq`) taken out of the labels and put back by the calculator.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from asennp.calculators.coulomb import CoulombCalculator
from asennp.calculators.pqeq import PQEqCalculator
from asennp.config import Config
from asennp.dataset import Store, audit, residual_targets, write_frames
from asennp.files import read_json
from asennp.models.model import Model, load_model
from asennp.progress import console
from asennp.stages.fits import Chain, member_seed, run_chains
from asennp.stages.output import StageOutput
from asennp.stages.parts import unit_charges
from asennp.stages.pretrain import pretrained_models
from asennp.train.data import data_hash
from asennp.units import EV_A3_MPA

KINDS = ("direct", "transferred", "hybrid")


def train(config: Config, folder: Path, upstream: dict[str, Path]) -> StageOutput:
    """Train the three committees of `KINDS`."""
    q = float(read_json(upstream["qeff"] / "charge.json")["q_eff"])
    polarizable = config.train.electrostatics == "pqeq"
    charges = {} if polarizable else {species: sign * q for species, sign in unit_charges(config).items()}
    labelled = with_target(config, Store(upstream["label"] / "train").frames())
    found = audit(labelled, require=config.train.direct.needed_labels)
    console.print("label audit: " + found.text().replace("\n", "\n  "), style="dim")
    for doubt in found.doubts:
        console.print(f"  label audit: {doubt}", style="yellow")

    total, residual = folder / "labels.extxyz", folder / "residual.extxyz"
    if not residual.exists():
        write_frames(total, labelled)
        baseline = PQEqCalculator() if polarizable else CoulombCalculator(charges)
        write_frames(residual, residual_targets(labelled, baseline))
    pretrained = pretrained_models(upstream["pretrain"])
    chains = {
        kind: [
            _chain(config, folder, kind, k, total, residual, pretrained[k], charges)
            for k in range(len(pretrained))
        ]
        for kind in KINDS
    }
    results = run_chains(config, "train", [chain for kind in KINDS for chain in chains[kind]])
    files: list[Path] = []
    summary: dict[str, Any] = {"q_eff": q, "audit": found.to_dict(), "history": {}, "validation": {}}
    for index, kind in enumerate(KINDS):
        mine = results[index * len(pretrained) : (index + 1) * len(pretrained)]
        files.append(_stack(folder / f"{kind}.asennp", [Path(r.model) for r in mine], config, kind, labelled))
        summary["validation"][kind] = [r.validation.to_dict() for r in mine]
        summary["history"][kind] = [_history(chain) for chain in chains[kind]]
    best = np.mean([1000 * v["force_mae"] for v in summary["validation"]["hybrid"]])
    return StageOutput(files, f"three committees of {len(pretrained)}; hybrid validation force MAE "
                       f"{best:.0f} meV/A", summary)  # fmt: skip


def with_target(config: Config, frames: list[Atoms]) -> list[Atoms]:
    """Choose which energy is learnt; forces belong to the free energy."""
    if config.train.target == "free_energy":
        for frame in frames:
            frame.info["REF_energy"] = frame.info["REF_free_energy"]
    return frames


def _chain(
    config: Config,
    folder: Path,
    kind: str,
    member: int,
    total: Path,
    residual: Path,
    pretrained: Path,
    charges: dict[str, float],
) -> Chain:
    seed = member_seed(config, member)
    place = folder / kind / f"member-{member}"
    if kind == "direct":
        return Chain(place, total, (replace(config.train.direct, seed=seed),))
    stages = [config.train.transfer, *([config.train.fine_tune] if config.train.fine_tune else [])]
    settings = tuple(replace(stage, seed=seed) for stage in stages)
    if kind == "transferred":
        return Chain(place, total, settings, pretrained)
    return Chain(place, residual, settings, pretrained, charges, config.train.electrostatics)


def _history(chain: Chain) -> dict[str, list[float]]:
    """Return the validation errors over all stages of a chain."""
    stages = [read_json(path)["history"] for path in chain.results]
    return {
        name: [value for stage in stages for value in stage[name]]
        for name in ("energy_mae", "force_mae", "stress_mae", "validation_loss")
    }


def _mean_errors(members: list[dict[str, float]]) -> dict[str, float]:
    """Return the members' mean validation errors in the units of tables."""
    units = {
        "energy_mae (meV/atom)": 1e3,
        "force_mae (meV/Å)": 1e3,
        "stress_mae (MPa)": EV_A3_MPA,
    }
    return {
        name: round(unit * float(np.mean([errors[name.split(" ")[0]] for errors in members])), 2)
        for name, unit in units.items()
    }


def _stack(path: Path, members: list[Path], config: Config, kind: str, frames: list[Atoms]) -> Path:
    """Join members to one model file that says where it comes from."""
    models = [load_model(member) for member in members]
    card = {
        "name": f"{config.name} {kind}",
        "made_by": f"asennp run {config.name}",
        "teacher": config.label.teacher,
        "n_frames": len(frames),
        "seed": config.seed,
        "training_sha256": data_hash(frames),
        "validation": _mean_errors([model.meta["validation"] for model in models]),
    }
    return Model.stack(models, card).save(path)
