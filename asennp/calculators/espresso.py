"""Quantum ESPRESSO's pw.x as a labeler: energies without the smearing term, retries, stops that continue."""

import contextlib
import ctypes
import io
import math
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import CalculationFailed, Calculator, SCFError, all_changes
from ase.io.espresso import write_espresso_in

from asennp.calculators.pseudopotentials import check_electrons, find_pseudopotentials
from asennp.calculators.pw_output import PwOutput, read_pw_output
from asennp.errors import InputError, nearest
from asennp.files import sha256_json, write_atomic

#: Input of the ZnO papers (PBE by the pseudopotentials), and a cheaper one at their files' own cut-offs.
PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "paper": {
        "system": {
            "ecutwfc": 80.0,
            "ecutrho": 500.0,
            "occupations": "smearing",
            "smearing": "gaussian",
            "degauss": 0.011,
            "vdw_corr": "dft-d3",
        },
        "electrons": {"conv_thr": 1e-8, "electron_maxstep": 100, "mixing_beta": 0.4},
    },
    "quick": {
        "system": {
            "occupations": "smearing",
            "smearing": "gaussian",
            "degauss": 0.011,
            "vdw_corr": "dft-d3",
        },
        "electrons": {"conv_thr": 1e-7, "electron_maxstep": 100, "mixing_beta": 0.4},
    },
}
#: Distance of k points, 1/Å without 2 pi: 0.06 is a 2x2x2 grid for 64 atoms of ZnO.
KSPACING = {"paper": 0.06, "quick": 0.09}

_PREFIX = "pw"
#: Seconds pw.x has to save its state once it was asked to stop.
_GRACE_S = 120.0
_PR_SET_PDEATHSIG = 1
#: Routines whose errors another mixing or diagonalisation may cure; any other error is final.
_CURABLE = ("c_bands", "diag", "electrons", "cegterg", "regterg", "ppcg", "potinit", "hegv", "efermi")


@dataclass(frozen=True)
class Retry:
    """What to change when the self-consistent field does not converge.

    Attributes
    ----------
    name
        For the record.
    electrons
        Keys of &ELECTRONS.
    bands
        Factor on the number of bands.
    """

    name: str
    electrons: Mapping[str, Any] = field(default_factory=dict)
    bands: float = 1.0


#: Tried in this order, each from scratch.
RETRIES = (
    Retry("slower mixing", {"mixing_beta": 0.2, "electron_maxstep": 200}),
    Retry("local mixing", {"mixing_mode": "local-TF", "mixing_beta": 0.2, "electron_maxstep": 200}),
    Retry("more bands", {"mixing_beta": 0.2, "electron_maxstep": 200}, bands=1.2),
    Retry("conjugate gradients", {"diagonalization": "cg", "mixing_beta": 0.1, "electron_maxstep": 300}),
)


@dataclass(frozen=True)
class Attempt:
    """One run of pw.x: what was changed, how it ended, its iterations and wall time (s)."""

    name: str
    status: str
    n_iterations: int
    seconds: float
    message: str = ""


class TimeLimitError(CalculationFailed):
    """pw.x was stopped at its time limit; with a directory, the next calculation goes on from there."""


class EspressoLabeler(Calculator):
    """pw.x by ASE's interface, made for labelling: what it gives can be trusted, or it raises.

    ``energy`` is without the smearing contribution, E = F - (-TS); ``free_energy`` is F, which pw.x prints
    as "total energy". Forces and stress are derivatives of F.

    Parameters
    ----------
    pseudo_dir
        Folder of the UPF files.
    pseudopotentials
        ``{element: file}`` or a YAML file of that form (`find_pseudopotentials`); found by element if not
        given.
    preset
        "paper": 80/500 Ry, Gaussian smearing of 0.011 Ry, D3, 1e-8 Ry, k spacing 0.06 1/Å. "quick": the
        cut-offs that the files suggest, 1e-7 Ry, 0.09 1/Å.
    kspacing
        Largest distance of k points, 1/Å without 2 pi; the preset's if not given.
    kpts, koffset
        A grid instead, and its shift (0 or 1 each).
    input_data
        Sections of pw.x's input that replace or extend the preset's.
    command
        How to start pw.x, e.g. ``"mpirun -n 4 pw.x"``.
    directory
        Where input and output are kept. A calculation found here is not repeated if its input is the same: a
        finished one is read, one that was stopped goes on. Without a directory nothing is kept.
    scratch
        Where pw.x keeps its working files (a fast or large disk); the system's temporary folder if not given.
        They are removed once a calculation is finished or has failed.
    time_limit_s
        Wall time after which pw.x is asked to save its state and stop.
    retries
        What to try when the self-consistent field does not converge.

    Attributes
    ----------
    attempts
        `Attempt` of every run of the last calculation.

    Raises
    ------
    InputError
        No pw.x, missing or mixed pseudopotentials, an unknown preset, an odd number of electrons without
        smearing or spin.
    SCFError
        (on calculation) no retry converged.
    TimeLimitError
        (on calculation) the time limit came first.
    CalculationFailed
        (on calculation) pw.x ended with another error.

    References
    ----------
    Giannozzi et al., J. Phys.: Condens. Matter 29 (2017) 465901, doi:10.1088/1361-648X/aa8f79.
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012

    def __init__(
        self,
        pseudo_dir: str | Path,
        pseudopotentials: Mapping[str, Any] | str | Path | None = None,
        preset: str = "paper",
        kspacing: float | None = None,
        kpts: Sequence[int] | None = None,
        koffset: Sequence[int] = (0, 0, 0),
        input_data: Mapping[str, Mapping[str, Any]] | None = None,
        command: str = "pw.x",
        directory: str | Path | None = None,
        scratch: str | Path | None = None,
        time_limit_s: float | None = None,
        retries: Sequence[Retry] = RETRIES,
    ) -> None:
        self.command = _check_command(command)
        if preset not in PRESETS:
            raise InputError("unknown preset", where="preset", got=preset, do=nearest(preset, PRESETS))
        self.pseudopotentials = find_pseudopotentials(pseudo_dir, pseudopotentials)
        self.kspacing = KSPACING[preset] if kspacing is None else float(kspacing)
        if not 0.005 <= self.kspacing <= 1.0:
            raise InputError(
                "this cannot be a distance of k points",
                where="kspacing",
                expected="0.005 to 1 in 1/Å (without 2 pi)",
                got=kspacing,
            )
        self.kpts, self.koffset = kpts, tuple(koffset)
        self.sections = _sections(preset, input_data)
        self.scratch = None if scratch is None else Path(scratch)
        self.time_limit_s = time_limit_s
        self.retries = tuple(retries)
        self.attempts: list[Attempt] = []
        # "." stands for none, as in all calculators of ASE: so a given one is made absolute
        super().__init__(directory="." if directory is None else Path(directory).resolve())
        self.parameters.update(self._describe(preset))

    def _describe(self, preset: str) -> dict[str, Any]:
        """Return what defines the labels, as plain values."""
        return {
            "preset": preset,
            "kspacing": self.kspacing,
            "kpts": None if self.kpts is None else list(self.kpts),
            "koffset": list(self.koffset),
            "input_data": self.sections,
            "pseudopotentials": {
                element: {"file": p.path.name, "sha256": p.sha256}
                for element, p in self.pseudopotentials.items()
            },
        }

    @property
    def _kept(self) -> Path | None:
        """The folder where input and output are kept, if any."""
        return None if self.directory == "." else Path(self.directory)

    # calculation -------------------------------------------------------------------------------------

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Run pw.x, with retries, until it has converged; energy, forces and stress come together."""
        super().calculate(atoms, properties, system_changes)
        frame = self.atoms
        assert frame is not None
        system = self._system(frame)
        check_electrons(frame.get_chemical_symbols(), self.pseudopotentials, system)
        self.attempts = []
        with tempfile.TemporaryDirectory(prefix="asennp-pw-") as temporary:
            folder = self._kept or Path(temporary)
            folder.mkdir(parents=True, exist_ok=True)
            output = self._converge(frame, folder, system)
        assert output.energy is not None and output.free_energy is not None
        self.results = {
            "energy": output.energy,
            "free_energy": output.free_energy,
            "forces": output.forces,
            "stress": output.stress,
        }

    def _converge(self, atoms: Atoms, folder: Path, system: Mapping[str, Any]) -> PwOutput:
        """Go up the ladder of retries."""
        n_bands = 0
        for number, retry in enumerate((Retry("as asked"), *self.retries)):
            source = folder / f"espresso-{number}.pwi"
            changed = dict(system)
            if retry.bands != 1.0 and n_bands:
                changed["nbnd"] = math.ceil(retry.bands * n_bands)
            electrons = {**self.sections["electrons"], **retry.electrons}
            start = time.monotonic()
            output = self._run(atoms, source, {**self.sections, "system": changed, "electrons": electrons})
            seconds = time.monotonic() - start
            self.attempts.append(
                Attempt(retry.name, output.status, output.n_iterations, seconds, output.message)
            )
            n_bands = output.n_bands
            if output.status == "done":
                if output.forces is None or output.stress is None:
                    raise CalculationFailed(
                        f"pw.x printed no forces or no stress: {source.with_suffix('.pwo')}"
                    )
                return output
            if output.status == "stopped":
                raise TimeLimitError(
                    f"pw.x was stopped at iteration {output.n_iterations}, before convergence"
                )
            curable = output.status == "not converged" or any(r in output.message for r in _CURABLE)
            if not curable:
                raise CalculationFailed(f"pw.x {output.status}: {output.message or 'no message'}")
        tried = "; ".join(f"{a.name}: {a.n_iterations} iterations" for a in self.attempts)
        raise SCFError(f"the self-consistent field did not converge ({tried})")

    def _run(self, atoms: Atoms, source: Path, sections: Mapping[str, Any]) -> PwOutput:
        """Run pw.x once, or take up what an earlier run left beside the input file `source`."""
        target = source.with_suffix(".pwo")
        scratch = self._scratch(source, sections, atoms)
        texts = {stopped: self._input_text(atoms, sections, scratch, stopped) for stopped in (False, True)}
        # the scratch folder's name goes with the place of the files, which may have been moved
        asked = [_less_outdir(text) for text in texts.values()]
        known = source.is_file() and target.is_file() and _less_outdir(source.read_text()) in asked
        earlier = read_pw_output(target) if known else None
        if earlier is not None and earlier.status in ("done", "not converged"):
            return earlier
        stopped = earlier is not None and any(scratch.glob(f"{_PREFIX}.save/charge-density*"))
        if not stopped:
            shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True, exist_ok=True)
        write_atomic(source, texts[stopped])
        in_time = False
        try:
            in_time = self._execute(source, target, scratch)
        finally:
            output = read_pw_output(target)
            if self._kept is None or (in_time and output.status != "stopped"):
                shutil.rmtree(scratch, ignore_errors=True)
        return output if in_time else replace(output, status="stopped")

    def _execute(self, source: Path, target: Path, scratch: Path) -> bool:
        """Run pw.x; at the time limit, or on Ctrl-C, ask it to save its state. Tell if it ended in time."""
        with open(target, "wb") as out:
            process = subprocess.Popen(
                [*self.command, "-in", source.name],
                cwd=source.parent,
                stdout=out,
                stderr=subprocess.STDOUT,
                # a Ctrl-C at the terminal is for us alone: pw.x gets to know by its EXIT file
                start_new_session=True,
                preexec_fn=partial(_end_with_parent, os.getpid()),
            )
            try:
                process.wait(self.time_limit_s)
            except subprocess.TimeoutExpired:
                _stop(process, scratch)
                return False
            except BaseException:
                _stop(process, scratch)
                raise
        (source.parent / "CRASH").unlink(missing_ok=True)
        return True

    # input -------------------------------------------------------------------------------------------

    def _system(self, atoms: Atoms) -> dict[str, Any]:
        """Return &SYSTEM, with the files' own cut-offs where the preset leaves them open."""
        system = dict(self.sections["system"])
        own = [p for e, p in self.pseudopotentials.items() if e in set(atoms.get_chemical_symbols())]
        for key in ("ecutwfc", "ecutrho"):
            if key not in system and own:
                system[key] = float(math.ceil(max(getattr(p, key) for p in own)))
        return system

    def _scratch(self, source: Path, sections: Mapping[str, Any], atoms: Atoms) -> Path:
        """Return the working folder, named by the calculation: so a stopped one is found again."""
        parent = Path(tempfile.gettempdir()) if self.scratch is None else self.scratch
        key = {
            "source": str(source.resolve()),
            "sections": sections,
            "positions": atoms.positions,
            "cell": atoms.cell.array,
            "numbers": atoms.numbers,
        }
        return parent.resolve() / f"asennp-pw-{sha256_json(key)[:16]}"

    def _input_text(self, atoms: Atoms, sections: Mapping[str, Any], scratch: Path, stopped: bool) -> str:
        """Return pw.x's input: from scratch, or going on from what a stopped calculation left."""
        control = {
            "calculation": "scf",
            "tprnfor": True,
            "tstress": True,
            # the density is enough to go on from, and wave functions of 64 atoms are hundreds of MB
            "disk_io": "nowf",
            "prefix": _PREFIX,
            **sections.get("control", {}),
            "restart_mode": "restart" if stopped else "from_scratch",
            "outdir": str(scratch),
            "pseudo_dir": str(next(iter(self.pseudopotentials.values())).path.parent),
        }
        bare = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
        grid = k_grid(atoms, self.kspacing) if self.kpts is None else tuple(self.kpts)
        stream = io.StringIO()
        write_espresso_in(
            stream,
            bare,
            input_data={**sections, "control": control},
            pseudopotentials={element: p.path.name for element, p in self.pseudopotentials.items()},
            kpts=grid,
            koffset=self.koffset,
        )
        return stream.getvalue()


def k_grid(atoms: Atoms, kspacing: float) -> tuple[int, int, int]:
    """Return the smallest Monkhorst-Pack grid whose points are no more than `kspacing` apart.

    Parameters
    ----------
    atoms
        Structure; along a direction that is not periodic one point is enough.
    kspacing
        Distance along each reciprocal vector, 1/Å without 2 pi.
    """
    lengths = np.linalg.norm(atoms.cell.reciprocal().array, axis=1)
    counts = np.where(atoms.pbc, np.ceil(lengths / kspacing - 1e-9), 1.0)
    a, b, c = (max(1, int(n)) for n in counts)
    return a, b, c


def _sections(preset: str, given: Mapping[str, Mapping[str, Any]] | None) -> dict[str, dict[str, Any]]:
    lowered = {name.lower(): dict(values) for name, values in (given or {}).items()}
    base = PRESETS[preset]
    return {name: {**base.get(name, {}), **lowered.get(name, {})} for name in {**base, **lowered}}


def _less_outdir(text: str) -> str:
    """Return an input without the line that names the scratch folder."""
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("outdir"))


def _check_command(command: str) -> list[str]:
    words = shlex.split(command)
    for program in {words[0], words[-1]} if words else {command}:
        if shutil.which(program) is None:
            raise InputError(
                f"no program {program!r}",
                where="command",
                do="install Quantum ESPRESSO (Debian: apt-get install quantum-espresso), "
                "or give the path of pw.x",
            )
    return words


def _end_with_parent(parent: int) -> None:
    """Let Linux end pw.x when this process is killed: no orphan writes where the next run works."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # killed before it could be told
            os.kill(os.getpid(), signal.SIGKILL)


def _stop(process: "subprocess.Popen[bytes]", scratch: Path) -> None:
    """Ask pw.x to save its state and stop; after the grace, end it."""
    exit_file = scratch / f"{_PREFIX}.EXIT"
    exit_file.touch()
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    exit_file.unlink(missing_ok=True)
