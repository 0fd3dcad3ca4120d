"""What our calculators share: every property in one pass, from the atoms alone."""

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from asennp.errors import InputError, nearest

#: What the results may depend on; other things that atoms carry (tags, momenta...) do not matter.
STATE = ("positions", "numbers", "cell", "pbc")


class OnePassCalculator(Calculator):
    """ASE calculator that fills all its results at once, as a function of the atoms alone.

    Subclasses implement `compute`; they take parameters by `set`, which checks their names.
    """

    implemented_properties = ["energy", "free_energy", "energies", "forces", "stress"]  # noqa: RUF012

    @abstractmethod
    def compute(self, atoms: Atoms) -> dict[str, Any]:
        """Return every property of `atoms`."""

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Fill `results` with every property."""
        super().calculate(atoms, properties or ["energy"], system_changes)
        frame: Any = self.atoms
        self.results = self.compute(frame)

    def check_state(self, atoms: Atoms, tol: float = 0.0) -> list[str]:
        """Name what has changed since the last calculation; any change counts, however small."""
        last = self.atoms
        if last is None:
            return list(all_changes)
        if len(last) != len(atoms):
            return list(STATE)
        pairs: Iterable[tuple[str, np.ndarray, np.ndarray]] = (
            ("positions", last.positions, atoms.positions),
            ("numbers", last.numbers, atoms.numbers),
            ("cell", last.cell.array, atoms.cell.array),
            ("pbc", last.pbc, atoms.pbc),
        )
        return [name for name, old, new in pairs if not (old == new).all()]

    def set(self, **kwargs: Any) -> dict[str, Any]:
        """Change parameters, as given to the constructor; results are dropped."""
        for key in kwargs:
            if key not in self.default_parameters:
                raise InputError(
                    "unknown parameter",
                    where=type(self).__name__,
                    got=key,
                    do=nearest(key, self.default_parameters),
                )
        changed: dict[str, Any] = super().set(**kwargs)
        self.reset()
        return changed


def pack_results(
    energies: np.ndarray, forces: np.ndarray, virial: np.ndarray, volume: float
) -> dict[str, Any]:
    """Return ASE's properties from atomic energies (eV), forces (eV/Å) and the virial dE/deps (eV).

    The stress is virial/V in Voigt order xx yy zz yz xz xy; without a volume there is none.
    """
    energy = float(energies.sum())
    results = {"energy": energy, "free_energy": energy, "energies": energies, "forces": forces}
    if volume > 0.0:
        results["stress"] = virial.ravel()[[0, 4, 8, 5, 2, 1]] / volume
    return results
