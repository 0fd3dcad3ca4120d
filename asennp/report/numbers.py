"""Numbers as people write them: digits that mean something, a real minus sign, an interval."""

import math
from typing import Any


def format_number(value: float | int | None, digits: int = 3) -> str:
    """Return `value` with `digits` significant digits ("—" for None, "n/a" for NaN)."""
    if value is None:
        return "—"
    value = float(value)
    if math.isnan(value):
        return "n/a"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0.0:
        return "0"
    exponent = math.floor(math.log10(abs(float(f"{value:.{digits - 1}e}"))))
    if exponent < -4 or exponent >= 7:
        mantissa, power = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa} × 10{_superscript(int(power))}".replace("-", "−")
    return f"{value:.{max(digits - 1 - exponent, 0)}f}".replace("-", "−")


def format_fixed(value: float, decimals: int) -> str:
    """Return `value` with a fixed number of decimals and a real minus sign."""
    text = f"{float(value):.{decimals}f}"
    return text.lstrip("-") if float(text) == 0.0 else text.replace("-", "−")


def format_measured(value: float, half_width: float | None, digits: int = 2) -> str:
    """Return "12.3 ± 0.4": the half width to two digits below 2 of the leading one, the value to match."""
    if half_width is None or not math.isfinite(half_width) or half_width <= 0.0:
        return format_number(value, digits + 1)
    exponent = math.floor(math.log10(half_width))
    leading = half_width / 10.0**exponent
    decimals = max(-exponent + (1 if leading < 1.95 else 0), 0)
    return f"{format_fixed(value, decimals)} ± {format_fixed(half_width, decimals)}"


def format_interval(interval: Any) -> str:
    """Return an interval (anything with mean, low, high) as "mean ± half width"."""
    return format_measured(interval.mean, 0.5 * (interval.high - interval.low))


def _superscript(power: int) -> str:
    return str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
