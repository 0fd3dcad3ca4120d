"""Tensile molecular dynamics: one edge of the cell grows at constant speed."""

from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units

from asennp.errors import InputError, nearest
from asennp.md.deformation import DeformationMD

_MODES = ("plane-strain", "uniaxial")


class TensileMD(DeformationMD):
    """Pull an edge of the cell at a speed in Å/ps: `DeformationMD` at the rate v/L.

    Parameters
    ----------
    atoms, timestep, axis, n_equilibration, friction_time, curve
        See `DeformationMD`.
    temperature_K
        Temperature.
    rate_A_per_ps
        Speed of the edge v, Å/ps: positive pulls, negative presses, 0 is plain NVT.
    mode
        "plane-strain": the transverse cell stays; "uniaxial": its lengths move freely at zero stress.
    rng, trajectory, logfile, loginterval, append_trajectory, walker
        See `RestartableDynamics`; `rng` is required.
    """

    load_name = "tension"

    def __init__(
        self,
        atoms: Atoms,
        timestep: float,
        temperature_K: float = 300.0,
        rate_A_per_ps: float = 0.002,
        axis: int = 0,
        mode: str = "plane-strain",
        n_equilibration: int = 0,
        friction_time: float | None = None,
        pdamp: float | None = None,
        curve: str | Path | None = None,
        rng: np.random.Generator | None = None,
        trajectory: str | Path | None = None,
        logfile: str | Path | None = None,
        loginterval: int = 100,
        append_trajectory: bool = False,
        walker: int = 0,
    ) -> None:
        if mode not in _MODES:
            raise InputError("unknown mode", where="mode", got=mode, do=nearest(mode, _MODES))
        if axis not in (0, 1, 2):
            raise InputError("no such cell vector", where="axis", expected="0, 1 or 2", got=axis)
        if abs(rate_A_per_ps) * timestep / (1000.0 * units.fs) > 1e-2:
            raise InputError(
                "faster than 0.01 Å a step", where="rate_A_per_ps", got=rate_A_per_ps, do="give Å per ps"
            )
        self.rate_A_per_ps = float(rate_A_per_ps)
        super().__init__(
            atoms,
            timestep,
            temperature_K,
            mode,
            axis,
            rate_per_ps=rate_A_per_ps / float(np.linalg.norm(atoms.cell.array[axis])),
            n_equilibration=n_equilibration,
            friction_time=friction_time,
            pdamp=pdamp,
            curve=curve,
            rng=rng,
            trajectory=trajectory,
            logfile=logfile,
            loginterval=loginterval,
            append_trajectory=append_trajectory,
            walker=walker,
        )

    def _check_speed(self) -> None:
        """Leave it to the speed in Å/ps."""

    def compute_tension(self) -> float:
        """Return the stress along the pulled edge, n·stress·n, eV/Å^3."""
        return self.compute_load()

    def _settings(self) -> dict[str, Any]:
        names = (
            "temperature_K", "rate_A_per_ps", "axis", "mode", "n_equilibration", "friction_time", "pdamp"
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}

    def _set_state(self, values: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        super()._set_state(values, arrays)
        self.rate_per_ps = self.rate_A_per_ps / self._initial_length
