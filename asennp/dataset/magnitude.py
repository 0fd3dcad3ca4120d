"""Do labels look like eV, eV/Å and eV/Å^3? An order-of-magnitude check of each against the others.

Energies spread as forces times displacements of a tenth of an angstrom; of N atoms that only shake, the
spread per atom is smaller by the root of N. Stress times volume per atom is a force times a distance between
atoms. Frames of displaced atoms lie at 0.04 to 0.2 Å in the first and 0.1 to 0.6 Å in the second: Hartree,
kJ/mol or meV for eV, and GPa or kbar for eV/Å^3 are far outside. kcal/mol may pass, and Hartree and Hartree/Å
together are not seen.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from ase import Atoms

from asennp.dataset.frames import label, labels_of
from asennp.errors import InputError
from asennp.units import HARTREE_EV

#: Smallest and largest believable ratios, Å; the first is divided by the root of the number of atoms.
_ENERGY_TO_FORCE = (0.03, 0.8)
_STRESS_TO_FORCE = 5.0
#: Below this (eV/Å) forces are symmetry's zeros and tell nothing.
_SMALL_FORCE = 0.05
_FEWEST = 10
#: Largest believable labels: force (eV/Å), stress (eV/Å^3), energy off its formula's median (eV/atom).
_LARGEST = {"forces": 1e3, "stress": 100.0, "energy": 1e3, "energies": 1e3}
#: What a number in eV is multiplied by in other units.
_FACTORS = {
    "Hartree": HARTREE_EV,
    "Rydberg": HARTREE_EV / 2,
    "kJ/mol": 96.485,
    "kcal/mol": 23.061,
    "meV": 1e3,
}


def refuse_odd_labels(frames: Sequence[Atoms], names: Iterable[str]) -> None:
    """Refuse labels that are not finite or absurdly large, and energies in two units.

    Parameters
    ----------
    frames
        Frames that all carry the labels.
    names
        Bare names of the labels to look at.

    Raises
    ------
    InputError
        Naming label, frame and value; for mixed units the formula, the two groups and the unit.
    """
    names = tuple(names)
    for name in names:
        values = [np.asarray(label(frame, name), dtype=float) for frame in frames]
        for k, value in enumerate(values):
            if not np.isfinite(value).all():
                raise InputError(
                    f"REF_{name} holds NaN or infinity", where=f"frame {k}", do="drop or recompute this frame"
                )
        if name == "energy":
            _refuse_mixed_units(frames)
        if name in _LARGEST:
            _refuse_huge(frames, name, values)


def _refuse_huge(frames: Sequence[Atoms], name: str, values: Sequence[np.ndarray]) -> None:
    sizes = np.array([np.abs(value).max() for value in values])
    if name in ("energy", "energies"):
        means = np.array([value.sum() / len(frame) for value, frame in zip(values, frames)])
        formulas = np.array([frame.get_chemical_formula() for frame in frames])
        for formula in np.unique(formulas):
            mine = formulas == formula
            sizes[mine] = np.abs(means[mine] - np.median(means[mine]))
    worst = int(sizes.argmax())
    if sizes[worst] > _LARGEST[name]:
        what = "from the median of its formula" if name in ("energy", "energies") else "at most"
        raise InputError(
            f"REF_{name} is huge",
            where=f"frame {worst}",
            expected=f"{_LARGEST[name]:g} {what} (eV, Å)",
            got=f"{sizes[worst]:.4g}",
            do="drop this frame, or mend its units",
        )


def _refuse_mixed_units(frames: Sequence[Atoms]) -> None:
    """Refuse a formula whose energies fall into two narrow groups whose ratio is that of two units."""
    groups: dict[str, list[float]] = {}
    for frame in frames:
        energy = float(np.asarray(label(frame, "energy")))
        groups.setdefault(frame.get_chemical_formula(), []).append(energy / len(frame))
    for formula, energies in groups.items():
        ordered = np.sort(np.abs(energies))
        if len(ordered) < 2 or min(energies) < 0.0 < max(energies):
            continue
        gap = int(np.diff(ordered).argmax()) + 1
        small, large = ordered[:gap], ordered[gap:]
        ratio = float(np.median(large) / max(np.median(small), 1e-12))
        narrow = 10.0 * np.ptp(large) < large[0] - small[-1]
        for unit, factor in _FACTORS.items():
            if narrow and abs(ratio / factor - 1.0) < 0.05:
                raise InputError(
                    f"energies of {formula} are in two units",
                    where="REF_energy",
                    expected="eV on every frame",
                    got=f"{len(small)} frames near {np.median(small):.5g} and {len(large)} near "
                    f"{np.median(large):.5g} per atom: their ratio {ratio:.2f} is that of {unit}",
                    do="convert before joining the frames",
                )


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
