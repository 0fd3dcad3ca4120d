import numpy as np
import pytest
from ase import Atoms

from asennp.dataset import find_duplicates, split
from asennp.errors import InputError

FRACTIONS = {"train": 0.64, "validation": 0.16, "test": 0.2}


def make_frames(n: int = 100) -> list[Atoms]:
    rng = np.random.default_rng(0)
    frames = [Atoms("ZnO", rng.normal(size=(2, 3)), cell=[4, 4, 4], pbc=True) for _ in range(n)]
    for k, frame in enumerate(frames):
        frame.info.update(source="ab"[k % 2], step=10 * (k // 2))
    return frames


def test_no_block_is_on_two_sides_and_the_test_set_is_large_enough():
    frames = make_frames()
    parts = split(frames, FRACTIONS, seed=3, window=50)
    assert list(parts) == list(FRACTIONS)
    blocks = {
        n: {(frames[k].info["source"], frames[k].info["step"] // 50) for k in p} for n, p in parts.items()
    }
    for one in parts:
        for other in parts:
            assert one == other or not blocks[one] & blocks[other]
    assert len(parts["test"]) >= 20 and len(parts["validation"]) >= 16
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(100))


def test_the_seed_alone_decides():
    frames = make_frames()
    one, two, other = (split(frames, FRACTIONS, seed=s, window=20) for s in (1, 1, 2))
    assert all(np.array_equal(one[name], two[name]) for name in one)
    assert any(not np.array_equal(one[name], other[name]) for name in one)


def test_duplicates_enter_once():
    frames = make_frames(40)
    for k in range(20):
        copy = frames[k].copy()
        copy.positions += 1e-12
        copy.info["source"] = "copied"
        frames.append(copy)
    assert find_duplicates(frames).tolist() == [False] * 40 + [True] * 20
    parts = split(frames, FRACTIONS, seed=0)
    assert max(np.concatenate(list(parts.values()))) < 40


def test_blocks_by_info_and_by_key():
    frames = make_frames(20)
    for k, frame in enumerate(frames):
        frame.info["block"] = k // 7
        frame.info["source"] = "one"
    parts = split(frames, {"train": 0.5, "test": 0.5}, seed=0)
    assert not {k // 7 for k in parts["train"]} & {k // 7 for k in parts["test"]}
    parts = split(frames, {"train": 0.5, "test": 0.5}, seed=0, block=[k % 3 for k in range(20)])
    assert not {k % 3 for k in parts["train"]} & {k % 3 for k in parts["test"]}


def test_bad_requests_are_refused():
    frames = make_frames(20)
    with pytest.raises(InputError, match="add up to 1"):
        split(frames, {"train": 0.5, "test": 0.2}, seed=0)
    with pytest.raises(InputError, match="no block is left for train"):
        split(frames, FRACTIONS, seed=0, block=["same"] * 20)
