"""Phonons of a crystal: bands, densities of states, thermal properties, and what is unstable."""

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.cell import Cell
from ase.dft.kpoints import parse_path_string

from asennp.errors import InputError
from asennp.evaluate.born import BornCharges
from asennp.evaluate.force_constants import ForceConstants, compute_force_constants
from asennp.evaluate.precision import in_double
from asennp.evaluate.sound import compute_sound_velocities
from asennp.results import Result

#: Frequencies below minus this (THz) are imaginary modes; what is smaller may be noise of the forces.
_IMAGINARY = 0.05
#: kJ/mol in eV and J/(K mol) in k_B.
_KJ_MOL, _J_K_MOL = units.kJ / units.mol, 1e-3 * units.kJ / units.mol / units.kB


@dataclass(frozen=True, eq=False)
class ImaginaryMode(Result):
    """A mode along which the energy falls.

    Attributes
    ----------
    label
        Name of the wave vector, or "mesh".
    q
        (3,) wave vector in reciprocal vectors of the primitive cell.
    frequency_THz
        Negative: i times its size.
    commensurate
        Whether the wave fits into the supercell: then it is computed, else interpolated.
    """

    label: str
    q: np.ndarray
    frequency_THz: float
    commensurate: bool


@dataclass(frozen=True, eq=False)
class PhononResult(Result):
    """Harmonic lattice vibrations: frequencies in THz, imaginary ones negative.

    A primitive cell of n atoms has n_b = 3 n branches.

    Attributes
    ----------
    path_distance, path_frequencies_THz, path_q
        (n,) distance along the path (1/Å, without 2 pi), (n, n_b) frequencies, (n, 3) wave vectors in
        reciprocal vectors of the primitive cell.
    path_ends
        First point of each piece of the path; pieces do not join.
    label_positions, labels
        Distances and names of the special points.
    gamma_THz
        (n_b,) frequencies at the zone's centre, without the non-analytical term (transverse).
    dos_THz, dos
        (m,) frequencies and states per THz and primitive cell.
    partial_dos
        {symbol: (m,) states per THz and primitive cell}.
    temperatures_K
        (t,) of the thermal properties, per atom:
    free_energy_eV, entropy_kB, heat_capacity_kB
        (t,) vibrational free energy (zero point included, eV/atom), entropy and heat capacity at constant
        volume (k_B/atom).
    zero_point_eV
        eV/atom.
    sound_directions, sound_km_s
        (d, 3) Cartesian unit vectors and (d, 3) speeds of the acoustic branches, rising, km/s.
    minimum_THz, imaginary, is_stable
        Lowest frequency met, the imaginary modes at special points and the worst of the mesh, and whether
        there is none.
    born
        Born charges of the non-analytical term; None without.
    supercell
        (3, 3) integers.
    n_displacements
        Displaced supercells evaluated.
    sum_rule_error
        Largest component of sum_j Phi_ij before it was enforced, eV/Å^2.
    primitive
        The primitive cell.
    warnings
        What to know before believing the result.
    """

    path_distance: np.ndarray
    path_frequencies_THz: np.ndarray
    path_q: np.ndarray
    path_ends: np.ndarray
    label_positions: np.ndarray
    labels: tuple[str, ...]
    gamma_THz: np.ndarray
    dos_THz: np.ndarray
    dos: np.ndarray
    partial_dos: dict[str, np.ndarray]
    temperatures_K: np.ndarray
    free_energy_eV: np.ndarray
    entropy_kB: np.ndarray
    heat_capacity_kB: np.ndarray
    zero_point_eV: float
    sound_directions: np.ndarray
    sound_km_s: np.ndarray
    minimum_THz: float
    imaginary: tuple[ImaginaryMode, ...]
    is_stable: bool
    born: BornCharges | None
    supercell: np.ndarray
    n_displacements: int
    sum_rule_error: float
    primitive: Atoms
    warnings: tuple[str, ...]


def compute_phonons(
    atoms: Atoms,
    calculator: Any,
    supercell: Any = None,
    *,
    length_A: float = 12.0,
    displacement_A: float = 0.01,
    born: BornCharges | str | None = "model",
    path: str | None = None,
    mesh_length_A: float = 60.0,
    temperatures_K: Any = None,
    symprec: float = 1e-4,
    save: str | Path | None = None,
) -> PhononResult:
    """Return phonons by finite displacements in a supercell (phonopy).

    The long-range part of an ionic crystal's dynamical matrix depends on the direction in which q goes to
    zero. It is added from Born charges after Gonze and Lee; "model" takes Z* = q I and eps = 1 from a
    calculator of fixed charges, which is the exact limit of its own lattice dynamics.

    Parameters
    ----------
    atoms
        Relaxed crystal (see `compute_lattice`); any cell of it.
    calculator
        Any ASE calculator with forces.
    supercell
        Three multiples or a (3, 3) matrix of the cell; default: heights of at least `length_A`.
    displacement_A
        Size of the displacements, Å.
    born
        "model", `BornCharges.given(...)`, or None for no non-analytical term.
    path
        Special points such as ``"GXWG,KL"`` (names of ASE's `ase.cell.Cell.bandpath`, of the primitive
        cell); default: the standard path of the Bravais lattice.
    mesh_length_A
        Density of the mesh of wave vectors: a reciprocal vector of length k has k times this points; half
        of them for the densities of states, whose tetrahedra cannot use the symmetry.
    temperatures_K
        Of the thermal properties; default 0 to 1000 by 20.
    symprec
        Tolerance of the space group, Å.
    save
        Write phonopy's own file here (force constants included), for its command line.

    Raises
    ------
    InputError
        Not a crystal, no forces, Born charges or a path that do not fit.

    References
    ----------
    Gonze and Lee, Phys. Rev. B 55 (1997) 10355, doi:10.1103/PhysRevB.55.10355 (non-analytical term);
    Setyawan and Curtarolo, Comput. Mater. Sci. 49 (2010) 299, doi:10.1016/j.commatsci.2010.05.010 (paths);
    Togo et al., J. Phys.: Condens. Matter 35 (2023) 353001, doi:10.1088/1361-648X/acd831 (phonopy).
    """
    constants = compute_force_constants(
        atoms, in_double(calculator), supercell, length_A, displacement_A, born, symprec
    )
    if save is not None:
        constants.phonopy.save(save, settings={"force_constants": True})
    temperatures = (
        np.arange(0.0, 1001.0, 20.0) if temperatures_K is None else np.asarray(temperatures_K, float)
    )
    return _collect(constants, path, mesh_length_A, temperatures)


def _collect(
    constants: ForceConstants, path: str | None, mesh_length_A: float, temperatures: np.ndarray
) -> PhononResult:
    """Evaluate everything that follows from the force constants."""
    ph = constants.phonopy
    n_atoms = len(ph.primitive)
    bands = _bands(ph, path)
    mesh = ph.run_mesh(mesh_length_A)
    thermal = ph.run_thermal_properties(temperatures=temperatures, exclude_gamma_acoustic=True)
    lowest = int(np.argmin(mesh.frequencies.min(axis=1)))
    worst = mesh.qpoints[lowest], float(mesh.frequencies.min())
    imaginary = _imaginary(ph, bands, worst)
    dos = _densities(ph, mesh_length_A)
    gamma = np.array(ph.run_qpoints([[0.0, 0.0, 0.0]]).frequencies[0])
    directions, speeds = compute_sound_velocities(ph)
    warnings = constants.warnings
    if imaginary:
        warnings += ("thermal properties leave the imaginary modes out",)
    return PhononResult(
        **bands,
        gamma_THz=gamma,
        **dos,
        temperatures_K=temperatures,
        free_energy_eV=thermal.free_energy * _KJ_MOL / n_atoms,
        entropy_kB=thermal.entropy * _J_K_MOL / n_atoms,
        heat_capacity_kB=thermal.heat_capacity * _J_K_MOL / n_atoms,
        zero_point_eV=float(thermal.zero_point_energy * _KJ_MOL / n_atoms),
        sound_directions=directions,
        sound_km_s=speeds,
        minimum_THz=float(min(worst[1], bands["path_frequencies_THz"].min())),
        imaginary=imaginary,
        is_stable=not imaginary,
        born=constants.born,
        supercell=np.array(ph.supercell_matrix),
        n_displacements=len(ph.supercells_with_displacements),
        sum_rule_error=constants.sum_rule_error,
        primitive=Atoms(
            ph.primitive.symbols, positions=ph.primitive.positions, cell=ph.primitive.cell, pbc=True
        ),
        warnings=warnings,
    )


def _pieces(ph: Any, path: str | None) -> list[tuple[tuple[str, str], np.ndarray, np.ndarray]]:
    """Return (names, start, end) of the straight pieces of the path."""
    try:
        standard = Cell(ph.primitive.cell).bandpath(path=path, npoints=0, eps=1e-3)
        points = standard.special_points
        return [
            ((a, b), points[a], points[b])
            for line in parse_path_string(standard.path)
            for a, b in itertools.pairwise(line)
        ]
    except (KeyError, ValueError, RuntimeError) as error:
        raise InputError(
            "no such path through the Brillouin zone", where="path", got=path,
            do=f"use special points of the primitive cell's lattice ({error})",
        ) from None  # fmt: skip


def _bands(ph: Any, path: str | None) -> dict[str, Any]:
    reciprocal = np.linalg.inv(np.asarray(ph.primitive.cell)).T
    pieces = _pieces(ph, path)
    lengths = [float(np.linalg.norm((end - start) @ reciprocal)) for _, start, end in pieces]
    total = sum(lengths)
    counts = [max(9, round(120 * length / total)) for length in lengths]
    lines = [np.linspace(start, end, n) for (_, start, end), n in zip(pieces, counts)]
    result = ph.run_band_structure(lines)
    begins = np.concatenate([[0.0], np.cumsum(lengths)])
    distance = [d0 + np.linspace(0.0, length, n) for d0, length, n in zip(begins, lengths, counts)]
    labels, positions = [pieces[0][0][0]], [0.0]
    for k, ((a, b), _, _) in enumerate(pieces):
        if a != labels[-1]:
            labels[-1] += f"|{a}"
        labels.append(b)
        positions.append(float(begins[k + 1]))
    return {
        "path_distance": np.concatenate(distance),
        "path_frequencies_THz": np.concatenate(result.frequencies),
        "path_q": np.concatenate(lines),
        "path_ends": np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(int),
        "label_positions": np.array(positions),
        "labels": tuple(labels),
    }


def _densities(ph: Any, mesh_length_A: float) -> dict[str, Any]:
    """Return the density of states and its parts by species."""
    ph.run_mesh(0.5 * mesh_length_A, with_eigenvectors=True, is_mesh_symmetry=False)
    projected = ph.run_projected_dos()
    symbols = np.array(ph.primitive.symbols)
    parts = np.asarray(projected.projected_dos)
    return {
        "dos_THz": np.array(projected.frequency_points),
        "dos": parts.sum(axis=0),
        "partial_dos": {str(s): parts[symbols == s].sum(axis=0) for s in np.unique(symbols)},
    }


def _imaginary(ph: Any, bands: dict[str, Any], worst: tuple[np.ndarray, float]) -> tuple[ImaginaryMode, ...]:
    """List imaginary modes at the ends of the pieces of the path, and the worst of path and mesh."""
    q, frequencies = bands["path_q"], bands["path_frequencies_THz"]
    begins = bands["path_ends"]
    ends = np.concatenate([begins[1:], [len(q)]]) - 1
    flat = bands["labels"]
    found: dict[str, tuple[np.ndarray, float]] = {}
    for k, (begin, end) in enumerate(zip(begins, ends)):
        for name, at in ((flat[k].split("|")[-1], begin), (flat[k + 1].split("|")[0], end)):
            if frequencies[at].min() < -_IMAGINARY:
                found[name] = q[at], float(frequencies[at].min())
    along = int(np.argmin(frequencies.min(axis=1)))
    if min(worst[1], float(frequencies.min())) < -_IMAGINARY:
        found["lowest on the path"] = q[along], float(frequencies[along].min())
        found["lowest on the mesh"] = worst
    # phonopy's convention: supercell and primitive vectors are rows, q refers to the primitive cell
    to_supercell = np.asarray(ph.supercell.cell) @ np.linalg.inv(np.asarray(ph.primitive.cell))

    def fits(point: np.ndarray) -> bool:
        phases = to_supercell @ point
        return bool(np.abs(phases - np.round(phases)).max() < 1e-3)

    return tuple(
        ImaginaryMode(name, np.array(point), f, fits(point))
        for name, (point, f) in found.items()
        if f < -_IMAGINARY
    )
