"""The non-analytical term of phonons: Born charges and dielectric tensor, the model's own or a user's."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms

from asennp.errors import InputError
from asennp.results import Result

#: How far Born charges may miss neutrality, e, before they are refused.
_NEUTRALITY = 0.05
#: How far charges may move with the ions and still be called fixed, e.
_FIXED = 1e-6


@dataclass(frozen=True, eq=False)
class BornCharges(Result):
    """What the long-range part of the dynamical matrix needs.

    Attributes
    ----------
    charges
        (N, 3, 3) Born effective charges Z*_i = dP/du_i, e; they sum to zero.
    dielectric
        (3, 3) electronic dielectric tensor, no unit.
    source
        "model" (fixed charges: Z* = q I and no electronic screening, which is right for the model's own
        dynamics) or "given".
    """

    charges: np.ndarray
    dielectric: np.ndarray
    source: str

    @classmethod
    def given(cls, charges: np.ndarray, dielectric: np.ndarray | float) -> "BornCharges":
        """Take a user's Born charges (N, 3, 3) or (N,), and dielectric tensor (3, 3) or constant.

        Raises
        ------
        InputError
            Shapes that do not fit, a dielectric tensor that is not positive, or charges whose sum is not
            small (0.05 e); what remains of the sum is taken out evenly.
        """
        z = np.asarray(charges, float)
        z = z[:, None, None] * np.eye(3) if z.ndim == 1 else z
        epsilon = np.asarray(dielectric, float)
        epsilon = epsilon * np.eye(3) if epsilon.ndim == 0 else epsilon
        if z.ndim != 3 or z.shape[1:] != (3, 3) or epsilon.shape != (3, 3):
            raise InputError(
                "not Born charges and a dielectric tensor",
                where="born",
                expected="(N, 3, 3) and (3, 3)",
                got=f"{z.shape} and {epsilon.shape}",
            )
        if np.linalg.eigvalsh(0.5 * (epsilon + epsilon.T)).min() <= 0.0:
            raise InputError(
                "the dielectric tensor is not positive", where="dielectric", got=epsilon.tolist()
            )
        rest = z.sum(axis=0)
        if np.abs(rest).max() > _NEUTRALITY:
            raise InputError(
                "Born charges must sum to zero",
                where="born",
                expected=f"every component of the sum below {_NEUTRALITY} e",
                got=rest.round(4).tolist(),
                do="give the charges of every atom of the cell, in the order of the atoms",
            )
        return cls(z - rest / len(z), epsilon, "given")


def model_born_charges(atoms: Atoms, calculator: Any) -> BornCharges | None:
    """Return Z* = q I and eps = 1 of a calculator of fixed charges; None where it has no charges.

    Point charges that ride on the ions polarise by dP = sum q_i du_i and nothing screens them, so these,
    and not the material's Born charges, give the long-wavelength limit of the model's own phonons.

    Raises
    ------
    InputError
        The charges change when ions move: q I is then not dP/du.
    """
    if "charges" not in getattr(calculator, "implemented_properties", ()):
        return None
    frame = Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    frame.calc = calculator
    try:
        charges = np.array(frame.get_charges())
    except NotImplementedError:  # a network without a Coulomb term
        return None
    frame.positions[0] += 0.02
    moved = np.array(frame.get_charges())
    if np.abs(moved - charges).max() > _FIXED:
        raise InputError(
            "the charges follow the ions, so Z* is not q times the unit matrix",
            where=type(calculator).__name__,
            expected="fixed charges",
            got=f"a change of {np.abs(moved - charges).max():.2g} e for a displacement of 0.02 Å",
            do="give Born charges and a dielectric tensor (BornCharges.given), or born=None",
        )
    if np.abs(charges).max() < 1e-12:
        return None
    return BornCharges(charges[:, None, None] * np.eye(3), np.eye(3), "model")
