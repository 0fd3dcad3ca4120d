"""Charges of species and the neutrality of a cell."""

from collections.abc import Mapping

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from asennp.errors import InputError, nearest

#: A cell whose charges sum to less than this (in e) counts as neutral.
NEUTRALITY = 1e-6


def check_charges(charges: Mapping[str, float], where: str = "charges") -> dict[str, float]:
    """Return species charges as plain floats (in e); refuse names that are no elements and odd values."""
    checked = {}
    for symbol, charge in charges.items():
        if symbol not in atomic_numbers or symbol == "X":
            raise InputError("not a chemical symbol", where=where, got=symbol)
        try:
            checked[str(symbol)] = float(charge)
        except (TypeError, ValueError):
            checked[str(symbol)] = np.nan
        if not np.isfinite(checked[str(symbol)]):
            raise InputError(
                "a charge is not a number", where=f"{where}.{symbol}", expected="a number, in e", got=charge
            )
    return checked


def assign_charges(
    numbers: np.ndarray, charges: Mapping[str, float], background: bool = False, where: str = "charges"
) -> np.ndarray:
    """Return the charge of each atom, (N,), in e.

    Parameters
    ----------
    numbers
        Atomic numbers, (N,).
    charges
        Charge of each species.
    background
        Accept a cell that is not neutral: a uniform background then compensates it.

    Raises
    ------
    InputError
        A species without a charge, or a sum that is not zero (which the message names).
    """
    table = np.full(len(chemical_symbols), np.nan)
    for symbol, charge in charges.items():
        table[atomic_numbers[symbol]] = charge
    assigned = table[numbers]
    if np.isnan(assigned).any():
        unknown = chemical_symbols[int(np.asarray(numbers)[np.isnan(assigned)][0])]
        raise InputError(
            f"no charge for {unknown}", where=where, expected=unknown, do=nearest(unknown, charges)
        )
    total = float(assigned.sum())
    if abs(total) > NEUTRALITY and not background:
        raise InputError(
            "the cell is not neutral",
            where=where,
            expected="charges that sum to zero",
            got=f"{total:+.6g} e",
            do="correct the charges or the composition, or accept a uniform background (background=True)",
        )
    return assigned


def born_charges(numbers: np.ndarray, charges: Mapping[str, float]) -> np.ndarray:
    """Return the Born charges Z*_i = dP/du_i = q_i I of a model of fixed charges, (N, 3, 3), in e.

    With eps = 1 they give the non-analytical term of the model's own phonons; they are not those of the
    material, see `physical_born_charges`.

    Parameters
    ----------
    numbers
        Atomic numbers, (N,).
    charges
        Charge of each species; none at all give zeros.
    """
    q = assign_charges(numbers, charges, background=True) if charges else np.zeros(len(numbers))
    return q[:, None, None] * np.eye(3)


def physical_born_charges(numbers: np.ndarray, charges: Mapping[str, float], eps_inf: float) -> np.ndarray:
    """Return the estimate Z*_i = sqrt(eps_inf) q_i I of the material's Born charges, (N, 3, 3), in e.

    Effective charges stand for charges screened by the electrons, q = Z*/sqrt(eps_inf). The estimate is for
    comparison with measured and computed Born charges; with eps_inf in place of 1 it gives the same
    non-analytical term as `born_charges`.

    Parameters
    ----------
    numbers, charges
        As for `born_charges`.
    eps_inf
        Electronic (high-frequency) dielectric constant of the material.
    """
    if not (np.isfinite(eps_inf) and eps_inf >= 1.0):
        raise InputError("not a dielectric constant", where="eps_inf", expected="at least 1", got=eps_inf)
    return float(np.sqrt(eps_inf)) * born_charges(numbers, charges)
