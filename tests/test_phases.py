"""The phase classifier: perfect, strained, displaced and molten structures."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from asennp.errors import InputError
from asennp.neighbors import neighbor_pairs
from asennp.phases import classify, classify_frames, phase_fractions
from asennp.structures import build_phase, orthorhombic

#: Five frames each of MD with the Lewis-Catlow potential, 1 bar: rock salt and zincblende at 2000 K
#: (superheated), wurtzite at 1500 K, the melt at 2500 K.
HOT = np.load(Path(__file__).parent / "data" / "hot_zno.npz")

CRYSTALS = {
    "rocksalt": build_phase("ZnO", "rocksalt", 4.267, repeat=2),
    "zincblende": build_phase("ZnO", "zincblende", 4.51, repeat=2),
    "wurtzite": orthorhombic(build_phase("ZnO", "wurtzite", 3.23, c=5.08, u=0.389)).repeat((3, 2, 2)),
    "graphitic": build_phase("ZnO", "wurtzite", 3.45, c=4.4, u=0.5, repeat=(3, 3, 2)),
    "cesiumchloride": build_phase("ZnO", "cesiumchloride", 2.65, repeat=3),
    "fcc": bulk("Ni", cubic=True).repeat(3),
    "hcp": bulk("Mg").repeat((4, 4, 3)),
    "bcc": bulk("Fe", cubic=True).repeat(3),
}


def nearest(atoms: Atoms) -> float:
    return float(neighbor_pairs(atoms.positions, atoms.cell.array, True, 4.0).distances.min())


def shaken(atoms: Atoms, size: float, strain: float, seed: int) -> Atoms:
    """Displace by `size` nearest distances (rms along each axis) and strain by random `strain`."""
    rng = np.random.default_rng(seed)
    moved = atoms.copy()
    moved.positions += size * nearest(atoms) * rng.normal(size=moved.positions.shape)
    moved.set_cell(moved.cell.array @ (np.eye(3) + strain * rng.normal(size=(3, 3))), scale_atoms=True)
    return moved


@pytest.mark.parametrize("phase", CRYSTALS)
def test_perfect_crystals(phase: str) -> None:
    found = classify(CRYSTALS[phase])
    assert found.phase == phase
    assert found.fractions[phase] == 1.0
    assert set(found.labels) == {phase}
    assert phase_fractions(CRYSTALS[phase]) == found.fractions


@pytest.mark.parametrize("phase", ["rocksalt", "zincblende", "wurtzite", "graphitic", "cesiumchloride"])
def test_smallest_cells(phase: str) -> None:
    structure = {
        "rocksalt": build_phase("ZnO", "rocksalt", 4.267),
        "zincblende": build_phase("ZnO", "zincblende", 4.51, cubic=False),
        "wurtzite": build_phase("ZnO", "wurtzite", 3.25),
        "graphitic": build_phase("ZnO", "wurtzite", 3.45, c=4.4, u=0.5),
        "cesiumchloride": build_phase("ZnO", "cesiumchloride", 2.65),
    }[phase]
    assert classify(structure).fractions[phase] == 1.0


@pytest.mark.parametrize("phase", CRYSTALS)
def test_strain_of_every_kind(phase: str) -> None:
    for strain in (-0.05, 0.05):
        for axes in ((0, 0), (1, 2), (2, 2)):
            atoms = CRYSTALS[phase].copy()
            deformation = np.eye(3)
            deformation[axes] += strain
            atoms.set_cell(atoms.cell.array @ deformation, scale_atoms=True)
            assert classify(atoms).fractions[phase] == 1.0


@pytest.mark.parametrize("phase", CRYSTALS)
def test_displacements_up_to_melting(phase: str) -> None:
    """6 % along each axis, independent for each atom: what Lindemann's rule gives a crystal about to melt."""
    shares = [classify(shaken(CRYSTALS[phase], 0.06, 0.02, seed)).fractions[phase] for seed in range(5)]
    assert np.mean(shares) > 0.9


def test_rotation_wrapping_and_order_of_atoms_do_not_matter() -> None:
    atoms = shaken(CRYSTALS["wurtzite"], 0.07, 0.0, 3)
    labels = classify(atoms).labels
    turned = atoms.copy()
    turned.rotate(33.0, (1, 2, 3), rotate_cell=True)
    assert np.array_equal(classify(turned).labels, labels)
    turned.translate((1.0, 2.0, 3.0))
    turned.wrap()
    order = np.random.default_rng(0).permutation(len(turned))
    assert np.array_equal(classify(turned[order]).labels, labels[order])


@pytest.mark.parametrize(
    ("phase", "least"), [("rocksalt", 0.85), ("zincblende", 0.95), ("wurtzite", 0.85), ("disordered", 0.8)]
)
def test_hot_frames(phase: str, least: float) -> None:
    frames = [
        Atoms(HOT[f"{phase}/numbers"], positions=positions, cell=cell, pbc=True)
        for positions, cell in zip(HOT[f"{phase}/positions"], HOT[f"{phase}/cells"])
    ]
    history = classify_frames(frames)
    assert history.phases == (phase,) * len(frames)
    assert history.visited() == {phase: 1.0}
    assert history.fractions[:, history.names.index(phase)].mean() > least
    assert np.allclose(history.fractions.sum(axis=1), 1.0)


def test_half_melted_frame_is_told_apart() -> None:
    """A slab of rock salt beside random atoms: each half by its own name."""
    atoms = build_phase("ZnO", "rocksalt", 4.267, repeat=(6, 3, 3))
    molten = atoms.positions[:, 0] > 12.0
    rng = np.random.default_rng(1)
    atoms.positions[molten] += rng.normal(scale=0.6, size=(molten.sum(), 3))
    labels = classify(atoms).labels
    inside = (atoms.positions[:, 0] > 4.0) & (atoms.positions[:, 0] < 9.0)
    assert np.mean(labels[inside] == "rocksalt") > 0.95
    assert np.mean(labels[molten] == "disordered") > 0.6


def test_cluster_and_molecule() -> None:
    cluster = build_phase("ZnO", "rocksalt", 4.267, repeat=3)
    cluster.pbc = False
    centre = np.linalg.norm(cluster.positions - cluster.positions.mean(axis=0), axis=1) < 3.0
    assert set(classify(cluster).labels[centre]) == {"rocksalt"}
    assert classify(molecule("H2O")).phase == "disordered"


def test_three_elements_are_refused() -> None:
    with pytest.raises(InputError, match="one or two elements"):
        classify(molecule("CH3OH"))
