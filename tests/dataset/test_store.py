import json
import threading

import numpy as np
import pytest
from ase import Atoms

from asennp.dataset import Store
from asennp.errors import InputError


def make_frames(seed: int, n: int = 3) -> list[Atoms]:
    rng = np.random.default_rng(seed)
    frames = [Atoms("ZnO", rng.normal(size=(2, 3)), cell=[4, 4, 4], pbc=True) for _ in range(n)]
    for frame in frames:
        frame.info["REF_energy"] = float(rng.normal())
    return frames


def test_frames_come_back_in_order_and_a_new_object_sees_them(tmp_path):
    store = Store(tmp_path / "s")
    assert len(store) == 0 and store.labels == ()
    first, second = make_frames(1), make_frames(2, n=2)
    store.append(first, {"labeler": "x", "cutoff": 3.0})
    store.append(second)
    again = Store(tmp_path / "s")
    assert len(again) == 5 and again.labels == ("energy",)
    assert again.sha256 == store.sha256
    assert again.shards[0]["provenance"] == {"labeler": "x", "cutoff": 3.0}
    for frame, back in zip([*first, *second], again.frames()):
        assert np.array_equal(frame.positions, back.positions)
        assert frame.info["REF_energy"] == back.info["REF_energy"]
    again.frames()[0].positions += 1.0  # copies: the store does not change
    assert np.array_equal(again.frames()[0].positions, first[0].positions)


def test_appending_the_same_frames_adds_nothing(tmp_path):
    store = Store(tmp_path / "s")
    assert store.append(make_frames(1)) == store.append(make_frames(1), {"other": 1})
    assert len(store) == 3 and len(store.shards) == 1


def test_a_kill_between_shard_and_manifest_changes_nothing(tmp_path, monkeypatch):
    store = Store(tmp_path / "s")
    store.append(make_frames(1))
    before = (tmp_path / "s/manifest.json").read_bytes()

    def killed(*_args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("asennp.dataset.store.write_json", killed)
        with pytest.raises(KeyboardInterrupt):
            store.append(make_frames(2))
    assert (tmp_path / "s/manifest.json").read_bytes() == before
    (tmp_path / "s/shards/.torn.extxyz.abc.part").write_text("2\ngarb")
    again = Store(tmp_path / "s")
    assert len(again) == 3
    again.append(make_frames(2))
    assert len(Store(tmp_path / "s").frames()) == 6


def test_torn_and_missing_files_are_refused(tmp_path):
    store = Store(tmp_path / "s")
    store.append(make_frames(1))
    shard = tmp_path / "s" / store.shards[0]["file"]
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-5])
    with pytest.raises(InputError, match="altered"):
        Store(tmp_path / "s")
    shard.unlink()
    with pytest.raises(InputError, match="missing"):
        Store(tmp_path / "s")
    shard.write_bytes(whole)
    manifest = tmp_path / "s/manifest.json"
    text = manifest.read_text()
    manifest.write_text(text[: len(text) // 2])
    with pytest.raises(InputError, match="manifest cannot be read"):
        Store(tmp_path / "s")
    manifest.write_text(json.dumps({**json.loads(text), "units": {"energy": "Ha"}}))
    with pytest.raises(InputError, match="other units"):
        Store(tmp_path / "s")


def test_two_writers_do_not_lose_each_others_shards(tmp_path):
    stores = [Store(tmp_path / "s"), Store(tmp_path / "s")]
    jobs = [threading.Thread(target=stores[k % 2].append, args=(make_frames(k),)) for k in range(8)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert len(Store(tmp_path / "s")) == 24
