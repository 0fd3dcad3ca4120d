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
