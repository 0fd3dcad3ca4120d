import sys
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT

sys.path.insert(0, str(Path(__file__).parent))
from lattice_model import DoubleWells, build_cell

from asennp.evaluate import StabilityResult, compute_stability


class Runaway(Calculator):
    """Pushes every atom out of its site."""

    implemented_properties = ("energy", "free_energy", "forces")

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        away = atoms.positions - atoms.positions.mean(axis=0)
        energy = -2.0 * float((away**2).sum())
        self.results = {"energy": energy, "free_energy": energy, "forces": 4.0 * away}


@pytest.fixture(scope="module")
def run():
    return compute_stability(
        bulk("Cu", a=3.6, cubic=True) * 2,
        EMT(),
        time_ps=0.6,
        timestep_fs=3.0,
        interval=5,
        rng=np.random.default_rng(0),
    )


def test_a_crystal_stays_a_crystal(run):
    assert run.bounded and run.violations == () and len(run.criteria) == 4
    assert 0.0 < run.max_displacement_A < 1.0 and run.closest_A > 2.0
    assert run.mean_temperature_K == pytest.approx(300.0, rel=0.2)
    assert run.time_ps[-1] == pytest.approx(0.6)


def test_the_conserved_quantity_is_conserved_while_the_energy_is_not(run):
    assert np.ptp(run.conserved_meV) < 0.05 * np.ptp(run.energy_meV)
    assert abs(run.drift_meV_per_ps) < 1.0


def test_rdf_has_the_shells_of_fcc(run):
    first = run.rdf_r_A[np.argmax(run.rdf)]
    assert first == pytest.approx(3.6 / np.sqrt(2), abs=0.15)
    shell = (run.rdf_r_A > 2.1) & (run.rdf_r_A < 3.1)
    density = 4 / 3.6**3
    width = run.rdf_r_A[1] - run.rdf_r_A[0]
    assert (run.rdf * 4 * np.pi * run.rdf_r_A**2 * density * width)[shell].sum() == pytest.approx(12, abs=0.3)


def test_a_runaway_is_stopped_and_called_unbounded():
    result = compute_stability(
        bulk("Cu", cubic=True), Runaway(), time_ps=5.0, timestep_fs=5.0, rng=np.random.default_rng(0)
    )
    assert not result.bounded and result.time_ps[-1] < 5.0
    assert any("further than" in words or "finite" in words for words in result.violations)


def test_result_survives_json(run, tmp_path):
    again = StabilityResult.from_json(run.to_json(tmp_path / "stability.json"))
    assert again.to_dict() == run.to_dict()


def test_constant_pressure_with_phases_over_time(tmp_path):
    """The cell breathes about its equilibrium, the conserved quantity stays, shares are noted."""
    crystal = build_cell().repeat(3)
    result = compute_stability(
        crystal,
        DoubleWells(),
        time_ps=1.2,
        timestep_fs=4.0,
        rng=np.random.default_rng(1),
        pressure_GPa=0.0,
        barostat_fs=200.0,
        classify=lambda atoms: {"cubic": 0.75, "tetragonal": 0.25},
    )
    assert result.bounded and not result.melted and result.pressure_GPa == 0.0
    assert 0.0 < np.ptp(result.volume_A3) < 2.0
    assert result.lengths_A.mean() == pytest.approx(12.0, abs=0.15)
    assert np.ptp(result.conserved_meV) < 0.1 * np.ptp(result.energy_meV)
    assert result.phases["cubic"].shape == result.time_ps.shape
    again = StabilityResult.from_json(result.to_json(tmp_path / "npt.json"))
    assert again.to_dict() == result.to_dict()


def test_pressure_keeps_its_sign():
    """Compression shrinks the cell, tension stretches it."""
    kwargs = {"time_ps": 0.8, "timestep_fs": 4.0, "isotropic": True, "barostat_fs": 150.0}
    volumes = [
        compute_stability(
            build_cell().repeat(2), DoubleWells(), rng=np.random.default_rng(2), pressure_GPa=p, **kwargs
        ).volume_A3.mean()
        for p in (-4.0, 4.0)
    ]
    assert volumes[0] > volumes[1] + 0.5
