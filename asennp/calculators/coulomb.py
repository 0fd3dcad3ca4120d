"""Point charges as an ASE calculator."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from ase import Atoms

from asennp.calculators.base import ChargedCalculator, pack_results
from asennp.electrostatics.charges import assign_charges, check_charges
from asennp.electrostatics.splitting import Splitting
from asennp.errors import InputError
from asennp.neighbors import check_geometry


class CoulombCalculator(ChargedCalculator):
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
    threads
        Threads of one evaluation (not of torch-pme, which has its own setting); results do not depend on it.

    Attributes
    ----------
    electrostatics
        The sum in use, with its settings; chosen at each calculation unless `hold` was called.
    """

    splitting: Splitting
    implemented_properties = ["energy", "free_energy", "energies", "forces", "stress", "charges"]  # noqa: RUF012
    default_parameters = {  # noqa: RUF012
        "charges": {}, "method": "auto", "accuracy": 1e-6, "background": False, "device": "cpu",
        "threads": 1,
    }  # fmt: skip

    def __init__(
        self,
        charges: Mapping[str, float],
        method: str = "auto",
        accuracy: float = 1e-6,
        background: bool = False,
        device: str = "cpu",
        threads: int = 1,
        **kwargs: Any,
    ) -> None:
        kwargs |= {"background": background, "device": device, "threads": threads}
        super().__init__(charges=charges, method=method, accuracy=accuracy, **kwargs)

    def set(self, **kwargs: Any) -> dict[str, Any]:
        """Change parameters, as given to the constructor; results are dropped."""
        if "charges" in kwargs:
            kwargs["charges"] = check_charges(kwargs["charges"])
        changed = super().set(**kwargs)
        p = self.parameters
        self.splitting = Splitting(p["method"], p["accuracy"], threads=p["threads"], device=p["device"])
        return changed

    def compute(self, atoms: Atoms) -> dict[str, Any]:
        """Return energies, forces, stress and charges."""
        volume = check_geometry(atoms.positions, atoms.cell.array, atoms.pbc)
        charges = assign_charges(atoms.numbers, self.parameters["charges"], self.parameters["background"])
        sums = self.splitting.compute(atoms.positions, atoms.cell.array, charges, atoms.pbc)
        results = pack_results(*sums, volume)
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
