"""Stopping a run whose committee disagrees."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import bulk
from ase.io import read
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS

from asennp import HybridNNPCalculator, ReciprocalOrder
from asennp.errors import InputError
from asennp.md.momt import MOMT
from asennp.md.observers import StopOnUncertainty, UncertaintyExceeded
from asennp.models import AEVSettings, AtomicNetworks, Model, NetworkSettings


@dataclass
class Spread:
    energies_std: np.ndarray
    forces_std: np.ndarray
    outside: np.ndarray | None


@pytest.fixture
def doubtful(fluid):
    """A fluid whose atom 5 becomes uncertain with the calculator's calls: 0.01 eV each."""

    def make(outside=True):
        atoms: Atoms = fluid()
        calculator = atoms.calc

        class Doubtful(type(calculator)):
            calls = 0

            def calculate(self, *arguments, **keywords):
                super().calculate(*arguments, **keywords)
                self.calls += 1
                n = len(self.atoms)
                energies, forces = np.full(n, 1e-4), np.full((n, 3), 1e-3)
                energies[5], forces[6, 2] = 0.01 * self.calls, 0.1 * self.calls
                out = np.arange(n) < self.calls if outside else None
                self.committee = Spread(energies, forces, out)

        calculator = Doubtful()
        calculator.committee = None
        atoms.calc = calculator
        return atoms

    return make


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_spread_eV": 0.045}, r"energy of atom 5 \(Ar\) uncertain by 0.05 eV, allowed are 0.045"),
        ({"max_force_spread_eV_A": 0.45}, r"force of atom 6 \(Ar\) uncertain by 0.5 eV/Å"),
        ({"max_outside": 4}, "5 atoms outside the training range, allowed are 4"),
    ],
)
def test_run_is_stopped_where_a_limit_is_passed(doubtful, tmp_path, limits, message):
    """The fifth calculation, that is the fourth step, is the first beyond."""
    atoms = doubtful()
    dyn = VelocityVerlet(atoms, 1.0 * units.fs)
    dyn.attach(StopOnUncertainty(atoms, path=tmp_path / "stopped.xyz", **limits))
    with pytest.raises(UncertaintyExceeded, match=message) as caught:
        dyn.run(100)
    assert dyn.nsteps == 4
    frame = caught.value.frame
    np.testing.assert_array_equal(frame.positions, atoms.positions)
    assert frame.arrays["energies_std"][5] == pytest.approx(0.05)
    stored = read(tmp_path / "stopped.xyz")
    assert stored.info["stopped"] == str(caught.value)
    np.testing.assert_allclose(stored.positions, atoms.positions, atol=1e-6)


@pytest.mark.parametrize("kind", ["verlet", "bfgs", "momt"])
def test_run_is_ended_without_an_error(doubtful, kind):
    atoms = doubtful()
    atoms.rattle(0.1, seed=3)
    if kind == "momt":
        order = ReciprocalOrder.fcc(atoms, cells=(2, 2, 2))
        dyn = MOMT(
            atoms, timestep=1.0 * units.fs, temperature_K=80, pressure_au=0.0, order=order,
            rng=np.random.default_rng(0),
        )  # fmt: skip
    else:
        dyn = VelocityVerlet(atoms, 1.0 * units.fs) if kind == "verlet" else BFGS(atoms, logfile=None)
    stop = StopOnUncertainty(atoms, max_spread_eV=0.045, dynamics=dyn)
    dyn.attach(stop)
    dyn.run(steps=100, **({"fmax": 1e-9} if kind == "bfgs" else {}))
    assert dyn.nsteps == 4
    assert stop.message is not None and stop.message.startswith("step 4: energy of atom 5")
    assert stop.frame is not None and stop.frame.info["stopped"] == stop.message


def test_run_within_its_limits_is_left_alone(doubtful):
    atoms = doubtful()
    calls = []
    dyn = VelocityVerlet(atoms, 1.0 * units.fs)
    stop = StopOnUncertainty(atoms, max_spread_eV=1.0, max_outside=100)
    dyn.attach(lambda: (stop(), calls.append(atoms.calc.calls)))
    dyn.run(5)
    assert calls == [1, 2, 3, 4, 5, 6]  # no calculation of its own
    assert stop.frame is None


def test_nan_exceeds_every_limit(doubtful):
    atoms = doubtful()
    atoms.get_potential_energy()
    atoms.calc.committee.energies_std[3] = np.nan
    with pytest.raises(UncertaintyExceeded, match="atom 3"):
        StopOnUncertainty(atoms, max_spread_eV=1e6)()


def test_what_cannot_be_watched_is_refused(doubtful, fluid):
    atoms = doubtful(outside=False)
    with pytest.raises(InputError, match="limits must be given"):
        StopOnUncertainty(atoms)
    with pytest.raises(InputError, match="not be negative"):
        StopOnUncertainty(atoms, max_spread_eV=-1.0)
    with pytest.raises(InputError, match="has no committee"):
        StopOnUncertainty(fluid(), max_spread_eV=1.0)
    with pytest.raises(InputError, match="ranges"):
        StopOnUncertainty(atoms, max_outside=3)()


def make_hybrid(n_members):
    aev = AEVSettings(("Zn", "O"), radial_cutoff=4.0, angular_cutoff=3.0)
    settings = NetworkSettings(aev.length, 2, (6, 5))
    networks = AtomicNetworks.random(settings, torch.Generator().manual_seed(1), n_members)
    ranges = np.stack([np.zeros((2, aev.length)), np.full((2, aev.length), 1e-3)], axis=1)
    return HybridNNPCalculator(Model(aev, networks, ranges=ranges))


def test_hybrid_calculator_is_watched():
    atoms = bulk("ZnO", "rocksalt", a=4.3, cubic=True)
    atoms.calc = make_hybrid(3)
    with pytest.raises(UncertaintyExceeded, match="energy of atom"):
        StopOnUncertainty(atoms, max_spread_eV=1e-9)()
    with pytest.raises(UncertaintyExceeded, match="8 atoms outside"):
        StopOnUncertainty(atoms, max_outside=0)()
    atoms.calc = make_hybrid(1)
    with pytest.raises(InputError, match="several members"):
        StopOnUncertainty(atoms, max_spread_eV=1.0)()
