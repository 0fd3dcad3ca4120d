"""Tensile molecular dynamics: one edge of the cell grows at constant speed."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.stress import full_3x3_to_voigt_6_stress

from asennp.errors import InputError, nearest
from asennp.md.dynamics import RestartableDynamics, check_temperature, draw_momenta
from asennp.units import EV_A3_GPA, KB

_MODES = ("plane-strain",)


class TensileMD(RestartableDynamics):
    """Langevin dynamics (BAOAB) while a cell edge grows at constant speed and carries the atoms along.

    Each step, after the drift, the edge h_a becomes h_a (1 + v dt/|h_a|) and positions follow at fixed scaled
    coordinates. The transverse cell stays: plane strain. Langevin's friction holds the temperature, so
    N_f = 3N.

    Parameters
    ----------
    atoms
        Structure with a calculator for energy, forces and stress. Atoms at rest get momenta from `rng`.
    timestep
        ASE time (``1.0 * units.fs``).
    temperature_K
        Temperature.
    rate_A_per_ps
        Speed of the edge v, Å/ps: positive pulls, negative presses, 0 is plain NVT.
    axis
        Which cell vector grows.
    mode
        "plane-strain".
    n_equilibration
        Steps at fixed cell before the pulling starts.
    friction_time
        1/gamma of Langevin's thermostat, ASE time; 100 fs if not given.
    rng, trajectory, logfile, loginterval, append_trajectory, walker
        See `RestartableDynamics`; `rng` is required.

    References
    ----------
    BAOAB: Leimkuhler, Matthews, J. Chem. Phys. 138 (2013) 174102, doi:10.1063/1.4802990.
    """

    def __init__(
        self,
        atoms: Atoms,
        timestep: float,
        temperature_K: float,
        rate_A_per_ps: float,
        axis: int = 0,
        mode: str = "plane-strain",
        n_equilibration: int = 0,
        friction_time: float | None = None,
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
        if rng is None:
            raise InputError("Langevin dynamics draws random forces", where="rng", expected="a Generator")
        speed = rate_A_per_ps / (1000.0 * units.fs)
        if abs(speed * timestep) > 1e-2:
            raise InputError(
                "faster than 0.01 Å a step", where="rate_A_per_ps", got=rate_A_per_ps, do="give Å per ps"
            )
        self.axis, self.mode, self.rate_A_per_ps = int(axis), mode, float(rate_A_per_ps)
        self.n_equilibration = int(n_equilibration)
        self.friction_time = 100.0 * units.fs if friction_time is None else float(friction_time)
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
        draw_momenta(atoms, self.temperature_K, rng)
        self._growth = speed * timestep
        self._inverse_masses = 1.0 / self.masses
        self._memory = math.exp(-timestep / self.friction_time)
        self._noise = np.sqrt((1.0 - self._memory**2) * KB * self.temperature_K * self.masses)
        self._initial_length = self.length

    def step(self) -> None:
        """Advance by one timestep: kick, half drift, friction and noise, half drift, pull, kick."""
        if self._evaluation is None:
            self._prepare()
        assert self._evaluation is not None and self.rng is not None
        positions, momenta = self.atoms.arrays["positions"], self.atoms.arrays["momenta"]
        half = 0.5 * self.dt
        momenta += half * self._evaluation.forces
        positions += half * (momenta * self._inverse_masses)
        momenta *= self._memory
        momenta += self._noise * self.rng.standard_normal(momenta.shape)
        positions += half * (momenta * self._inverse_masses)
        if self._growth != 0.0 and self.nsteps >= self.n_equilibration:
            self._pull(positions)
        self._evaluation = self.evaluate()
        momenta += half * self._evaluation.forces

    def _pull(self, positions: np.ndarray) -> None:
        """Lengthen the edge and move every atom by its scaled coordinate times the new piece."""
        cell = self.atoms.cell.array
        piece = cell[self.axis] * (self._growth / math.sqrt(float(cell[self.axis] @ cell[self.axis])))
        others = np.cross(cell[(self.axis + 1) % 3], cell[(self.axis + 2) % 3])
        scaled = positions @ (others / float(others @ cell[self.axis]))
        positions += scaled[:, None] * piece
        cell[self.axis] += piece

    def _prepare(self) -> None:
        self._evaluation = self.evaluate()

    # readings ----------------------------------------------------------------------------------------

    @property
    def length(self) -> float:
        """Length of the pulled edge, Å."""
        return float(np.linalg.norm(self.atoms.cell.array[self.axis]))

    @property
    def strain(self) -> float:
        """Engineering strain of the pulled edge since the start."""
        return self.length / self._initial_length - 1.0

    def compute_stress(self) -> np.ndarray:
        """Return the total stress, virial and momentum flux, shape (3, 3), eV/Å^3, tension positive."""
        if self._evaluation is None:
            self._prepare()
        assert self._evaluation is not None and self._evaluation.stress is not None
        momenta = self.atoms.arrays["momenta"]
        flux = momenta.T @ (momenta * self._inverse_masses) / self.atoms.cell.volume
        total: np.ndarray = self._evaluation.stress - flux
        return total

    def compute_tension(self) -> float:
        """Return the stress along the pulled edge, n·stress·n, eV/Å^3."""
        direction = self.atoms.cell.array[self.axis] / self.length
        return float(direction @ self.compute_stress() @ direction)

    def get_temperature(self) -> float:
        """Return the kinetic temperature with N_f = 3N, K."""
        momenta = self.atoms.arrays["momenta"]
        return float(np.sum(momenta**2 * self._inverse_masses) / (3 * len(momenta) * KB))

    def _log_columns(self) -> list[tuple[str, str]]:
        stress = full_3x3_to_voigt_6_stress(self.compute_stress()) * EV_A3_GPA
        assert self._evaluation is not None
        return [
            ("strain", f"{self.strain:14.8f}"),
            ("tension/GPa", f"{self.compute_tension() * EV_A3_GPA:14.6f}"),
            ("U/eV", f"{self._evaluation.energy:16.6f}"),
            ("V/A3", f"{self.atoms.cell.volume:14.5f}"),
            ("T/K", f"{self.get_temperature():10.2f}"),
            *(
                (f"s{name}/GPa", f"{s:12.5f}")
                for name, s in zip(("xx", "yy", "zz", "yz", "xz", "xy"), stress)
            ),
        ]

    def _frame_info(self) -> dict[str, Any]:
        tension = self.compute_tension() * EV_A3_GPA
        assert self._evaluation is not None
        return {
            "step": self.nsteps,
            "walker": self.walker,
            "potential_energy": self._evaluation.energy,
            "strain": self.strain,
            "tension_GPa": tension,
        }

    # restart -----------------------------------------------------------------------------------------

    def _settings(self) -> dict[str, Any]:
        return {
            "temperature_K": self.temperature_K,
            "rate_A_per_ps": self.rate_A_per_ps,
            "axis": self.axis,
            "mode": self.mode,
            "n_equilibration": self.n_equilibration,
            "friction_time": self.friction_time,
        }

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return {"initial_length": self._initial_length}, {}

    def _set_state(self, values: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        self._initial_length = values["initial_length"]
