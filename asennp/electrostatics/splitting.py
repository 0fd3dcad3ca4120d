"""Which Coulomb sum a calculator uses, with which splitting: chosen for each cell, or held through a run."""

from dataclasses import asdict
from typing import Any

import numpy as np

from asennp.electrostatics.ewald import Ewald, EwaldSettings
from asennp.electrostatics.mesh import TorchSettings, TorchSum
from asennp.electrostatics.pme import PME, PMESettings, prefer_mesh
from asennp.electrostatics.screened import check_accuracy
from asennp.electrostatics.slab import is_slab, sum_slab
from asennp.errors import InputError, nearest
from asennp.neighbors import check_geometry
from asennp.threads import check_threads

METHODS = ("auto", "ewald", "pme", "torch-pme")
_SETTINGS = {"ewald": EwaldSettings, "pme": PMESettings, "torch-pme": TorchSettings}

CoulombSum = Ewald | PME | TorchSum


def refuse_foreign(state: dict[str, Any], method: str, accuracy: float, anything: str | None = None) -> None:
    """Raise InputError if a held sum was made by another method than this (or `anything`), or accuracy."""
    if method in (state["method"], anything) and accuracy == state["accuracy"]:
        return
    other = "" if anything is None else f" or {anything!r}"
    raise InputError(
        "the Coulomb sum to go on with is another one",
        where="calculator",
        expected=f"method {state['method']!r}{other}, accuracy {state['accuracy']:g}",
        got=f"method {method!r}, accuracy {accuracy:g}",
        do="give the calculator of the run, or start a new run from its last frame",
    )


class Splitting:
    """The Coulomb sum of a calculator.

    Left alone, sum and settings are a function of the cell, the number of atoms and the accuracy, so that
    results depend on the atoms alone; where the choice changes, the energy jumps by less than its error. Once
    `hold` was called, the last choice stays for systems of as many atoms, until a cell has grown so far that
    its mesh would miss the accuracy: then the choice for that cell is held from there on. `state` and
    `restore` carry what is held into a restart.

    Parameters
    ----------
    method
        ``"ewald"``, ``"pme"``, ``"torch-pme"``, or ``"auto"``: Ewald or PME, by a cost model.
    accuracy, shared_cutoff, threads
        See `asennp.electrostatics.screened.ScreenedSum`.
    device
        Of torch-pme.
    """

    def __init__(
        self,
        method: str = "auto",
        accuracy: float = 1e-6,
        shared_cutoff: float = 0.0,
        threads: int = 1,
        device: str = "cpu",
    ) -> None:
        if method not in METHODS:
            raise InputError("unknown method", where="method", got=method, do=nearest(method, METHODS))
        self.method, self.device = method, device
        self.accuracy, self.shared_cutoff = check_accuracy(accuracy), shared_cutoff
        self.threads = check_threads(threads)
        #: The sum in use, with its settings.
        self.sum: CoulombSum = self._make("ewald")
        self._held: CoulombSum | None = None
        self._n_atoms = self._held_atoms = 0

    def _make(self, kind: str) -> CoulombSum:
        if kind == "torch-pme":
            return TorchSum("auto", self.accuracy, self.device)
        return (PME if kind == "pme" else Ewald)(self.accuracy, self.shared_cutoff, self.threads)

    def select(self, cell: np.ndarray, n_atoms: int, volume: float, pbc: np.ndarray) -> CoulombSum:
        """Return the sum to use for a cell, periodic or open."""
        self._n_atoms = n_atoms
        if self._held is not None and n_atoms == self._held_atoms and np.any(pbc):
            self.sum = self._held
            return self.sum
        kind = self.method
        if not np.any(pbc):
            kind = "ewald"  # whose plain sum is that of open systems
        elif kind == "auto":
            mesh = prefer_mesh(cell, n_atoms, volume, self.accuracy, self.shared_cutoff)
            kind = "pme" if mesh else "ewald"
        if self.sum is self._held or self.sum.method != kind:
            self.sum = self._make(kind)
        return self.sum

    def compute(
        self, positions: np.ndarray, cell: np.ndarray, charges: np.ndarray, pbc: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return atomic energies q_i phi_i/2 (N,) eV, forces (N, 3) eV/Å and the virial dE/deps (3, 3) eV."""
        volume = check_geometry(positions, cell, pbc)
        if is_slab(pbc):
            return sum_slab(self.compute, positions, cell, charges, pbc, self.accuracy)
        return self.select(cell, len(positions), volume, pbc).compute(positions, cell, charges, pbc)

    def hold(self) -> None:
        """Keep the last choice, if there was one to make, for cells of as many atoms."""
        if self.sum.settings is not None:
            self.sum.held = self.sum.settings
            self._held, self._held_atoms = self.sum, self._n_atoms

    def release(self) -> None:
        """Choose for each cell again."""
        if self._held is not None:
            self._held.held = None
            self._held = None

    def state(self) -> dict[str, Any] | None:
        """Return what is held, as plain values; None if nothing is."""
        if self._held is None or self._held.held is None:
            return None
        held: Any = self._held.held
        return {
            "method": self._held.method,
            "accuracy": self.accuracy,
            "n_atoms": self._held_atoms,
            "settings": {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(held).items()},
        }

    def restore(self, state: dict[str, Any] | None) -> None:
        """Hold what `state` returned, perhaps in another process.

        Raises
        ------
        InputError
            If it was made by another method, or for another accuracy.
        """
        self.release()
        if state is None:
            return
        refuse_foreign(state, self.method, self.accuracy, anything="auto")
        settings = {k: tuple(v) if isinstance(v, list) else v for k, v in state["settings"].items()}
        self._held, self._held_atoms = self._make(state["method"]), int(state["n_atoms"])
        self._held.held = _SETTINGS[state["method"]](**settings)
