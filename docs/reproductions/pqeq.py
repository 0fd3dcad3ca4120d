"""Figures of charge equilibration with and without shells: water in a field, dimers, two waters, crystals.

    python docs/reproductions/pqeq.py [OUT]

Takes seconds; prints the numbers of pqeq.md and writes its figures.
"""

import sys
from pathlib import Path

import matplotlib
import numpy as np
from ase import Atoms
from ase.build import bulk, molecule

from asennp import BuckinghamCoulomb, PQEqCalculator, SumCalculator
from asennp.errors import InputError

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def water_in_a_field(out: Path) -> None:
    """Fig. 2b: energy, charge of O and dipole against a field across the molecule's plane."""
    atoms = molecule("H2O")
    normal = np.cross(*(atoms.positions[1:] - atoms.positions[0]))
    normal /= np.linalg.norm(normal)
    fields = np.linspace(-1.0, 1.0, 41)
    curves = {}
    for name, polarizable in (("PQEq", True), ("QEq", False)):
        rows = []
        for strength in fields:
            calculator = PQEqCalculator(field=strength * normal, polarizable=polarizable)
            energy = calculator.get_property("energy", atoms)
            charge = calculator.get_property("charges", atoms)[0]
            rows.append((energy, charge, calculator.get_property("dipole", atoms) @ normal))
        curves[name] = np.array(rows)
    zero = len(fields) // 2
    figure, axes = plt.subplots(1, 3, figsize=(9, 2.6), constrained_layout=True)
    for axis, column, label in zip(
        axes, range(3), ("energy change (meV)", "charge of O (e)", "dipole (e Å)")
    ):
        for name, rows in curves.items():
            y = rows[:, column]
            axis.plot(fields, 1e3 * (y - y[zero]) if column == 0 else y, label=name)
        axis.set_xlabel("field (V/Å)")
        axis.set_ylabel(label)
    axes[0].legend(frameon=False)
    figure.savefig(out / "pqeq-water.svg")
    for name, rows in curves.items():
        energy = 1e3 * (rows[-1, 0] - rows[zero, 0])
        print(f"water, 1 V/Å across its plane, {name}: energy {energy:.3f} meV")
        print(f"  charge of O {rows[zero, 1]:.5f} -> {rows[-1, 1]:.5f} e, dipole {rows[-1, 2]:.5f} e Å")


def dimers(out: Path) -> None:
    """Fig. 2a: interaction energies against distance, by a local model alone and with the long range."""
    distances = np.linspace(1.8, 12.0, 103)
    local = BuckinghamCoulomb("nacl-born-mayer", coulomb=False, cutoff=5.0, switch=1.0)
    models = {"local": local, "local + PQEq": SumCalculator([local, PQEqCalculator()])}
    figure, axes = plt.subplots(1, 2, figsize=(8, 2.8), constrained_layout=True)
    for axis, pair in zip(axes, ("NaCl", "Na2")):
        for name, model in models.items():
            energies = []
            for r in distances:
                atoms = Atoms(pair, [(0, 0, 0), (r, 0, 0)])
                alone = sum(model.get_property("energy", atoms[[i]]) for i in range(2))
                energies.append(model.get_property("energy", atoms) - alone)
            axis.plot(distances, energies, label=name)
            beyond = np.array(energies)[distances > 5.0]
            print(f"{pair}, {name}: changes by {np.ptp(beyond):.4f} eV between 5 and 12 Å")
        axis.axvline(5.0, color="0.7", lw=0.8, ls=":")
        axis.set(xlabel="distance (Å)", ylabel="interaction energy (eV)", title=pair, ylim=(-6, 3))
    axes[0].legend(frameon=False)
    figure.savefig(out / "pqeq-dimers.svg")


def two_waters(out: Path) -> None:
    """Fig. S5: charge that flows between two molecules in a field of 0.25 V/Å along their axis."""
    one = molecule("H2O")
    distances = np.linspace(3.0, 12.0, 37)
    figure, axis = plt.subplots(figsize=(4.2, 2.8), constrained_layout=True)
    for name, polarizable in (("PQEq", True), ("QEq", False)):
        flows = []
        for r in distances:
            other = one.copy()
            other.positions[:, 0] += r
            calculator = PQEqCalculator(field=(0.25, 0, 0), polarizable=polarizable)
            flows.append(calculator.get_property("charges", one + other)[3:].sum())
        axis.plot(distances, flows, label=name)
        print(f"two waters, 0.25 V/Å, {name}: net charge {flows[0]:.3f} e at 3 Å, {flows[-1]:.3f} e at 12 Å")
    axis.set(xlabel="distance (Å)", ylabel="net charge of one molecule (e)")
    axis.legend(frameon=False)
    figure.savefig(out / "pqeq-two-waters.svg")


def crystals() -> None:
    """Born charges and dielectric constants from shells, and where shells run away."""
    sites = [(0, 0, 0), (0.5, 0.5, 0.46178), (0.5, 0.5, 0.88419), (0.5, 0, 0.37903), (0, 0.5, 0.37903)]
    lead = Atoms("PbTiO3", scaled_positions=sites, cell=(3.87411, 3.87411, 4.19948), pbc=True)
    cubic = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
    barium = Atoms("BaTiO3", scaled_positions=cubic, cell=(4.0, 4.0, 4.0), pbc=True)
    for name, atoms in (("MgO", bulk("MgO", "rocksalt", a=4.212)), ("PbTiO3 (tetragonal)", lead)):
        for periodic in ("taper", "ewald"):
            calculator = PQEqCalculator(periodic=periodic)
            charges, born = calculator.get_property("charges", atoms), calculator.born_charges(atoms)
            dielectric = np.eye(3) + 4 * np.pi / atoms.get_volume() * calculator.polarizability(atoms)
            print(
                f"{name}, {periodic}: 1 + 4 pi alpha/V: xx {dielectric[0, 0]:.2f}, zz {dielectric[2, 2]:.2f}"
            )
            for symbol, charge, z in zip(atoms.symbols, charges, born):
                print(f"  {symbol}: charge {charge:+.3f}, Born xx {z[0, 0]:+.3f}, zz {z[2, 2]:+.3f}")
    salt = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    oxide = bulk("MgO", "rocksalt", a=4.212, cubic=True)
    for name, atoms in (("NaCl", salt), ("BaTiO3", barium), ("PbTiO3", lead), ("MgO", oxide)):
        large = atoms.repeat(2)
        for periodic in ("taper", "ewald"):
            calculator = PQEqCalculator(periodic=periodic)
            radius = calculator.stability(large).radius
            try:
                calculator.get_potential_energy(large)
                verdict = "stable"
            except InputError as error:
                verdict = str(error).splitlines()[0]
            print(f"{name} ({len(large)} atoms), {periodic}: spectral radius {radius:.2f}, {verdict}")


def main() -> None:
    """Print everything."""
    out = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent)
    out.mkdir(exist_ok=True)
    water_in_a_field(out)
    dimers(out)
    two_waters(out)
    crystals()


if __name__ == "__main__":
    main()
