"""The charge sweep that trains: a short transfer at a few charges, and what the unseen pull adds to one.

At each charge one residual network is trained as in `train`, only shorter, and measured three ways: after the
transfer and after the fine-tuning on the test set, and after both on the unseen tensile frames. Then a part
of the tensile frames joins the training at the chosen charge; the rest of them tells what it brought.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from asennp.calculators.coulomb import CoulombCalculator
from asennp.calculators.hybrid import HybridNNPCalculator
from asennp.config import Config
from asennp.dataset import Store, read_frames, residual_targets, split, write_frames
from asennp.evaluate import ParityResult, compute_parity
from asennp.files import read_json
from asennp.processes import run_processes
from asennp.stages.evaluate import QUANTITIES
from asennp.stages.fits import Chain, member_seed, run_chains
from asennp.stages.output import StageOutput
from asennp.stages.parts import unit_charges
from asennp.stages.pretrain import pretrained_models
from asennp.stages.train import with_target
from asennp.train.config import TrainConfig

#: Where errors are taken, and after which stage of the chain (the last counts for both others).
ENSEMBLE, FINE_TUNED, UNSEEN = "transfer, test set", "fine-tuned, test set", "fine-tuned, unseen tensile"


def trained_sweep(config: Config, folder: Path, upstream: dict[str, Path]) -> StageOutput:
    """Train at each charge, and at the chosen one with a part of the tensile frames added."""
    settings = config.trained_sweep
    if settings is None:
        return StageOutput([], "not asked for (section trained_sweep)")
    chosen = round(float(read_json(upstream["qeff"] / "charge.json")["q_eff"]), 3)
    charges = sorted({*settings.charges, chosen})
    frames = {
        use: with_target(config, Store(upstream["label"] / use).frames())
        for use in ("train", "test", "tensile")
    }
    parts = split(frames["tensile"], {"added": settings.tensile_share, "held": 1 - settings.tensile_share},
                  config.seed)  # fmt: skip
    frames["held"] = [frames["tensile"][k] for k in parts["held"]]
    added = [frames["tensile"][k] for k in parts["added"]]
    for use in ("test", "tensile", "held"):
        _write_once(folder / f"{use}.extxyz", frames[use])

    pretrained = pretrained_models(upstream["pretrain"])[0]
    chains = {
        f"q-{q:.3f}": _chain(config, folder / f"q-{q:.3f}", frames["train"], q, pretrained) for q in charges
    }
    chains["retrained"] = _chain(config, folder / "retrained", [*frames["train"], *added], chosen, pretrained)
    run_chains(config, "sweep", list(chains.values()))
    found = _parities(config, folder, chains)
    summary = _summary(charges, found)
    base = f"q-{chosen:.3f}"
    summary["retrained"] = {
        "q": chosen,
        "n_added": len(added),
        "n_held": len(frames["held"]),
        **{
            use: {"without": _errors(found[base, -1, use]), "with": _errors(found["retrained", -1, use])}
            for use in ("held", "test")
        },
    }
    best = ", ".join(f"{q} {at:.2f}" for q, at in summary["optimum"][UNSEEN].items())
    return StageOutput(
        sorted(folder.glob("parity-*.json")), f"best on unseen tensile at (e): {best}", summary
    )


def _write_once(path: Path, frames: Sequence[Atoms]) -> None:
    if not path.exists():
        write_frames(path, frames)


def _chain(config: Config, place: Path, frames: Sequence[Atoms], q: float, pretrained: Path) -> Chain:
    """Return a short transfer, and fine-tuning if the run has one, on the residual at a charge."""
    settings = config.trained_sweep
    assert settings is not None
    charges = {species: sign * q for species, sign in unit_charges(config).items()}
    residual = place / "residual.extxyz"
    if not residual.exists():
        write_frames(residual, residual_targets(frames, CoulombCalculator(charges)) if q else frames)
    stages = [_shortened(config, config.train.transfer, settings.epochs)]
    if config.train.fine_tune is not None:
        stages.append(_shortened(config, config.train.fine_tune, settings.fine_tune_epochs))
    return Chain(place, residual, tuple(stages), pretrained, charges if q else {})


def _shortened(config: Config, stage: TrainConfig, epochs: int) -> TrainConfig:
    return replace(stage, epochs=epochs, seed=member_seed(config, 0))


def _parities(
    config: Config, folder: Path, chains: Mapping[str, Chain]
) -> dict[tuple[str, int, str], ParityResult]:
    """Measure every chain's last model on all sets, and its first on the test set; what is there is kept."""
    paths = {}
    for name, chain in chains.items():
        for stage, use in ((0, "test"), (-1, "test"), (-1, "tensile"), (-1, "held")):
            number = len(chain.stages) - 1 if stage else 0
            paths[name, stage, use] = (chain.folder / str(number) / "model.asennp",
                                       folder / f"{use}.extxyz",
                                       folder / f"parity-{name}-{number}-{use}.json")  # fmt: skip
    missing = sorted({task for task in paths.values() if not task[-1].exists()})
    for _ in run_processes(_parity, missing, config.workers):
        pass
    return {key: ParityResult.from_json(path) for key, (_, _, path) in paths.items()}


def _parity(model: Path, frames: Path, path: Path) -> None:
    compute_parity(read_frames(frames), HybridNNPCalculator(model, device="cpu")).to_json(path)


def _errors(parity: ParityResult) -> dict[str, float]:
    """Return the mean absolute errors in the units of tables."""
    return {quantity: getattr(parity, quantity).mae for quantity in QUANTITIES}


def _summary(charges: Sequence[float], found: Mapping[tuple[str, int, str], ParityResult]) -> dict[str, Any]:
    """Gather errors by set and quantity, one a charge, and the charge of the least of each."""
    sets = {ENSEMBLE: (0, "test"), FINE_TUNED: (-1, "test"), UNSEEN: (-1, "tensile")}
    errors = {
        name: {
            quantity: [_errors(found[f"q-{q:.3f}", *key])[quantity] for q in charges]
            for quantity in QUANTITIES
        }
        for name, key in sets.items()
    }
    optimum = {
        name: {quantity: charges[int(np.argmin(values))] for quantity, values in by.items()}
        for name, by in errors.items()
    }
    return {"q": list(charges), "errors": errors, "optimum": optimum}
