"""Observers that watch a run and can stop it; they attach to any dynamics of ASE."""

from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io import write
from ase.optimize.optimize import Dynamics

from asennp.errors import InputError


class UncertaintyExceeded(RuntimeError):
    """A run has come where its potential is not to be trusted.

    Attributes
    ----------
    frame
        The structure, with the spread of every atom in ``arrays["energies_std"]`` (eV) and the reason in
        ``info["stopped"]``.
    """

    def __init__(self, message: str, frame: Atoms) -> None:
        super().__init__(message)
        self.frame = frame


class StopOnUncertainty:
    """Stop a run as soon as a committee disagrees, or atoms leave the range of the training data.

    The calculator must have, after a calculation, ``committee.energies_std`` (N,) eV and, for limits on them,
    ``committee.forces_std`` (N, 3) eV/Å and ``committee.outside`` (N,) booleans. ::

        stop = StopOnUncertainty(atoms, max_spread_eV=0.05, max_outside=0)
        dyn.attach(stop, interval=10)

    Parameters
    ----------
    atoms
        The atoms of the run, with their calculator.
    max_spread_eV
        Largest standard deviation of any atom's energy.
    max_force_spread_eV_A
        Largest standard deviation of any force component.
    max_outside
        Largest number of atoms with a feature outside its range in training.
    dynamics
        Dynamics to end as if their steps were done; `frame` and `message` then say why. Without it
        UncertaintyExceeded is raised.
    path
        File the offending frame is appended to (extended XYZ).

    Attributes
    ----------
    frame, message
        The offending frame and what is wrong with it; None as long as all is well.

    Raises
    ------
    InputError
        No limit, or a calculator that does not know what a limit is on: on construction or at the first call.
    """

    def __init__(
        self,
        atoms: Atoms,
        *,
        max_spread_eV: float | None = None,
        max_force_spread_eV_A: float | None = None,
        max_outside: int | None = None,
        dynamics: Dynamics | None = None,
        path: str | Path | None = None,
    ) -> None:
        self._limits = {
            "max_spread_eV": max_spread_eV,
            "max_force_spread_eV_A": max_force_spread_eV_A,
            "max_outside": max_outside,
        }
        given = [limit for limit in self._limits.values() if limit is not None]
        if not given or not all(limit >= 0 for limit in given):
            raise InputError(
                "limits must be given, and not be negative", where="StopOnUncertainty", got=self._limits
            )
        calculator = atoms.calc
        # not hasattr: before the first calculation a committee may refuse to answer
        if not (hasattr(type(calculator), "committee") or "committee" in getattr(calculator, "__dict__", {})):
            raise InputError(
                "the calculator has no committee",
                where="StopOnUncertainty",
                got=type(calculator).__name__,
                do="use HybridNNPCalculator with a model of several members",
            )
        self._atoms, self._dynamics, self._path = atoms, dynamics, path
        self.frame: Atoms | None = None
        self.message: str | None = None

    def __call__(self) -> None:
        """Look at the committee of the present positions."""
        self._atoms.get_potential_energy()  # a calculation only if there is none
        calculator: Any = self._atoms.calc
        committee = calculator.committee
        problems = [self._look(name, limit, committee) for name, limit in self._limits.items()]
        reasons = [problem for problem in problems if problem]
        if reasons:
            self._stop("; ".join(reasons), committee)

    def _look(self, name: str, limit: float | None, committee: Any) -> str | None:
        """Say what exceeds a limit; None if nothing does. NaN exceeds every limit."""
        if limit is None:
            return None
        if name == "max_outside":
            if committee.outside is None:
                raise InputError("the model does not know the ranges of its training data", where=name)
            number = int(np.sum(committee.outside))
            return (
                f"{number} atoms outside the training range, allowed are {limit}" if number > limit else None
            )
        force = name == "max_force_spread_eV_A"
        spreads = np.asarray(committee.forces_std if force else committee.energies_std)
        if not spreads.any():
            raise InputError(
                "the members of the committee do not differ at all",
                where=name,
                do="use a model of several members",
            )
        spreads = spreads.reshape(len(self._atoms), -1).max(axis=1)
        worst = int(np.argmax(spreads))
        if spreads[worst] <= limit:
            return None
        what, unit = ("force", "eV/Å") if force else ("energy", "eV")
        atom = f"atom {worst} ({self._atoms.symbols[worst]})"
        return f"{what} of {atom} uncertain by {spreads[worst]:.4g} {unit}, allowed are {limit:g}"

    def _stop(self, reason: str, committee: Any) -> None:
        step = "" if self._dynamics is None else f"step {self._dynamics.nsteps}: "
        self.message = step + reason
        self.frame = self._atoms.copy()
        self.frame.info["stopped"] = self.message
        self.frame.arrays["energies_std"] = np.array(committee.energies_std, float)
        if self._path is not None:
            write(self._path, self.frame, format="extxyz", append=True)
        if self._dynamics is None:
            raise UncertaintyExceeded(self.message, self.frame)
        self._dynamics.max_steps = self._dynamics.nsteps
