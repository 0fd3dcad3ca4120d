"""What the trained potentials are worth: held-out frames, an unseen pull, crystals, and molecular dynamics.

The work is cut into tasks that each write one file, side by side in processes of one thread; a stopped
evaluation continues with the files that are missing.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator

from asennp.calculators.hybrid import HybridNNPCalculator
from asennp.calculators.named import make_calculator
from asennp.config import Config
from asennp.dataset import Store
from asennp.evaluate import (
    ElasticResult,
    Interval,
    LatticeResult,
    ParityResult,
    StabilityResult,
    compare,
    compute_elastic,
    compute_interval,
    compute_lattice,
    compute_parity,
    compute_stability,
)
from asennp.evaluate.consistency import ConsistencyResult
from asennp.files import write_json
from asennp.md.tensile import TensileMD
from asennp.processes import call, run_processes
from asennp.progress import progress
from asennp.stages.label import check_file
from asennp.stages.output import StageOutput
from asennp.stages.parts import crystal
from asennp.stages.train import KINDS
from asennp.units import EV_A3_GPA

SETS = ("test", "tensile")
QUANTITIES = {"energy": "meV/atom", "forces": "meV/Å", "stress": "MPa"}


def evaluate(config: Config, folder: Path, upstream: dict[str, Path]) -> StageOutput:
    """Measure parity, crystals, NVT and a tensile pull; compare every figure with its interval."""
    tasks = _tasks(config, folder, upstream)
    missing = [task for path, task in tasks.items() if not path.exists()]
    with progress("evaluate", len(tasks)) as show:
        for done, _ in enumerate(run_processes(call, missing, config.workers), len(tasks) - len(missing) + 1):
            show(done, "tasks")
    summary: dict[str, Any] = {
        "parity": _parity_summary(config, folder),
        "crystals": _crystal_summary(config, folder, upstream["label"]),
        "force_mad_meV_A": _force_spread(Store(upstream["label"] / "test").frames()),
        "nvt": _nvt_summary(folder),
    }
    write_json(folder / "figures.json", summary)
    forces = summary["parity"]["test"]["hybrid"]["forces"]
    headline = (
        f"hybrid force MAE {forces['mean']:.0f} ± {(forces['high'] - forces['low']) / 2:.0f} meV/A"
        f" on the test set ({100 * forces['mean'] / summary['force_mad_meV_A']:.0f} % of the labels' spread)"
    )
    return StageOutput([*tasks, folder / "figures.json"], headline, summary)


def _tasks(config: Config, folder: Path, upstream: dict[str, Path]) -> dict[Path, tuple[Any, ...]]:
    """List every file to write with the call that writes it, the long ones first."""
    models = {kind: upstream["train"] / f"{kind}.asennp" for kind in KINDS}
    tasks: dict[Path, tuple[Any, ...]] = {}
    start = upstream["label"] / f"lattice-{config.tensile.phase}.json"
    tasks[folder / "nvt.json"] = (run_nvt, config, models["hybrid"], start, folder / "nvt.json")
    tasks[folder / "pull.json"] = (run_pull, config, models["hybrid"], start, folder / "pull.json")
    for phase in config.system.phases:
        lattice = upstream["label"] / f"lattice-{phase}.json"
        path = folder / f"elastic-{phase}-teacher.json"
        tasks[path] = (_elastic_of_teacher, config, lattice, path)
        for member in range(config.train.members):
            path = folder / f"elastic-{phase}-member-{member}.json"
            target = folder / f"lattice-{phase}-member-{member}.json"
            tasks[path] = (_crystal_of_member, config, models["hybrid"], member, lattice, target, path)
    for kind in KINDS:
        for use in SETS:
            store = upstream["label"] / use
            for member in (None, *range(config.train.members)):
                path = folder / f"parity-{kind}-{use}-{'mean' if member is None else member}.json"
                tasks[path] = (_parity, models[kind], member, store, path)
    return tasks


def _member(model: Path, member: int | None) -> HybridNNPCalculator:
    calculator = HybridNNPCalculator(model, device="cpu")
    return calculator if member is None else calculator.member(member)


def _parity(model: Path, member: int | None, store: Path, path: Path) -> None:
    compute_parity(Store(store).frames(), _member(model, member)).to_json(path)


def _elastic_of_teacher(config: Config, lattice: Path, path: Path) -> None:
    teacher = make_calculator(config.label.teacher, config.label.arguments)
    _elastic(config, LatticeResult.from_json(lattice).atoms, teacher, path)


def _crystal_of_member(
    config: Config, model: Path, member: int, start: Path, lattice: Path, elastic: Path
) -> None:
    calculator = _member(model, member)
    relaxed = compute_lattice(LatticeResult.from_json(start).atoms, calculator)
    relaxed.to_json(lattice)
    _elastic(config, relaxed.atoms, calculator, elastic)


def _elastic(config: Config, atoms: Atoms, calculator: Calculator, path: Path) -> None:
    settings = config.evaluate
    compute_elastic(atoms, calculator, strain=settings.strain, relaxed_ions=settings.relaxed_ions).to_json(
        path
    )


def _supercell(config: Config, lattice: Path) -> Atoms:
    """Return the phase that is pulled, at the teacher's volume."""
    relaxed = LatticeResult.from_json(lattice)
    atoms = crystal(config, config.tensile.phase, config.tensile.cells)
    scale = (relaxed.volume_per_atom * len(atoms) / atoms.get_volume()) ** (1 / 3)
    atoms.set_cell(atoms.cell.array * scale, scale_atoms=True)
    return atoms


# --- the two runs below use the potential as a user's script would -------------------------------------


def run_nvt(config: Config, model: Path, lattice: Path, path: Path) -> None:
    """Run the potential at constant temperature."""
    settings = config.evaluate
    atoms = _supercell(config, lattice)
    compute_stability(
        atoms,
        HybridNNPCalculator(model),
        temperature_K=settings.nvt_temperature_K,
        time_ps=settings.nvt_ps,
        rng=np.random.default_rng([config.seed, 8]),
    ).to_json(path)


def run_pull(config: Config, model: Path, lattice: Path, path: Path) -> None:
    """Pull the crystal apart with the potential."""
    settings = config.evaluate
    atoms = _supercell(config, lattice)
    atoms.calc = HybridNNPCalculator(model)
    dyn = TensileMD(
        atoms,
        timestep=1.0 * units.fs,
        temperature_K=config.tensile.temperature_K,
        rate_A_per_ps=settings.pull_rate_A_per_ps,
        axis=config.tensile.axis,
        mode=config.tensile.mode,
        rng=np.random.default_rng([config.seed, 9]),
    )
    strain, stress, uncertainty, frames = [], [], [], []
    for k in range(settings.pull_steps // 20):
        dyn.run(20)
        strain.append(dyn.strain)
        stress.append(dyn.compute_tension() * EV_A3_GPA)
        uncertainty.append(1000.0 * float(np.max(atoms.calc.committee.energies_std)))
        if k % max(1, settings.pull_steps // 80) == 0:
            frames.append(
                {
                    "positions": atoms.positions.tolist(),
                    "cell": atoms.cell.array.tolist(),
                    "strain": dyn.strain,
                }
            )
    write_json(
        path,
        {
            "symbols": str(atoms.symbols),
            "strain": strain,
            "stress_GPa": stress,
            "uncertainty_meV": uncertainty,
            "frames": frames,
        },
    )


# --- summaries --------------------------------------------------------------------------------------


def _force_spread(frames: list[Atoms]) -> float:
    """Return the mean absolute deviation of the labels' force components (meV/Å)."""
    forces = np.concatenate([frame.arrays["REF_forces"].ravel() for frame in frames])
    return 1000.0 * float(np.mean(np.abs(forces - forces.mean())))


def _parity_summary(config: Config, folder: Path) -> dict[str, Any]:
    """Return the members' interval, the committee mean's error and the verdicts, by set, method, quantity."""
    summary: dict[str, Any] = {}
    for use in SETS:
        intervals: dict[str, dict[str, Interval]] = {}
        summary[use] = {}
        for kind in KINDS:
            members = [
                ParityResult.from_json(folder / f"parity-{kind}-{use}-{k}.json")
                for k in range(config.train.members)
            ]
            mean = ParityResult.from_json(folder / f"parity-{kind}-{use}-mean.json")
            intervals[kind] = {q: compute_interval([getattr(m, q).mae for m in members]) for q in QUANTITIES}
            summary[use][kind] = {
                q: {
                    **intervals[kind][q].to_dict(),
                    "committee_mae": getattr(mean, q).mae,
                    "r2": getattr(mean, q).r2,
                }
                for q in QUANTITIES
            }
            summary[use][kind]["n_frames"] = mean.n_frames
        for kind in KINDS:
            summary[use][kind]["against_direct"] = {
                q: compare(intervals[kind][q], intervals["direct"][q]) for q in QUANTITIES
            }
            summary[use][kind]["against_transferred"] = {
                q: compare(intervals[kind][q], intervals["transferred"][q]) for q in QUANTITIES
            }
    return summary


#: Independent elastic constants by crystal system, Voigt indices.
_CONSTANTS: Mapping[str, Mapping[str, tuple[int, int]]] = {
    "cubic": {"C11": (0, 0), "C12": (0, 1), "C44": (3, 3)},
    "hexagonal": {"C11": (0, 0), "C12": (0, 1), "C13": (0, 2), "C33": (2, 2), "C44": (3, 3)},
}


def _crystal_summary(config: Config, folder: Path, labels: Path) -> dict[str, Any]:
    """Return lattice, formation energy and elastic constants of each phase: teacher and members' interval."""
    spread = ConsistencyResult.from_json(check_file(labels)).cell_spread_meV
    members = range(config.train.members)
    teacher = {p: LatticeResult.from_json(labels / f"lattice-{p}.json") for p in config.system.phases}
    mine = {
        p: [LatticeResult.from_json(folder / f"lattice-{p}-member-{k}.json") for k in members]
        for p in teacher
    }
    ground = min(teacher, key=lambda p: teacher[p].energy_per_atom)
    summary: dict[str, Any] = {"ground_state": ground, "resolution_meV": spread, "phases": {}}
    for phase, reference in teacher.items():
        kind = "hexagonal" if reference.spacegroup_number == 186 else "cubic"
        rows: dict[str, Any] = {"a (Å)": _row(reference.a, [m.a for m in mine[phase]])}
        if kind == "hexagonal":
            rows["c (Å)"] = _row(reference.c, [m.c for m in mine[phase]])
            if reference.u is not None and all(m.u is not None for m in mine[phase]):
                rows["u"] = _row(reference.u, [float(m.u or 0.0) for m in mine[phase]])
        if phase != ground:
            value = 1000 * (reference.energy_per_atom - teacher[ground].energy_per_atom)
            values = [
                1000 * (m.energy_per_atom - g.energy_per_atom) for m, g in zip(mine[phase], mine[ground])
            ]
            # a difference the teacher cannot resolve between cells of one crystal is no formation energy
            key = f"above {ground} (meV/atom)"
            rows[key] = (
                {"refused": f"below the teacher's spread of {spread:.2f}"}
                if abs(value) < spread
                else _row(value, values)
            )
        elastic = ElasticResult.from_json(folder / f"elastic-{phase}-teacher.json")
        others = [ElasticResult.from_json(folder / f"elastic-{phase}-member-{k}.json") for k in members]
        for name, index in _CONSTANTS[kind].items():
            rows[f"{name} (GPa)"] = _row(elastic.tensor_GPa[index], [o.tensor_GPa[index] for o in others])
        summary["phases"][phase] = {
            "rows": rows,
            "same_spacegroup": all(m.spacegroup_number == reference.spacegroup_number for m in mine[phase]),
            "converged": all(m.converged for m in mine[phase]),
            "is_stable": all(o.is_stable for o in others),
        }
    return summary


def _row(reference: float, values: list[float]) -> dict[str, Any]:
    """Return the teacher's value, the members' interval, and whether the one lies in the other."""
    interval = compute_interval(values)
    inside = interval.low <= reference <= interval.high
    return {"teacher": float(reference), **interval.to_dict(), "agrees": bool(inside)}


def _nvt_summary(folder: Path) -> dict[str, Any]:
    result = StabilityResult.from_json(folder / "nvt.json")
    return {
        "bounded": result.bounded,
        "violations": list(result.violations),
        "mean_temperature_K": result.mean_temperature_K,
        "drift_meV_per_ps": result.drift_meV_per_ps,
        "max_displacement_A": result.max_displacement_A,
    }
