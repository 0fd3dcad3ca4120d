"""The least a run must reach."""

from typing import Any

from asennp.config import Config


def check_floor(config: Config, summaries: dict[str, Any]) -> list[dict[str, Any]]:
    """Compare the run with its floor; each line has its name, what came, what is required, and a verdict."""
    least = config.floor
    lines: list[dict[str, Any]] = []

    def line(name: str, got: str, required: str, passed: bool) -> None:
        text = f"{name}: {got} ({required})"
        lines.append({"text": text, "name": name, "got": got, "required": required, "passed": bool(passed)})

    for name, walker in summaries["sample"].items():
        if config.sample.walkers[name].enthalpy is None:
            continue  # plain NPT: a comparison
        updates, covered = walker["wang_landau_updates"], walker["order_coverage"]
        line(
            f"walker {name}, Wang-Landau updates",
            f"{updates}",
            f"at least {least.wang_landau_updates}",
            updates >= least.wang_landau_updates,
        )
        line(
            f"walker {name}, order range covered",
            f"{100 * covered:.0f} %",
            f"at least {100 * least.order_coverage:.0f} %",
            covered >= least.order_coverage,
        )
    evaluated = summaries["evaluate"]
    share = evaluated["parity"]["test"]["hybrid"]["forces"]["mean"] / evaluated["force_mad_meV_A"]
    line(
        "hybrid force MAE on the test set over the labels' mean absolute deviation",
        f"{100 * share:.0f} %",
        f"below {100 * least.force_mae_fraction:.0f} %",
        share < least.force_mae_fraction,
    )
    nvt = evaluated["nvt"]
    line(
        f"{config.evaluate.nvt_ps:g} ps NVT with the hybrid potential",
        "bounded" if nvt["bounded"] else "; ".join(nvt["violations"]),
        "bounded",
        nvt["bounded"],
    )
    return lines
