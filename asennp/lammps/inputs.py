"""LAMMPS input for a model: the system with its charges, and the ensemble, in two files to edit."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io.lammpsdata import write_lammps_data

from asennp.electrostatics.charges import assign_charges
from asennp.electrostatics.screened import check_accuracy
from asennp.errors import InputError, nearest
from asennp.files import write_atomic, write_json
from asennp.models.model import Model, load_model
from asennp.neighbors import check_geometry

ENSEMBLES = ("nve", "nvt", "npt", "deform")
#: Name of the fix that adds the networks.
FIX = "networks"
#: Cut-off of the screened charges, Å: beyond the networks' it costs little, and the mesh gets coarser.
COULOMB_CUTOFF = 10.0
_SKIN = 2.0
_BAR_PER_GPA = 1e4


@dataclass(frozen=True)
class LammpsSettings:
    """What LAMMPS does with the system.

    Attributes
    ----------
    ensemble
        "nve", "nvt", "npt" (orthogonal cells keep their angles, others are free), or "deform" (nvt while the
        cell is pulled along `axis`).
    steps, timestep_fs, temperature_K, pressure_GPa
        Length, timestep, temperature (of the first velocities too, where the atoms have none) and pressure.
    tdamp_fs, pdamp_fs
        Time constants of thermostat and barostat.
    rate_per_ps, axis
        deform: engineering strain a ps, along x, y or z (0, 1, 2).
    interval
        Steps between frames and log lines.
    seed
        Of the first velocities.
    """

    ensemble: str = "nve"
    steps: int = 1000
    timestep_fs: float = 1.0
    temperature_K: float = 300.0
    pressure_GPa: float = 0.0
    tdamp_fs: float = 100.0
    pdamp_fs: float = 1000.0
    rate_per_ps: float = 0.001
    axis: int = 0
    interval: int = 100
    seed: int = 1

    def __post_init__(self) -> None:
        if self.ensemble not in ENSEMBLES:
            raise InputError(
                "unknown ensemble", where="ensemble", got=self.ensemble, do=nearest(self.ensemble, ENSEMBLES)
            )
        for name, least in (("steps", 0), ("interval", 1), ("seed", 1)):
            if getattr(self, name) < least:
                raise InputError(f"must be {least} or more", where=name, got=getattr(self, name))
        for name in ("timestep_fs", "temperature_K", "tdamp_fs", "pdamp_fs"):
            if not getattr(self, name) > 0.0:
                raise InputError("must be positive", where=name, got=getattr(self, name))
        if self.axis not in (0, 1, 2):
            raise InputError("no such direction", where="axis", expected="0, 1 or 2", got=self.axis)


def make_settings(values: Mapping[str, Any]) -> LammpsSettings:
    """Make settings of plain values; an unknown name raises InputError."""
    known = [field.name for field in fields(LammpsSettings)]
    for name in values:
        if name not in known:
            raise InputError("unknown setting of a LAMMPS run", got=name, do=nearest(name, known))
    return LammpsSettings(**values)


def write_input(
    model: str | Path | Model,
    atoms: Atoms,
    folder: str | Path,
    settings: LammpsSettings | None = None,
    *,
    coulomb_accuracy: float = 1e-6,
    dtype: str = "float32",
) -> Path:
    """Write a folder that LAMMPS runs from, by ``asennp lammps FOLDER``; return the folder.

    Files: system.lammps (units, charges, groups, pair style, mesh, the fix of the networks), run.lammps
    (ensemble, output, steps), structure.data (cell, positions, velocities, masses), model.asennp, and
    asennp.json (what `asennp.lammps.run_folder` needs).

    Parameters
    ----------
    model
        A shipped model's name, a file, or a `Model`; with charges of the species, or without.
    atoms
        Periodic in three directions; velocities are taken along, constraints are refused.
    folder
        New, or of an earlier `write_input`.
    settings
        Ensemble and length.
    coulomb_accuracy
        Relative force error of LAMMPS's mesh (``kspace_style pppm``), as for `HybridNNPCalculator`.
    dtype
        ``"float32"`` or ``"float64"``, of the networks.

    Raises
    ------
    InputError
        A model with PQEq, unknown species, a cell that is open or not neutral, constraints.
    """
    model, settings, folder = load_model(model), settings or LammpsSettings(), Path(folder)
    _check(model, atoms, dtype)
    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder / "model.asennp")
    wrapped = atoms.copy()
    wrapped.wrap()
    write_lammps_data(
        folder / "structure.data",
        wrapped,
        specorder=list(model.species),
        masses=True,
        velocities=atoms.has("momenta"),
        units="metal",
        atom_style="charge",
    )
    write_atomic(folder / "system.lammps", _system(model, _mesh_accuracy(model, atoms, coulomb_accuracy)))
    write_atomic(folder / "run.lammps", _run(model, atoms, settings))
    card = {"cell": atoms.cell.array, "dtype": dtype, "settings": asdict(settings)}
    write_json(folder / "asennp.json", card)
    return folder


def _check(model: Model, atoms: Atoms, dtype: str) -> None:
    """Refuse what LAMMPS would compute otherwise than our calculator."""
    if model.electrostatics != "point":
        raise InputError(
            "LAMMPS has no sum for this model's electrostatics",
            where="model",
            expected="charges of the species, or none",
            got=model.electrostatics,
            do="run it with asennp md",
        )
    if dtype not in ("float32", "float64"):
        raise InputError("unknown type", where="dtype", expected="float32 or float64", got=dtype)
    check_geometry(atoms.positions, atoms.cell.array, atoms.pbc)
    if not atoms.pbc.all():
        raise InputError(
            "the cell must be periodic in three directions", where="atoms.pbc", got=atoms.pbc.tolist()
        )
    if atoms.constraints:
        raise InputError("constraints are not supported", where="atoms", do="remove them")
    model.aev.indices(atoms)
    if model.charges:
        assign_charges(atoms.numbers, model.charges, where="the model's charges")


def _mesh_accuracy(model: Model, atoms: Atoms, accuracy: float) -> float:
    """Return an accuracy as LAMMPS counts it: against the force between two e at 1 Å, not typical charges."""
    check_accuracy(accuracy)
    if not model.charges:
        return accuracy
    squares = np.mean(assign_charges(atoms.numbers, model.charges, where="the model's charges") ** 2)
    return float(accuracy * squares / (atoms.cell.volume / len(atoms)) ** (2 / 3))


def _system(model: Model, accuracy: float) -> str:
    """Return the commands that make the system and its energy."""
    reach = model.aev.radial_cutoff
    lines = [
        "# cell, charges, Coulomb sum; the networks come in by the fix: run with asennp lammps FOLDER",
        "units metal",
        "atom_style charge",
        "atom_modify map array",
        "boundary p p p",
        "box tilt large",
        "read_data structure.data",
        "",
    ]
    lines += [f"group {symbol} type {k}" for k, symbol in enumerate(model.species, start=1)]
    if model.charges:
        reach = max(reach, COULOMB_CUTOFF)
        lines += [
            f"set type {k} charge {model.charges[symbol]!r}"
            for k, symbol in enumerate(model.species, start=1)
        ]
        lines += [
            "",
            f"pair_style coul/long {reach}",
            "pair_coeff * *",
            "pair_modify table 16",
            f"kspace_style pppm {accuracy:.3g}",
            "kspace_modify order 7",
        ]
    else:
        lines += ["", f"pair_style zero {reach}", "pair_coeff * *"]
    lines += [
        f"neighbor {_SKIN} bin",
        "neigh_modify every 1 delay 0 check yes",
        "",
        f"fix {FIX} all external pf/callback 1 1",
        f"fix_modify {FIX} energy yes virial yes",
        "# stress of the potential, without the kinetic part",
        "compute configurational all pressure NULL virial",
    ]
    return "\n".join(lines) + "\n"


def _run(model: Model, atoms: Atoms, s: LammpsSettings) -> str:
    """Return the commands that move the atoms."""
    ps = s.timestep_fs / 1000.0
    thermostat = f"temp {s.temperature_K} {s.temperature_K} {s.tdamp_fs / 1000.0}"
    bar = s.pressure_GPa * _BAR_PER_GPA
    orthogonal = np.allclose(atoms.cell.angles(), 90.0)
    barostat = f"{'aniso' if orthogonal else 'tri'} {bar} {bar} {s.pdamp_fs / 1000.0}"
    integrate = {
        "nve": ["fix integrate all nve"],
        "nvt": [f"fix integrate all nvt {thermostat}"],
        "npt": [f"fix integrate all npt {thermostat} {barostat}"],
        "deform": [
            f"fix integrate all nvt {thermostat}",
            f"fix pull all deform 1 {'xyz'[s.axis]} erate {s.rate_per_ps} remap x",
        ],
    }[s.ensemble]
    lines = [f"# {s.ensemble}, {s.steps} steps of {s.timestep_fs} fs", f"timestep {ps}"]
    if not atoms.has("momenta"):
        lines.append(f"velocity all create {s.temperature_K} {s.seed} mom yes rot no dist gaussian")
    lines += [
        *integrate,
        "",
        f"dump frames all custom {s.interval} frames.lammpstrj id type element xu yu zu vx vy vz fx fy fz",
        f"dump_modify frames sort id element {' '.join(model.species)} format float %.10g",
        f"thermo {s.interval}",
        "thermo_style custom step time temp pe ke etotal press vol pxx pyy pzz pxy pxz pyz",
        "thermo_modify format float %.12g",
        f"run {s.steps}",
    ]
    return "\n".join(lines) + "\n"
