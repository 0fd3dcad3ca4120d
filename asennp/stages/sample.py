"""MOMT sampling with the empirical potential: one walker a process, side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units

from asennp.config import Config, Star, WalkerConfig
from asennp.dataset import load_pool, read_frames, write_frames
from asennp.errors import InputError
from asennp.files import read_json, write_json
from asennp.md.bias import Bias, WangLandauBias
from asennp.md.momt import MOMT
from asennp.md.surface import Axis
from asennp.order import OrderParameter, ReciprocalOrder, VolumeOrder
from asennp.phases import classify, classify_frames
from asennp.processes import run_processes
from asennp.progress import StepFile, watch
from asennp.stages.output import StageOutput
from asennp.stages.parts import crystal, empirical
from asennp.structures import orthorhombic


def sample(config: Config, folder: Path, upstream: dict[str, Path]) -> StageOutput:
    """Run every walker to its last step, continuing from its last checkpoint; take those that are pools."""
    names = list(config.sample.walkers)
    running = [name for name, walker in config.sample.walkers.items() if walker.pool is None]
    steps = [folder / name / "steps" for name in running]
    total = sum(config.sample.steps_of(name) for name in running)
    tasks = [(config, name, index, folder / name) for index, name in enumerate(names)]
    with watch("sample", total, steps):
        for _ in run_processes(run_walker, tasks, config.workers):
            pass
    summary = {name: read_json(folder / name / "walker.json") for name in names}
    made = ("frames.extxyz", "bias.npz", "phases.json", "momt.log")
    files = [folder / name / file for name in names for file in made if (folder / name / file).exists()]
    covered = ", ".join(
        f"{n} covered {100 * s['order_coverage']:.0f} % of its order range" for n, s in summary.items()
    )
    return StageOutput(files, covered, summary)


def walker_crystal(config: Config, name: str) -> Atoms:
    """Return the perfect crystal that a walker starts from, or melts."""
    walker = config.sample.walkers[name]
    if config.system.phases[walker.phase].prototype == "wurtzite":
        return orthorhombic(crystal(config, walker.phase)).repeat(walker.cells)
    return crystal(config, walker.phase, walker.cells)


def walker_orders(walker: WalkerConfig, reference: Atoms) -> dict[Star, OrderParameter]:
    """Return a walker's order parameters by name, for the cell of its perfect crystal."""
    made: Mapping[Star, Any] = {
        # rock salt without its species is simple cubic: two sites along each conventional edge
        "sc": lambda: ReciprocalOrder.sc(reference, sites=[2 * n for n in walker.cells]),
        "fcc": lambda: ReciprocalOrder.fcc(reference, cells=walker.cells),
        "bcc": lambda: ReciprocalOrder.bcc(reference, cells=walker.cells),
        "own": lambda: ReciprocalOrder.of(reference),
        "volume": VolumeOrder,
    }
    return {star: made[star]() for star in walker.orders}


def make_bias(config: Config, walker: WalkerConfig) -> WangLandauBias | None:
    """Return the empty bias of a walker, or None for plain NPT."""
    if walker.enthalpy is None:
        return None
    wl = config.sample.wang_landau
    return WangLandauBias(
        axes=[("enthalpy", *walker.enthalpy), *((star, *mesh) for star, mesh in walker.orders.items())],
        temperature_K=config.sample.temperature_K,
        ln_f=wl.ln_f,
        kernel_width=wl.kernel_nodes,
        schedule=wl.schedule,
        temperature_min_K=wl.temperature_range_K[0],
        temperature_max_K=wl.temperature_range_K[1],
    )


def melt(config: Config, name: str, atoms: Atoms, rng: np.random.Generator) -> None:
    """Melt a crystal in place and bring it to the temperature and pressure of the run."""
    settings, heat = config.sample, config.sample.walkers[name].melt
    assert heat is not None
    timestep, pressure = settings.timestep_fs * units.fs, settings.pressure_bar * units.bar
    atoms.set_cell(atoms.cell.array * heat.expansion ** (1.0 / 3.0), scale_atoms=True)
    MOMT(atoms, timestep, heat.temperature_K, None, rng=rng).run(heat.steps)
    atoms.set_momenta(np.zeros((len(atoms), 3)))  # drawn anew at the run's own temperature
    MOMT(atoms, timestep, settings.temperature_K, pressure, rng=rng).run(heat.equilibration_steps)
    found = classify(atoms)
    if found.phase != "disordered":
        raise InputError(
            "the crystal did not melt, or froze again",
            where=f"sample.walkers.{name}.melt",
            expected="at least half of the atoms disordered",
            got={name: round(share, 2) for name, share in found.fractions.items() if share > 0.0},
            do="melt it hotter or longer, or equilibrate for a shorter time",
        )


def start_walker(config: Config, name: str, index: int, folder: Path, calculator: Any) -> MOMT:
    """Return a walker at its first step."""
    settings, walker = config.sample, config.sample.walkers[name]
    rng = np.random.default_rng([config.seed, 1, index])
    atoms = walker_crystal(config, name)
    orders = walker_orders(walker, atoms)
    atoms.calc = calculator
    if walker.melt is not None:
        melt(config, name, atoms, rng)
    return MOMT(
        atoms,
        timestep=settings.timestep_fs * units.fs,
        temperature_K=settings.temperature_K,
        pressure_au=settings.pressure_bar * units.bar,
        order=list(orders.values()),
        bias=make_bias(config, walker),
        wl_interval=settings.wang_landau.interval,
        rng=rng,
        trajectory=str(folder / "frames.extxyz"),
        logfile=str(folder / "momt.log"),
        loginterval=settings.frame_interval,
        walker=index,
        integrator=settings.integrator,
    )


def run_walker(config: Config, name: str, index: int, folder: Path) -> None:
    """Run one walker (in a process of its own) and write what it covered."""
    settings, summary = config.sample, folder / "walker.json"
    pool = settings.walkers[name].pool
    if pool is not None:
        take_pool(config, name, pool, folder)
        return
    if summary.exists() and read_json(summary)["steps"] == settings.steps_of(name):
        return  # done before the stage was stopped
    folder.mkdir(parents=True, exist_ok=True)
    restart, guard = folder / "restart.npz", folder / "guard.json"
    calculator = empirical(config)
    if restart.exists():
        dyn = MOMT.restart(restart, calculator=calculator)
        calculator.guard_count = read_json(guard)
    else:
        dyn = start_walker(config, name, index, folder, calculator)
    made = StepFile(folder / "steps")
    every, total = settings.checkpoint_interval, settings.steps_of(name)
    while dyn.nsteps < total:
        # checkpoints fall on the same steps whether or not the run was stopped in between
        dyn.run(min(every - dyn.nsteps % every, total - dyn.nsteps))
        write_json(guard, calculator.guard_count)
        dyn.save(restart)
        made(dyn.nsteps)
    if isinstance(dyn.bias, WangLandauBias):
        dyn.bias.save(folder / "bias.npz")
    frames = read_frames(folder / "frames.extxyz")
    write_json(
        summary, describe_walker(config, name, folder, frames, dyn.nsteps, dyn.bias, calculator.guard_count)
    )


def take_pool(config: Config, name: str, pool: str, folder: Path) -> None:
    """Write the frames of a pool as those of a walker."""
    walker, where = config.sample.walkers[name], f"sample.walkers.{name}.pool"
    frames = load_pool(pool, known=("step", "enthalpy"))
    known = np.size(frames[0].info.get("order", ()))
    if known != len(walker.orders):
        raise InputError(
            "the pool's frames know another number of order parameters",
            where=where,
            expected=f"{len(walker.orders)}: {', '.join(walker.orders)}",
            got=known,
            do="list the order parameters that the pool was sampled in",
        )
    write_frames(folder / "frames.extxyz", frames)
    described = describe_walker(config, name, folder, frames, int(frames[-1].info["step"]))
    write_json(folder / "walker.json", described)


def describe_walker(
    config: Config,
    name: str,
    folder: Path,
    frames: Sequence[Atoms],
    steps: int,
    bias: Bias | None = None,
    guard_count: int = 0,
) -> dict[str, Any]:
    """Return what a walker's frames cover, as plain numbers; write the phases along its way."""
    history = classify_frames(frames)
    history.to_json(folder / "phases.json")
    enthalpies = [frame.info["enthalpy"] for frame in frames]
    volumes = [frame.cell.volume for frame in frames]
    orders = np.array([np.atleast_1d(frame.info.get("order", ())) for frame in frames])
    meshes = config.sample.walkers[name].orders
    covered = [
        float(_covered_nodes(bias, axis, values, mesh).mean())
        for axis, (values, mesh) in enumerate(zip(orders.T, meshes.values()))
    ]
    return {
        "steps": steps,
        "wang_landau_updates": 0 if bias is None else bias.n_updates,
        "frames": len(frames),
        "phases": history.visited(),
        "orders": {
            star: {"range": [float(values.min()), float(values.max())], "coverage": share}
            for star, values, share in zip(meshes, orders.T, covered)
        },
        "order_coverage": min(covered, default=0.0),
        "enthalpy_range": [min(enthalpies), max(enthalpies)],
        "volume_range": [min(volumes), max(volumes)],
        "guard_count": int(guard_count),
    }


def _covered_nodes(
    bias: Bias | None, axis: int, values: np.ndarray, mesh: tuple[float, float, int]
) -> np.ndarray:
    """Tell which nodes of an order's mesh were visited: by updates of the bias, without one by frames."""
    if isinstance(bias, WangLandauBias):  # the start itself, before the first update, does not count
        others = tuple(k for k in range(len(bias.axes)) if k != axis + 1)
        return np.asarray(bias.state.visits.any(axis=others))
    return np.histogram(values, Axis("order", *mesh).edges)[0] > 0
