"""Sums of calculators that never drop a property in silence."""

from collections.abc import Sequence
from typing import Any

from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes

from asennp.calculators.base import OnePassCalculator
from asennp.errors import InputError

#: What every member must give, and what is added up.
SUMMED = ("energy", "free_energy", "energies", "forces", "stress")
#: What is taken from the one member that gives it.
PASSED_ON = ("charges", "dipole")


class SumCalculator(OnePassCalculator):
    """Sum of the results of several calculators, each evaluated once.

    Parameters
    ----------
    calculators
        The members. Charges and dipole are passed on if one member gives them.

    Raises
    ------
    InputError
        A member that cannot give one of the summed properties; the message names both.
    """

    default_parameters = {"calculators": []}  # noqa: RUF012

    def __init__(self, calculators: Sequence[Calculator], **kwargs: Any) -> None:
        self.calculators = list(calculators)
        if not self.calculators:
            raise InputError("no calculators to add up", where="SumCalculator")
        for number, member in enumerate(self.calculators):
            if not isinstance(member, Calculator):
                raise InputError("not an ASE calculator", where=_name(number, member), got=type(member))
            missing = [name for name in SUMMED if name not in member.implemented_properties]
            if missing:
                raise InputError(
                    f"a member has no {', '.join(missing)}",
                    where=_name(number, member),
                    expected=", ".join(SUMMED),
                    got=", ".join(member.implemented_properties),
                    do="give a member that has every property",
                )
        self._passed = {}
        for name in PASSED_ON:
            givers = [c for c in self.calculators if name in c.implemented_properties]
            if len(givers) == 1:
                self._passed[name] = givers[0]
        self.implemented_properties = [*SUMMED, *self._passed]
        # plain values: parameters are written into logs and trajectories
        described = [{"name": c.name, "parameters": dict(c.parameters)} for c in self.calculators]
        super().__init__(calculators=described, **kwargs)

    def compute(self, atoms: Atoms) -> dict[str, Any]:
        """Return the sums."""
        total: dict[str, Any] = {}
        for number, member in enumerate(self.calculators):
            if not member.results or member.check_state(atoms):
                member.reset()
                member.calculate(atoms, list(SUMMED), list(all_changes))
            results = member.results
            for name in SUMMED:
                if name not in results:
                    if name == "stress" and atoms.cell.rank < 3:
                        continue
                    raise PropertyNotImplementedError(f"{_name(number, member)} gave no {name}")
                total[name] = total[name] + results[name] if name in total else results[name] * 1.0
        for name, giver in self._passed.items():
            if name in giver.results:
                total[name] = giver.results[name]
        return total

    def hold(self, atoms: Atoms) -> None:
        """Have the members keep what they else choose for each cell, see `ChargedCalculator.hold`."""
        for member in self.calculators:
            if hasattr(member, "hold"):
                member.hold(atoms)
        self.reset()

    def held(self) -> list[Any] | None:
        """Return what the members keep; None if they keep nothing."""
        kept = [member.held() if hasattr(member, "held") else None for member in self.calculators]
        return kept if any(k is not None for k in kept) else None

    def set_held(self, held: list[Any] | None) -> None:
        """Have the members keep what `held` returned; results of another choice are dropped."""
        if held != self.held():
            for member, kept in zip(self.calculators, held or [None] * len(self.calculators)):
                if hasattr(member, "set_held"):
                    member.set_held(kept)
            self.reset()


def _name(number: int, member: object) -> str:
    return f"member {number} ({type(member).__name__})"
