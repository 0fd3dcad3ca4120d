"""MBMT: one run at one pressure, read at others; the volume is an axis of the bias beside the enthalpy."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from ase import units
from ase.build import bulk

from asennp import MOMT, BuckinghamCoulomb, WangLandauBias, read_samples
from asennp.order import VolumeOrder

T0, P0 = 60.0, 0.1 * units.GPa
atoms = bulk("Ar", "fcc", a=5.2, cubic=True) * 2
atoms.rattle(0.1, seed=1)
atoms.calc = BuckinghamCoulomb("argon-buckingham", cutoff=5.2)
bias = WangLandauBias(
    axes=[("enthalpy", -2.0, 1.0, 16), ("volume", 1100.0, 1500.0, 21)],
    temperature_K=T0,
    ln_f=0.2,
    schedule="1/t",
    temperature_min_K=30,
    temperature_max_K=120,
)


def dynamics(seed: int, temperature: float = T0, pressure: float = P0, **settings: object) -> MOMT:
    """Return a run of a copy of the crystal."""
    copy = atoms.copy()
    copy.calc = atoms.calc
    rng = np.random.default_rng(seed)
    return MOMT(copy, 5 * units.fs, temperature, pressure, rng=rng, pdamp=500 * units.fs, **settings)


with TemporaryDirectory() as folder:
    shared = {"order": VolumeOrder(), "bias": bias, "wl_interval": 10}
    dynamics(1, **shared).run(8_000)
    bias.set_frozen()
    bias.save(Path(folder) / "bias.npz")
    dynamics(2, trajectory=f"{folder}/frames.xyz", loginterval=10, **shared).run(8_000)
    samples = read_samples(f"{folder}/frames.xyz", f"{folder}/bias.npz", skip=100)

for pressure in (0.05, 0.1, 0.2):
    there = dynamics(3, T0, pressure * units.GPa)
    direct = np.mean([there.atoms.get_volume() for _ in there.irun(3_000)][500:])
    for temperature in (50.0, 60.0, 70.0):
        found = samples.average(samples.volume, temperature, pressure * units.GPa)
        beside = f"; a run of its own: {direct:.1f}" if temperature == T0 else ""
        mean = f"{found.mean:.1f} +- {found.error:.1f}"
        print(f"{pressure:.2f} GPa, {temperature:.0f} K: <V> = {mean} Å^3{beside}")
