"""What our calculators share: every property in one pass, from the atoms alone."""

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, Protocol

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
    _frame: Atoms | None = None

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
        if atoms is not None:
            # ASE's own method copies all of the atoms and looks for a folder, a tenth of a step of 64 atoms
            self.atoms = self._frame = _copy_onto(self._frame, atoms)
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


class LongRange(Protocol):
    """A long-range sum whose choice of settings can be held: a `Splitting`, or an `Equilibration`."""

    @property
    def sum(self) -> Any:
        """The sum in use, with its settings."""

    def hold(self) -> None:
        """Keep the last choice, if there was one to make, for cells of as many atoms."""

    def release(self) -> None:
        """Choose for each cell again."""

    def state(self) -> dict[str, Any] | None:
        """Return what is held, as plain values; None if nothing is."""

    def restore(self, state: dict[str, Any] | None) -> None:
        """Hold what `state` returned, perhaps in another process."""


class ChargedCalculator(OnePassCalculator):
    """Calculator with a long-range sum, whose splitting can be held through a run.

    Left alone, the splitting (sum, reach, mesh) is chosen anew for each cell, so results depend on the atoms
    alone. `hold` keeps it; this package's dynamics and strain scans call it, and keep `held` in their
    restarts.
    """

    #: Set by the subclass, anew whenever parameters change.
    splitting: LongRange

    @property
    def electrostatics(self) -> Any:
        """The sum of the last calculation, with its settings."""
        return self.splitting.sum

    def hold(self, atoms: Atoms) -> None:
        """Evaluate `atoms`, and keep the splitting chosen for them for every cell of as many atoms.

        Where a cell has grown so far that a mesh would miss the accuracy, the choice for that cell is held
        from there on.
        """
        self.splitting.release()
        self.reset()
        self.calculate(atoms)
        self.splitting.hold()

    def held(self) -> dict[str, Any] | None:
        """Return the splitting that is held, as plain values; None if each cell has its own."""
        return self.splitting.state()

    def set_held(self, held: dict[str, Any] | None) -> None:
        """Hold what `held` returned (None: nothing); results of another choice are dropped."""
        if held != self.held():
            self.splitting.restore(held)
            self.reset()


def _copy_onto(last: Atoms | None, atoms: Atoms) -> Atoms:
    """Return a copy of what results depend on, in the last copy where only positions and cell differ."""
    if (
        last is None
        or last.arrays.keys() != atoms.arrays.keys()
        or len(last) != len(atoms)
        or not (last.numbers == atoms.numbers).all()
        or not (last.pbc == atoms.pbc).all()
    ):
        return atoms.copy()
    for name, array in atoms.arrays.items():
        if array.shape != last.arrays[name].shape or array.dtype != last.arrays[name].dtype:
            return atoms.copy()
        last.arrays[name][...] = array
    last.cell.array[...] = atoms.cell.array
    return last


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
