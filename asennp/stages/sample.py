"""MOMT sampling with the empirical potential: one walker a process, side by side."""

from pathlib import Path
from typing import Any

import numpy as np
from ase import units

from asennp.config import Config
from asennp.dataset import read_frames
from asennp.files import read_json, write_json
from asennp.md.bias import WangLandauBias
from asennp.md.momt import MOMT
from asennp.order import ReciprocalOrder
from asennp.processes import run_processes
from asennp.progress import StepFile, watch
from asennp.stages.output import StageOutput
from asennp.stages.parts import crystal, empirical


def sample(config: Config, folder: Path, upstream: dict[str, Path]) -> StageOutput:
    """Run every walker to its last step, continuing from its last checkpoint."""
    names = list(config.sample.walkers)
    steps = [folder / name / "steps" for name in names]
    tasks = [(config, name, index, folder / name) for index, name in enumerate(names)]
    with watch("sample", config.sample.steps * len(names), steps):
        for _ in run_processes(run_walker, tasks, config.workers):
            pass
    summary = {name: read_json(folder / name / "walker.json") for name in names}
    files = [folder / name / file for name in names for file in ("frames.extxyz", "bias.npz", "momt.log")]
    covered = ", ".join(
        f"{n} covered {100 * s['order_coverage']:.0f} % of its order range" for n, s in summary.items()
    )
    return StageOutput(files, covered, summary)


def walker_orders(config: Config, name: str) -> Any:
    """Return the start and the order parameter of a walker."""
    walker = config.sample.walkers[name]
    atoms = crystal(config, walker.phase, walker.cells)
    if walker.star == "sc":
        # rock salt without its species is simple cubic: two sites along each conventional edge
        sites = tuple(2 * n for n in walker.cells)
        return atoms, ReciprocalOrder.sc(atoms, sites=sites)
    return atoms, getattr(ReciprocalOrder, walker.star)(atoms, cells=walker.cells)


def run_walker(config: Config, name: str, index: int, folder: Path) -> None:
    """Run one walker (in a process of its own) and write what it covered."""
    settings, walker = config.sample, config.sample.walkers[name]
    folder.mkdir(parents=True, exist_ok=True)
    restart, guard = folder / "restart.npz", folder / "guard.json"
    calculator = empirical(config)
    if restart.exists():
        dyn = MOMT.restart(restart, calculator=calculator)
        calculator.guard_count = read_json(guard)
    else:
        atoms, order = walker_orders(config, name)
        atoms.calc = calculator
        wl = settings.wang_landau
        bias = WangLandauBias(
            axes=[("enthalpy", *walker.enthalpy), ("order", *walker.order)],
            temperature_K=settings.temperature_K,
            ln_f=wl.ln_f,
            kernel_width=wl.kernel_nodes,
            schedule=wl.schedule,
            temperature_min_K=wl.temperature_range_K[0],
            temperature_max_K=wl.temperature_range_K[1],
        )
        dyn = MOMT(
            atoms,
            timestep=settings.timestep_fs * units.fs,
            temperature_K=settings.temperature_K,
            pressure_au=settings.pressure_bar * units.bar,
            order=order,
            bias=bias,
            wl_interval=wl.interval,
            rng=np.random.default_rng([config.seed, 1, index]),
            trajectory=str(folder / "frames.extxyz"),
            logfile=str(folder / "momt.log"),
            loginterval=settings.frame_interval,
            walker=index,
        )
    made = StepFile(folder / "steps")
    while dyn.nsteps < settings.steps:
        # checkpoints fall on the same steps whether or not the run was stopped in between
        dyn.run(
            min(
                settings.checkpoint_interval - dyn.nsteps % settings.checkpoint_interval,
                settings.steps - dyn.nsteps,
            )
        )
        write_json(guard, calculator.guard_count)
        dyn.save(restart)
        made(dyn.nsteps)
    assert isinstance(dyn.bias, WangLandauBias)
    dyn.bias.save(folder / "bias.npz")
    frames = read_frames(folder / "frames.extxyz")
    orders = np.array([frame.info["order"] for frame in frames])
    enthalpies = np.array([frame.info["enthalpy"] for frame in frames])
    # nodes of the order axis that a Wang-Landau update fell on: the start itself does not count
    covered = dyn.bias.state.visits.any(axis=0).mean()
    write_json(
        folder / "walker.json",
        {
            "steps": dyn.nsteps,
            "wang_landau_updates": dyn.bias.n_updates,
            "frames": len(frames),
            "order_range": [float(orders.min()), float(orders.max())],
            "order_coverage": float(covered),
            "enthalpy_range": [float(enthalpies.min()), float(enthalpies.max())],
            "volume_range": [
                float(min(f.cell.volume for f in frames)),
                float(max(f.cell.volume for f in frames)),
            ],
            "guard_count": int(calculator.guard_count),
        },
    )
