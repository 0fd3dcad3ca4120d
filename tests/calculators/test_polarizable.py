"""PQEq under other potentials: sums, residual targets, hybrid models, dispersion, dynamics."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from ase import units
from ase.build import bulk, molecule
from ase.md.velocitydistribution import thermalize_momenta
from ase.md.verlet import VelocityVerlet

from asennp import BuckinghamCoulomb, D3Calculator, HybridNNPCalculator, PQEqCalculator, SumCalculator
from asennp.dataset import residual_targets
from asennp.dataset.targets import compute_labels
from asennp.errors import InputError
from asennp.models import AEVSettings, AtomicNetworks, Model, NetworkSettings, load_model
from asennp.train import evaluate_frames


def crystal():
    atoms = bulk("ZnO", "wurtzite", a=3.25, c=5.2)
    atoms.rattle(0.1, seed=1)
    return atoms


def model():
    aev = AEVSettings(("Zn", "O"))
    networks = AtomicNetworks.random(
        NetworkSettings(aev.length, 2, (8, 6)), torch.Generator().manual_seed(5), 2, torch.float64
    )
    return Model(aev, networks, electrostatics="pqeq")


def test_hybrid_model_adds_pqeq(tmp_path):
    """A model that says so is the sum of its networks and PQEq, also out of its file."""
    atoms = crystal()
    hybrid = HybridNNPCalculator(model(), dtype="float64")
    short = HybridNNPCalculator(dataclasses.replace(model(), electrostatics="point"), dtype="float64")
    total = SumCalculator([short, PQEqCalculator()])
    for name in ("energy", "energies", "forces", "stress"):
        np.testing.assert_allclose(
            hybrid.get_property(name, atoms), total.get_property(name, atoms), atol=1e-12
        )
    pqeq = PQEqCalculator()
    np.testing.assert_array_equal(hybrid.get_property("charges", atoms), pqeq.get_property("charges", atoms))
    np.testing.assert_allclose(hybrid.born_charges(atoms), pqeq.born_charges(atoms), atol=1e-12)
    assert load_model(model().save(tmp_path / "m.asennp")).electrostatics == "pqeq"
    with pytest.raises(InputError, match="unknown electrostatics"):
        dataclasses.replace(model(), electrostatics="qeq")


def test_many_frames_at_once():
    """Crystals and clusters side by side in threads: what the calculator gives for each."""
    cluster = crystal()
    cluster.pbc = False
    frames = [crystal(), cluster, crystal().repeat((1, 2, 1))]
    found = evaluate_frames(model(), frames, threads=2, dtype="float64")
    calculator = HybridNNPCalculator(model(), dtype="float64", device="cpu")
    for k, frame in enumerate(frames):
        assert found.energy[k] == pytest.approx(calculator.get_property("energy", frame), abs=1e-11)
        for name in ("energies", "forces"):
            expected = calculator.get_property(name, frame)
            np.testing.assert_allclose(found.by_frame(name)[k], expected, atol=1e-11)
        if frame.pbc.all():
            np.testing.assert_allclose(found.stress[k], calculator.get_property("stress", frame), atol=1e-13)
    cluster.positions[1] = cluster.positions[0] + 0.1
    with pytest.raises(InputError, match=r"(?s)frame 1: .*atoms 0 .* and 1 .* 0.173 Å apart"):
        evaluate_frames(model(), frames, threads=1)


def test_residual_targets_leave_the_short_range():
    """Labels of short range, PQEq and dispersion, less the last two, are those of the short range."""
    pytest.importorskip("dftd3", reason="the package dftd3 is not installed")
    short = BuckinghamCoulomb("zno-lewis-catlow", coulomb=False, cutoff=7.0, switch=1.0)
    baseline = SumCalculator([PQEqCalculator(), D3Calculator("pbe", "d3zero")])
    teacher = SumCalculator([short, PQEqCalculator(), D3Calculator("pbe", "d3zero")])
    frames = [crystal()]
    residual, expected = (
        residual_targets(compute_labels(frames, teacher), baseline)[0],
        compute_labels(frames, short)[0],
    )
    assert residual.info["REF_energy"] == pytest.approx(expected.info["REF_energy"], abs=1e-9)
    np.testing.assert_allclose(residual.arrays["REF_forces"], expected.arrays["REF_forces"], atol=1e-9)
    np.testing.assert_allclose(residual.info["REF_stress"], expected.info["REF_stress"], atol=1e-10)


def test_sum_passes_the_dipole_on():
    atoms = molecule("H2O")
    pqeq = PQEqCalculator()
    pytest.importorskip("dftd3", reason="the package dftd3 is not installed")
    total = SumCalculator([pqeq, D3Calculator("pbe")])
    np.testing.assert_array_equal(total.get_property("dipole", atoms), pqeq.results["dipole"])


@pytest.mark.parametrize("name", ["H2O", "H2O_dimer"])
def test_zero_damping_dispersion_is_that_of_the_published_code(reference, name):
    pytest.importorskip("dftd3", reason="the package dftd3 is not installed")
    entry = json.loads((reference / "pqeq_refs.json").read_text())["finite"][name]
    from ase import Atoms

    atoms = Atoms(entry["symbols"], entry["positions"])
    calculator, expected = D3Calculator("pbe", "d3zero"), entry["reaxnet_2it"]
    assert calculator.get_potential_energy(atoms) == pytest.approx(expected["energy_d3_eV"], abs=3e-8)
    np.testing.assert_allclose(calculator.get_forces(atoms), expected["forces_d3_eV_A"], atol=3e-7)


def total_energies(n_cells: int, steps: int, timestep_fs: float) -> np.ndarray:
    """Total energy per atom of hot MgO, meV, along a run without a thermostat."""
    atoms = bulk("MgO", "rocksalt", a=4.212, cubic=True).repeat(n_cells)
    # with formal charges, for a crystal that holds together; PQEq comes on top
    rigid = BuckinghamCoulomb("mgo-lewis-catlow", cutoff=7.0, switch=1.0)
    atoms.calc = SumCalculator([rigid, PQEqCalculator()])
    thermalize_momenta(atoms, temperature_K=600, rng=np.random.default_rng(1))
    energies = []
    dynamics = VelocityVerlet(atoms, timestep=timestep_fs * units.fs)
    dynamics.attach(lambda: energies.append(1e3 * atoms.get_total_energy() / len(atoms)), interval=1)
    dynamics.run(steps)
    return np.array(energies)


def test_energy_is_conserved():
    """The energy wavers by the square of the time step, as under exact forces."""
    coarse, fine = (np.ptp(total_energies(1, int(80 / dt), dt)) for dt in (1.0, 0.5))
    assert 3.5 < coarse / fine < 4.5


@pytest.mark.slow
def test_energy_is_conserved_for_long():
    """64 atoms at 600 K for 4 ps drift by less than 0.01 meV/atom/ps."""
    energies = total_energies(2, 4000, 1.0)
    times = 1e-3 * np.arange(len(energies))
    settled = times > 0.5
    assert abs(np.polyfit(times[settled], energies[settled], 1)[0]) < 0.01
