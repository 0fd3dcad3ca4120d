"""Phonons against what is known exactly: long waves, rigid ions, sum rules, elastic constants."""

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.calculators.lj import LennardJones

from asennp.calculators.buckingham import BuckinghamCoulomb
from asennp.errors import InputError
from asennp.evaluate import (
    BornCharges,
    PhononResult,
    christoffel_velocities,
    compute_elastic,
    compute_lattice,
    compute_phonons,
)
from asennp.evaluate.force_constants import compute_force_constants
from asennp.report import figures
from asennp.report.phonons import tabulate_phonons
from asennp.report.svg import to_svg
from asennp.structures import build_phase
from asennp.units import COULOMB_EV_A

#: sqrt(eV/(Å^2 amu)) in THz
THZ = np.sqrt(units._e / units._amu) * 1e10 / (2 * np.pi * 1e12)
FAST = {"mesh_length_A": 12.0, "temperatures_K": [0.0, 300.0, 3000.0]}


@pytest.fixture(scope="module")
def magnesia():
    calculator = BuckinghamCoulomb("mgo-lewis-catlow", cutoff=8.0, switch=2.0)
    start = build_phase("MgO", "rocksalt", a=4.2, cubic=False)
    lattice = compute_lattice(start, calculator, fmax=1e-5, smax_GPa=1e-4)
    return lattice.atoms, calculator


@pytest.fixture(scope="module")
def phonons(magnesia):
    return compute_phonons(*magnesia, supercell=(3, 3, 3), path="GX,GL", **FAST)


def dynamical_matrix(atoms, calculator, n, step=0.005):
    """Direct D(q) at q = (1/n, 0, 0): displace every atom of one cell in a row of n cells."""
    row = atoms.repeat((n, 1, 1))
    masses = atoms.get_masses()
    matrix = np.zeros((len(atoms), 3, len(atoms), 3), complex)
    phase = np.exp(-2j * np.pi * np.arange(n) / n)
    for k in range(len(atoms)):
        for x in range(3):
            pull = 0.0
            for sign in (1.0, -1.0):
                frame = row.copy()
                frame.positions[k, x] += sign * step
                pull = pull - sign * calculator.get_forces(frame) / (2 * step)
            pull = pull.reshape(n, len(atoms), 3)
            matrix[:, :, k, x] = np.tensordot(phase, pull, 1) / np.sqrt(masses * masses[k])[:, None]
    square = matrix.reshape(3 * len(atoms), -1)
    values = np.linalg.eigvalsh(0.5 * (square + square.conj().T))
    return np.sign(values) * np.sqrt(np.abs(values)) * THZ


def test_small_q_is_that_of_the_direct_dynamical_matrix(magnesia):
    """The non-analytical term of fixed charges is the model's own, seen at q = 1/12."""
    atoms, calculator = magnesia
    ph = compute_force_constants(atoms, calculator, supercell=(3, 3, 3)).phonopy
    found = ph.run_qpoints([[1 / 12, 0, 0]]).frequencies[0]
    assert found == pytest.approx(dynamical_matrix(atoms, calculator, 12), rel=5e-3)
    bare = compute_force_constants(atoms, calculator, supercell=(3, 3, 3), born=None).phonopy
    # without it the longitudinal branch is missed by a factor of two
    assert bare.run_qpoints([[1 / 12, 0, 0]]).frequencies[0][-1] < 0.8 * found[-1]


def test_splitting_of_longitudinal_and_transverse_modes_is_analytic(magnesia, phonons):
    """omega_LO^2 - omega_TO^2 = 4 pi k q^2 / (V mu) for two point charges a cell (eps = 1)."""
    atoms, _ = magnesia
    mass = np.prod(atoms.get_masses()) / atoms.get_masses().sum()
    gap = 4 * np.pi * COULOMB_EV_A * 2.0**2 / (atoms.cell.volume * mass)
    longitudinal = phonons.path_frequencies_THz[0].max() / THZ
    transverse = phonons.gamma_THz[-1] / THZ
    assert longitudinal**2 - transverse**2 == pytest.approx(gap, rel=1e-3)
    assert phonons.born.source == "model" and np.allclose(phonons.born.charges.sum(axis=0), 0.0)


def test_acoustic_sum_rule(phonons):
    assert phonons.sum_rule_error < 1e-6
    assert np.abs(phonons.gamma_THz[:3]).max() < 1e-3
    assert phonons.is_stable and phonons.imaginary == ()


def test_sound_is_that_of_the_elastic_constants(magnesia, phonons):
    atoms, calculator = magnesia
    elastic = compute_elastic(atoms, calculator, strain=1e-3)
    density = atoms.get_masses().sum() / atoms.get_volume()
    expected = christoffel_velocities(elastic.tensor_GPa, density, phonons.sound_directions)
    assert phonons.sound_km_s == pytest.approx(expected, rel=5e-3)


def test_thermal_limits(phonons):
    """Every mode is there; at high temperature C_V is Dulong and Petit's; F(0) is the zero point."""
    n = len(phonons.primitive)
    assert np.trapezoid(phonons.dos, phonons.dos_THz) == pytest.approx(3 * n, rel=0.02)
    assert sum(phonons.partial_dos.values()) == pytest.approx(phonons.dos)
    # the three modes at the zone's centre that are left out weigh 3 / (3 n times the points)
    assert phonons.heat_capacity_kB[-1] == pytest.approx(3.0, rel=0.02)
    assert phonons.free_energy_eV[0] == pytest.approx(phonons.zero_point_eV)
    assert phonons.entropy_kB[0] == 0.0


def test_result_goes_through_json(phonons, tmp_path):
    back = PhononResult.from_json(phonons.to_json(tmp_path / "phonons.json"))
    assert back.labels == phonons.labels == ("G", "X|G", "L")
    assert np.array_equal(back.path_frequencies_THz, phonons.path_frequencies_THz)
    assert np.array_equal(back.born.charges, phonons.born.charges)


def test_an_unstable_crystal_is_reported():
    """Lennard-Jones bcc gives way; the report says where."""
    calculator = LennardJones(sigma=2.5, epsilon=0.1, rc=5.0, smooth=True)
    atoms = compute_lattice(bulk("Fe", "bcc", a=3.1), calculator).atoms
    result = compute_phonons(atoms, calculator, supercell=(2, 2, 2), **FAST)
    assert not result.is_stable and result.minimum_THz < -0.05
    worst = min(result.imaginary, key=lambda mode: mode.frequency_THz)
    assert worst.frequency_THz == pytest.approx(result.minimum_THz)
    # the zone boundary fits into a supercell of two cells: computed, not interpolated
    assert all(mode.commensurate for mode in result.imaginary if mode.label in ("N", "H"))
    assert "imaginary" in " ".join(result.warnings)


def test_figures_and_table(phonons):
    both = {"one": phonons, "two": phonons}
    svg = to_svg(figures.plot_phonons(both), "t")
    assert "Γ" in svg and "Frequency (THz)" in svg and "two" in svg
    assert "Heat capacity" in to_svg(figures.plot_thermal(both), "t")
    table = tabulate_phonons(both)
    assert table.rows[0][1] == pytest.approx(phonons.gamma_THz[3]) and table.rows[0][-1] == "none"


def test_given_born_charges_and_dielectric_constant(magnesia):
    """Charges and screening enter as Z^2/eps alone: (2 Z, 4 eps) give the same long waves."""
    atoms, calculator = magnesia
    frequencies = []
    for scale in (1.0, 2.0):
        born = BornCharges.given(scale * np.array([2.0, -2.0]), scale**2 * np.eye(3))
        ph = compute_force_constants(atoms, calculator, supercell=(2, 2, 2), born=born).phonopy
        frequencies.append(ph.run_qpoints([[0, 0, 0]], nac_q_direction=[1, 0, 0]).frequencies[0])
    assert frequencies[0][3:] == pytest.approx(frequencies[1][3:], rel=1e-9)


class ShortSighted(LennardJones):
    """A calculator that knows its cut-off."""

    cutoff = 5.0


def test_bad_input(magnesia):
    atoms, calculator = magnesia
    with pytest.raises(InputError, match="sum to zero"):
        BornCharges.given(np.array([2.0, -1.0]), 1.0)
    with pytest.raises(InputError, match="not positive"):
        BornCharges.given(np.array([2.0, -2.0]), -1.0)
    with pytest.raises(InputError, match="one Born charge an atom"):
        compute_phonons(atoms, calculator, born=BornCharges.given(np.zeros(3), 1.0))
    with pytest.raises(InputError, match="no such path"):
        compute_phonons(atoms, calculator, supercell=(1, 1, 1), path="GQ")
    with pytest.raises(InputError, match="not a supercell"):
        compute_phonons(atoms, calculator, supercell=(2, 2))
    cluster = atoms.copy()
    cluster.pbc = False
    with pytest.raises(InputError, match="needs a crystal"):
        compute_phonons(cluster, calculator)


def test_what_may_be_wrong_is_flagged():
    calculator = ShortSighted(sigma=2.5, epsilon=0.1, rc=5.0, smooth=True)
    atoms = bulk("Ar", a=3.9, cubic=True)
    atoms.positions[0, 0] += 0.02
    constants = compute_force_constants(atoms, calculator, supercell=(1, 1, 1))
    assert any("cut-off of 5" in words for words in constants.warnings)
    assert any("not relaxed" in words for words in constants.warnings)
