"""Reweighted <H>(T) of ZnO beside plain NPT at three temperatures: the documentation's script, shorter."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "docs" / "reproductions" / "zno_enthalpy.py"


@pytest.mark.slow
def test_reweighted_enthalpy_agrees_with_plain_runs(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("zno_enthalpy", SCRIPT)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    sys.modules["zno_enthalpy"] = script
    spec.loader.exec_module(script)
    lengths = script.Lengths(learn=20_000, sample=40_000, direct=10_000)
    result = script.multithermal(tmp_path, lengths, np.array(script.TEMPERATURES))
    assert result.supported.all()
    for k, temperature in enumerate(script.TEMPERATURES):
        mean, error = script.direct(temperature, lengths.direct)
        z = (result.enthalpy[k] - mean) / np.hypot(error, result.enthalpy_error[k])
        assert abs(z) < 4, temperature
        assert result.enthalpy_error[k] < 0.5  # of 7 eV between the first and the last
