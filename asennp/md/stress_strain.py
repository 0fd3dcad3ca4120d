"""Stress-strain curves of molecular dynamics: rows in a CSV file, read back as a result."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asennp.errors import InputError
from asennp.results import Result

_COLUMNS = (
    "step", "time_ps", "strain", "load_GPa", "sxx_GPa", "syy_GPa", "szz_GPa", "syz_GPa", "sxz_GPa", "sxy_GPa",
    "temperature_K", "volume_A3", "energy_eV",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class StressStrainCurve(Result):
    """Stress against strain from a run of `DeformationMD`; each row is a mean over some steps.

    Attributes
    ----------
    time_ps, strain
        (n,) at the end of each row; engineering strain.
    load_GPa
        (n,) stress against the deformation, tension positive.
    stress_GPa
        (n, 6) all components, Voigt order xx yy zz yz xz xy, kinetic part included.
    temperature_K, volume_A3, energy_eV
        (n,) kinetic temperature, volume and potential energy.
    """

    time_ps: np.ndarray
    strain: np.ndarray
    load_GPa: np.ndarray
    stress_GPa: np.ndarray
    temperature_K: np.ndarray
    volume_A3: np.ndarray
    energy_eV: np.ndarray

    @property
    def strength(self) -> tuple[float, float]:
        """Largest load (GPa) and the strain there."""
        k = int(np.argmax(np.abs(self.load_GPa)))
        return float(self.load_GPa[k]), float(self.strain[k])

    def modulus_GPa(self, up_to_strain: float = 0.02) -> float:
        """Return the slope of a straight line through the first part of the curve, GPa."""
        near = np.abs(self.strain) <= up_to_strain
        if len(np.unique(self.strain[near])) < 2:
            raise InputError(
                "no two different strains there", where="up_to_strain", got=up_to_strain, do="look further"
            )
        return float(np.polyfit(self.strain[near], self.load_GPa[near], 1)[0])


def append_row(path: str | Path, step: int, time_ps: float, strain: float, means: np.ndarray) -> None:
    """Append one row in full precision; a new file gets its head line first."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        if file.tell() == 0:
            file.write(",".join(_COLUMNS) + "\n")
        file.write(",".join([str(step), *(repr(float(x)) for x in (time_ps, strain, *means))]) + "\n")


def read_stress_strain(path: str | Path) -> StressStrainCurve:
    """Read the CSV file of a `DeformationMD` or `TensileMD` run.

    Raises
    ------
    InputError
        If it is missing, empty or of another form. A last line torn by a kill is left out.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("no such file", where=path, expected="a stress-strain curve (CSV)")
    text = path.read_text()
    rows = list(csv.reader(text[: text.rfind("\n") + 1].splitlines()))
    if not rows or tuple(rows[0]) != _COLUMNS:
        raise InputError("not a stress-strain curve", where=path, expected=",".join(_COLUMNS))
    try:
        values = np.array(rows[1:], dtype=float).reshape(-1, len(_COLUMNS))
    except ValueError as error:
        raise InputError("not a stress-strain curve", where=path, got=str(error)) from error
    if not len(values):
        raise InputError("no row yet", where=path, do="run longer: rows come every loginterval steps")
    return StressStrainCurve(
        time_ps=values[:, 1],
        strain=values[:, 2],
        load_GPa=values[:, 3],
        stress_GPa=values[:, 4:10],
        temperature_K=values[:, 10],
        volume_A3=values[:, 11],
        energy_eV=values[:, 12],
    )
