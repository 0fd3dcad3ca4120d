"""Negative controls: MOMT with one term of the equations of motion wrong, each its own mistake."""

import numpy as np

from asennp.md.momt import MOMT, Point


class AlphaOnKinetic(MOMT):
    """The wrong build: alpha multiplies the kinetic term of the piston too."""

    def __init__(self, *args, **kwargs) -> None:  # type: ignore[no-untyped-def]
        super().__init__(*args, **kwargs)
        cell = self.integrator.cell
        right = cell.piston_force
        cell.piston_force = lambda virial, flux: right(virial, self.point.alpha * flux)


class PressureUnscaled(MOMT):
    """The wrong build: the external pressure is not multiplied by alpha."""

    def _virial(self, point: Point) -> np.ndarray:
        return super()._virial(point) + np.eye(3) * point.volume * (point.alpha - 1.0) * self.pressure_au


class GammaDropped(MOMT):
    """The wrong build: no force from the order parameters."""

    def _forces(self, point: Point) -> np.ndarray:
        return point.alpha * point.evaluation.forces

    def _virial(self, point: Point) -> np.ndarray:
        point.gammas = tuple(0.0 for _ in point.gammas)
        return super()._virial(point)
