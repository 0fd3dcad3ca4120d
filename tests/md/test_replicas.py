"""Runs in step: each as if it were alone, with as many evaluations as one of them needs."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.md.verlet import VelocityVerlet

from asennp.md.replicas import Meeting


def emt(frames):
    """Evaluate frames one by one."""
    found = []
    for atoms in frames:
        calculator = EMT()
        calculator.calculate(atoms, ["energy", "forces"])
        found.append(calculator.results)
    return found


def start(run: int) -> Atoms:
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.05, seed=run)
    return atoms


def test_runs_of_any_length_are_as_if_alone() -> None:
    steps = [5, 9, 7]
    meeting = Meeting(emt, len(steps))

    def follow(run: int) -> Atoms:
        atoms = start(run)
        with meeting.attend(run) as atoms.calc:
            VelocityVerlet(atoms, 1.0 * units.fs).run(steps[run])
        return atoms

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(follow, range(3)))
    for run, atoms in enumerate(found):
        alone = start(run)
        alone.calc = EMT()
        VelocityVerlet(alone, 1.0 * units.fs).run(steps[run])
        np.testing.assert_array_equal(atoms.positions, alone.positions)
    assert meeting.n_evaluations == 1 + max(steps)


def test_a_frame_that_fails_ends_all() -> None:
    def fail(frames):
        raise ValueError("atoms overlap")

    meeting = Meeting(fail, 2)

    def follow(run: int) -> None:
        atoms = start(run)
        with meeting.attend(run) as atoms.calc:
            atoms.get_forces()

    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(follow, run) for run in range(2)]:
            with pytest.raises(ValueError, match="overlap"):
                future.result()
