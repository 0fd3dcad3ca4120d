"""Point charges as an ASE calculator."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from asennp.electrostatics.charges import assign_charges, check_charges
from asennp.electrostatics.ewald import Ewald, check_accuracy
from asennp.errors import InputError, nearest
from asennp.neighbors import check_geometry

METHODS = ("auto", "ewald", "pme", "torch-pme")


class CoulombCalculator(Calculator):
    """Coulomb energy of point charges that depend on the species alone.

    Tin-foil boundaries in periodic cells, the plain sum in open ones. Atomic energies are q_i phi_i/2.

    Parameters
    ----------
    charges
        Charge of each species, e.
    method
        ``"ewald"``, ``"pme"`` or ``"torch-pme"``; ``"auto"`` takes the cheaper by a cost model.
    accuracy
        Relative error of the forces.
    background
        Accept a cell that is not neutral: a uniform background compensates it.
    device
        Of the torch-pme backend.
    """

    implemented_properties = ["energy", "free_energy", "energies", "forces", "stress", "charges"]  # noqa: RUF012
    default_parameters = {  # noqa: RUF012
        "charges": {}, "method": "auto", "accuracy": 1e-6, "background": False, "device": "cpu",
    }  # fmt: skip

    def __init__(
        self,
        charges: Mapping[str, float],
        method: str = "auto",
        accuracy: float = 1e-6,
        background: bool = False,
        device: str = "cpu",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            charges=charges, method=method, accuracy=accuracy, background=background, device=device, **kwargs
        )

    def set(self, **kwargs: Any) -> dict[str, Any]:
        """Change parameters, as given to the constructor; results are dropped."""
        for key in kwargs:
            if key not in self.default_parameters:
                raise InputError(
                    "unknown parameter", where="CoulombCalculator", got=key,
                    do=nearest(key, self.default_parameters),
                )  # fmt: skip
        if "charges" in kwargs:
            kwargs["charges"] = check_charges(kwargs["charges"])
        if kwargs.get("method", "auto") not in METHODS:
            raise InputError(
                "unknown method", where="method", got=kwargs["method"], do=nearest(kwargs["method"], METHODS)
            )
        changed: dict[str, Any] = super().set(**kwargs)
        self.reset()
        check_accuracy(self.parameters["accuracy"])
        #: The sum in use, with its settings.
        self.electrostatics: Any = Ewald(self.parameters["accuracy"])
        return changed

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Fill `results` with every property in one pass."""
        super().calculate(atoms, properties or ["energy"], system_changes)
        positions, cell, pbc = self.atoms.positions, self.atoms.cell.array, self.atoms.pbc
        volume = check_geometry(positions, cell, pbc)
        charges = assign_charges(
            self.atoms.numbers, self.parameters["charges"], background=self.parameters["background"]
        )
        energies, forces, virial = self.electrostatics.compute(positions, cell, charges, pbc)
        energy = float(energies.sum())
        self.results = {
            "energy": energy, "free_energy": energy, "energies": energies, "forces": forces, "charges": charges,
        }  # fmt: skip
        if volume > 0.0:
            self.results["stress"] = virial.ravel()[[0, 4, 8, 5, 2, 1]] / volume


def scale(results: Mapping[str, Any], factor: float) -> dict[str, Any]:
    """Return Coulomb results at charges times `factor`: X(q) = factor^2 X(1), charges times factor."""
    return {
        key: np.multiply(value, factor if key == "charges" else factor**2) for key, value in results.items()
    }
