"""Point charges as an ASE calculator."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from ase import Atoms

from asennp.calculators.base import OnePassCalculator, pack_results
from asennp.electrostatics.charges import assign_charges, check_charges
from asennp.electrostatics.ewald import Ewald
from asennp.electrostatics.mesh import TorchSum
from asennp.electrostatics.pme import PME, prefer_mesh
from asennp.electrostatics.screened import check_accuracy
from asennp.electrostatics.slab import is_slab, pad_slab
from asennp.errors import InputError, nearest
from asennp.neighbors import check_geometry

METHODS = ("auto", "ewald", "pme", "torch-pme")


class CoulombCalculator(OnePassCalculator):
    """Coulomb energy of point charges that depend on the species alone.

    Tin-foil boundaries in periodic cells; slabs (two periodic directions) as `asennp.electrostatics.slab`
    says; the plain sum in open systems. Atomic energies are q_i phi_i/2.
    All results but the charges grow as the square of the charges: see `scaled`.

    Parameters
    ----------
    charges
        Charge of each species, e.
    method
        ``"ewald"``; ``"pme"``: smooth particle-mesh Ewald; ``"auto"``: the cheaper of both by a cost model
        of the cell, the number of atoms and the accuracy; ``"torch-pme"``: torch-pme's Ewald sum for small
        cells and its particle-mesh sum for large ones.
    accuracy
        Relative error of the forces.
    background
        Accept a cell that is not neutral: a uniform background compensates it.
    device
        Of the torch-pme backend.

    Attributes
    ----------
    electrostatics
        The sum in use, with its settings; chosen at each calculation.
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
        if "charges" in kwargs:
            kwargs["charges"] = check_charges(kwargs["charges"])
        if kwargs.get("method", "auto") not in METHODS:
            raise InputError(
                "unknown method", where="method", got=kwargs["method"], do=nearest(kwargs["method"], METHODS)
            )
        changed = super().set(**kwargs)
        accuracy = check_accuracy(self.parameters["accuracy"])
        self.electrostatics: Ewald | PME | TorchSum = Ewald(accuracy)
        return changed

    def _choose(self, atoms: Atoms, volume: float, charges: np.ndarray) -> Ewald | PME | TorchSum:
        """Return the sum for a cell, keeping the one in use if it is of the same kind."""
        method, accuracy, cell = self.parameters["method"], self.parameters["accuracy"], atoms.cell.array
        if is_slab(atoms.pbc):
            cell = pad_slab(atoms.positions, cell, charges, atoms.pbc, accuracy)
            volume = abs(float(np.linalg.det(cell)))
        kind: type[Ewald] | type[PME] | type[TorchSum] = Ewald
        if atoms.pbc.any() and method == "torch-pme":
            kind = TorchSum
        elif atoms.pbc.any() and method == "pme":
            kind = PME
        elif atoms.pbc.any() and method == "auto":
            kind = PME if prefer_mesh(cell, len(atoms), volume, accuracy) else Ewald
        if isinstance(self.electrostatics, kind):
            return self.electrostatics
        if kind is TorchSum:
            return TorchSum("auto", accuracy, self.parameters["device"])
        return kind(accuracy=accuracy)

    def compute(self, atoms: Atoms) -> dict[str, Any]:
        """Return energies, forces, stress and charges."""
        positions, cell, pbc = atoms.positions, atoms.cell.array, atoms.pbc
        volume = check_geometry(positions, cell, pbc)
        charges = assign_charges(atoms.numbers, self.parameters["charges"], self.parameters["background"])
        self.electrostatics = self._choose(atoms, volume, charges)
        results = pack_results(*self.electrostatics.compute(positions, cell, charges, pbc), volume)
        results["charges"] = charges
        return results

    def scaled(self, q: float, atoms: Atoms | None = None) -> dict[str, Any]:
        """Return the results for all charges times `q`, without another sum: E(q) = q^2 E(1).

        Parameters
        ----------
        q
            Scale of the charges.
        atoms
            Atoms to evaluate, once for any number of scales; default: those of the last calculation.

        Returns
        -------
        dict
            ``energy``, ``free_energy``, ``energies``, ``forces``, ``charges``, and ``stress`` where there
            is a volume; units as ever.

        Raises
        ------
        InputError
            Without atoms before the first calculation, or a scale that is not finite.
        """
        if not np.isfinite(q):
            raise InputError("not a finite number", where="q", got=q)
        if atoms is not None:
            self.get_property("energy", atoms)
        if not self.results:
            raise InputError("there is no calculation yet", where="scaled", do="give atoms")
        return scale(self.results, float(q))


def scale(results: Mapping[str, Any], factor: float) -> dict[str, Any]:
    """Return Coulomb results for all charges times `factor`: X(q) = factor^2 X(1) but for the charges."""
    return {
        name: np.multiply(value, factor if name == "charges" else factor**2)
        for name, value in results.items()
    }
