"""The physical objects that a configuration names: crystals, empirical potential, baselines."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ase import Atoms

from asennp.config import Config
from asennp.structures import build_phase

if TYPE_CHECKING:
    from asennp.calculators.buckingham import BuckinghamCoulomb


def formula(config: Config) -> str:
    """Return the compound's formula, the cation first."""
    return "".join(sorted(config.system.charges, key=lambda s: -config.system.charges[s]))


def unit_charges(config: Config) -> dict[str, float]:
    """Return the signs of the charges: the sweep scales them by q."""
    largest = max(abs(q) for q in config.system.charges.values())
    return {species: q / largest for species, q in config.system.charges.items()}


def long_range(config: Config) -> str:
    """Name what the hybrid model adds to its networks."""
    return "PQEq" if config.train.electrostatics == "pqeq" else "Coulomb at q_eff"


def crystal(config: Config, phase: str, cells: int | tuple[int, int, int] = 1, cubic: bool = True) -> Atoms:
    """Build a phase at the empirical potential's lattice constants."""
    p = config.system.phases[phase]
    return build_phase(formula(config), p.prototype, p.a, c=p.c, u=p.u, cubic=cubic, repeat=cells)


def primitive_crystals(config: Config) -> Mapping[str, Atoms]:
    """Build the smallest cell of every phase."""
    return {phase: crystal(config, phase, cubic=False) for phase in config.system.phases}


def empirical(config: Config, coulomb: bool = True) -> "BuckinghamCoulomb":
    """Make the empirical potential; without `coulomb`, its short-range part alone."""
    from asennp.calculators.buckingham import BuckinghamCoulomb

    p = config.potential
    return BuckinghamCoulomb(p.name, coulomb=coulomb, cutoff=p.cutoff, accuracy=p.accuracy, guard=p.guard)
