"""Integrators by name: a bath (chains, Langevin, none) times a motion of the cell."""

from collections.abc import Sequence

import numpy as np
from ase import Atoms

from asennp.errors import InputError, nearest
from asennp.md.integrators.base import Drive, Integrator
from asennp.md.integrators.cells import CellMotion, FixedCell, IsotropicCell
from asennp.md.integrators.chains import Chains
from asennp.md.integrators.flexible import FlexibleCell
from asennp.md.integrators.langevin import Langevin
from asennp.md.integrators.verlet import Verlet

__all__ = [
    "INTEGRATORS",
    "CellMotion",
    "Chains",
    "Drive",
    "FixedCell",
    "FlexibleCell",
    "Integrator",
    "IsotropicCell",
    "Langevin",
    "Verlet",
    "build_integrator",
    "cell_moves",
    "default_integrator",
]

#: Bath and motion of the cell of each name.
INTEGRATORS: dict[str, tuple[type[Integrator], type[CellMotion]]] = {
    "nose-hoover": (Chains, FixedCell),
    "mtk-isotropic": (Chains, IsotropicCell),
    "mtk-flexible": (Chains, FlexibleCell),
    "langevin": (Langevin, FixedCell),
    "langevin-isotropic": (Langevin, IsotropicCell),
    "langevin-flexible": (Langevin, FlexibleCell),
    "verlet": (Verlet, FixedCell),
}


def default_integrator(pressure_au: float | None) -> str:
    """Return "nose-hoover" for a fixed cell, "mtk-isotropic" where there is a pressure."""
    return "nose-hoover" if pressure_au is None else "mtk-isotropic"


def cell_moves(name: str) -> bool:
    """Tell whether an integrator moves the cell; an unknown name raises InputError."""
    if name not in INTEGRATORS:
        raise InputError("unknown integrator", where="integrator", got=name, do=nearest(name, INTEGRATORS))
    return INTEGRATORS[name][1] is not FixedCell


def build_integrator(
    name: str,
    atoms: Atoms,
    kT: float,
    timestep: float,
    *,
    tdamp: float,
    pdamp: float,
    chain_length: int = 3,
    rng: np.random.Generator | None = None,
    mask: Sequence[str] | None = None,
    shape_limit: float | None = None,
) -> Integrator:
    """Make an integrator.

    Parameters
    ----------
    name
        One of `INTEGRATORS`.
    atoms
        Atoms with momenta; those of chains lose their total momentum.
    kT, timestep
        Temperature, eV, and ASE time.
    tdamp, pdamp
        Time constants of particles and cell, ASE time: of the chains, or 1/friction of Langevin's bath.
    chain_length
        Members of each chain.
    rng
        Source of Langevin's noise.
    mask, shape_limit
        Free components and limit of shape of a flexible cell, see `FlexibleCell`.
    """
    cell_moves(name)  # refuses an unknown name
    bath, motion = INTEGRATORS[name]
    n_dof = 3 * len(atoms) - (0 if bath is Langevin else 3)
    if motion is FlexibleCell:
        limit = {} if shape_limit is None else {"shape_limit": shape_limit}
        cell: CellMotion = FlexibleCell(atoms, n_dof, kT, pdamp, mask, **limit)
    elif mask is not None or shape_limit is not None:
        raise InputError(
            "only a flexible cell has components and a shape",
            where="mask" if mask is not None else "shape_limit",
            got=name,
            do="choose mtk-flexible or langevin-flexible",
        )
    else:
        cell = motion(atoms, n_dof, kT, pdamp)
    if bath is Verlet:
        return Verlet(atoms, cell, kT, timestep)
    if bath is Chains:
        return Chains(atoms, cell, kT, timestep, tdamp, pdamp, chain_length)
    if rng is None:
        raise InputError("Langevin dynamics draws random forces", where="rng", expected="a Generator")
    return Langevin(atoms, cell, kT, timestep, tdamp, pdamp, rng)
