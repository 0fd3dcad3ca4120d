"""Wurtzite with nuclei as ring polymers of eight beads at 300 K: i-PI moves them, our forces by a socket."""

import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from ase import units
from ase.calculators.socketio import SocketClient

from asennp import HybridNNPCalculator
from asennp.structures import build_phase

if (found := find_spec("ipi")) is None or not found.submodule_search_locations:
    print("needs i-PI (pip install 'asennp[ipi]')")
    sys.exit(77)
I_PI = Path(found.submodule_search_locations[0]).parents[3] / "bin" / "i-pi"

atoms = build_phase("ZnO", "wurtzite", a=3.29, c=5.28, repeat=(2, 2, 1))
cell, turn = atoms.cell.standard_form()  # i-PI's cells are triangular
atoms.set_cell(cell, scale_atoms=True)
atoms.calc = HybridNNPCalculator("zno-demo", dtype="float64")
name, steps, beads = f"asennp-{os.getpid()}", 20, 8

INPUT = f"""
<simulation verbosity='quiet'>
  <output prefix='zno'>
    <properties stride='4' filename='out'>
      [step, conserved{{electronvolt}}, temperature{{kelvin}}, kinetic_cv{{electronvolt}},
       potential{{electronvolt}}]
    </properties>
  </output>
  <total_steps>{steps}</total_steps>
  <prng><seed>1</seed></prng>
  <ffsocket name='nnp' mode='unix'><address>{name}</address><latency>1e-3</latency></ffsocket>
  <system>
    <initialize nbeads='{beads}'>
      <file mode='xyz'>start.xyz</file>
      <velocities mode='thermal' units='kelvin'>300</velocities>
    </initialize>
    <forces><force forcefield='nnp'/></forces>
    <motion mode='dynamics'>
      <dynamics mode='nvt'>
        <timestep units='femtosecond'>0.5</timestep>
        <thermostat mode='pile_l'><tau units='femtosecond'>25</tau></thermostat>
      </dynamics>
    </motion>
    <ensemble><temperature units='kelvin'>300</temperature></ensemble>
  </system>
</simulation>
"""

with tempfile.TemporaryDirectory() as folder:
    lengths = " ".join(f"{value:.10f}" for value in atoms.cell.cellpar())
    lines = [f"{s} {x:.10f} {y:.10f} {z:.10f}" for s, (x, y, z) in zip(atoms.symbols, atoms.positions)]
    comment = f"# CELL(abcABC): {lengths} positions{{angstrom}} cell{{angstrom}}"
    Path(folder, "start.xyz").write_text("\n".join([str(len(atoms)), comment, *lines]) + "\n")
    Path(folder, "input.xml").write_text(INPUT)
    server = subprocess.Popen([sys.executable, I_PI, "input.xml"], cwd=folder, stdout=subprocess.DEVNULL)
    while not Path(f"/tmp/ipi_{name}").exists():
        if server.poll() is not None:
            sys.exit("i-PI ended before it began")
        time.sleep(0.1)
    SocketClient(unixsocket=name).run(atoms)  # until the server has had enough
    server.wait()
    table = np.loadtxt(Path(folder, "zno.out"), ndmin=2)

print(f"{len(atoms)} atoms, {beads} beads, {steps} steps of 0.5 fs")
for step, conserved, temperature, kinetic, potential in table:
    print(f"step {step:3.0f}  conserved {conserved:10.4f} eV  {temperature:5.0f} K  "
          f"kinetic {kinetic:6.3f} eV  potential {potential:10.4f} eV")  # fmt: skip
classical = 1.5 * len(atoms) * units.kB * 300
print(f"kinetic energy of classical nuclei {classical:.3f} eV; conserved to {np.ptp(table[:, 1]):.4f} eV")
