"""Polarisation of a crystal from Born charges and displacements from its sites of high symmetry."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from ase import Atoms, units

from asennp.errors import InputError

#: C/m^2 in one e/Å^2.
C_M2 = 1e20 / units.C
#: Displacements beyond this, Å, mean that atoms and sites are not in the same order.
_FAR = 1.2
#: How far Born charges may miss neutrality, e a cell; what is left is taken out evenly.
_NEUTRALITY = 0.05


@dataclass(frozen=True, eq=False)
class Sites:
    """The paraelectric reference that displacements are measured from.

    Attributes
    ----------
    atoms
        Cell of high symmetry; only its scaled positions count.
    charges
        (N, 3, 3) Born effective charges of its atoms, e: dP/du; they sum to zero.
    """

    atoms: Atoms
    charges: np.ndarray

    @classmethod
    def given(cls, atoms: Atoms, charges: np.ndarray) -> "Sites":
        """Check and neutralise Born charges (N, 3, 3), or (N,) for scalars.

        Raises
        ------
        InputError
            They do not fit the atoms, or their sum is beyond 0.05 e.
        """
        z = np.asarray(charges, float)
        z = z[:, None, None] * np.eye(3) if z.ndim == 1 else z
        if z.shape != (len(atoms), 3, 3):
            raise InputError(
                "Born charges do not fit the sites", where="born", expected=(len(atoms), 3, 3), got=z.shape
            )
        rest = z.sum(axis=0)
        if np.abs(rest).max() > _NEUTRALITY:
            raise InputError(
                "Born charges must sum to zero, or the polarisation depends on where the crystal drifts",
                where="born",
                expected=f"every component of the sum below {_NEUTRALITY} e",
                got=np.round(rest, 4).tolist(),
            )
        return cls(atoms, z - rest / len(z))

    def observer(self, start: Atoms, repeat: tuple[int, int, int]) -> Callable[[Atoms], np.ndarray]:
        """Return a function of frames of a run that began at `start` (a `repeat` of the cell).

        It gives P = sum_i Z*_i u_i / V, (3,), C/m^2, on the branch nearest to zero at the start. The
        charges' sum being zero, the drift of the crystal does not enter.

        Raises
        ------
        InputError
            The atoms are not those of the sites, or further than 1.2 Å from them.
        """
        big = self.atoms.repeat(repeat)
        charges = np.tile(self.charges, (int(np.prod(repeat)), 1, 1))
        if not np.array_equal(big.numbers, start.numbers):
            raise InputError(
                "not the atoms of the sites, in their order",
                where="sites",
                expected=big.get_chemical_formula(),
                got=start.get_chemical_formula(),
            )
        scaled = start.cell.scaled_positions(start.positions)
        home = big.get_scaled_positions()
        home = home + np.round(scaled - home)
        shift = scaled - home
        shift -= shift.mean(axis=0)
        far = float(np.linalg.norm(shift @ start.cell.array, axis=1).max())
        if far > _FAR:
            raise InputError(
                "atoms are far from their sites", where="sites", expected=f"{_FAR} Å", got=f"{far:.2f} Å",
                do="bring atoms and sites into the same order and setting",
            )  # fmt: skip

        def polarisation(atoms: Atoms) -> np.ndarray:
            away = atoms.cell.scaled_positions(atoms.positions) - home
            away = (away - away.mean(axis=0)) @ atoms.cell.array
            return np.asarray(np.einsum("iab,ib->a", charges, away) / atoms.cell.volume * C_M2)

        return polarisation
