"""Is a calculator fit for molecular dynamics? What it offers, and whether its derivatives are derivatives."""

from dataclasses import dataclass
from typing import Any

from ase import Atoms

from asennp.errors import InputError
from asennp.evaluate.consistency import ConsistencyResult, compute_consistency
from asennp.results import Result

_NEEDED = ("energy", "forces", "stress")


@dataclass(frozen=True, eq=False)
class CheckResult(Result):
    """What was found before a long run.

    Attributes
    ----------
    consistency
        Forces and stress beside differences of the energy, and one crystal in two cells.
    findings
        What is wrong, in words; empty for a conservative calculator.
    conservative
        Whether forces and stress are the energy's derivatives, to 3 % of their own size.
    """

    consistency: ConsistencyResult
    findings: tuple[str, ...]
    conservative: bool


def compute_check(atoms: Atoms, calculator: Any) -> CheckResult:
    """Check a calculator on a crystal: capabilities first, then finite differences.

    Forces that a network predicts directly, instead of differentiating its energy, are found here: they
    heat or cool a run without end.

    Raises
    ------
    InputError
        It gives no energy, forces or stress.
    """
    offered = getattr(calculator, "implemented_properties", _NEEDED)
    missing = [name for name in _NEEDED if name not in offered]
    if missing:
        raise InputError(
            f"the calculator gives no {' and no '.join(missing)}",
            where=type(calculator).__name__,
            expected=", ".join(_NEEDED),
            got=", ".join(offered),
            do="a cell cannot move without stress: take another calculator, or wrap this one in "
            "ase.calculators.fd.FiniteDifferenceCalculator",
        )
    found = compute_consistency(atoms, calculator)
    findings = []
    if not found.force_error < 0.03 * found.force_scale + 2e-3:
        findings.append(
            f"non-conservative forces: off the energy's derivative by {found.force_error:.3g} eV/Å"
            f" along a random direction (size {found.force_scale:.3g} eV/Å)"
        )
    if not found.stress_error_GPa < 0.03 * found.stress_scale_GPa + 0.05:
        findings.append(
            f"the stress is not the energy's derivative: off by {found.stress_error_GPa:.3g} GPa"
            f" (size {found.stress_scale_GPa:.3g} GPa)"
        )
    if found.cell_spread_meV > 1.0:
        findings.append(
            f"one crystal in two cells differs by {found.cell_spread_meV:.3g} meV/atom:"
            " energies depend on the supercell"
        )
    return CheckResult(found, tuple(findings), found.is_consistent)
