"""MOMT by hand: rock salt and melt in one short run, driven by a bias that grows in (H, O)."""

import numpy as np
from ase import units

from asennp import MOMT, BuckinghamCoulomb, ReciprocalOrder, WangLandauBias
from asennp.structures import build_phase

atoms = build_phase("ZnO", "rocksalt", a=4.267, repeat=2)
atoms.calc = BuckinghamCoulomb("zno-lewis-catlow", cutoff=8.0, accuracy=1e-4, guard=True)
order = ReciprocalOrder.sc(atoms, sites=(4, 4, 4))
bias = WangLandauBias(
    axes=[("enthalpy", -1280.0, -1180.0, 60), ("order", -5.0, 70.0, 80)],
    temperature_K=2000,
    ln_f=2.0,
    kernel_width=1.5,
    schedule="constant",
)
dyn = MOMT(
    atoms,
    timestep=1.0 * units.fs,
    temperature_K=2000,
    pressure_au=1.0 * units.bar,
    order=order,
    bias=bias,
    wl_interval=100,
    rng=np.random.default_rng(3),
)
print(f"perfect crystal: O = {order(atoms):.1f}")
for _ in range(10):
    dyn.run(500)
    point = dyn.point
    print(f"{dyn.nsteps:5d} steps  H = {point.enthalpy:9.2f} eV  O = {point.orders[0]:5.1f}")
