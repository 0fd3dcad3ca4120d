"""Threads of one evaluation: the same bits whatever their number, also after a fork, and errors come
through."""

import multiprocessing

import numpy as np
import pytest

from asennp import BuckinghamCoulomb, CoulombCalculator
from asennp.electrostatics.ewald import Ewald
from asennp.electrostatics.pairs import block_bounds
from asennp.electrostatics.pme import PME
from asennp.errors import InputError
from asennp.structures import build_phase
from asennp.threads import share


def crystal(repeat=3):
    atoms = build_phase("ZnO", "rocksalt", 4.3, repeat=repeat)
    atoms.rattle(0.1, seed=2)
    return atoms


def results(calculator, atoms):
    calculator.calculate(atoms)
    return calculator.results


@pytest.mark.parametrize(
    "make",
    [
        lambda n: BuckinghamCoulomb(cutoff=7.0, threads=n),
        lambda n: CoulombCalculator({"Zn": 1, "O": -1}, method="ewald", accuracy=1e-8, threads=n),
        lambda n: CoulombCalculator({"Zn": 1, "O": -1}, method="pme", threads=n),
    ],
    ids=["buckingham", "ewald", "pme"],
)
def test_results_do_not_depend_on_the_number_of_threads(make):
    atoms = crystal()
    expected = results(make(1), atoms)
    for n in (2, 3, 7):
        calculator = make(n)
        assert calculator.parameters["threads"] == n
        for _ in range(3):
            found = results(calculator, atoms)
            for name, value in expected.items():
                np.testing.assert_array_equal(found[name], value, err_msg=f"{name}, {n} threads")


@pytest.mark.parametrize("kind", [Ewald, PME])
def test_sums_in_thin_and_skewed_cells(kind):
    atoms = build_phase("ZnO", "wurtzite", 3.25, 5.2, repeat=(1, 2, 9))
    atoms.rattle(0.1, seed=1)
    charges = np.where(atoms.numbers == 30, 1.0, -1.0)
    frame = (atoms.positions, atoms.cell.array, charges, atoms.pbc)
    one = kind(1e-5).compute(*frame)
    for found, expected in zip(kind(1e-5, threads=5).compute(*frame), one):
        np.testing.assert_array_equal(found, expected)


def test_blocks_cover_all_rows():
    for n in (1, 63, 64, 127, 128, 1000, 4097, 100_000):
        bounds = block_bounds(n)
        assert bounds[0] == 0 and bounds[-1] == n and (np.diff(bounds) > 0).all()
        assert len(bounds) <= 17


def in_a_fork(queue):
    queue.put(results(BuckinghamCoulomb(cutoff=7.0, threads=2), crystal())["energy"])


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_starts_threads_of_its_own():
    expected = results(BuckinghamCoulomb(cutoff=7.0, threads=2), crystal())["energy"]
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=in_a_fork, args=(queue,))
    process.start()
    assert queue.get(timeout=60) == expected
    process.join()


def test_parts_and_errors():
    for threads in (1, 2, 5):
        seen = np.zeros(23, int)

        def work(first, last, seen=seen):
            seen[first:last] += 1

        share(threads, 23, work, parts=3)
        assert (seen == 1).all()

    def fail(first, last):
        raise ValueError(f"part {first}")

    for threads in (1, 3):
        with pytest.raises(ValueError, match="part"):
            share(threads, 9, fail)
    for threads in (0, -1, 1.5, "2", None):
        with pytest.raises(InputError, match="number of threads"):
            BuckinghamCoulomb(threads=threads)
