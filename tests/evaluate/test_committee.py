import numpy as np
import pytest

from asennp.errors import InputError
from asennp.evaluate import compare, compute_interval


def test_student_interval_is_the_textbook_one():
    interval = compute_interval([1.0, 2.0, 3.0, 4.0, 5.0])
    # t(0.95, 4) = 2.131847, s = sqrt(2.5)
    assert interval.mean == 3.0
    assert interval.half_width == pytest.approx(2.131847 * np.sqrt(2.5) / np.sqrt(5), abs=1e-6)
    assert (interval.n, interval.kind, interval.confidence) == (5, "student", 0.9)


def test_range_interval_and_single_member():
    interval = compute_interval([3.0, 1.0, 2.0], kind="range")
    assert (interval.low, interval.high) == (1.0, 3.0)
    alone = compute_interval([2.0])
    assert (alone.low, alone.high) == (2.0, 2.0)


def test_student_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(3)
    hits = [i.low <= 0.0 <= i.high for i in (compute_interval(rng.normal(size=5)) for _ in range(2000))]
    assert np.mean(hits) == pytest.approx(0.9, abs=0.025)


def test_overlap_is_a_tie_and_distance_is_not():
    low, near, far = (compute_interval([x, x + 1.0], kind="range") for x in (0.0, 1.0, 5.0))
    assert compare(low, near) == "tie"  # they touch
    assert compare(low, far) == "better"
    assert compare(far, low) == "worse"
    assert compare(far, low, lower_is_better=False) == "better"


@pytest.mark.parametrize("values", [[], [1.0, np.nan]])
def test_bad_values_are_refused(values):
    with pytest.raises(InputError, match="finite"):
        compute_interval(values)


def test_interval_survives_json(tmp_path):
    interval = compute_interval([1.0, 2.0, 4.0])
    again = type(interval).from_json(interval.to_json(tmp_path / "i.json"))
    assert again.to_dict() == interval.to_dict()
