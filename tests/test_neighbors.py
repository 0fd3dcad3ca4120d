"""Neighbour lists against a plain search over images, and the promises of the Verlet list."""

import itertools
import pickle

import numpy as np
import pytest

from asennp.errors import InputError
from asennp.neighbors import VerletPairs, check_geometry, neighbor_pairs

CELLS = {
    "cubic": np.eye(3) * 5.0,
    "thin": np.diag([2.0, 3.0, 20.0]),
    "triclinic": np.array([[3.0, 0, 0], [1.5, 2.5, 0], [-1.0, 0.7, 6.0]]),
    "very skewed": np.array([[3.0, 0, 0], [9.0, 2.5, 0], [-8.0, 0.7, 4.0]]),
    "left-handed": np.array([[3.0, 0, 0], [1.5, -2.5, 0], [-1.0, 0.7, 6.0]]),
}


def search(positions, cell, pbc, cutoff):
    """All directed pairs, by trying every image that could matter."""
    inverse = np.linalg.inv(cell)
    scaled = positions @ inverse
    reach = np.ceil(cutoff * np.linalg.norm(inverse, axis=0) + np.ptp(scaled, axis=0)).astype(int) * pbc
    found = set()
    for shift in itertools.product(*(range(-n, n + 1) for n in reach)):
        vectors = positions[None] + np.array(shift) @ cell - positions[:, None]
        for i, j in zip(*np.nonzero(np.linalg.norm(vectors, axis=-1) < cutoff)):
            if i != j or any(shift):
                found.add((int(i), int(j), *shift))
    return found


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("pbc", [(True,) * 3, (True, False, True), (False, False, True), (False,) * 3])
def test_every_pair_once_in_canonical_order(name, pbc):
    rng, cell = np.random.default_rng(7), CELLS[name]
    # outside the cell as well
    positions = (rng.random((4, 3)) + rng.integers(-2, 3, (4, 3))) @ cell
    expected = search(positions, cell, np.array(pbc), 6.0)
    full = neighbor_pairs(positions, cell, pbc, 6.0, full=True)
    listed = [(*ij, *s) for *ij, s in zip(full.i.tolist(), full.j.tolist(), full.shifts.tolist())]
    assert listed == sorted(expected)
    half = neighbor_pairs(positions, cell, pbc, 6.0)
    listed = [(*ij, *s) for *ij, s in zip(half.i.tolist(), half.j.tolist(), half.shifts.tolist())]
    wanted = {p for p in expected if p[0] < p[1] or (p[0] == p[1] and p[2:] > (0, 0, 0))}
    assert listed == sorted(wanted)
    np.testing.assert_allclose(half.distances, np.linalg.norm(half.vectors, axis=1))
    np.testing.assert_allclose(
        half.vectors, positions[half.j] + half.shifts @ cell - positions[half.i], atol=1e-12
    )


def test_open_directions_need_no_cell_vector():
    positions = np.array([[0.0, 0, 0], [1.0, 0, 0]])
    assert len(neighbor_pairs(positions, np.zeros((3, 3)), False, 3.0)) == 1
    assert len(neighbor_pairs(positions, np.diag([2.5, 0, 0]), (True, False, False), 2.0)) == 2


@pytest.mark.parametrize("strain", [0.0, 2e-3, 2e-2])
@pytest.mark.parametrize("pbc", [np.ones(3, bool), np.array([True, False, True]), np.zeros(3, bool)])
def test_verlet_list_never_misses_a_pair(strain, pbc):
    rng = np.random.default_rng(8)
    cell = CELLS["triclinic"] * 1.5
    positions = rng.random((10, 3)) @ cell
    verlet = VerletPairs(4.0, skin=0.8)
    steps = 60
    for _ in range(steps):
        i, j, shifts = verlet.update(positions, cell, pbc)
        vectors = positions[j] + shifts @ cell - positions[i]
        near = np.linalg.norm(vectors, axis=1) < 4.0
        exact = neighbor_pairs(positions, cell, pbc, 4.0)
        # the same pairs in the same order
        np.testing.assert_array_equal(i[near], exact.i)
        np.testing.assert_array_equal(j[near], exact.j)
        np.testing.assert_array_equal(shifts[near], exact.shifts)
        deformation = np.eye(3) + rng.normal(0.0, strain, (3, 3))
        cell = cell @ deformation
        positions = positions @ deformation + rng.normal(0.0, 0.03, positions.shape) + 0.5
    assert verlet.n_builds < (steps if strain > 2e-3 else steps // 3)


def test_a_melt_filters_its_lists_from_a_wide_one():
    rng, cell, pbc = np.random.default_rng(8), CELLS["triclinic"] * 1.5, np.ones(3, bool)
    positions, verlet = rng.random((10, 3)) @ cell, VerletPairs(4.0, skin=1.2)
    longest = []
    for _ in range(200):
        i, j, shifts = verlet.update(positions, cell, pbc)
        vectors = positions[j] + shifts @ cell - positions[i]
        distances = np.linalg.norm(vectors, axis=1)
        exact = neighbor_pairs(positions, cell, pbc, 4.0)
        near = distances < 4.0
        for mine, theirs in zip((i, j, shifts), (exact.i, exact.j, exact.shifts)):
            np.testing.assert_array_equal(mine[near], theirs)
        longest.append(distances.max())
        positions = positions + rng.normal(0.0, 0.03, positions.shape)
    assert verlet.n_searches < verlet.n_builds / 3
    assert max(longest[:1]) > 5.0 > np.median(longest)  # the working list is shorter than a searched one
    # a calculator that goes from frame to frame searches each with the usual skin
    frames = VerletPairs(4.0, skin=1.2)
    for _ in range(3):
        frames.update(rng.random((10, 3)) @ cell, cell, pbc)
    assert (frames.n_builds, frames.n_searches, frames._wide) == (3, 3, None)


def test_verlet_list_is_kept_under_a_common_drift_and_remade_for_other_systems():
    rng, cell, pbc = np.random.default_rng(9), np.eye(3) * 6.0, np.ones(3, bool)
    positions, verlet = rng.random((5, 3)) * 6.0, VerletPairs(3.0, skin=0.5)
    verlet.update(positions, cell, pbc)
    verlet.update(positions + 10.0, cell, pbc)
    assert verlet.n_builds == 1
    verlet.update(positions, cell, np.zeros(3, bool))
    verlet.update(positions[:4], cell, np.zeros(3, bool))
    assert verlet.n_builds == 3
    copy = pickle.loads(pickle.dumps(verlet))
    assert (copy.cutoff, copy.skin, copy.n_builds) == (3.0, 0.5, 0)


@pytest.mark.parametrize(
    ("positions", "cell", "pbc", "message"),
    [
        (np.empty((0, 3)), np.eye(3), True, "no atoms"),
        (np.array([[0.0, np.nan, 0.0]]), np.eye(3), True, "not finite"),
        (np.array([[0.0, 0, 0], [np.inf, 0, 0], [-np.inf, 0, 0]]), np.eye(3), True, r"atoms \[1, 2\]"),
        (np.zeros((1, 3)), np.diag([1.0, 1.0, 0.0]), True, "no volume"),
        (np.zeros((1, 3)), np.diag([1.0, 1.0, np.inf]), True, "cell is not finite"),
        (np.zeros((1, 3)), np.diag([1.0, 0.0, 0.0]), (True, True, False), "no cell vector of its own"),
        (np.zeros((1, 3)), np.array([[1.0, 1, 0], [1, 1, 0], [0, 0, 1]]), (1, 1, 0), "vector of its own"),
    ],
)
def test_bad_geometry_is_named(positions, cell, pbc, message):
    with pytest.raises(InputError, match=message):
        check_geometry(positions, cell, np.full(3, pbc, bool))


def test_volume_is_returned():
    assert check_geometry(np.zeros((1, 3)), CELLS["left-handed"], np.ones(3)) == pytest.approx(45.0)
    assert check_geometry(np.zeros((1, 3)), np.zeros((3, 3)), np.zeros(3)) == 0.0


@pytest.mark.parametrize("name", CELLS)
def test_packed_rows_hold_the_same_pairs(name):
    rng, cell, pbc = np.random.default_rng(10), CELLS[name], np.ones(3, bool)
    positions = (rng.random((7, 3)) + rng.integers(-2, 3, (7, 3))) @ cell
    verlet = VerletPairs(4.0, skin=0.5)
    rows = verlet.rows(positions, cell, pbc)
    i, j, shifts = verlet.update(positions, cell, pbc)
    np.testing.assert_array_equal(np.repeat(np.arange(7), np.diff(rows.start)), i)
    np.testing.assert_array_equal(rows.j, j)
    np.testing.assert_array_equal(rows.shifts[rows.code], shifts)
    assert len(rows.shifts) == len(np.unique(shifts, axis=0))
    assert verlet.rows(positions, cell, pbc) is rows
    # atoms with no neighbours at all
    far = VerletPairs(1.0).rows(np.zeros((1, 3)), np.eye(3) * 9.0, pbc)
    assert far.start.tolist() == [0, 0]
