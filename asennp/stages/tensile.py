"""A fast tensile pull with the empirical potential: the frames that nothing trains on."""

from pathlib import Path

import numpy as np
from ase import Atoms, units

from asennp.config import Config
from asennp.dataset import load_pool, read_frames, write_frames
from asennp.md.tensile import TensileMD
from asennp.processes import run_processes
from asennp.progress import StepFile, watch
from asennp.stages.output import StageOutput
from asennp.stages.parts import crystal, empirical

CHECKPOINT_STEPS = 5000


def tensile(config: Config, folder: Path, upstream: dict[str, Path]) -> StageOutput:
    """Equilibrate, then pull one edge at constant speed, transverse cell fixed; or take a pull's pool."""
    if config.tensile.pool is not None:
        take_pool(config.tensile.pool, folder)
        return _describe(folder)
    with watch("tensile", config.tensile.steps, [folder / "steps"]):
        for _ in run_processes(pull, [(config, folder)], 1):
            pass
    return _describe(folder)


def take_pool(pool: str, folder: Path) -> None:
    """Write the frames of a pool as those of the pull."""
    write_frames(folder / "frames.extxyz", load_pool(pool, known=("step", "strain", "tension_GPa")))


def _describe(folder: Path) -> StageOutput:
    frames = pulled_frames(folder)
    strain = np.array([frame.info["strain"] for frame in frames])
    stress = np.array([frame.info["tension_GPa"] for frame in frames])
    summary = {
        "frames": len(frames),
        "strain": strain.tolist(),
        "stress_GPa": stress.tolist(),
        "strength_GPa": float(stress.max()),
        "strain_at_strength": float(strain[stress.argmax()]),
    }
    headline = f"{len(frames)} frames to {100 * strain.max():.0f} % strain, strength {stress.max():.1f} GPa"
    return StageOutput([folder / "frames.extxyz"], headline, summary)


def pulled_frames(folder: Path) -> list[Atoms]:
    """Return the frames of the pull itself, after the equilibration."""
    return [frame for frame in read_frames(folder / "frames.extxyz") if frame.info["strain"] > 0.0]


def pull(config: Config, folder: Path) -> None:
    """Run the pull (in a process of its own), continuing from the last checkpoint."""
    settings = config.tensile
    restart = folder / "restart.npz"
    calculator = empirical(config)
    if restart.exists():
        dyn = TensileMD.restart(restart, calculator=calculator)
    else:
        atoms = crystal(config, settings.phase, settings.cells)
        atoms.calc = calculator
        dyn = TensileMD(
            atoms,
            timestep=settings.timestep_fs * units.fs,
            temperature_K=settings.temperature_K,
            rate_A_per_ps=settings.rate_A_per_ps,
            axis=settings.axis,
            mode=settings.mode,
            n_equilibration=settings.equilibration_steps,
            rng=np.random.default_rng([config.seed, 2]),
            trajectory=str(folder / "frames.extxyz"),
            logfile=str(folder / "tensile.log"),
            loginterval=settings.frame_interval,
        )
    made = StepFile(folder / "steps")
    total = settings.equilibration_steps + settings.steps
    while dyn.nsteps < total:
        dyn.run(min(CHECKPOINT_STEPS - dyn.nsteps % CHECKPOINT_STEPS, total - dyn.nsteps))
        dyn.save(restart)
        made(max(0, dyn.nsteps - settings.equilibration_steps))
