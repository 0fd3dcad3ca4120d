"""What the package's MD classes share: one force evaluation a step, logs, frames, exact restart."""

import json
import os
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.md.md import MolecularDynamics

from asennp.errors import InputError
from asennp.md.output import cut_back_to, format_frame, is_extxyz, mark
from asennp.md.restart import read_state, rng_from_state, rng_state, write_state
from asennp.units import KB

_VERSION = 2
#: Places of the full tensor in Voigt's order.
_VOIGT = np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]])


@dataclass(slots=True)
class Evaluation:
    """One force evaluation: energy (eV), forces (N, 3) eV/Å, stress (3, 3) eV/Å^3 or None."""

    energy: float
    forces: np.ndarray
    stress: np.ndarray | None


class RestartableDynamics(MolecularDynamics):
    """Base of MD classes that call the calculator once a step and restart bit for bit.

    A subclass gives `step`, `_log_columns`, `_frame_info`, `_settings`, `_state` and `_set_state`.

    Parameters
    ----------
    atoms
        Structure with a calculator; positions, momenta and cell are moved in place.
    timestep
        ASE time (``1.0 * units.fs``).
    rng
        Source of all randomness.
    trajectory
        ``*.xyz`` or ``*.extxyz``: frames in full precision, order values and the like on the comment line;
        any other ending: an ASE trajectory.
    logfile
        Path, or "-" for the screen; one line every `loginterval` steps.
    loginterval
        Steps between two log lines and frames.
    append_trajectory
        Go on with existing files instead of writing them anew.
    walker
        Number of this run among several, written into the frames.
    needs_stress
        Whether the equations of motion use the stress.
    """

    kind = "asennp-md"

    def __init__(
        self,
        atoms: Atoms,
        timestep: float,
        *,
        rng: np.random.Generator | None = None,
        trajectory: str | Path | None = None,
        logfile: str | Path | None = None,
        loginterval: int = 1,
        append_trajectory: bool = False,
        walker: int = 0,
        needs_stress: bool = True,
    ) -> None:
        _check_start(atoms, timestep, needs_stress)
        frames = trajectory if trajectory is not None and is_extxyz(trajectory) else None
        super().__init__(
            atoms,
            timestep,
            trajectory=None if trajectory is None or frames is not None else str(trajectory),
            loginterval=loginterval,
            append_trajectory=append_trajectory,
        )
        self.rng, self.walker, self.loginterval = rng, walker, loginterval
        self.needs_stress = needs_stress
        self._evaluation: Evaluation | None = None
        # choices of the calculator that stay through this run; None: not made yet
        self._held: Any = None
        self._running = False
        self._paths: dict[str, Path | None] = {
            "trajectory": None if trajectory is None else Path(trajectory),
            "logfile": None if logfile is None or str(logfile) == "-" else Path(logfile),
        }
        self._to_screen = str(logfile) == "-"
        for path in (self._paths["logfile"], frames):
            if path is not None and not append_trajectory:
                Path(path).unlink(missing_ok=True)
        if frames is not None:
            self.attach(self._write_frame, loginterval)
        if logfile is not None:
            self.attach(self._write_log, loginterval)

    # hooks -------------------------------------------------------------------------------------------

    @abstractmethod
    def get_temperature(self) -> float:
        """Return the kinetic temperature, K."""

    @abstractmethod
    def _log_columns(self) -> list[tuple[str, str]]:
        """Return (title, formatted value) of every column after step and time."""

    @abstractmethod
    def _frame_info(self) -> dict[str, Any]:
        """Return what goes on a frame's comment line."""

    @abstractmethod
    def _settings(self) -> dict[str, Any]:
        """Return the constructor's arguments that rebuild this object, as plain values."""

    @abstractmethod
    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return everything else that changes during a run: plain values and arrays."""

    @abstractmethod
    def _set_state(self, values: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """Put `_state` back."""

    def _prepare(self) -> None:
        """Check the start and compute what the first step needs."""

    def _resume(self) -> None:
        """Take up what may have changed between two runs at the same positions."""

    # running -----------------------------------------------------------------------------------------

    def irun(self, steps: int = 50) -> Iterator[bool]:
        """Run as a generator, see `ase.md.md.MolecularDynamics.irun`."""
        calculator = self.atoms.calc
        self._keep_choices()
        if self._evaluation is None or calculator.calculation_required(self.atoms, ["energy", "forces"]):
            self._evaluation = None
            self._prepare()
        else:
            self._resume()
        self._running = True
        try:
            yield from super().irun(steps)
        finally:
            self._held, self._running = self._choices(), False

    def _keep_choices(self) -> None:
        """Have the calculator keep for this run what it else chooses for each cell, as the mesh of a Coulomb
        sum.

        Calculators that make such choices have methods ``hold(atoms)``, ``held()`` and ``set_held(held)``,
        see `asennp.calculators.base.ChargedCalculator`.
        """
        calculator = self.atoms.calc
        if not hasattr(calculator, "set_held"):
            return
        if self._held is None:
            calculator.hold(self.atoms)
        else:
            calculator.set_held(self._held)

    def _choices(self) -> Any:
        """Return what the calculator keeps for this run."""
        calculator = self.atoms.calc
        return calculator.held() if self._running and hasattr(calculator, "held") else self._held

    def _refresh_properties(self) -> None:
        """Do nothing: a step leaves energy and forces of its last positions with the calculator."""

    def evaluate(self) -> Evaluation:
        """Call the calculator once for energy, forces and, if used, stress at the present positions.

        The energy is the one the forces belong to: ``free_energy`` where the calculator gives it.
        """
        atoms, calculator = self.atoms, self.atoms.calc
        names = ["energy", "forces", "stress"] if self.needs_stress else ["energy", "forces"]
        if isinstance(calculator, Calculator):
            # one pass for all properties; get_property would ask for them one by one
            calculator.reset()
            calculator.calculate(atoms, names, all_changes)
            results = calculator.results
            if all(name in results for name in names):
                return Evaluation(
                    float(results.get("free_energy", results["energy"])),
                    results["forces"],
                    _full_stress(results["stress"]) if self.needs_stress else None,
                )
        stress = calculator.get_property("stress", atoms) if self.needs_stress else None
        forces = calculator.get_property("forces", atoms)
        try:
            energy = calculator.get_property("free_energy", atoms)
        except PropertyNotImplementedError:
            energy = calculator.get_property("energy", atoms)
        return Evaluation(float(energy), forces, None if stress is None else _full_stress(stress))

    # files -------------------------------------------------------------------------------------------

    # files are opened for each write, as ASE does with trajectories: none stays open when a run is dropped

    def _write_frame(self) -> None:
        _append(self._paths["trajectory"], format_frame(self.atoms, self._frame_info()))

    def _write_log(self) -> None:
        columns = [
            ("step", f"{self.nsteps:10d}"),
            ("time/ps", f"{self.get_time() / (1000.0 * units.fs):12.4f}"),
            *self._log_columns(),
        ]
        titles = "#" + "".join(title.rjust(len(text)) for title, text in columns)[1:]
        path = self._paths["logfile"]
        fresh = self.nsteps == 0 if path is None else not path.exists() or path.stat().st_size == 0
        line = "".join(text for _, text in columns)
        self._remark(f"{titles}\n{line}" if fresh else line)

    def _remark(self, text: str) -> None:
        """Write a line into the log, if there is one."""
        if self._to_screen:
            print(text)
        elif self._paths["logfile"] is not None:
            _append(self._paths["logfile"], text + "\n")

    # restart -----------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Write everything needed to go on bit for bit into one file, atomically.

        Kept: positions, momenta, cell and all other arrays of the atoms, the state of the integrator, bias
        and random numbers, and how long log and trajectory are now, so that they are cut back on restart.
        """
        path = Path(path)
        folder = path.resolve().parent
        outputs = {
            name: None
            if file is None
            else {"path": os.path.relpath(file.resolve(), folder), "mark": mark(file)}
            for name, file in self._paths.items()
        }
        values, arrays = self._state()
        atoms = {f"atoms/{name}": array for name, array in self.atoms.arrays.items()}
        return write_state(
            path,
            self._file_kind(),
            _VERSION,
            {
                "settings": self._settings() | {"timestep": self.dt, "walker": self.walker},
                "loginterval": self.loginterval,
                "to_screen": self._to_screen,
                "step": self.nsteps,
                "rng": rng_state(self.rng),
                "outputs": outputs,
                "info": {key: value for key, value in self.atoms.info.items() if _is_plain(value)},
                "state": values,
                "held": self._choices(),
            },
            {**atoms, "cell": self.atoms.cell.array, "pbc": self.atoms.pbc, **arrays},
        )

    @classmethod
    def restart(
        cls,
        path: str | Path,
        calculator: Any,
        *,
        trajectory: str | Path | None = None,
        logfile: str | Path | None = None,
        **given: Any,
    ) -> Self:
        """Rebuild a run from `save`'s file; log and trajectory are cut back to what they were then.

        Parameters
        ----------
        path
            File written by `save`.
        calculator
            An ASE calculator whose results depend on the atoms alone.
        trajectory, logfile
            Where to go on writing, if not in the files of the saved run.
        given
            Objects that cannot be rebuilt from the file (an order parameter of your own).

        Raises
        ------
        InputError
            If the file is damaged, changed or of another class, or log or trajectory are not the run's.
        """
        path = Path(path)
        values, arrays = read_state(path, cls._file_kind(), _VERSION)
        atoms = _rebuild_atoms(arrays, values["info"])
        atoms.calc = calculator
        files: dict[str, str | Path | None] = {"trajectory": trajectory, "logfile": logfile}
        for name, output in values["outputs"].items():
            if files.get(name) is None and output is not None:
                files[name] = path.resolve().parent / output["path"]
                cut_back_to(path.resolve().parent / output["path"], output["mark"])
        if files["logfile"] is None and values["to_screen"]:
            files["logfile"] = "-"
        dynamics = cls._rebuild(
            atoms,
            values["settings"],
            values["state"],
            arrays,
            rng=rng_from_state(values["rng"]),
            loginterval=values["loginterval"],
            append_trajectory=True,
            **files,
            **given,
        )
        # the constructor may touch momenta: the saved bits count
        for name, array in atoms.arrays.items():
            array[...] = arrays[f"atoms/{name}"]
        dynamics.nsteps = values["step"]
        dynamics._held = values.get("held")
        dynamics._set_state(values["state"], arrays)
        return dynamics

    @classmethod
    def _rebuild(
        cls,
        atoms: Atoms,
        settings: dict[str, Any],
        state: dict[str, Any],
        arrays: dict[str, np.ndarray],
        **common: Any,
    ) -> Self:
        """Call the constructor with what the restart file holds."""
        return cls(atoms, **settings, **common)

    @classmethod
    def _file_kind(cls) -> str:
        return f"{cls.kind}-{cls.__name__}"


def _append(path: Path | None, text: str) -> None:
    assert path is not None
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        file.write(text)


def check_temperature(temperature_K: float) -> float:
    """Return a temperature that can be meant in K, or raise InputError."""
    if not 1.0 <= temperature_K <= 1e5:
        raise InputError(
            "this cannot be a temperature in K",
            where="temperature_K",
            expected="1 to 100 000",
            got=temperature_K,
            do="divide an energy kT in eV by units.kB" if temperature_K > 0 else None,
        )
    return float(temperature_K)


def check_pressure(pressure_au: float) -> float:
    """Return a pressure that can be meant in eV/Å^3, or raise InputError."""
    if not abs(pressure_au) <= 0.9:
        raise InputError(
            "this cannot be a pressure in eV/Å^3 (1 eV/Å^3 is 160 GPa)",
            where="pressure_au",
            expected="up to 0.9",
            got=pressure_au,
            do="multiply by the unit: 1.0 * units.bar, 10 * units.GPa",
        )
    return float(pressure_au)


def draw_momenta(atoms: Atoms, temperature_K: float, rng: np.random.Generator | None) -> None:
    """Give atoms at rest momenta from Maxwell and Boltzmann's distribution."""
    if atoms.has("momenta") and np.any(atoms.arrays["momenta"] != 0.0):
        return
    if rng is None:
        raise InputError(
            "the atoms are at rest and there is nothing to draw momenta from",
            where="rng",
            expected="a numpy.random.Generator, or atoms with momenta",
        )
    widths = np.sqrt(KB * temperature_K * atoms.get_masses())[:, None]
    atoms.set_momenta(widths * rng.standard_normal((len(atoms), 3)))


def _check_start(atoms: Atoms, timestep: float, needs_stress: bool) -> None:
    if not 0.005 <= timestep / units.fs <= 10.0:
        raise InputError(
            "this cannot be a timestep",
            where="timestep",
            expected="0.005 to 10 fs, in ASE's time",
            got=f"{timestep} = {timestep / units.fs:.3g} fs",
            do="multiply by the unit: 1.0 * units.fs",
        )
    if atoms.calc is None:
        raise InputError("the atoms have no calculator", where="atoms", do="set atoms.calc")
    if atoms.constraints:
        raise InputError("constraints are not supported", where="atoms.constraints", do="remove them")
    if needs_stress:
        known = getattr(atoms.calc, "implemented_properties", ["stress"])
        if "stress" not in known:
            raise InputError(
                "the calculator gives no stress, and the cell cannot move without",
                where=type(atoms.calc).__name__,
                expected="energy, forces, stress",
                got=list(known),
                do="take another calculator, or keep the volume (pressure_au=None)",
            )
        if not atoms.pbc.all():
            raise InputError("the cell must be periodic", where="atoms.pbc", got=atoms.pbc.tolist())


def _full_stress(stress: np.ndarray) -> np.ndarray:
    stress = np.asarray(stress)
    return stress if stress.shape == (3, 3) else stress[_VOIGT]


def _rebuild_atoms(arrays: dict[str, np.ndarray], info: dict[str, Any]) -> Atoms:
    own = {name.removeprefix("atoms/"): array for name, array in arrays.items() if name.startswith("atoms/")}
    atoms = Atoms(
        numbers=own.pop("numbers"),
        positions=own.pop("positions"),
        cell=arrays["cell"],
        pbc=arrays["pbc"],
        info=info,
    )
    for name, array in own.items():
        atoms.set_array(name, array)
    return atoms


def _is_plain(value: Any) -> bool:
    try:
        return bool(json.loads(json.dumps(value)) == value)
    except (TypeError, ValueError):
        return False
