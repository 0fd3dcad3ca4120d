"""Do labels look like eV, eV/Å and eV/Å^3? An order-of-magnitude check of each against the others.

Energies spread as forces times displacements of a tenth of an angstrom; of N atoms that only shake, the
spread per atom is smaller by the root of N. Stress times volume per atom is a force times a distance between
atoms. Frames of displaced atoms lie at 0.04 to 0.2 Å in the first and 0.1 to 0.6 Å in the second: Hartree,
kJ/mol or meV for eV, and GPa or kbar for eV/Å^3 are far outside. kcal/mol may pass, and Hartree and Hartree/Å
together are not seen.
"""

from collections.abc import Sequence

import numpy as np
from ase import Atoms

from asennp.dataset.frames import label, labels_of

#: Smallest and largest believable ratios, Å; the first is divided by the root of the number of atoms.
_ENERGY_TO_FORCE = (0.03, 0.8)
_STRESS_TO_FORCE = 5.0
#: Below this (eV/Å) forces are symmetry's zeros and tell nothing.
_SMALL_FORCE = 0.05
_FEWEST = 10


def doubt_units(frames: Sequence[Atoms]) -> list[str]:
    """Return a sentence for each pair of labels whose sizes do not go together.

    Parameters
    ----------
    frames
        Frames; those with energy and forces are compared within their formula, of ten or more.
    """
    groups: dict[str, list[Atoms]] = {}
    for frame in frames:
        if {"energy", "forces"} <= set(labels_of(frame)):
            groups.setdefault(frame.get_chemical_formula(), []).append(frame)
    doubts = []
    for formula, group in groups.items():
        forces = np.concatenate([np.ravel(label(frame, "forces")) for frame in group])
        size = float(np.sqrt(np.mean(forces**2)))
        if len(group) < _FEWEST or size < _SMALL_FORCE:
            continue
        spread = float(np.std([float(np.asarray(label(f, "energy"))) / len(f) for f in group]))
        low, high = _ENERGY_TO_FORCE[0] / len(group[0]) ** 0.5, _ENERGY_TO_FORCE[1]
        if not low < spread / size < high:
            doubts.append(
                f"energies or forces of {formula} in other units? the spread of the energy is "
                f"{spread:.3g} eV/atom beside forces of {size:.3g} eV/Å: {spread / size:.3g} Å, "
                f"expected {low:.2g} to {high:.2g} Å"
            )
        stresses = [
            np.mean(np.abs(np.asarray(label(f, "stress")))) * f.get_volume() / len(f)
            for f in group
            if "stress" in labels_of(f)
        ]
        if stresses and np.mean(stresses) / size > _STRESS_TO_FORCE:
            doubts.append(
                f"stress of {formula} not in eV/Å^3? times the volume of an atom it is "
                f"{np.mean(stresses) / size:.3g} Å times the forces, expected below {_STRESS_TO_FORCE:g} Å"
            )
    return doubts
