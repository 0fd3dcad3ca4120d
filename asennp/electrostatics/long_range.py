"""The long range of a trained model: point charges of the species, or polarizable charge equilibration."""

from collections.abc import Mapping

import numpy as np
from ase import Atoms

from asennp.electrostatics.charges import assign_charges
from asennp.electrostatics.equilibration import Equilibration
from asennp.electrostatics.splitting import Splitting


def make_long_range(
    electrostatics: str, backend: str, accuracy: float, device: str
) -> Splitting | Equilibration:
    """Return the sum of a model.

    Parameters
    ----------
    electrostatics
        ``"point"`` or ``"pqeq"``, see `asennp.models.Model`.
    backend, device
        Of the potential; with ``"torch"`` point charges are summed there too, PQEq always on the CPU.
    accuracy
        Relative force error.
    """
    if electrostatics == "pqeq":
        return Equilibration(accuracy=accuracy)
    return Splitting("torch-pme" if backend == "torch" else "auto", accuracy, device=device)


def long_range_terms(
    long_range: Splitting | Equilibration, atoms: Atoms, charges: Mapping[str, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return atomic energies (N,), forces (N, 3), the virial dE/deps (3, 3) and charges (N,); eV, Å, e."""
    if isinstance(long_range, Equilibration):
        return long_range.terms(atoms)
    assigned = assign_charges(atoms.numbers, charges, where="the model's charges")
    return *long_range.compute(atoms.positions, atoms.cell.array, assigned, atoms.pbc), assigned
