"""The partial enthalpy dH(H, O): what the dynamics asks of a bias, and the linear one."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

#: dH and its derivatives: alpha = 1 + d dH/dH, gamma_k = d dH/dO_k.
BiasValue = tuple[float, float, tuple[float, ...]]


class Bias(ABC):
    """A partial enthalpy dH(H, O): the run samples exp(-(H + dH)/kT0)."""

    n_orders: int

    @abstractmethod
    def evaluate(self, enthalpy: float, *orders: float) -> BiasValue:
        """Return dH (eV), alpha = 1 + d dH/dH and gamma_k = d dH/dO_k (eV)."""

    @abstractmethod
    def todict(self) -> dict[str, Any]:
        """Return the settings as plain values."""

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the state that belongs into a restart file."""
        return {}

    def update(self, enthalpy: float, *orders: float) -> None:  # noqa: B027  (a hook)
        """Learn from a visit; a fixed bias does not."""

    def check(self, temperature_K: float, pressure_au: float | None) -> None:  # noqa: B027  (a hook)
        """Raise InputError if the bias belongs to another temperature or pressure."""

    @property
    def frozen(self) -> bool:
        """Whether `update` leaves dH as it is."""
        return True

    @property
    def n_updates(self) -> int:
        """How often dH was changed."""
        return 0

    def outside(self, enthalpy: float, *orders: float) -> str | None:
        """Return the name of the axis on which a point lies off the mesh, if any."""
        return None


class LinearBias(Bias):
    """dH = c_H H + sum_k c_k O_k.

    With c_H = lambda - 1 alone, averages are those of plain NPT at T0/lambda and the same pressure; with
    c_k alone it is a linear umbrella.

    Parameters
    ----------
    enthalpy
        c_H.
    order
        c_k, eV: a number for one order parameter, a sequence for several, nothing for none.
    """

    def __init__(self, enthalpy: float = 0.0, order: float | Sequence[float] = ()) -> None:
        self.enthalpy = float(enthalpy)
        self.orders = tuple(float(c) for c in np.atleast_1d(np.asarray(order, dtype=float)))
        self.n_orders = len(self.orders)

    def evaluate(self, enthalpy: float, *orders: float) -> BiasValue:
        """Return dH, alpha and gamma."""
        value = self.enthalpy * enthalpy + sum(c * o for c, o in zip(self.orders, orders))
        return value, 1.0 + self.enthalpy, self.orders

    def todict(self) -> dict[str, Any]:
        """Return the coefficients."""
        return {"kind": "linear", "enthalpy": self.enthalpy, "order": list(self.orders)}
