"""Pull rock-salt ZnO apart and read the stress-strain curve; the committee says when to stop believing."""

import numpy as np
from ase import units

from asennp import HybridNNPCalculator, TensileMD
from asennp.structures import build_phase
from asennp.units import EV_A3_GPA

atoms = build_phase("ZnO", "rocksalt", a=4.33, repeat=2)
atoms.calc = HybridNNPCalculator("zno-demo")
dyn = TensileMD(
    atoms,
    timestep=1.0 * units.fs,
    temperature_K=300,
    rate_A_per_ps=1.0,
    axis=0,
    mode="plane-strain",
    rng=np.random.default_rng(2),
)
for _ in range(10):
    dyn.run(100)
    tension = dyn.compute_tension() * EV_A3_GPA
    spread = 1000 * atoms.calc.committee.energies_std.max()
    print(f"strain {100 * dyn.strain:5.1f} %  stress {tension:6.2f} GPa  largest spread {spread:5.1f} meV")
