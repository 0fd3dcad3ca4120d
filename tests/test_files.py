"""Files are whole or absent, whatever happens while they are written."""

from pathlib import Path

import numpy as np
import pytest

from asennp.files import (
    append_jsonl,
    cut_back,
    read_json,
    read_jsonl,
    sha256_file,
    sha256_json,
    write_atomic,
    write_json,
)


def test_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = write_atomic(tmp_path / "a.txt", "old")

    def torn(file):
        file.write(b"half")
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_atomic(path, torn)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_json_takes_numpy(tmp_path: Path) -> None:
    value = {"x": np.arange(3), "y": np.float64(0.1), "path": tmp_path}
    assert read_json(write_json(tmp_path / "v.json", value)) == {
        "x": [0, 1, 2],
        "y": 0.1,
        "path": str(tmp_path),
    }


def test_torn_last_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    append_jsonl(path, {"n": 1})
    append_jsonl(path, {"n": 2})
    path.write_text(path.read_text() + '{"n": 3, "sta')
    assert read_jsonl(path) == [{"n": 1}, {"n": 2}]
    append_jsonl(path, {"n": 4})
    assert read_jsonl(path) == [{"n": 1}, {"n": 2}, {"n": 4}]


def test_cut_back_only_shortens(tmp_path: Path) -> None:
    path = write_atomic(tmp_path / "log", "12345")
    cut_back(path, 3)
    cut_back(path, 9)
    cut_back(tmp_path / "absent", 0)
    assert path.read_text() == "123"


def test_hashes_know_content_not_order(tmp_path: Path) -> None:
    assert sha256_json({"a": 1, "b": [1.5]}) == sha256_json({"b": [1.5], "a": 1})
    assert sha256_json({"a": 1}) != sha256_json({"a": 2})
    # FIPS 180-4's own example
    assert sha256_file(write_atomic(tmp_path / "abc", "abc")).startswith("ba7816bf8f01cfea")
