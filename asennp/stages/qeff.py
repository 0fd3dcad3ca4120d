"""The effective charge without training: both sweeps, and other people's charges beside them."""

from pathlib import Path

import numpy as np

from asennp.config import Config
from asennp.dataset import Store
from asennp.files import write_json
from asennp.progress import console
from asennp.qeff import SweepData, SweepResult, compare_charges, dielectric_estimate, sweep
from asennp.stages.fits import descriptor
from asennp.stages.output import StageOutput
from asennp.stages.parts import unit_charges


def qeff(config: Config, folder: Path, upstream: dict[str, Path]) -> StageOutput:
    """Sweep the charge on the training labels (the test frames stay unseen) and choose it."""
    settings = config.charge
    frames = Store(upstream["label"] / "train").frames()
    charges = unit_charges(config)
    q = np.arange(0.0, settings.q_max + settings.q_step / 2, settings.q_step)
    data = SweepData(
        frames,
        energy_window=settings.energy_window_eV,
        aev=descriptor(config),
        n_threads=config.workers,
        seed=config.seed,
    )
    plain = sweep(data, charges, q, "plain", samples=settings.bootstrap)
    regressed = sweep(data, charges, q, "regressed", samples=settings.splits)
    formal = max(config.system.charges.values())
    infinity = sorted(dielectric_estimate(formal, e) for e in settings.epsilon_inf)
    zero = sorted(dielectric_estimate(formal, e) for e in settings.epsilon_0)
    dielectric = {"infinity": infinity, "zero": zero, "source": settings.source}
    chosen, why = choose(config, plain, regressed, float(np.mean(infinity)))
    if why != settings.use and why != "given":
        console.print(f"  q_eff: {why}", style="yellow")
    models: dict[str, object] = {
        "effective": {species: chosen * unit for species, unit in charges.items()},
        "dielectric": {species: float(np.mean(infinity)) * unit for species, unit in charges.items()},
        "formal": config.system.charges,
    }
    if all("REF_charges" in frame.arrays for frame in frames):
        models["teacher"] = "REF_charges"
    compared = compare_charges(data, models)
    files = [
        plain.to_json(folder / "plain.json"),
        regressed.to_json(folder / "regressed.json"),
        compared.to_json(folder / "compared.json"),
    ]
    record = {"q_eff": chosen, "chosen_by": str(why), "dielectric": dielectric, "formal": formal}
    files.append(write_json(folder / "charge.json", record))
    low, high = regressed.interval
    headline = (
        f"q_eff = {chosen:.2f} e ({why}); regressed sweep {regressed.optimum:.2f} ({low:.2f} to {high:.2f})"
    )
    return StageOutput(
        files, headline, {**record, "plain": plain.to_dict(), "regressed": regressed.to_dict()}
    )


def choose(
    config: Config, plain: SweepResult, regressed: SweepResult, dielectric: float
) -> tuple[float, object]:
    """Return the charge to train on and what it was chosen by.

    A sweep whose interval contains 0, or whose optimum is 0 or at the end of the sweep, shows no
    charge: then the dielectric estimate serves, and the reason is said.
    """
    use = config.charge.use
    if not isinstance(use, str):
        return float(use), "given"
    if use == "dielectric":
        return dielectric, use
    result = {"plain": plain, "regressed": regressed}[use]
    if result.note:
        return round(dielectric, 3), f"dielectric estimate, since of the {use} sweep {result.note}"
    return result.optimum, use
