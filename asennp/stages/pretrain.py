"""Pretraining (A-Train): atomic energies, forces, stress of the empirical short range."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from asennp.config import Config
from asennp.evaluate import compute_interval
from asennp.stages.fits import Chain, member_seed, run_chains
from asennp.stages.output import StageOutput


def pretrain(config: Config, folder: Path, upstream: dict[str, Path]) -> StageOutput:
    """Train one network a committee member on the distilled frames; no charge, no Coulomb."""
    frames = upstream["distill"] / "train.extxyz"  # they carry the short-range labels they were chosen by
    chains = [
        Chain(folder / f"member-{k}", frames, (replace(config.pretrain, seed=member_seed(config, k)),))
        for k in range(config.train.members)
    ]
    results = run_chains(config, "pretrain", chains)
    errors = {
        name: compute_interval([getattr(r.validation, name) for r in results]).to_dict()
        for name in ("energies_mae", "force_mae", "stress_mae")
    }
    summary = {
        "validation": errors,
        "history": [{k: np.asarray(v).tolist() for k, v in r.history.items()} for r in results],
        "n_train": results[0].n_train,
        "n_validation": results[0].n_validation,
        "audit": results[0].audit,
    }
    files = [Path(r.model) for r in results]
    return StageOutput(files, f"validation force MAE {1000 * errors['force_mae']['mean']:.0f} meV/A", summary)


def pretrained_models(folder: Path) -> list[Path]:
    """Return the model file of each member."""
    return sorted(folder.glob("member-*/0/model.asennp"))
