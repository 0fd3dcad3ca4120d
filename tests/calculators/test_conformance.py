"""One suite over every calculator: what any ASE calculator of this package must do.

To add a calculator, add a `Case` to `CASES`.
"""

import atexit
import copy
import pickle
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.calculators.eam import EAM as ReferenceEAM
from ase.stress import voigt_6_to_full_3x3_stress

from asennp import (
    EAM,
    BuckinghamCoulomb,
    CoulombCalculator,
    HybridNNPCalculator,
    PQEqCalculator,
    SumCalculator,
)
from asennp.calculators.dispersion import D3Calculator
from asennp.errors import InputError
from asennp.models import AEVSettings, AtomicNetworks, Model, NetworkSettings
from asennp.structures import build_phase

CHARGES = {"Zn": 1.5, "O": -1.5}


def zno() -> Atoms:
    """Eight displaced atoms in a sheared, thin cell, not aligned with the axes, some outside the cell."""
    atoms = build_phase("ZnO", "rocksalt", 4.4)
    rng = np.random.default_rng(1)
    strain = np.array([[0.02, 0.05, -0.03], [0.0, -0.03, 0.06], [0.0, 0.0, 0.01]])
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    atoms.positions += rng.normal(0.0, 0.1, atoms.positions.shape)
    atoms.rotate(35.0, (1, 2, 3), rotate_cell=True)
    atoms.positions[3] += atoms.cell.array[0] - 2 * atoms.cell.array[2]
    return atoms


def slab() -> Atoms:
    """The same atoms with the third direction open."""
    atoms = zno()
    atoms.pbc = (True, True, False)
    return atoms


def argon() -> Atoms:
    """A displaced crystal of argon in a triclinic cell."""
    cell = [[5.4, 0, 0], [0.4, 5.2, 0], [-0.3, 0.5, 5.3]]
    sites = [(0, 0, 0), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
    atoms = Atoms("Ar4", scaled_positions=sites, cell=cell, pbc=True)
    atoms.rattle(0.15, seed=2)
    return atoms


def alloy() -> Atoms:
    """A displaced crystal of two metals, in the cell of `argon` made smaller."""
    atoms = argon()
    atoms.symbols = "CuAgCuCu"
    atoms.set_cell(0.75 * atoms.cell.array, scale_atoms=True)
    return atoms


@cache
def eam_file() -> Path:
    """A made-up setfl file, written once for all tests of this module."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    path = Path(folder.name) / "made-up.eam.alloy"

    def ending(strength: float, decay: float) -> Callable[[np.ndarray], np.ndarray]:
        return lambda r: strength * np.exp(-decay * (r - 2.5)) * np.clip(1 - r / 5.0, 0, None) ** 4

    tables = ReferenceEAM(
        form="alloy", elements=["Cu", "Ag"], Z=[29, 47], mass=[63.5, 107.9], a=[3.6, 4.1],
        lattice=["fcc", "fcc"], cutoff=5.0, nr=2000, dr=5.0 / 1999, nrho=2000, drho=0.02,
        embedded_energy=np.array([lambda x: -np.sqrt(x + 0.1), lambda x: -1.4 * np.sqrt(x + 0.1)]),
        electron_density=np.array([ending(1.0, 1.2), ending(0.8, 1.1)]),
        phi=np.array([[ending(1.0, 3.0), ending(0.8, 2.8)], [ending(0.8, 2.8), ending(1.2, 2.9)]]),
        header=["made up\n", "for a test\n", "\n"],
    )  # fmt: skip
    tables.Nelements = 2  # the writer needs it
    tables.write_potential(path)
    return path


@dataclass(frozen=True)
class Case:
    """A calculator, atoms to try it on, and how well things must agree (eV, eV/Å, eV/Å^3)."""

    factory: Callable[[], Calculator]
    atoms: Callable[[], Atoms] = zno
    tolerance: float = 1e-8  #: of things equal by symmetry
    gradient: float = 1e-7  #: of forces and stress against finite differences
    smooth: bool = True  #: no jump at a cut-off, so finite differences are exact
    every_species: bool = False  #: there is no species it does not know
    step: float = 1.0  #: of finite differences; smaller where a cut-off bends the forces


def both() -> Calculator:
    short = BuckinghamCoulomb("zno-lewis-catlow", coulomb=False, cutoff=7.0, switch=1.0)
    return SumCalculator([short, CoulombCalculator(CHARGES, accuracy=1e-10)])


def network(
    charges: dict[str, float], n_members: int, dtype: str, electrostatics: str = "point"
) -> Calculator:
    settings = AEVSettings(("Zn", "O"))
    networks = AtomicNetworks.random(
        NetworkSettings(settings.length, 2, (10, 8)),
        torch.Generator().manual_seed(6),
        n_members,
        torch.float64,
    )
    model = Model(settings, networks, {"Zn": -2.0, "O": 1.0}, charges, electrostatics=electrostatics)
    return HybridNNPCalculator(model, dtype=dtype, coulomb_accuracy=1e-10)


def dispersion(damping: str = "d3bj") -> Calculator:
    pytest.importorskip("dftd3", reason="the package dftd3 is not installed")
    return D3Calculator("pbe", damping)


def polarizable() -> Calculator:
    """Short range, polarizable electrostatics and dispersion."""
    short = BuckinghamCoulomb("zno-lewis-catlow", coulomb=False, cutoff=7.0, switch=1.0)
    return SumCalculator([short, PQEqCalculator(accuracy=1e-10, tolerance=1e-10), dispersion()])


CASES = {
    "buckingham-coulomb": Case(lambda: BuckinghamCoulomb("zno-lewis-catlow", accuracy=1e-10), smooth=False),
    "buckingham-coulomb-loose": Case(
        lambda: BuckinghamCoulomb("zno-binks", cutoff=8.0, switch=1.5, accuracy=1e-5, guard=True),
        tolerance=1e-4,
    ),
    "buckingham": Case(lambda: BuckinghamCoulomb("zno-binks", coulomb=False, cutoff=7.0, switch=1.0)),
    "buckingham-coulomb-slab": Case(
        lambda: BuckinghamCoulomb("zno-lewis-catlow", cutoff=7.0, switch=1.0, accuracy=1e-10), slab
    ),
    "argon": Case(lambda: BuckinghamCoulomb("argon-buckingham", cutoff=8.0, switch=1.0), argon),
    "eam": Case(lambda: EAM(eam_file()), alloy),
    "coulomb-ewald": Case(lambda: CoulombCalculator(CHARGES, accuracy=1e-10)),
    "coulomb-slab": Case(lambda: CoulombCalculator(CHARGES, accuracy=1e-10), slab),
    "coulomb-pme": Case(lambda: CoulombCalculator(CHARGES, method="pme"), tolerance=5e-5, gradient=5e-5),
    "coulomb-pme-tight": Case(lambda: CoulombCalculator(CHARGES, method="pme", accuracy=1e-10)),
    "coulomb-torch": Case(lambda: CoulombCalculator(CHARGES, method="torch-pme", accuracy=1e-10)),
    "sum": Case(both),
    "dispersion": Case(dispersion, tolerance=1e-7, gradient=1e-6, every_species=True),
    "dispersion-zero": Case(lambda: dispersion("d3zero"), tolerance=1e-7, gradient=1e-6, every_species=True),
    "pqeq": Case(lambda: PQEqCalculator(accuracy=1e-10, tolerance=1e-10), every_species=True),
    "pqeq-taper": Case(
        lambda: PQEqCalculator(periodic="taper", tolerance=1e-10),
        step=0.3,
        tolerance=5e-8,
        every_species=True,
    ),
    "pqeq-iterative": Case(
        lambda: PQEqCalculator(solver="iterative", accuracy=1e-10, tolerance=1e-10), every_species=True
    ),
    "polarizable": Case(polarizable, tolerance=1e-7, gradient=1e-6),
    "hybrid": Case(lambda: network(CHARGES, 3, "float64"), step=0.1),
    "hybrid-short": Case(lambda: network({}, 1, "float64"), step=0.1),
    "hybrid-pqeq": Case(lambda: network({}, 2, "float64", "pqeq"), step=0.1, tolerance=1e-7, gradient=1e-6),
    "hybrid-single-precision": Case(lambda: network(CHARGES, 2, "float32"), tolerance=2e-5, smooth=False),
}

every = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
smooth = pytest.mark.parametrize(
    "case", [c for c in CASES.values() if c.smooth], ids=[k for k, c in CASES.items() if c.smooth]
)


def evaluate(case: Case, atoms: Atoms) -> dict[str, np.ndarray]:
    """Results of a fresh calculator."""
    calculator = case.factory()
    calculator.calculate(atoms.copy())
    return calculator.results


def assert_same(one: dict, other: dict) -> None:
    """Bit for bit."""
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def derivative(energy: Callable[[float], float], h: float) -> float:
    """Fourth-order central difference at 0."""
    return (8 * (energy(h) - energy(-h)) - (energy(2 * h) - energy(-2 * h))) / (12 * h)


@every
def test_full_property_set(case):
    atoms = case.atoms()
    atoms.calc = case.factory()
    n = len(atoms)
    assert atoms.get_potential_energies().shape == (n,)
    assert atoms.get_forces().shape == (n, 3)
    assert atoms.get_stress().shape == (6,)
    assert atoms.get_potential_energy(force_consistent=True) == atoms.get_potential_energy()
    assert isinstance(atoms.calc.results["energy"], float)
    assert set(atoms.calc.results) <= set(atoms.calc.implemented_properties)
    np.testing.assert_allclose(atoms.get_potential_energies().sum(), atoms.get_potential_energy(), rtol=1e-12)
    np.testing.assert_allclose(atoms.get_forces().sum(axis=0), 0.0, atol=max(1e-9, case.tolerance))


@smooth
def test_forces_are_the_gradient(case):
    atoms, calculator = case.atoms(), case.factory()
    forces = evaluate(case, atoms)["forces"]
    start = atoms.positions.copy()
    for atom, axis in ((0, 0), (1, 1), (3, 2)):

        def energy(h, atom=atom, axis=axis):
            atoms.positions = start
            atoms.positions[atom, axis] += h
            return calculator.get_potential_energy(atoms)

        assert derivative(energy, 2e-3 * case.step) == pytest.approx(-forces[atom, axis], abs=case.gradient)


@smooth
def test_stress_is_the_strain_derivative(case):
    atoms, calculator = case.atoms(), case.factory()
    stress = evaluate(case, atoms)["stress"]
    cell, volume = atoms.cell.array.copy(), atoms.get_volume()
    for k, (a, b) in enumerate([(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]):

        def energy(h, a=a, b=b):
            strain = np.zeros((3, 3))
            strain[a, b] += 0.5 * h
            strain[b, a] += 0.5 * h
            strained = atoms.copy()
            strained.set_cell(cell @ (np.eye(3) + strain), scale_atoms=True)
            return calculator.get_potential_energy(strained)

        assert derivative(energy, 1e-3 * case.step) / volume == pytest.approx(stress[k], abs=case.gradient)


@every
def test_translation(case):
    atoms = case.atoms()
    before = evaluate(case, atoms)
    atoms.positions += (1.3, -17.0, 4.9)
    after = evaluate(case, atoms)
    for name in ("energies", "forces", "stress"):
        np.testing.assert_allclose(after[name], before[name], atol=case.tolerance, err_msg=name)


@every
def test_lattice_translation_of_one_atom(case):
    atoms = case.atoms()
    before = evaluate(case, atoms)
    atoms.positions[0] += 3 * atoms.cell.array[0] - atoms.cell.array[1]
    after = evaluate(case, atoms)
    for name in ("energies", "forces", "stress"):
        np.testing.assert_allclose(after[name], before[name], atol=case.tolerance, err_msg=name)


@every
def test_rotation(case):
    atoms = case.atoms()
    before = evaluate(case, atoms)
    q, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))
    atoms.set_cell(atoms.cell.array @ q.T)
    atoms.positions = atoms.positions @ q.T
    after = evaluate(case, atoms)
    np.testing.assert_allclose(after["energies"], before["energies"], atol=case.tolerance)
    np.testing.assert_allclose(after["forces"], before["forces"] @ q.T, atol=case.tolerance)
    rotated = q @ voigt_6_to_full_3x3_stress(before["stress"]) @ q.T
    np.testing.assert_allclose(voigt_6_to_full_3x3_stress(after["stress"]), rotated, atol=case.tolerance)


@every
def test_permutation(case):
    atoms = case.atoms()
    before = evaluate(case, atoms)
    order = np.random.default_rng(4).permutation(len(atoms))
    after = evaluate(case, atoms[order])
    for name in ("energies", "forces"):
        np.testing.assert_allclose(after[name], before[name][order], atol=case.tolerance, err_msg=name)
    np.testing.assert_allclose(after["stress"], before["stress"], atol=case.tolerance)


@every
def test_supercell(case):
    atoms = case.atoms()
    before = evaluate(case, atoms)
    after = evaluate(case, atoms.repeat((1, 2, 1)))
    n = len(atoms)
    assert after["energy"] == pytest.approx(2 * before["energy"], abs=case.tolerance * 2 * n)
    np.testing.assert_allclose(after["forces"][:n], before["forces"], atol=case.tolerance)
    np.testing.assert_allclose(after["stress"], before["stress"], atol=case.tolerance)


@every
def test_choice_of_cell_vectors(case):
    atoms = case.atoms()
    before = evaluate(case, atoms)
    skewed = atoms.copy()
    skewed.set_cell(np.array([[1, 0, 0], [1, 1, 0], [0, -1, 1]]) @ atoms.cell.array)
    after = evaluate(case, skewed)
    for name in ("energies", "forces", "stress"):
        np.testing.assert_allclose(after[name], before[name], atol=case.tolerance, err_msg=name)


@every
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda atoms: atoms[:0], "no atoms"),
        (lambda atoms: moved(atoms, np.nan), "not finite"),
        (lambda atoms: moved(atoms, np.inf), "not finite"),
        (lambda atoms: moved(atoms, atoms.positions[1]), "on top of each other|overlap"),
        (
            lambda atoms: moved(atoms, atoms.positions[1] - atoms.cell.array[0]),
            "on top of each other|overlap",
        ),
        (lambda atoms: Atoms(f"Xe{len(atoms)}", positions=atoms.positions, cell=atoms.cell, pbc=True), "Xe"),
        (lambda atoms: Atoms(atoms, cell=atoms.cell.array * [[1], [0], [1]]), "no volume|no cell vector"),
    ],
)
def test_atoms_that_make_no_sense_are_named(case, spoil, message):
    if case.every_species and message == "Xe":
        pytest.skip("knows every species")
    with pytest.raises(InputError, match=message):
        case.factory().calculate(spoil(case.atoms()))


def moved(atoms: Atoms, position: object) -> Atoms:
    """Put the first atom somewhere."""
    atoms.positions[0] = position
    return atoms


@every
def test_atoms_are_left_alone(case):
    atoms = case.atoms()
    kept = atoms.copy()
    atoms.calc = case.factory()
    forces = atoms.get_forces()
    assert atoms == kept
    forces += 1.0
    assert not np.array_equal(atoms.get_forces(), forces)


@every
def test_any_change_counts(case):
    atoms = case.atoms()
    atoms.calc = case.factory()
    atoms.get_potential_energy()
    atoms.positions[0, 0] = np.nextafter(atoms.positions[0, 0], np.inf)
    assert atoms.calc.check_state(atoms) == ["positions"]
    atoms.positions[0, 0] += 0.01
    assert atoms.get_potential_energy() == evaluate(case, atoms)["energy"]
    atoms.set_cell(atoms.cell.array * 1.001)
    assert atoms.get_potential_energy() == evaluate(case, atoms)["energy"]
    if len(set(atoms.numbers)) > 1:
        first, second = 0, int(np.flatnonzero(atoms.numbers != atoms.numbers[0])[0])
        atoms.numbers[[first, second]] = atoms.numbers[[second, first]]
        np.testing.assert_array_equal(atoms.get_forces(), evaluate(case, atoms)["forces"])
    atoms.calc.calculate(atoms.repeat((2, 1, 1)))
    assert atoms.get_potential_energy() == evaluate(case, atoms)["energy"]


@every
def test_results_do_not_depend_on_history(case):
    atoms, rng = case.atoms(), np.random.default_rng(5)
    used = case.factory()
    for _ in range(12):
        atoms.positions += rng.normal(0.0, 0.02, atoms.positions.shape)
        strain = rng.normal(0.0, 0.002, (3, 3))
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
        used.calculate(atoms)
    assert_same(used.results, evaluate(case, atoms))


@every
def test_copies_give_the_same(case):
    atoms = case.atoms()
    calculator = case.factory()
    calculator.calculate(atoms)
    moved = atoms.copy()
    moved.positions[0] += 0.1
    expected = evaluate(case, moved)
    for twin in (copy.deepcopy(calculator), pickle.loads(pickle.dumps(calculator))):
        assert twin.parameters == calculator.parameters
        twin.calculate(moved)
        assert_same(twin.results, expected)
