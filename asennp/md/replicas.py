"""Independent runs in step: their calculators meet, and one evaluation serves them all.

Each run is a thread with dynamics of its own, which know nothing of the others. Whoever asks for forces waits
until all have asked; the last to come evaluates the frames together, in the order of the runs.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

#: Evaluates frames together: one mapping of ASE's properties for each.
Evaluate = Callable[[Sequence[Atoms]], Sequence[Mapping[str, Any]]]


class Meeting:
    """Where the runs' calculators meet.

    Parameters
    ----------
    evaluate
        Called with one frame of each run that is not over, in one of their threads.
    n_runs
        Runs that will `attend`.
    """

    def __init__(self, evaluate: Evaluate, n_runs: int) -> None:
        self._evaluate = evaluate
        self._attending = n_runs
        self._changed = threading.Condition()
        self._frames: dict[int, Atoms] = {}
        self._found: dict[int, Mapping[str, Any] | Exception] = {}
        #: Evaluations so far.
        self.n_evaluations = 0

    @contextmanager
    def attend(self, run: int) -> Iterator[Calculator]:
        """Give run number `run` its calculator; when it is over, the others no longer wait for it."""
        try:
            yield _Attendant(self, run)
        finally:
            with self._changed:
                self._attending -= 1
                self._evaluate_if_all_are_here()

    def ask(self, run: int, atoms: Atoms) -> Mapping[str, Any]:
        """Return the properties of a run's frame; waits for the other runs."""
        with self._changed:
            self._frames[run] = atoms
            self._evaluate_if_all_are_here()
            self._changed.wait_for(lambda: run in self._found)
            found = self._found.pop(run)
        if isinstance(found, Exception):
            raise found
        return found

    def _evaluate_if_all_are_here(self) -> None:
        if not self._frames or len(self._frames) < self._attending:
            return
        runs = sorted(self._frames)
        try:
            results: Sequence[Mapping[str, Any] | Exception] = self._evaluate([self._frames[k] for k in runs])
        except Exception as error:  # a frame that cannot be done ends all: they were to stay in step
            results = [error] * len(runs)
        self.n_evaluations += 1
        self._found.update(zip(runs, results))
        self._frames.clear()
        self._changed.notify_all()


class _Attendant(Calculator):
    """The calculator of one run: it asks the meeting."""

    implemented_properties = ["energy", "free_energy", "energies", "forces", "stress"]  # noqa: RUF012

    def __init__(self, meeting: Meeting, run: int) -> None:
        super().__init__()
        self._meeting, self._run = meeting, run

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Fill `results` with every property."""
        super().calculate(atoms, properties, system_changes)
        assert self.atoms is not None
        self.results = dict(self._meeting.ask(self._run, self.atoms))
