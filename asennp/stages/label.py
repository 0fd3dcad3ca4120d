"""Labels by the teacher: check it, bring the frames to its volume, label them (`asennp.labelling`)."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import CalculationFailed

from asennp.calculators.named import make_calculator
from asennp.config import Config
from asennp.dataset import Store, read_frames, write_frames
from asennp.errors import InputError
from asennp.evaluate import LatticeResult, compute_lattice
from asennp.evaluate.consistency import ConsistencyResult, compute_consistency
from asennp.files import sha256_json, write_json
from asennp.labelling import bare_copy, cached_teacher, label_frames
from asennp.processes import call, run_processes
from asennp.stages.output import StageOutput
from asennp.stages.parts import primitive_crystals
from asennp.stages.tensile import pulled_frames

#: What a teacher must give: residuals, lattices and elastic constants need all three.
_NEEDED = ("energy", "forces", "stress")


def label(config: Config, folder: Path, upstream: dict[str, Path]) -> StageOutput:
    """Label the distilled, the test and the unseen tensile frames."""
    check, lattices = _know_the_teacher(config, folder)
    frames_file = folder / "frames.extxyz"
    if not frames_file.exists():
        write_frames(frames_file, _prepare(config, upstream, lattices))
    labelling = label_frames(
        read_frames(frames_file),
        config.label.teacher,
        config.label.arguments,
        folder=folder,
        workers=config.workers,
        max_force=config.label.max_force_eV_A,
    )
    labelled, failed = labelling.frames, labelling.failed

    provenance = {
        "teacher": config.label.teacher,
        "arguments": config.label.arguments,
        "check": check.to_dict(),
        "arguments_sha256": sha256_json(config.label.arguments),
    }
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


def _relax_phase(name: str, arguments: str, atoms: Atoms, path: Path) -> None:
    result = compute_lattice(atoms, cached_teacher(name, arguments), fmax=0.005, smax_GPa=0.05)
    result.to_json(path)


def _check_teacher(name: str, arguments: str, atoms: Atoms, path: Path) -> None:
    compute_consistency(atoms, cached_teacher(name, arguments)).to_json(path)


def _know_the_teacher(config: Config, folder: Path) -> tuple[ConsistencyResult, dict[str, LatticeResult]]:
    """Check that the teacher agrees with itself, and relax every phase with it."""
    # the check's crystals are done side by side: no directory of files for them to share
    given = {key: value for key, value in config.label.arguments.items() if key != "directory"}
    name, arguments = config.label.teacher, json.dumps(given, sort_keys=True)
    crystals = primitive_crystals(config)
    _require_properties(make_calculator(name, given), name)
    first = next(iter(crystals.values()))
    tasks: dict[Path, tuple[Any, ...]] = {
        check_file(folder): (_check_teacher, name, arguments, first, check_file(folder))
    }
    for phase, atoms in crystals.items():
        path = folder / f"lattice-{phase}.json"
        tasks[path] = (_relax_phase, name, arguments, atoms, path)
    missing = [task for path, task in tasks.items() if not path.exists()]
    try:
        for _ in run_processes(call, missing, config.workers):
            pass
    except CalculationFailed as error:
        raise InputError(
            "the teacher cannot do the crystals that are to be labelled",
            where=name,
            got=str(error),
            do="mend its settings; a method of the Gamma point alone cannot do small cells",
        ) from error
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


def _require_properties(teacher: Any, name: str) -> None:
    """Refuse a teacher that does not say it gives energy, forces and stress."""
    gives = getattr(teacher, "implemented_properties", ())
    lacking = [p for p in _NEEDED if p not in gives]
    if lacking:
        raise InputError(
            f"the teacher gives no {' and no '.join(lacking)}",
            where=name,
            expected=f"a calculator with {', '.join(_NEEDED)}",
            got=sorted(gives),
        )


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
    atoms = bare_copy(frame)
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
            atoms = bare_copy(cell).repeat(repeat)
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
