"""The rigid-ion truths of ZnO beside what the routines of this package find.

    python docs/reproductions/rigid_ion.py

A few minutes on one core; prints the table of rigid-ion.md.
"""

from asennp import BuckinghamCoulomb
from asennp.evaluate import (
    compute_elastic,
    compute_eos,
    compute_formation,
    compute_lattice,
    compute_transition_pressure,
    find_transitions,
)
from asennp.structures import build_phase

#: What LAMMPS and an independent Ewald sum agree on, at a cut-off of 12 Å.
PUBLISHED = {
    "zno-lewis-catlow": {
        "W a (Å)": 3.2304, "W c (Å)": 5.0769, "W u": 0.3891, "ZB a (Å)": 4.5107, "RS a (Å)": 4.2670,
        "E(W) (eV/formula)": -39.6637, "ZB above W (meV/atom)": 45.10, "RS above W (meV/atom)": 154.85,
        "W C11 (GPa)": 237.6, "W C12 (GPa)": 95.2, "W C13 (GPa)": 85.5, "W C33 (GPa)": 214.9,
        "W C44 (GPa)": 76.6, "RS C11 (GPa)": 202.3, "RS C12 (GPa)": 163.1, "RS C44 (GPa)": 163.1,
        "ZB C11 (GPa)": 171.5, "ZB C12 (GPa)": 117.2, "ZB C44 (GPa)": 115.0,
        "W to RS, relaxed (GPa)": 15.8, "W to RS, equations of state (GPa)": 15.8,
    },
    "zno-binks": {
        "W a (Å)": 3.2708, "W c (Å)": 5.1382, "W u": 0.3891, "ZB a (Å)": 4.5666, "RS a (Å)": 4.3193,
        "E(W) (eV/formula)": -39.3435, "ZB above W (meV/atom)": 45.17, "RS above W (meV/atom)": 141.45,
        "W C11 (GPa)": 232.6, "W C12 (GPa)": 95.3, "W C13 (GPa)": 85.6, "W C33 (GPa)": 210.6,
        "W C44 (GPa)": 74.6, "RS C11 (GPa)": 207.2, "RS C12 (GPa)": 160.6, "RS C44 (GPa)": 160.6,
        "ZB C11 (GPa)": 168.7, "ZB C12 (GPa)": 116.3, "ZB C44 (GPa)": 112.7,
        "W to RS, relaxed (GPa)": 13.8, "W to RS, equations of state (GPa)": 13.8,
    },
}  # fmt: skip
CONSTANTS = {"C11": (0, 0), "C12": (0, 1), "C13": (0, 2), "C33": (2, 2), "C44": (3, 3)}


def find(name: str) -> dict[str, float]:
    """Compute every row of the table."""
    calculator = BuckinghamCoulomb(name, cutoff=12.0)
    phases = {
        "W": build_phase("ZnO", "wurtzite", a=3.25),
        "ZB": build_phase("ZnO", "zincblende", a=4.55, cubic=False),
        "RS": build_phase("ZnO", "rocksalt", a=4.3, cubic=False),
    }
    formation = compute_formation(phases, calculator, fmax=1e-4, smax_GPa=1e-3)
    lattices = formation.lattices
    found = {
        "W a (Å)": lattices["W"].a,
        "W c (Å)": lattices["W"].c,
        "W u": lattices["W"].u or 0.0,
        "ZB a (Å)": lattices["ZB"].a,
        "RS a (Å)": lattices["RS"].a,
        "E(W) (eV/formula)": 2 * lattices["W"].energy_per_atom,
        "ZB above W (meV/atom)": formation.energies_meV["ZB"],
        "RS above W (meV/atom)": formation.energies_meV["RS"],
    }
    for phase, lattice in lattices.items():
        tensor = compute_elastic(lattice.atoms, calculator).tensor_GPa
        found |= {f"{phase} {c} (GPa)": float(tensor[index]) for c, index in CONSTANTS.items()}
    pair = {phase: lattices[phase].atoms for phase in ("W", "RS")}
    found["W to RS, relaxed (GPa)"] = float(compute_transition_pressure(pair, calculator).pressures_GPa[0])
    # rock salt at 16 GPa is far from its volume at rest: fit around the transition's
    curves = {}
    for phase, atoms in pair.items():
        start = compute_lattice(atoms, calculator).atoms
        curves[phase] = compute_eos(start, calculator, (-0.12, 0.02), n_points=8)
    found["W to RS, equations of state (GPa)"] = float(find_transitions(curves).pressures_GPa[0])
    return found


def main() -> None:
    """Print the table as Markdown."""
    print("| | Lewis-Catlow, other codes | here | Binks, other codes | here |")
    print("|---|---|---|---|---|")
    found = {name: find(name) for name in PUBLISHED}
    first, second = PUBLISHED
    for row, value in PUBLISHED[first].items():
        digits = len(str(value).partition(".")[2])
        shown = (
            value,
            found[first][row],
            PUBLISHED[second][row],
            found[second][row],
        )
        print(f"| {row} | " + " | ".join(f"{x:.{digits}f}" for x in shown) + " |")


if __name__ == "__main__":
    main()
