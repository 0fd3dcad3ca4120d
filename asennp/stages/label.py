"""Labels by the teacher: check it, bring the frames to its volume, label in one-thread processes.

Frames are cut into numbered parts; a part is written whole or not at all, whichever process makes it and
in whatever order, so a stopped labelling continues and its result does not depend on the stop.
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from asennp.calculators.teachers import make_teacher
from asennp.config import Config
from asennp.dataset import Store, attach_labels, read_frames, write_frames
from asennp.errors import InputError
from asennp.evaluate import LatticeResult, compute_lattice
from asennp.evaluate.consistency import ConsistencyResult, compute_consistency
from asennp.files import read_json, sha256_json, write_json
from asennp.processes import call, run_processes
from asennp.progress import progress
from asennp.stages.output import StageOutput
from asennp.stages.parts import primitive_crystals
from asennp.stages.tensile import pulled_frames

PROPERTIES = ("energy", "free_energy", "forces", "stress", "charges")


def label(config: Config, folder: Path, upstream: dict[str, Path]) -> StageOutput:
    """Label the distilled, the test and the unseen tensile frames."""
    check, lattices = _know_the_teacher(config, folder)
    frames_file = folder / "frames.extxyz"
    if not frames_file.exists():
        write_frames(frames_file, _prepare(config, upstream, lattices))
    frames = read_frames(frames_file)
    parts = _label_in_parts(config, folder, frames_file, len(frames))

    provenance = {
        "teacher": config.label.teacher,
        "arguments": config.label.arguments,
        "check": check.to_dict(),
        "arguments_sha256": sha256_json(config.label.arguments),
    }
    labelled, failed = [], []
    for part in parts:
        record = read_json(part.with_suffix(".json"))
        failed += record["failed"]
        labelled += read_frames(part) if record["n_labelled"] else []
    if failed:
        write_json(folder / "failed.json", failed)
    files, counts = [check_file(folder), frames_file], {}
    for use in ("train", "test", "tensile"):
        chosen = [frame for frame in labelled if frame.info["use"] == use]
        counts[use] = len(chosen)
        if not chosen:
            raise InputError(
                f"the teacher labelled none of the {use} frames", where=folder, got=f"{len(failed)} failures",
                do=f"see {folder / 'failed.json'}",
            )  # fmt: skip
        store = Store(folder / use)
        store.append(chosen, provenance)
        files += [store.folder / "manifest.json", *(store.folder / shard["file"] for shard in store.shards)]
    forces = np.concatenate([f.arrays["REF_forces"].ravel() for f in labelled])
    summary = {
        "teacher": config.label.teacher,
        "counts": counts,
        "failed": failed,
        "check": check.to_dict(),
        "lattices": {
            phase: {
                "a": r.a,
                "c": r.c,
                "energy_per_atom": r.energy_per_atom,
                "volume_per_atom": r.volume_per_atom,
            }
            for phase, r in lattices.items()
        },
        "force_mad_meV_A": 1000.0 * float(np.mean(np.abs(forces - forces.mean()))),
    }
    headline = ", ".join(f"{n} {use}" for use, n in counts.items())
    return StageOutput(files, f"{headline} frames; {len(failed)} failed; cell spread "
                       f"{check.cell_spread_meV:.3f} meV/atom", summary)  # fmt: skip


def check_file(folder: Path) -> Path:
    """Return where the teacher check is written."""
    return folder / "teacher-check.json"


@lru_cache(maxsize=1)
def _teacher(name: str, arguments: str) -> Calculator:
    """Make a teacher once a process."""
    return make_teacher(name, json.loads(arguments))


def _relax_phase(name: str, arguments: str, atoms: Atoms, path: Path) -> None:
    result = compute_lattice(atoms, _teacher(name, arguments), fmax=0.005, smax_GPa=0.05)
    result.to_json(path)


def _check_teacher(name: str, arguments: str, atoms: Atoms, path: Path) -> None:
    compute_consistency(atoms, _teacher(name, arguments)).to_json(path)


def _know_the_teacher(config: Config, folder: Path) -> tuple[ConsistencyResult, dict[str, LatticeResult]]:
    """Check that the teacher agrees with itself, and relax every phase with it."""
    name, arguments = config.label.teacher, json.dumps(config.label.arguments, sort_keys=True)
    crystals = primitive_crystals(config)
    make_teacher(name, config.label.arguments)  # an unknown or absent teacher is bad input: say so here
    first = next(iter(crystals.values()))
    tasks: dict[Path, tuple[Any, ...]] = {
        check_file(folder): (_check_teacher, name, arguments, first, check_file(folder))
    }
    for phase, atoms in crystals.items():
        path = folder / f"lattice-{phase}.json"
        tasks[path] = (_relax_phase, name, arguments, atoms, path)
    missing = [task for path, task in tasks.items() if not path.exists()]
    for _ in run_processes(call, missing, config.workers):
        pass
    check = ConsistencyResult.from_json(check_file(folder))
    if not check.is_consistent:
        check_file(folder).unlink()  # a mended teacher is checked anew
        raise InputError(
            "the teacher's forces or stress are not the derivatives of its energy",
            where=config.label.teacher,
            expected="differences within 3 %",
            got=f"force {check.force_error:.4f} of {check.force_scale:.4f} eV/A, "
            f"stress {check.stress_error_GPa:.3f} of {check.stress_scale_GPa:.3f} GPa",
            do="choose another teacher, or mend its settings",
        )
    return check, {phase: LatticeResult.from_json(folder / f"lattice-{phase}.json") for phase in crystals}


def stretch_to_teacher(config: Config, lattices: dict[str, LatticeResult]) -> float:
    """Return the mean ratio of the teacher's lattice to the empirical potential's, by volume."""
    ratios = [
        (lattices[phase].volume_per_atom / (atoms.get_volume() / len(atoms))) ** (1 / 3)
        for phase, atoms in primitive_crystals(config).items()
    ]
    return float(np.mean(ratios))


def _prepare(config: Config, upstream: dict[str, Path], lattices: dict[str, LatticeResult]) -> list[Atoms]:
    """Gather the frames to label, scaled to cover the teacher's equilibrium volumes."""
    rng = np.random.default_rng([config.seed, 4])
    stretch = stretch_to_teacher(config, lattices)
    spread = config.label.scale_spread
    frames = []
    for use in ("train", "test"):
        for frame in read_frames(upstream["distill"] / f"{use}.extxyz"):
            frames.append(
                _bare(frame, stretch * (1 + rng.uniform(-spread, spread)), use, str(frame.info["source"]))
            )
    pull = pulled_frames(upstream["tensile"])
    for k in np.linspace(0, len(pull) - 1, min(config.tensile.labelled, len(pull))).round().astype(int):
        frames.append(_bare(pull[k], stretch, "tensile", "tensile"))
    return frames + _crystals(config, lattices, rng)


def _bare(frame: Atoms, scale: float, use: str, group: str) -> Atoms:
    """Return a scaled copy without labels that knows where it comes from."""
    atoms = Atoms(frame.numbers, frame.positions, cell=frame.cell, pbc=True)
    atoms.set_cell(frame.cell.array * scale, scale_atoms=True)
    # source and step tell the splits which frames are neighbours in time
    step = int(frame.info.get("step", 0))
    atoms.info.update(use=use, group=group, source=group, step=step, scale=float(scale))
    return atoms


def _crystals(config: Config, lattices: dict[str, LatticeResult], rng: np.random.Generator) -> list[Atoms]:
    """Strain and displace crystals of each phase around the teacher's equilibrium."""
    n, strain = config.label.crystals, config.label.crystal_strain
    frames = []
    for phase, lattice in lattices.items():
        cell = lattice.atoms
        repeat = max(1, round((32 / len(cell)) ** (1 / 3)))
        for k in range(n):
            atoms = Atoms(cell.numbers, cell.positions, cell=cell.cell, pbc=True).repeat(repeat)
            deformation = rng.uniform(-strain, strain, (3, 3))
            atoms.set_cell(
                atoms.cell.array @ (np.eye(3) + (deformation + deformation.T) / 2), scale_atoms=True
            )
            # from nearly still to warm: elastic constants live at small displacements
            size = config.label.crystal_displacement_A * (k + 1) / n
            atoms.positions += rng.normal(0.0, size, atoms.positions.shape)
            atoms.info["step"] = k
            test = k % round(1 / config.distill.test_fraction) == 3
            frames.append(_bare(atoms, 1.0, "test" if test else "train", f"crystal {phase}"))
    return frames


def _label_part(
    name: str, arguments: str, source: Path, indices: list[int], target: Path, max_force: float
) -> None:
    """Label some frames and write them with a record of each failure."""
    frames = read_frames(source)
    teacher = _teacher(name, arguments)
    labelled, failed = [], []
    for k in indices:
        atoms = Atoms(frames[k].numbers, frames[k].positions, cell=frames[k].cell, pbc=True)
        try:
            teacher.calculate(atoms, ["energy", "forces", "stress"])
            results = {"free_energy": teacher.results["energy"], **teacher.results}
            frame = attach_labels(
                frames[k], {p: results[p] for p in PROPERTIES if results.get(p) is not None}
            )
            if (largest := float(np.abs(frame.arrays["REF_forces"]).max())) > max_force:
                raise ValueError(f"force of {largest:.1f} eV/A exceeds max_force_eV_A = {max_force}")
        except Exception as error:  # whatever a teacher raises: the frame is recorded, the run goes on
            failed.append({"frame": k, **frames[k].info, "error": f"{type(error).__name__}: {error}"[:300]})
            continue
        frame.info["frame"] = k
        labelled.append(frame)
    if labelled:
        write_frames(target, labelled)
    write_json(target.with_suffix(".json"), {"n_labelled": len(labelled), "failed": failed})


def _label_in_parts(config: Config, folder: Path, source: Path, n_frames: int) -> list[Path]:
    """Label what is not labelled yet; return the parts in order."""
    starts = range(0, n_frames, config.label.chunk)
    parts = [folder / "parts" / f"{start:05d}.extxyz" for start in starts]
    arguments = json.dumps(config.label.arguments, sort_keys=True)
    tasks = []
    for start, part in zip(starts, parts):
        if not part.with_suffix(".json").exists():
            indices = list(range(start, min(start + config.label.chunk, n_frames)))
            tasks.append(
                (config.label.teacher, arguments, source, indices, part, config.label.max_force_eV_A)
            )
    with progress("label", len(parts)) as show:
        for made, _ in enumerate(
            run_processes(_label_part, tasks, config.workers), len(parts) - len(tasks) + 1
        ):
            show(made, f"{config.label.chunk} frames each")
    return parts
