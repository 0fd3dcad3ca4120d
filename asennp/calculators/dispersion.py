"""Grimme's D3 dispersion correction, by the package dftd3."""

from typing import Any

import numpy as np
from ase import Atoms
from ase.units import Bohr, Hartree

from asennp.calculators.base import OnePassCalculator, pack_results
from asennp.electrostatics.screened import refuse_overlap
from asennp.errors import InputError
from asennp.neighbors import check_geometry, complete_cell, neighbor_pairs

_DAMPINGS = {"d3bj": "RationalDampingParam", "d3zero": "ZeroDampingParam"}
#: Nearer atoms (Å) are looked at before dftd3 is asked.
_CLOSEST = 0.1
#: Reach of the sum over pairs and width of the taper at its end, Bohr.
_CUTOFF, _TAPER = 60.0, 10.0


class D3Calculator(OnePassCalculator):
    """Dispersion energy E = -1/2 sum_ij [s6 C6/r^6 f6(r) + s8 C8/r^8 f8(r)], of atoms in their environment.

    Half of each pair's energy goes to each atom.

    Parameters
    ----------
    method
        Density functional whose parameters are taken, such as ``"pbe"``.
    damping
        ``"d3bj"`` (Becke-Johnson) or ``"d3zero"``.
    three_body
        Add the Axilrod-Teller-Muto term; it takes hundreds of times as long.

    Raises
    ------
    InputError
        dftd3 is not installed, or has no parameters for the method.

    References
    ----------
    S. Grimme et al., J. Chem. Phys. 132, 154104 (2010), doi:10.1063/1.3382344; S. Grimme, S. Ehrlich,
    L. Goerigk, J. Comput. Chem. 32, 1456 (2011), doi:10.1002/jcc.21759.
    """

    default_parameters = {"method": None, "damping": "d3bj", "three_body": False}  # noqa: RUF012

    def __init__(self, method: str, damping: str = "d3bj", three_body: bool = False, **kwargs: Any) -> None:
        super().__init__(method=method, damping=damping, three_body=three_body, **kwargs)

    def set(self, **kwargs: Any) -> dict[str, Any]:
        """Change parameters, as given to the constructor; results are dropped."""
        changed = super().set(**kwargs)
        self._damping()
        return changed

    def _damping(self) -> Any:
        """Make the library's damping object; it does not pickle, so it is not kept."""
        method, damping = self.parameters["method"], self.parameters["damping"]
        if damping not in _DAMPINGS:
            raise InputError("unknown damping", where="damping", expected=" or ".join(_DAMPINGS), got=damping)
        interface = _load_dftd3()
        try:
            return getattr(interface, _DAMPINGS[damping])(
                method=method, atm=bool(self.parameters["three_body"])
            )
        except RuntimeError as error:
            raise InputError(
                f"dftd3 has no {damping} parameters for this functional", where="dispersion", got=method
            ) from error

    def compute(self, atoms: Atoms) -> dict[str, Any]:
        """Return every property."""
        volume = check_geometry(atoms.positions, atoms.cell.array, atoms.pbc)
        energies, forces, virial = self.terms(atoms)
        return pack_results(energies, forces, virial, volume if atoms.pbc.all() else 0.0)

    def terms(self, atoms: Atoms) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return atomic energies (N,) eV, forces (N, 3) eV/Å and the virial dE/deps (3, 3) eV."""
        damping = self._damping()
        cell = complete_cell(atoms.cell.array)
        close = neighbor_pairs(atoms.positions, cell, atoms.pbc, _CLOSEST).distances
        if len(close):
            refuse_overlap(float(close.min()))
        model = _load_dftd3().DispersionModel(atoms.numbers, atoms.positions / Bohr, cell / Bohr, atoms.pbc)
        # a sharp end of the sum would make the energy jump as pairs cross it
        model.set_realspace_cutoff(disp2=_CUTOFF, disp3=40.0, cn=40.0, width2=_TAPER, width3=_TAPER)
        try:
            total = model.get_dispersion(damping, grad=True)
            pairs = model.get_pairwise_dispersion(damping)
        except RuntimeError as error:
            raise InputError(f"dftd3 cannot do these atoms ({error})", where="atoms") from error
        energies = sum(np.asarray(matrix).sum(axis=1) for matrix in pairs.values()) * Hartree
        return energies, -total["gradient"] * Hartree / Bohr, total["virial"] * Hartree


def _load_dftd3() -> Any:
    try:
        from dftd3 import interface
    except ImportError as error:
        raise InputError(
            "the package dftd3 is not installed", where="dispersion", do="pip install asennp[d3]"
        ) from error
    return interface
