"""Thermal expansion and free energy in the quasi-harmonic approximation, through phonopy."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms, units
from phonopy import run_qha

from asennp.errors import InputError
from asennp.evaluate.born import BornCharges
from asennp.evaluate.force_constants import compute_force_constants
from asennp.evaluate.precision import in_double
from asennp.evaluate.relax import relax
from asennp.results import Result


@dataclass(frozen=True, eq=False)
class QuasiharmonicResult(Result):
    """A crystal at temperatures T and one pressure; all per atom.

    Attributes
    ----------
    temperatures_K
        (t,).
    volume, gibbs_eV
        (t,) Å^3/atom and eV/atom (energy of the static crystal and its vibrations).
    expansion_per_K
        (t,) volumetric thermal expansion, (1/V) dV/dT.
    bulk_GPa
        (t,) isothermal bulk modulus.
    heat_capacity_kB
        (t,) at constant pressure, k_B/atom.
    gruneisen
        (t,) thermodynamic Grueneisen parameter (0 at T = 0).
    lengths
        (t, 3) lengths of the given cell's vectors, Å; empty where its angles change with the volume.
    volumes, static_eV, free_eV
        (v,) volumes that were computed, their static energies (v,), and (t, v) Helmholtz energies.
    pressure_GPa
        Outer pressure.
    minimum_THz
        (v,) lowest frequency at each volume; negative: an imaginary mode.
    converged
        Whether all relaxations reached their tolerance.
    warnings
        What to know before believing the result.
    """

    temperatures_K: np.ndarray
    volume: np.ndarray
    gibbs_eV: np.ndarray
    expansion_per_K: np.ndarray
    bulk_GPa: np.ndarray
    heat_capacity_kB: np.ndarray
    gruneisen: np.ndarray
    lengths: np.ndarray
    volumes: np.ndarray
    static_eV: np.ndarray
    free_eV: np.ndarray
    pressure_GPa: float
    minimum_THz: np.ndarray
    converged: bool
    warnings: tuple[str, ...]


def compute_quasiharmonic(
    atoms: Atoms,
    calculator: Any,
    supercell: Any = None,
    *,
    volume_range: tuple[float, float] = (-0.03, 0.06),
    n_volumes: int = 7,
    temperatures_K: Any = None,
    pressure_GPa: float = 0.0,
    length_A: float = 10.0,
    born: BornCharges | str | None = "model",
    mesh_length_A: float = 40.0,
    fmax: float = 1e-3,
) -> QuasiharmonicResult:
    """Return V(T), G(T) and their derivatives: G(T, P) = min over V of [E(V) + F_vib(V, T) + P V].

    Shape and ions are relaxed at each volume for the static energy (so anisotropic expansion follows the
    static crystal); E + F_vib is fitted by Vinet's equation of state at each temperature.

    Parameters
    ----------
    atoms
        Relaxed crystal (see `compute_lattice`).
    supercell, length_A, born
        As for `compute_phonons`.
    volume_range, n_volumes
        Relative change of volume, least and greatest, and the number of volumes (5 or more). They must
        reach beyond the expansion at the highest temperature.
    temperatures_K
        Default 0 to 1000 by 20; one more step is computed for the derivative.
    pressure_GPa
        Outer pressure.
    mesh_length_A
        Density of the mesh of wave vectors (see `compute_phonons`).
    fmax
        Tolerance of the relaxations, eV/Å.

    Raises
    ------
    InputError
        Fewer than five volumes, or an equilibrium volume outside their range.

    References
    ----------
    Togo et al., Phys. Rev. B 81 (2010) 174301, doi:10.1103/PhysRevB.81.174301.
    """
    if n_volumes < 5:
        raise InputError("too few volumes", where="n_volumes", expected="at least 5", got=n_volumes)
    calculator = in_double(calculator)
    temperatures = (
        np.arange(0.0, 1001.0, 20.0) if temperatures_K is None else np.asarray(temperatures_K, float)
    )
    step = temperatures[-1] - temperatures[-2]
    phonopys, energies, lowest, converged = [], [], [], True
    for change in np.linspace(*volume_range, n_volumes):
        frame = atoms.copy()
        frame.set_cell(atoms.cell.array * (1.0 + change) ** (1 / 3), scale_atoms=True)
        done = relax(frame, calculator, cell="fixed-volume", fmax=fmax)
        converged = converged and done.converged
        ph = compute_force_constants(done.atoms, calculator, supercell, length_A, 0.01, born).phonopy
        energies.append(done.energy * len(ph.primitive) / len(atoms))
        lowest.append(float(ph.run_mesh(mesh_length_A).frequencies.min()))
        phonopys.append(ph)
    return _collect(
        phonopys, np.array(energies), np.append(temperatures, temperatures[-1] + step),
        mesh_length_A, pressure_GPa, np.array(lowest), converged,
    )  # fmt: skip


def _collect(
    phonopys: list[Any],
    energies: np.ndarray,
    temperatures: np.ndarray,
    mesh: float,
    pressure: float,
    lowest: np.ndarray,
    converged: bool,
) -> QuasiharmonicResult:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        qha = run_qha(
            phonopys,
            temperatures,
            energies,
            mesh=mesh,
            pressure=pressure or None,
            exclude_gamma_acoustic=True,
        )
    n = len(phonopys[0].primitive)
    kept = len(temperatures) - 1
    volumes = np.array(qha.volumes)
    outside = (qha.equilibrium_volumes < volumes.min()) | (qha.equilibrium_volumes > volumes.max())
    if len(qha.temperatures) < kept or outside.any():
        first = qha.temperatures[outside][0] if outside.any() else temperatures[len(qha.temperatures)]
        raise InputError(
            f"the equilibrium volume at {first:.0f} K is outside the volumes that were computed",
            where="volume_range",
            got=f"{volumes.min() / n:.3f} to {volumes.max() / n:.3f} Å^3/atom",
            do="widen the range, or ask for lower temperatures",
        )
    words = []
    if lowest.min() < -0.05:
        bad = volumes[lowest < -0.05] / n
        words.append(
            f"imaginary modes at {len(bad)} of {len(volumes)} volumes (from {bad.min():.3f} Å^3/atom) are "
            "left out of the free energy"
        )
    return QuasiharmonicResult(
        temperatures_K=np.array(qha.temperatures),
        volume=np.array(qha.equilibrium_volumes) / n,
        gibbs_eV=np.array(qha.gibbs_free_energies) / n,
        expansion_per_K=np.array(qha.thermal_expansion),
        bulk_GPa=np.array(qha.bulk_moduli) / units.GPa,
        heat_capacity_kB=np.array(qha.heat_capacity_P.heat_capacities) / units.kB / n,
        gruneisen=np.array(qha.gruneisen_parameters),
        lengths=_lengths(qha),
        volumes=volumes / n,
        static_eV=energies / n,
        free_eV=np.array(qha.helmholtz_volume) / n,
        pressure_GPa=pressure,
        minimum_THz=lowest,
        converged=converged,
        warnings=tuple(words),
    )


def _lengths(qha: Any) -> np.ndarray:
    return np.zeros((0, 3)) if qha.lattice is None else np.array(qha.lattice.lattice_parameters)
