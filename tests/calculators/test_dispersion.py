"""D3 against dftd3's own calculator, finite differences, and inside the hybrid calculator."""

import copy
import pickle
import sys

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.fd import FiniteDifferenceCalculator
from ase.units import Bohr

from asennp import HybridNNPCalculator
from asennp.calculators.dispersion import D3Calculator
from asennp.errors import InputError
from asennp.models import AEVSettings, AtomicNetworks, Model, NetworkSettings

AEV = AEVSettings(("Zn", "O"), radial_cutoff=4.0, angular_cutoff=3.0)


@pytest.fixture
def dftd3():
    return pytest.importorskip("dftd3", reason="the package dftd3 is not installed")


def make_model():
    networks = AtomicNetworks.random(
        NetworkSettings(AEV.length, 2, (6, 5)), torch.Generator().manual_seed(5), 2
    )
    return Model(AEV, networks, charges={"Zn": 0.75, "O": -0.75})


def make_atoms():
    atoms = bulk("ZnO", "wurtzite", a=3.25, c=5.2, u=0.38)
    atoms.set_cell(atoms.cell @ [[1.0, 0.02, 0.0], [0.0, 0.99, 0.05], [0.0, 0.0, 1.01]], scale_atoms=True)
    atoms.rattle(0.08, seed=2)
    return atoms


@pytest.mark.parametrize("damping", ["d3bj", "d3zero"])
def test_equals_dftd3(dftd3, damping):
    """Its calculator takes the functional's parameters with the three-body term switched off likewise."""
    from dftd3.ase import DFTD3

    for atoms in (make_atoms(), molecule("H2O")):
        ours, theirs = atoms.copy(), atoms.copy()
        ours.calc, theirs.calc = (
            D3Calculator("pbe", damping),
            DFTD3(
                method="pbe", damping=damping, realspace_cutoff={"width2": 10.0 * Bohr, "width3": 10.0 * Bohr}
            ),
        )
        assert ours.get_potential_energy() == pytest.approx(theirs.get_potential_energy(), rel=1e-10)
        np.testing.assert_allclose(ours.get_forces(), theirs.get_forces(), atol=1e-10)
        assert ours.get_potential_energies().sum() == pytest.approx(ours.get_potential_energy(), rel=1e-10)
        if atoms.pbc.all():
            np.testing.assert_allclose(ours.get_stress(), theirs.get_stress(), atol=1e-10)


def test_taper_changes_little(dftd3):
    """The end of the sum at 60 Bohr, sharp in dftd3's defaults."""
    from dftd3.ase import DFTD3

    atoms = make_atoms()
    sharp = DFTD3(method="pbe", damping="d3bj").get_potential_energy(atoms)
    assert D3Calculator("pbe").get_potential_energy(atoms) == pytest.approx(sharp, abs=1e-4 * len(atoms))


@pytest.mark.parametrize(
    ("damping", "three_body"), [("d3bj", False), ("d3zero", False), ("d3bj", True), ("d3zero", True)]
)
def test_forces_and_stress_are_derivatives_of_the_energy(dftd3, damping, three_body):
    atoms = make_atoms()
    if three_body:  # a triple sum over images takes long
        atoms.pbc = False
    calculator = D3Calculator("pbe", damping, three_body)
    forces = calculator.get_forces(atoms)
    differences = FiniteDifferenceCalculator(calculator, eps_disp=1e-3, eps_strain=1e-4)
    np.testing.assert_allclose(forces, differences.get_forces(atoms), atol=1e-6)
    if atoms.pbc.all():
        np.testing.assert_allclose(calculator.get_stress(atoms), differences.get_stress(atoms), atol=1e-6)
    assert np.abs(forces).max() > 1e-3
    energies = calculator.get_property("energies", atoms)
    assert energies.sum() == pytest.approx(calculator.get_potential_energy(atoms), rel=1e-10)


def test_three_body_term_is_added_on_request(dftd3):
    """Three argon atoms: the triangle's term is repulsive."""
    atoms = Atoms("Ar3", [(0, 0, 0), (3.8, 0, 0), (1.9, 3.3, 0)])
    two = D3Calculator("pbe").get_potential_energy(atoms)
    three = D3Calculator("pbe", three_body=True).get_potential_energy(atoms)
    assert two < three < 0.0


def test_hybrid_adds_the_dispersion(dftd3):
    atoms = make_atoms()
    plain, added = HybridNNPCalculator(make_model()), HybridNNPCalculator(make_model(), dispersion="pbe")
    alone = D3Calculator("pbe")
    for name in ("energy", "energies", "forces", "stress"):
        expected = plain.get_property(name, atoms) + alone.get_property(name, atoms)
        np.testing.assert_allclose(added.get_property(name, atoms), expected, atol=1e-10)
    assert added.committee.energy_std == plain.committee.energy_std
    again = pickle.loads(pickle.dumps(copy.deepcopy(added)))
    assert again.get_potential_energy(atoms) == added.get_potential_energy(atoms)
    assert added.member(0).parameters["dispersion"] == "pbe"


def test_bad_input_is_named(dftd3):
    with pytest.raises(InputError, match="no d3bj parameters"):
        D3Calculator("no-such-functional")
    with pytest.raises(InputError, match="no d3bj parameters"):
        HybridNNPCalculator(make_model(), dispersion="no-such-functional")
    with pytest.raises(InputError, match="d3bj or d3zero"):
        D3Calculator("pbe", "bj")
    with pytest.raises(InputError, match="not finite"):
        D3Calculator("pbe").get_potential_energy(Atoms("Ar", [(np.nan, 0, 0)]))


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "dftd3", None)
    with pytest.raises(InputError, match=r"pip install asennp\[d3\]"):
        D3Calculator("pbe")
