"""Order parameters: values of perfect crystals, gradients by finite differences."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from asennp.errors import InputError
from asennp.order import ReciprocalOrder, VolumeOrder, order_from_dict
from asennp.structures import build_phase, orthorhombic


def crystal(structure: str, a: float) -> Atoms:
    return bulk("ZnO", structure, a=a, cubic=True) * (2, 2, 2)


@pytest.fixture
def hot(rng_seed: int = 3) -> Atoms:
    atoms = crystal("rocksalt", 4.27)
    rng = np.random.default_rng(rng_seed)
    atoms.positions += 0.3 * rng.normal(size=atoms.positions.shape)
    atoms.set_cell(atoms.cell @ (np.eye(3) + 0.04 * rng.normal(size=(3, 3))), scale_atoms=True)
    return atoms


@pytest.mark.parametrize(
    ("structure", "star", "expected"),
    [
        ("rocksalt", "sc", 64.0),
        ("zincblende", "sc", 0.0),
        ("rocksalt", "fcc", 0.0),
        ("zincblende", "fcc", 32.0),
    ],
)
def test_perfect_crystals(structure: str, star: str, expected: float) -> None:
    atoms = crystal(structure, 4.4)
    assert getattr(ReciprocalOrder, star)(atoms)(atoms) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("structure", "star"), [("rocksalt", "sc"), ("zincblende", "fcc")])
def test_the_star_of_a_crystal_is_found_in_its_own_cell(structure: str, star: str) -> None:
    atoms = crystal(structure, 4.4)
    found, known = ReciprocalOrder.of(atoms), getattr(ReciprocalOrder, star)(atoms)
    assert found(atoms) == pytest.approx(known(atoms), abs=1e-9)
    assert len(found.vectors) == len(known.vectors)


def test_wurtzite_has_a_star_of_its_own_in_its_orthorhombic_cell() -> None:
    """Strong for wurtzite, spanning space, weak once the atoms are scattered; nothing to find in a gas."""
    wurtzite = orthorhombic(build_phase("ZnO", "wurtzite", 3.23, c=5.08, u=0.389)).repeat((3, 2, 2))
    order = ReciprocalOrder.of(wurtzite)
    assert np.linalg.matrix_rank(order.vectors) == 3
    assert order(wurtzite) > len(wurtzite) / 4
    gas = wurtzite.copy()
    gas.set_scaled_positions(np.random.default_rng(0).random((len(gas), 3)))
    assert order(gas) < 5.0
    with pytest.raises(InputError, match="no crystal"):
        ReciprocalOrder.of(gas)


def test_perfect_body_centred_lattice_counts_every_atom() -> None:
    atoms = bulk("Fe", "bcc", a=2.87, cubic=True) * (3, 3, 3)
    assert ReciprocalOrder.bcc(atoms, cells=(3, 3, 3))(atoms) == pytest.approx(54.0)


def test_one_species_counts_alone() -> None:
    atoms = crystal("rocksalt", 4.27)
    order = ReciprocalOrder.fcc(atoms, species=("Zn",))
    assert order(atoms) == pytest.approx(32.0)  # zinc alone is a perfect face-centred lattice
    atoms.rattle(0.2, seed=1)
    assert np.all(order.gradient(atoms)[atoms.numbers == 8] == 0.0)
    assert order_from_dict(order.todict()).evaluate(atoms)[0] == order(atoms)


def test_ideal_gas_has_unit_mean() -> None:
    rng = np.random.default_rng(7)
    atoms = crystal("rocksalt", 4.27)
    order = ReciprocalOrder.sc(atoms)
    values = []
    for _ in range(2000):
        atoms.set_scaled_positions(rng.random((64, 3)))
        values.append(order(atoms))
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values) - 1.0) < 4.0 * error
    assert error < 0.02


@pytest.mark.parametrize("star", ["sc", "fcc"])
def test_gradient_is_the_derivative(hot: Atoms, star: str) -> None:
    order = getattr(ReciprocalOrder, star)(hot)
    gradient = order.gradient(hot)
    step = 1e-4
    for atom, axis in ((0, 0), (13, 1), (63, 2)):
        values = []
        for sign in (1, -1):
            moved = hot.copy()
            moved.positions[atom, axis] += sign * step
            values.append(order(moved))
        slope = (values[0] - values[1]) / (2 * step)
        assert gradient[atom, axis] == pytest.approx(slope, abs=1e-6 * np.abs(gradient).max())


@pytest.mark.parametrize("kind", ["reciprocal", "volume"])
def test_strain_derivative(hot: Atoms, kind: str) -> None:
    order = ReciprocalOrder.sc(hot) if kind == "reciprocal" else VolumeOrder()
    expected = order.strain_derivative(hot)
    step = 1e-5
    for i in range(3):
        for j in range(3):
            values = []
            for sign in (1, -1):
                strain = np.eye(3)
                strain[i, j] += sign * step
                moved = hot.copy()
                moved.set_cell(hot.cell.array @ strain.T, scale_atoms=True)
                values.append(order(moved))
            assert (values[0] - values[1]) / (2 * step) == pytest.approx(expected[i, j], abs=1e-4)


def test_cell_images_and_opposite_vectors_do_not_matter(hot: Atoms) -> None:
    order = ReciprocalOrder.sc(hot)
    both = ReciprocalOrder(np.vstack([order.vectors, -order.vectors]), hot)
    wrapped = hot.copy()
    wrapped.wrap()
    assert both(wrapped) == pytest.approx(order(hot), rel=1e-12)
    again = order_from_dict(order.todict())
    assert again.evaluate(hot)[0] == order(hot)
    assert isinstance(order_from_dict(VolumeOrder().todict()), VolumeOrder)


def test_bad_stars_are_refused(hot: Atoms) -> None:
    cubic = crystal("rocksalt", 4.27)
    with pytest.raises(InputError, match="incommensurate"):
        ReciprocalOrder([[3.5, 0, 0]], cubic)
    with pytest.raises(InputError, match="incommensurate"):
        ReciprocalOrder.sc(cubic * (1, 1, 2))
    with pytest.raises(InputError, match="incommensurate"):
        ReciprocalOrder.sc(cubic, sites=(4, 4, 2.5))
    with pytest.raises(InputError, match="zero"):
        ReciprocalOrder([[0, 0, 0]], cubic)
    with pytest.raises(InputError, match="number of atoms"):
        ReciprocalOrder.sc(cubic).check(cubic * (1, 1, 2))
    cubic.pbc = (True, True, False)
    with pytest.raises(InputError, match="periodic"):
        ReciprocalOrder.sc(cubic)
