"""Molecular dynamics under a deformation that is driven from outside: pulled, pressed or sheared."""

from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.stress import full_3x3_to_voigt_6_stress

from asennp.errors import InputError, nearest
from asennp.md.dynamics import RestartableDynamics, check_temperature, draw_momenta
from asennp.md.integrators import Drive, build_integrator
from asennp.md.stress_strain import append_row
from asennp.units import EV_A3_GPA, KB

_MODES = ("plane-strain", "uniaxial", "shear")
_SHEARS = ("yz", "xz", "xy")


class DeformationMD(RestartableDynamics):
    """Langevin dynamics (N_f = 3N) while the cell is deformed and carries the atoms along.

    ==============  =============================================  ==============================
    mode            driven                                         the rest of the cell
    ==============  =============================================  ==============================
    "plane-strain"  length of the cell vector `axis`               fixed
    "uniaxial"      the same; it must lie along the Cartesian      lengths across move freely at
                    axis, the others across it                     `lateral_pressure_au`
    "shear"         tilt along `component`: "xy" moves x by        fixed
                    strain times y
    ==============  =============================================  ==============================

    Each step the deformation comes after the drift, at fixed scaled coordinates. It grows at a constant rate,
    or by jumps with plateaus between them. Strain is engineering strain since the start: change of length
    over length, or tangent of the shear angle.

    Parameters
    ----------
    atoms
        Structure with a calculator for energy, forces and stress. Atoms at rest get momenta from `rng`.
    timestep
        ASE time (``1.0 * units.fs``).
    temperature_K
        Temperature.
    mode, axis, component
        See above; `axis` 0, 1 or 2, `component` "yz", "xz" or "xy".
    rate_per_ps
        Strain a picosecond; negative presses, 0 is plain NVT.
    strain_step, steps_per_strain
        In place of a rate: strain of a jump, and steps from one jump to the next.
    n_equilibration
        Steps before the deformation starts.
    friction_time
        1/friction of the particles, ASE time; 100 fs if not given.
    pdamp, lateral_pressure_au
        Of the free lengths in "uniaxial": time constant, 1000 fs if not given, and pressure, eV/Å^3.
    curve
        CSV file for the stress-strain curve: every `loginterval` steps the mean since the last row, or one
        row a plateau, the mean over its second half. Read it by `read_stress_strain`.
    rng, trajectory, logfile, loginterval, append_trajectory, walker
        See `RestartableDynamics`; `rng` is required.

    References
    ----------
    BAOAB: Leimkuhler, Matthews, J. Chem. Phys. 138 (2013) 174102, doi:10.1063/1.4802990.
    """

    #: What the stress against the deformation is called in log and frames.
    load_name = "load"

    def __init__(
        self,
        atoms: Atoms,
        timestep: float,
        temperature_K: float,
        mode: str = "plane-strain",
        axis: int = 0,
        component: str = "xy",
        rate_per_ps: float | None = None,
        strain_step: float | None = None,
        steps_per_strain: int | None = None,
        n_equilibration: int = 0,
        friction_time: float | None = None,
        pdamp: float | None = None,
        lateral_pressure_au: float = 0.0,
        curve: str | Path | None = None,
        rng: np.random.Generator | None = None,
        trajectory: str | Path | None = None,
        logfile: str | Path | None = None,
        loginterval: int = 100,
        append_trajectory: bool = False,
        walker: int = 0,
    ) -> None:
        self.temperature_K = check_temperature(temperature_K)
        if mode not in _MODES:
            raise InputError("unknown mode", where="mode", got=mode, do=nearest(mode, _MODES))
        if axis not in (0, 1, 2):
            raise InputError("no such cell vector", where="axis", expected="0, 1 or 2", got=axis)
        if component not in _SHEARS:
            raise InputError(
                "no such shear", where="component", got=component, do=nearest(component, _SHEARS)
            )
        if rng is None:
            raise InputError("Langevin dynamics draws random forces", where="rng", expected="a Generator")
        self.mode, self.axis, self.component = mode, int(axis), component
        self.rate_per_ps = None if rate_per_ps is None else float(rate_per_ps)
        self.strain_step, self.steps_per_strain = _check_steps(rate_per_ps, strain_step, steps_per_strain)
        self.n_equilibration = int(n_equilibration)
        self.friction_time = 100.0 * units.fs if friction_time is None else float(friction_time)
        self.pdamp = 1000.0 * units.fs if pdamp is None else float(pdamp)
        self.lateral_pressure_au = float(lateral_pressure_au)
        super().__init__(
            atoms,
            timestep,
            rng=rng,
            trajectory=trajectory,
            logfile=logfile,
            loginterval=loginterval,
            append_trajectory=append_trajectory,
            walker=walker,
            needs_stress=True,
        )
        if mode == "uniaxial":
            _check_alignment(atoms, self.axis)
        draw_momenta(atoms, self.temperature_K, rng)
        across = tuple(name for k, name in enumerate(("xx", "yy", "zz")) if k != self.axis)
        self.integrator = build_integrator(
            "langevin-flexible" if mode == "uniaxial" else "langevin",
            atoms,
            KB * self.temperature_K,
            timestep,
            tdamp=self.friction_time,
            pdamp=self.pdamp,
            rng=rng,
            mask=across if mode == "uniaxial" else None,
            # the pull is meant to change the shape: no wall
            shape_limit=1e3 if mode == "uniaxial" else None,
        )
        self._initial_length = float(np.linalg.norm(atoms.cell.array[self.axis]))
        self._strain = 0.0
        self._sums, self._n_summed = np.zeros(10), 0
        self._paths["curve"] = None if curve is None else Path(curve)
        if curve is not None and not append_trajectory:
            Path(curve).unlink(missing_ok=True)
        self._check_speed()

    def _check_speed(self) -> None:
        """Refuse a rate that cannot be meant."""
        rate = 0.0 if self.rate_per_ps is None else self.rate_per_ps
        if abs(rate) * self.dt / (1000.0 * units.fs) > 1e-3:
            raise InputError(
                "more than 0.1 % a step", where="rate_per_ps", got=rate, do="give the strain a picosecond"
            )

    # equations of motion -----------------------------------------------------------------------------

    def step(self) -> None:
        """Advance by one timestep: kick, half drift, friction and noise, half drift, deform, kick."""
        if self._evaluation is None:
            self._prepare()
        self.integrator.step(self._push(), self._deform_and_look)
        if self._paths["curve"] is not None:
            self._add_to_curve(self.nsteps + 1)

    def _deform_and_look(self) -> Drive:
        target = self._program(self.nsteps + 1)
        if target != self._strain:
            self._deform(target - self._strain)
            self._strain = target
        self._evaluation = self.evaluate()
        return self._push()

    def _push(self) -> Drive:
        evaluation = self._evaluation
        assert evaluation is not None and evaluation.stress is not None
        if not self.integrator.cell.moves:
            return Drive(evaluation.forces, None)
        stress = evaluation.stress + self.lateral_pressure_au * np.eye(3)
        return Drive(evaluation.forces, -self.atoms.cell.volume * stress)

    def _program(self, step: int) -> float:
        """Return the strain wanted after so many steps."""
        steps = max(0, step - self.n_equilibration)
        if self.rate_per_ps is not None:
            return self.rate_per_ps * steps * self.dt / (1000.0 * units.fs)
        assert self.strain_step is not None and self.steps_per_strain is not None
        return self.strain_step * -(-steps // self.steps_per_strain)

    def _deform(self, more: float) -> None:
        """Raise the strain by `more`: every atom moves by its height times one piece."""
        cell, positions = self.atoms.cell.array, self.atoms.arrays["positions"]
        if self.mode == "shear":
            moved, along = "xyz".index(self.component[0]), "xyz".index(self.component[1])
            positions[:, moved] += more * positions[:, along]
            cell[:, moved] += more * cell[:, along]
            return
        edge = cell[self.axis]
        piece = edge * (more * self._initial_length / float(np.linalg.norm(edge)))
        others = np.cross(cell[(self.axis + 1) % 3], cell[(self.axis + 2) % 3])
        positions += (positions @ (others / float(others @ edge)))[:, None] * piece
        edge += piece

    def _prepare(self) -> None:
        self._evaluation = self.evaluate()

    # readings ----------------------------------------------------------------------------------------

    @property
    def length(self) -> float:
        """Length of the cell vector `axis`, Å."""
        return float(np.linalg.norm(self.atoms.cell.array[self.axis]))

    @property
    def strain(self) -> float:
        """Engineering strain since the start."""
        return self._strain

    def compute_stress(self) -> np.ndarray:
        """Return the total stress, virial and momentum flux, shape (3, 3), eV/Å^3, tension positive."""
        if self._evaluation is None:
            self._prepare()
        assert self._evaluation is not None and self._evaluation.stress is not None
        momenta = self.atoms.arrays["momenta"]
        flux = momenta.T @ (momenta * self.integrator.inverse_masses) / self.atoms.cell.volume
        total: np.ndarray = self._evaluation.stress - flux
        return total

    def compute_load(self) -> float:
        """Return the stress against the deformation, eV/Å^3: along the edge, n·stress·n, or the shear."""
        return self._load_of(self.compute_stress())

    def _load_of(self, stress: np.ndarray) -> float:
        if self.mode == "shear":
            a, b = ("xyz".index(name) for name in self.component)
            return float(stress[a, b])
        direction = self.atoms.cell.array[self.axis] / self.length
        return float(direction @ stress @ direction)

    def get_temperature(self) -> float:
        """Return the kinetic temperature with N_f = 3N, K."""
        return self.integrator.twice_kinetic() / (self.integrator.n_dof * KB)

    def _log_columns(self) -> list[tuple[str, str]]:
        stress = self.compute_stress()
        assert self._evaluation is not None
        return [
            ("strain", f"{self.strain:14.8f}"),
            (f"{self.load_name}/GPa", f"{self._load_of(stress) * EV_A3_GPA:14.6f}"),
            ("U/eV", f"{self._evaluation.energy:16.6f}"),
            ("V/A3", f"{self.atoms.cell.volume:14.5f}"),
            ("T/K", f"{self.get_temperature():10.2f}"),
            *(
                (f"s{name}/GPa", f"{s:12.5f}")
                for name, s in zip(
                    ("xx", "yy", "zz", "yz", "xz", "xy"), full_3x3_to_voigt_6_stress(stress) * EV_A3_GPA
                )
            ),
        ]

    def _frame_info(self) -> dict[str, Any]:
        assert self._evaluation is not None
        return {
            "step": self.nsteps,
            "walker": self.walker,
            "potential_energy": self._evaluation.energy,
            "strain": self.strain,
            f"{self.load_name}_GPa": self.compute_load() * EV_A3_GPA,
        }

    def _add_to_curve(self, step: int) -> None:
        """Add this step to the running means, and write them out where a row is due."""
        due = step % self.loginterval == 0
        if self.steps_per_strain is not None:
            place, plateau = step, self.n_equilibration
            if step > plateau:
                place, plateau = (step - plateau - 1) % self.steps_per_strain + 1, self.steps_per_strain
            due = place == plateau
            if place <= plateau // 2:
                return
        stress = self.compute_stress()
        assert self._evaluation is not None
        row = [self._load_of(stress) * EV_A3_GPA, *(full_3x3_to_voigt_6_stress(stress) * EV_A3_GPA)]
        self._sums += [*row, self.get_temperature(), self.atoms.cell.volume, self._evaluation.energy]
        self._n_summed += 1
        if due:
            path = self._paths["curve"]
            assert path is not None
            time = step * self.dt / (1000.0 * units.fs)
            append_row(path, step, time, self.strain, self._sums / self._n_summed)
            self._sums, self._n_summed = np.zeros(10), 0

    # restart -----------------------------------------------------------------------------------------

    def _settings(self) -> dict[str, Any]:
        names = (
            "temperature_K", "mode", "axis", "component", "rate_per_ps", "strain_step", "steps_per_strain",
            "n_equilibration", "friction_time", "pdamp", "lateral_pressure_au",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return {
            "initial_length": self._initial_length,
            "strain": self._strain,
            "n_summed": self._n_summed,
            "integrator": self.integrator.state(),
        }, {"sums": self._sums}

    def _set_state(self, values: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        self._initial_length, self._strain = values["initial_length"], values["strain"]
        self._n_summed, self._sums = values["n_summed"], arrays["sums"].copy()
        self.integrator.set_state(values["integrator"])


def _check_steps(
    rate: float | None, jump: float | None, steps: int | None
) -> tuple[float | None, int | None]:
    """Return jump and steps after checking that either a rate or both are given."""
    if (rate is None) == (jump is None) or (jump is None) != (steps is None):
        raise InputError(
            "how fast to deform?",
            where="rate_per_ps, strain_step, steps_per_strain",
            expected="a rate, or a strain step and the steps it takes",
            got=(rate, jump, steps),
        )
    if jump is None or steps is None:
        return None, None
    if not (0.0 < abs(jump) <= 0.1 and steps >= 1):
        raise InputError(
            "this cannot be a jump",
            where="strain_step, steps_per_strain",
            expected="strain up to 0.1, one step or more",
            got=(jump, steps),
        )
    return float(jump), int(steps)


def _check_alignment(atoms: Atoms, axis: int) -> None:
    cell = atoms.cell.array
    off = np.delete(cell[axis], axis)
    across = np.delete(cell[:, axis], axis)
    if max(np.abs(off).max(), np.abs(across).max()) > 1e-9 * np.abs(cell).max():
        raise InputError(
            "uniaxial loading needs the pulled cell vector along its Cartesian axis and the others across it",
            where="atoms.cell",
            got=cell.round(6).tolist(),
            do="rotate the crystal or make an orthorhombic cell; or mode='plane-strain'",
        )
