"""Tension and shear at temperature: molecular dynamics of a cell that is deformed at a constant rate."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from ase import Atoms, units

from asennp.errors import InputError
from asennp.evaluate.capability import require_periodic, require_properties
from asennp.evaluate.tensile import find_failure
from asennp.md.deformation import DeformationMD
from asennp.md.stress_strain import read_stress_strain
from asennp.results import Result


@dataclass(frozen=True, eq=False)
class PullResult(Result):
    """A stress-strain curve at temperature; each point is a mean over some steps.

    Attributes
    ----------
    strain
        (n,) engineering strain.
    stress_GPa
        (n,) stress against the deformation, tension positive.
    stress_tensor_GPa
        (n, 6) all components, kinetic part included, Voigt order xx yy zz yz xz xy.
    temperature_K
        (n,) kinetic temperature.
    energy_meV
        (n,) potential energy above the first point, meV/atom.
    strength_GPa, strength_strain, reached_maximum
        Largest stress, its strain, and whether the stress fell again within the range.
    failure_strain
        First strain past the maximum at which the stress is below half of it; NaN where there is none.
    frames
        Structures along the run.
    mode
        Of `DeformationMD`; with the component for a shear.
    rate_per_ps
        Strain a picosecond.
    finite
        Whether every number was finite; a run that lost its numbers ends at once.
    """

    strain: np.ndarray
    stress_GPa: np.ndarray
    stress_tensor_GPa: np.ndarray
    temperature_K: np.ndarray
    energy_meV: np.ndarray
    strength_GPa: float
    strength_strain: float
    reached_maximum: bool
    failure_strain: float
    frames: list[Atoms]
    mode: str
    rate_per_ps: float
    finite: bool


def compute_pull(
    atoms: Atoms,
    calculator: Any,
    temperature_K: float = 300.0,
    maximum_strain: float = 0.3,
    rate_per_ps: float = 0.01,
    *,
    rng: np.random.Generator,
    mode: str = "plane-strain",
    axis: int = 0,
    component: str = "xy",
    timestep_fs: float = 1.0,
    equilibration_ps: float = 1.0,
    interval: int = 50,
    n_frames: int = 20,
    curve: str | Path | None = None,
) -> PullResult:
    """Deform a supercell at a constant rate in Langevin dynamics (`DeformationMD`) and return the curve.

    Parameters
    ----------
    atoms
        Supercell of a relaxed crystal, large enough to fail somewhere in it.
    maximum_strain, rate_per_ps
        Range of the engineering strain, and strain a picosecond. Strengths fall with slower rates.
    rng
        Seeded generator of velocities and thermostat.
    mode, axis, component
        As for `DeformationMD`: "plane-strain", "uniaxial" or "shear".
    equilibration_ps
        At rest before the deformation.
    interval
        Steps that each point of the curve is a mean of.
    n_frames
        Structures kept.
    curve
        Keep the CSV file of the curve here.

    Raises
    ------
    InputError
        As of `DeformationMD`; a rate or range that is not positive.
    """
    require_periodic(atoms, "a stress-strain curve")
    require_properties(calculator, "forces", "stress", purpose="a stress-strain curve")
    if not (maximum_strain > 0.0 and rate_per_ps > 0.0):
        raise InputError(
            "must be positive", where="maximum_strain, rate_per_ps", got=(maximum_strain, rate_per_ps)
        )
    frame = Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    frame.calc = calculator
    rest = round(1000.0 * equilibration_ps / timestep_fs)
    blocks = max(2, round(1000.0 * maximum_strain / rate_per_ps / timestep_fs / interval))
    keep = {round(k) for k in np.linspace(0, blocks - 1, n_frames)}
    frames: list[Atoms] = []
    finite = True
    with TemporaryDirectory() as folder:
        path = Path(curve) if curve is not None else Path(folder) / "curve.csv"
        dyn = DeformationMD(
            frame, timestep_fs * units.fs, temperature_K, mode=mode, axis=axis, component=component,
            rate_per_ps=rate_per_ps, n_equilibration=rest, curve=path, loginterval=interval, rng=rng,
        )  # fmt: skip
        dyn.run(rest)
        for k in range(blocks):
            dyn.run(interval)
            finite = bool(np.isfinite(frame.positions).all())
            if not finite:
                break
            if k in keep:
                frames.append(Atoms(frame.symbols, positions=frame.positions, cell=frame.cell, pbc=frame.pbc))
        points = read_stress_strain(path)
    pulled = points.strain > 0.0
    strain, stress = points.strain[pulled], points.load_GPa[pulled]
    top = int(np.argmax(stress))
    return PullResult(
        strain=strain,
        stress_GPa=stress,
        stress_tensor_GPa=points.stress_GPa[pulled],
        temperature_K=points.temperature_K[pulled],
        energy_meV=1000.0 * (points.energy_eV[pulled] - points.energy_eV[pulled][0]) / len(frame),
        strength_GPa=float(stress[top]),
        strength_strain=float(strain[top]),
        reached_maximum=top < len(strain) - 1,
        failure_strain=find_failure(strain, stress),
        frames=frames,
        mode=f"shear {component}" if mode == "shear" else mode,
        rate_per_ps=rate_per_ps,
        finite=finite,
    )
