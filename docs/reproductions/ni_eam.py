"""Elastic constants of an embedded-atom nickel at small and at finite strain.

    python docs/reproductions/ni_eam.py NiNb.eam.fs

Seconds; prints the table of ni-eam.md.
"""

import sys

from ase.build import bulk

from asennp import EAM
from asennp.evaluate import compute_elastic, compute_lattice
from asennp.evaluate.reference import load_reference


def main(potential: str) -> None:
    """Print the table as Markdown."""
    calculator = EAM(potential)
    lattice = compute_lattice(bulk("Ni", a=3.6), calculator, fmax=1e-5, smax_GPa=1e-4)
    published = load_reference("ni").by_method("fcc")["EAM"]
    names = ("C11", "C12", "C44", "bulk")
    print("| | C11 | C12 | C44 | K | (C11 - C12)/2 | C12/(C11 + C12) | Hill G | Hill ν |")
    print("|---|---|---|---|---|---|---|---|---|")
    c11, c12 = published["C11"], published["C12"]
    row = [*(published[name] for name in names), (c11 - c12) / 2]
    cells = " | ".join(f"{x:.1f}" for x in row)
    print(f"| published (a = {published['a']} Å) | {cells} | {c12 / (c11 + c12):.3f} | | |")
    for strain, shear in ((0.1, "simple"), (0.1, "symmetric"), (0.01, "simple"), (0.001, "symmetric")):
        r = compute_elastic(lattice.atoms, calculator, strain=strain, shear=shear)
        c = r.tensor_GPa
        row = [c[0, 0], c[0, 1], c[3, 3], r.bulk_GPa, (c[0, 0] - c[0, 1]) / 2]
        print(
            f"| ±{100 * strain:g} %, {shear} shear | {' | '.join(f'{x:.1f}' for x in row)} | "
            f"{c[0, 1] / (c[0, 0] + c[0, 1]):.3f} | {r.shear_GPa:.1f} | {r.poisson:.3f} |"
        )
    print(f"\na = {lattice.a:.4f} Å")


if __name__ == "__main__":
    main(sys.argv[1])
