import pytest

from asennp.report.numbers import format_interval, format_measured, format_number


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (3.14159, 3, "3.14"),
        (0.0012345, 2, "0.0012"),
        (1234.5, 3, "1234"),
        (9.996, 3, "10.0"),
        (-2.5, 2, "−2.5"),
        (0.0, 3, "0"),
        (1.5e-7, 2, "1.5 × 10⁻⁷"),
        (None, 3, "—"),
        (float("nan"), 3, "n/a"),
        (float("-inf"), 3, "−∞"),
    ],
)
def test_significant_digits(value, digits, text):
    assert format_number(value, digits) == text


@pytest.mark.parametrize(
    ("value", "half", "text"),
    [
        (12.345, 0.41, "12.3 ± 0.4"),
        (12.345, 0.123, "12.35 ± 0.12"),
        (1234.5, 30.0, "1234 ± 30"),
        (-0.01, 0.3, "0.0 ± 0.3"),
        (-3.26, 0.3, "−3.3 ± 0.3"),
        (4.0, None, "4.00"),
        (4.0, 0.0, "4.00"),
    ],
)
def test_uncertainty_sets_the_digits(value, half, text):
    assert format_measured(value, half) == text


def test_interval_by_its_attributes():
    class Interval:
        mean, low, high = 2.0, 1.5, 2.5

    assert format_interval(Interval()) == "2.0 ± 0.5"
