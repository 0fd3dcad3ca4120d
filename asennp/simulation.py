"""One molecular dynamics run in a folder of its own: started by a command, continued by the same command."""

import json
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as futures_wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.io import read

from asennp.calculators.named import make_calculator
from asennp.errors import InputError, nearest
from asennp.files import hold_folder, read_json, sha256_file, shipped_models, write_json
from asennp.md.bias import Bias, WangLandauBias
from asennp.md.deformation import DeformationMD
from asennp.md.dynamics import RestartableDynamics
from asennp.md.momt import MOMT
from asennp.md.replicas import Evaluate, Meeting
from asennp.order import OrderParameter, ReciprocalOrder, VolumeOrder
from asennp.progress import progress

#: What can be run, and by which class.
ENSEMBLES: dict[str, type[RestartableDynamics]] = {
    "nve": MOMT,
    "nvt": MOMT,
    "npt": MOMT,
    "momt": MOMT,
    "tensile": DeformationMD,
    "shear": DeformationMD,
}
#: How long a run may be and how often it is saved may change between two calls.
_FREE_TO_CHANGE = ("steps", "checkpoint")


@dataclass(frozen=True)
class Simulation:
    """What to run.

    Attributes
    ----------
    structure
        File of any format ASE reads; its last frame.
    calculator, arguments
        See `asennp.calculators.named.make_calculator`.
    ensemble
        "nve", "nvt", "npt", "momt", "tensile" or "shear".
    steps, timestep_fs, temperature_K, pressure_GPa
        Length, timestep, temperature and pressure (npt, momt; across the pull of a uniaxial one).
    integrator, mask
        See `MOMT`; the ensemble's usual one if not given.
    tdamp_fs, pdamp_fs
        Time constants of thermostat and barostat.
    orders, mesh, ln_f, wl_interval
        momt: order parameters ("sc=4,4,4", "fcc=2,2,2", "bcc=2,2,2", "volume"), one mesh "LOW:HIGH:NODES"
        for the enthalpy and one for each order, first modification factor and steps between two updates.
    bias
        momt: file of a bias to go on with, or "FILE!" to keep it frozen, in place of `mesh`.
    axis, component, mode, rate_per_ps, strain_step, steps_per_strain, equilibration
        tensile and shear: see `DeformationMD`.
    interval, checkpoint
        Steps between two frames and log lines, and between two restart files.
    seed
        Of all random numbers.
    """

    structure: str
    calculator: str
    ensemble: str = "nvt"
    steps: int = 1000
    timestep_fs: float = 1.0
    temperature_K: float = 300.0
    pressure_GPa: float = 0.0
    arguments: dict[str, Any] = field(default_factory=dict)
    integrator: str | None = None
    mask: tuple[str, ...] | None = None
    tdamp_fs: float = 100.0
    pdamp_fs: float = 1000.0
    orders: tuple[str, ...] = ()
    mesh: tuple[str, ...] = ()
    ln_f: float = 1.0
    wl_interval: int = 100
    bias: str | None = None
    axis: int = 0
    component: str = "xy"
    mode: str = "plane-strain"
    rate_per_ps: float | None = None
    strain_step: float | None = None
    steps_per_strain: int | None = None
    equilibration: int = 0
    interval: int = 100
    checkpoint: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.ensemble not in ENSEMBLES:
            raise InputError(
                "unknown ensemble", where="ensemble", got=self.ensemble, do=nearest(self.ensemble, ENSEMBLES)
            )
        for name in ("steps", "interval", "checkpoint"):
            if getattr(self, name) < 1:
                raise InputError("must be 1 or more", where=name, got=getattr(self, name))


def simulate(
    simulation: Simulation,
    folder: str | Path,
    *,
    calculator: Any = None,
    stop: threading.Event | None = None,
) -> Path:
    """Run, or go on with, a simulation; return the folder.

    Files: simulation.json, frames.xyz (extended XYZ), md.log, restart.npz, curve.csv (tensile, shear),
    bias.npz (momt), final.xyz, summary.json. Ctrl-C ends the step, saves and raises KeyboardInterrupt.

    Parameters
    ----------
    simulation, folder
        What, and where.
    calculator, stop
        For one of several side by side: a calculator made already, and what ends all of them; it then shows
        no progress.

    Raises
    ------
    InputError
        For input that cannot be used, or a folder that holds another run.
    """
    folder = Path(folder)
    _check_folder(simulation, folder)
    if calculator is None:
        calculator = make_calculator(simulation.calculator, simulation.arguments)
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    with hold_folder(folder):
        try:
            dynamics = _start(simulation, calculator, folder)
        except InputError:
            if made:  # nothing has begun: leave nothing behind
                (folder / "run.lock").unlink()
                folder.rmdir()
            raise
        write_json(folder / "simulation.json", _identity(simulation))
        started = time.monotonic()
        first = dynamics.nsteps
        _advance(dynamics, simulation, folder, stop)
        if isinstance(dynamics, MOMT) and isinstance(dynamics.bias, WangLandauBias):
            dynamics.bias.save(folder / "bias.npz")
        dynamics.atoms.write(folder / "final.xyz", format="extxyz")
        write_json(
            folder / "summary.json",
            {
                "steps": dynamics.nsteps,
                "time_ps": dynamics.get_time() / (1000.0 * units.fs),
                "seconds_a_step": (time.monotonic() - started) / max(1, dynamics.nsteps - first),
                "energy_eV": dynamics.atoms.get_potential_energy(),
                "temperature_K": dynamics.get_temperature(),
                "volume_A3": float(dynamics.atoms.cell.volume),
            },
        )
    return folder


def build(simulation: Simulation, calculator: Any, folder: Path) -> RestartableDynamics:
    """Make the dynamics at its first step; nothing is written yet."""
    s = simulation
    atoms = read_structure(s.structure)
    atoms.calc = calculator
    files: dict[str, Any] = {
        "rng": np.random.default_rng(s.seed),
        "trajectory": folder / "frames.xyz",
        "logfile": folder / "md.log",
        "loginterval": s.interval,
    }
    if s.ensemble in ("tensile", "shear"):
        return DeformationMD(
            atoms,
            s.timestep_fs * units.fs,
            s.temperature_K,
            mode="shear" if s.ensemble == "shear" else s.mode,
            axis=s.axis,
            component=s.component,
            rate_per_ps=s.rate_per_ps,
            strain_step=s.strain_step,
            steps_per_strain=s.steps_per_strain,
            n_equilibration=s.equilibration,
            friction_time=s.tdamp_fs * units.fs,
            pdamp=s.pdamp_fs * units.fs,
            lateral_pressure_au=s.pressure_GPa * units.GPa,
            curve=folder / "curve.csv",
            **files,
        )
    moves = s.ensemble in ("npt", "momt")
    orders = [_order(text, atoms) for text in s.orders]
    return MOMT(
        atoms,
        s.timestep_fs * units.fs,
        s.temperature_K,
        s.pressure_GPa * units.GPa if moves else None,
        order=orders,
        bias=_bias(s) if s.ensemble == "momt" else None,
        wl_interval=s.wl_interval,
        tdamp=s.tdamp_fs * units.fs,
        pdamp=s.pdamp_fs * units.fs,
        integrator="verlet" if s.ensemble == "nve" else s.integrator,
        mask=s.mask,
        **files,
    )


def simulate_replicas(simulation: Simulation, folder: str | Path, n_replicas: int) -> Path:
    """Run, or go on with, independent replicas in step, one evaluation for all; return the folder.

    Replica k, in the sub-folder replica-k, is the simulation with the seed raised by k. The calculator must
    be a model: `evaluate_frames` takes the frames together, as many as memory allows, on a GPU at once. In
    single precision a replica's bits depend on how many run beside it.

    Raises
    ------
    InputError
        As `simulate`, for a calculator that is no model, and arguments that `evaluate_frames` does not take.
    """
    folder = Path(folder)
    if n_replicas < 1:
        raise InputError("must be 1 or more", where="replicas", got=n_replicas)
    evaluate = _batch(simulation)
    meeting = Meeting(evaluate, n_replicas)
    with _interrupts() as stop, ThreadPoolExecutor(n_replicas) as pool:

        def follow(k: int) -> None:
            with meeting.attend(k) as calculator:
                own = replace(simulation, seed=simulation.seed + k)
                simulate(own, folder / f"replica-{k:03d}", calculator=calculator, stop=stop)

        runs = [pool.submit(follow, k) for k in range(n_replicas)]
        with progress(f"{simulation.ensemble} x {n_replicas}", simulation.steps) as show:
            while any(not run.done() for run in runs):
                futures_wait(runs, timeout=0.5)
                show(min(meeting.n_evaluations, simulation.steps), "")
        if any(isinstance(run.exception(), KeyboardInterrupt) for run in runs):
            raise KeyboardInterrupt
        for run in runs:
            run.result()
    return folder


def _batch(simulation: Simulation) -> Evaluate:
    """Return what evaluates the frames of all replicas together."""
    from asennp.models import load_model
    from asennp.train.prediction import evaluate_frames

    if simulation.calculator not in shipped_models() and Path(simulation.calculator).suffix != ".asennp":
        raise InputError(
            "replicas are evaluated together, which a model can",
            where="calculator",
            expected="a shipped model's name, or an .asennp file",
            got=simulation.calculator,
        )
    model, arguments = load_model(simulation.calculator), simulation.arguments
    known = ("dtype", "device", "backend", "coulomb_accuracy", "memory_MB", "threads")
    if unknown := sorted(set(arguments) - set(known)):
        raise InputError(
            "replicas do not take this argument", where=unknown[0], do=nearest(unknown[0], known)
        )

    def evaluate(frames: Sequence[Atoms]) -> list[dict[str, Any]]:
        found = evaluate_frames(model, frames, **arguments)
        energies, forces = found.by_frame("energies"), found.by_frame("forces")
        results = []
        for k, atoms in enumerate(frames):
            energy = float(found.energy[k])
            one = {"energy": energy, "free_energy": energy, "energies": energies[k], "forces": forces[k]}
            if atoms.pbc.all():
                one["stress"] = found.stress[k]
            results.append(one)
        return results

    return evaluate


@contextmanager
def _silence(stop: threading.Event) -> Iterator[tuple[Any, threading.Event]]:
    yield (lambda done, note: None), stop


@contextmanager
def _alone(simulation: Simulation) -> Iterator[tuple[Any, threading.Event]]:
    with progress(simulation.ensemble, simulation.steps) as show, _interrupts() as stop:
        yield show, stop


def _advance(
    dynamics: RestartableDynamics, simulation: Simulation, folder: Path, stopped: threading.Event | None
) -> None:
    """Run to the last step; checkpoints fall on multiples of their interval."""
    with _alone(simulation) if stopped is None else _silence(stopped) as (show, stop):
        shown = 0.0
        while dynamics.nsteps < simulation.steps and not stop.is_set():
            to_go = simulation.checkpoint - dynamics.nsteps % simulation.checkpoint
            for _ in dynamics.irun(min(to_go, simulation.steps - dynamics.nsteps)):
                if time.monotonic() - shown > 0.3:
                    shown = time.monotonic()
                    show(dynamics.nsteps, f"{dynamics.get_temperature():.0f} K")
                if stop.is_set():
                    break
            dynamics.save(folder / "restart.npz")
        show(dynamics.nsteps, "")
    if stop.is_set():
        raise KeyboardInterrupt


@contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into a flag, so that the step is finished; a second one interrupts as usual."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.getsignal(signal.SIGINT)

    def first(number: int, frame: Any) -> None:
        stop.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, first)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


def _identity(simulation: Simulation) -> dict[str, Any]:
    """Return what makes the run this one: its settings, with the structure's content for its name."""
    values = asdict(simulation) | {"structure": sha256_file(simulation.structure)}
    plain: dict[str, Any] = json.loads(json.dumps(values))
    return plain


def _check_folder(simulation: Simulation, folder: Path) -> None:
    """See that the folder is free, or holds this very run."""
    if not Path(simulation.structure).is_file():
        raise InputError("no such file", where=simulation.structure, expected="a structure")
    path = folder / "simulation.json"
    if path.exists():
        before = read_json(path)
        for name, value in _identity(simulation).items():
            if name not in _FREE_TO_CHANGE and before.get(name) != value:
                raise InputError(
                    "the folder holds another run",
                    where=f"{folder}: {name}",
                    expected=before.get(name),
                    got=value,
                    do="give the same command, or another folder with --out",
                )
    elif folder.exists() and any(folder.iterdir()):
        raise InputError(
            "the folder is not empty and holds no run", where=folder, do="choose another with --out"
        )


def _start(simulation: Simulation, calculator: Any, folder: Path) -> RestartableDynamics:
    """Make the dynamics, or take it up at its last checkpoint."""
    if (folder / "restart.npz").exists():
        return ENSEMBLES[simulation.ensemble].restart(folder / "restart.npz", calculator=calculator)
    dynamics = build(simulation, calculator, folder)
    if isinstance(dynamics, MOMT):
        _ = dynamics.point  # refuses a start off the mesh
    return dynamics


def read_structure(path: str | Path) -> Atoms:
    """Read the last frame of a file of any format ASE reads; constraints are refused."""
    try:
        atoms = read(path)
    except Exception as error:  # readers of many formats raise anything
        raise InputError(
            "ASE cannot read this structure", where=path, got=f"{type(error).__name__}: {error}"
        ) from error
    assert isinstance(atoms, Atoms)
    if atoms.constraints:
        raise InputError("constraints are not supported", where=path, do="remove them")
    return atoms


def _order(text: str, atoms: Atoms) -> OrderParameter:
    """Make an order parameter from "sc=4,4,4" and the like."""
    kind, _, numbers = text.partition("=")
    if kind == "volume":
        return VolumeOrder()
    kinds = ("sc", "fcc", "bcc", "volume")
    if kind not in kinds:
        raise InputError("unknown order parameter", where="order", got=text, do=nearest(kind, kinds))
    try:
        counts = tuple(int(number) for number in numbers.split(","))
    except ValueError:
        raise InputError(
            "not of the form KIND=NX,NY,NZ", where="order", expected="sc=4,4,4", got=text
        ) from None
    order: OrderParameter = getattr(ReciprocalOrder, kind)(atoms, counts)
    return order


def _bias(simulation: Simulation) -> Bias:
    """Make or read the bias of a MOMT run."""
    if simulation.bias is not None:
        bias = WangLandauBias.load(simulation.bias.removesuffix("!"))
        if simulation.bias.endswith("!"):
            bias.set_frozen()
        return bias
    if len(simulation.mesh) != len(simulation.orders) + 1:
        raise InputError(
            "a mesh for the enthalpy and one for each order parameter",
            where="mesh",
            expected=f"{len(simulation.orders) + 1} of LOW:HIGH:NODES",
            got=list(simulation.mesh),
        )
    axes = []
    for name, text in zip(("enthalpy", *simulation.orders), simulation.mesh):
        try:
            low, high, nodes = text.split(":")
            axes.append((name.partition("=")[0], float(low), float(high), int(nodes)))
        except ValueError:
            raise InputError(
                "not of the form LOW:HIGH:NODES", where="mesh", expected="-1280:-1180:60", got=text
            ) from None
    return WangLandauBias(axes, simulation.temperature_K, ln_f=simulation.ln_f)
