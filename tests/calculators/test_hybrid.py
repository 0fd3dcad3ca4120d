"""The hybrid calculator: committee, Coulomb part, cut-offs, and what it refuses."""

import copy
import dataclasses
import json
import pickle

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.fd import FiniteDifferenceCalculator

from asennp.calculators.hybrid import HybridNNPCalculator
from asennp.errors import InputError
from asennp.models import AEVSettings, AtomicNetworks, Model, NetworkSettings, compute_aev
from asennp.models.model import feature_ranges

AEV = AEVSettings(("Zn", "O"))
CHARGES = {"Zn": 0.75, "O": -0.75}


def make_model(n_members=3, charges=None):
    networks = AtomicNetworks.random(
        NetworkSettings(AEV.length, 2, (12, 8)), torch.Generator().manual_seed(5), n_members, torch.float64
    )
    return Model(AEV, networks, {"Zn": -1.0, "O": 0.5}, CHARGES if charges is None else charges)


def make_atoms():
    atoms = bulk("ZnO", "wurtzite", a=3.25, c=5.2, u=0.38)
    atoms.set_cell(atoms.cell @ [[1.0, 0.02, 0.0], [0.0, 0.99, 0.05], [0.0, 0.0, 1.01]], scale_atoms=True)
    atoms.rattle(0.08, seed=2)
    return atoms


def evaluate(calculator, atoms):
    atoms = atoms.copy()
    atoms.calc = calculator
    return (
        atoms.get_potential_energy(),
        atoms.get_forces(),
        atoms.get_stress(),
        calculator.results["energies"],
    )


@pytest.mark.parametrize("charges", [{}, CHARGES])
def test_forces_and_stress_are_derivatives_of_the_energy(charges):
    atoms = make_atoms()
    calculator = HybridNNPCalculator(make_model(charges=charges), dtype="float64")
    energy, forces, stress, energies = evaluate(calculator, atoms)
    atoms.calc = FiniteDifferenceCalculator(calculator, eps_disp=1e-4, eps_strain=1e-4)
    np.testing.assert_allclose(forces, atoms.get_forces(), atol=1e-5)
    np.testing.assert_allclose(stress, atoms.get_stress(), atol=1e-6)
    assert energies.sum() == pytest.approx(energy, abs=1e-10)
    assert np.abs(forces).max() > 0.1


def test_short_range_and_coulomb_add_up():
    from asennp.calculators.coulomb import CoulombCalculator

    atoms = make_atoms()
    both = evaluate(HybridNNPCalculator(make_model(), dtype="float64"), atoms)
    short = evaluate(HybridNNPCalculator(make_model(charges={}), dtype="float64"), atoms)
    coulomb = evaluate(CoulombCalculator(CHARGES), atoms)
    for total, a, b in zip(both, short, coulomb):
        np.testing.assert_allclose(total, a + b, atol=1e-9)


def test_committee_is_the_spread_of_its_members():
    atoms = make_atoms()
    calculator = HybridNNPCalculator(make_model(), dtype="float64")
    with pytest.raises(InputError, match="no calculation"):
        _ = calculator.committee
    mean = evaluate(calculator, atoms)
    members = [evaluate(calculator.member(k), atoms) for k in range(3)]
    stds = [np.std([member[k] for member in members], axis=0, ddof=1) for k in range(4)]
    committee = calculator.committee
    for k, spread in enumerate(
        (committee.energy_std, committee.forces_std, committee.stress_std, committee.energies_std)
    ):
        np.testing.assert_allclose(mean[k], np.mean([member[k] for member in members], axis=0), atol=1e-10)
        np.testing.assert_allclose(spread, stds[k], atol=1e-10)
    assert committee.energy_std > 0.1


def test_equal_members_do_not_spread():
    one = make_model(1)
    twins = Model.stack([one, one])
    for model in (one, twins):
        calculator = HybridNNPCalculator(model, dtype="float64")
        evaluate(calculator, make_atoms())
        committee = calculator.committee
        for spread in (
            committee.energy_std, committee.energies_std, committee.forces_std, committee.stress_std
        ):  # fmt: skip
            np.testing.assert_allclose(spread, 0.0, atol=1e-14)


def test_single_precision_follows_double():
    atoms = make_atoms() * (2, 2, 1)
    exact, rough = (
        evaluate(HybridNNPCalculator(make_model(), dtype=dtype), atoms) for dtype in ("float64", "float32")
    )
    for a, b in zip(exact, rough):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_atoms_outside_the_training_range_are_counted():
    atoms = make_atoms()
    plain = make_model()
    calculator = HybridNNPCalculator(plain)
    evaluate(calculator, atoms)
    assert calculator.committee.outside is None
    assert calculator.committee.outside_range is None
    frames = [make_atoms() for _ in range(2)]
    frames[1].rattle(0.05, seed=1)
    features = np.concatenate([compute_aev(frame, AEV) for frame in frames])
    species = np.concatenate([AEV.indices(frame) for frame in frames])
    calculator = HybridNNPCalculator(dataclasses.replace(plain, ranges=feature_ranges(features, species, 2)))
    for frame in frames:
        evaluate(calculator, frame)
        assert calculator.committee.outside_range == 0
    strained = atoms.copy()
    strained.set_cell(atoms.cell * 0.9, scale_atoms=True)
    evaluate(calculator, strained)
    assert calculator.committee.outside_range == len(atoms)


def test_energy_and_force_are_smooth_through_both_cutoffs():
    calculator = HybridNNPCalculator(make_model(charges={}), dtype="float64")

    def force(distance, cutoff):
        # the pair (0, 2) crosses the cut-off; a third atom makes it an angle
        atoms = Atoms("ZnOO", [[0, 0, 0], [0, 0, 2.0], [0, distance + cutoff, 0]], calculator=calculator)
        return atoms.get_potential_energy(), atoms.get_forces()[2, 1]

    for cutoff in (AEV.angular_cutoff, AEV.radial_cutoff):
        before, at, after = (force(x, cutoff) for x in (-1e-5, 0.0, 1e-5))
        assert abs(before[0] - 2 * at[0] + after[0]) < 1e-7
        assert abs(before[1] - after[1]) < 1e-3
        assert after[0] - before[0] == pytest.approx(-2e-5 * at[1], abs=1e-9)


def test_results_do_not_depend_on_history():
    rng = np.random.default_rng(0)
    atoms = make_atoms()
    used = HybridNNPCalculator(make_model())
    for _ in range(3):
        atoms.positions += rng.normal(0, 0.03, atoms.positions.shape)
        for a, b in zip(evaluate(used, atoms), evaluate(HybridNNPCalculator(make_model()), atoms)):
            np.testing.assert_array_equal(a, b)


def test_copies_pickles_and_parameters(tmp_path):
    atoms = make_atoms()
    path = make_model().save(tmp_path / "a.asennp")
    calculator = HybridNNPCalculator(path, dtype="float64")
    expected = evaluate(calculator, atoms)
    for twin in (copy.deepcopy(calculator), pickle.loads(pickle.dumps(calculator))):
        for a, b in zip(evaluate(twin, atoms), expected):
            np.testing.assert_array_equal(a, b)
    again = HybridNNPCalculator(**json.loads(json.dumps(calculator.todict())))
    np.testing.assert_array_equal(evaluate(again, atoms)[1], expected[1])
    json.dumps(HybridNNPCalculator(make_model()).todict())
    calculator.set(dtype="float32")
    assert not calculator.results
    np.testing.assert_allclose(evaluate(calculator, atoms)[1], expected[1], atol=1e-3)


def test_open_and_partly_periodic_systems():
    atoms = make_atoms()
    atoms.pbc = False
    atoms.calc = HybridNNPCalculator(make_model())
    assert np.isfinite(atoms.get_potential_energy())
    with pytest.raises(PropertyNotImplementedError):
        atoms.get_stress()
    assert atoms.calc.committee.stress_std is None
    atoms.pbc = (True, True, False)
    assert np.isfinite(atoms.get_potential_energy())
    atoms.pbc = (False, True, False)
    with pytest.raises(InputError, match="periodic"):
        atoms.get_potential_energy()
    atoms.calc = HybridNNPCalculator(make_model(charges={}))
    assert np.isfinite(atoms.get_potential_energy())


def test_bad_input_is_named():
    model = make_model()
    for arguments, message in [
        ({"device": "tpu"}, "device"),
        ({"dtype": "half"}, "dtype"),
        ({"cut": 3}, "unknown parameter"),
        *([] if torch.cuda.is_available() else [({"device": "cuda"}, "no CUDA device")]),
    ]:
        with pytest.raises(InputError, match=message):
            HybridNNPCalculator(model, **arguments)
    with pytest.raises(InputError, match="no such model"):
        HybridNNPCalculator("nowhere")
    calculator = HybridNNPCalculator(model)
    flat = make_atoms()
    flat.cell[2] = flat.cell[1]
    charged = make_atoms()
    del charged[0]
    broken = make_atoms()
    broken.positions[1, 2] = np.nan
    overlapping = make_atoms()
    overlapping.positions[1] = overlapping.positions[0]
    for atoms, message in [
        (molecule("H2O"), "H"),
        (flat, "no volume"),
        (charged, "neutral"),
        (broken, "not finite"),
        (overlapping, "overlap"),
    ]:
        atoms.calc = calculator
        with pytest.raises(InputError, match=message):
            atoms.get_potential_energy()


def test_born_charges_of_the_model_and_of_the_material():
    atoms = make_atoms()
    calculator = HybridNNPCalculator(make_model())
    found = calculator.born_charges(atoms)
    assert found.shape == (len(atoms), 3, 3)
    np.testing.assert_allclose(found[:, 0, 0], [CHARGES[symbol] for symbol in atoms.symbols])
    np.testing.assert_allclose(calculator.physical_born_charges(atoms, 5.29), 2.3 * found)
    assert not HybridNNPCalculator(make_model(charges={})).born_charges(atoms).any()
