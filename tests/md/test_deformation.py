"""Deformation dynamics: what is driven, what stays, the stress at the end, curves, bad input."""

from pathlib import Path

import numpy as np
import pytest
from ase import units

from asennp.errors import InputError
from asennp.md.deformation import DeformationMD
from asennp.md.stress_strain import read_stress_strain
from asennp.units import EV_A3_GPA


def deform(atoms, **settings):  # type: ignore[no-untyped-def]
    given = {"timestep": 2 * units.fs, "temperature_K": 1, "rng": np.random.default_rng(2)}
    return DeformationMD(atoms, **{**given, **settings})


def crystal(fluid, a: float = 4.65):  # type: ignore[no-untyped-def]
    """Return a cold perfect crystal."""
    atoms = fluid(a=a)
    atoms.set_scaled_positions(np.round(atoms.get_scaled_positions() * 4) / 4)
    return atoms


@pytest.mark.parametrize("component", ["yz", "xz", "xy"])
def test_shear_moves_one_component_only(fluid, component: str) -> None:  # type: ignore[no-untyped-def]
    atoms = crystal(fluid)
    cell, scaled = atoms.cell.array.copy(), atoms.get_scaled_positions(wrap=False)
    dynamics = deform(atoms, mode="shear", component=component, rate_per_ps=0.1)
    dynamics.run(250)
    a, b = ("xyz".index(name) for name in component)
    expected = cell.copy()
    expected[b, a] += 0.05 * cell[b, b]
    np.testing.assert_allclose(atoms.cell.array, expected, atol=1e-12)
    assert dynamics.strain == pytest.approx(0.05)
    np.testing.assert_allclose(atoms.get_scaled_positions(wrap=False), scaled, atol=0.02)
    static = crystal(fluid)
    static.set_cell(expected, scale_atoms=True)
    static.calc = atoms.calc.__class__()
    shear = static.get_stress(voigt=False)[a, b]
    assert abs(shear) > 1e-4
    assert dynamics.compute_load() == pytest.approx(shear, rel=0.1)


def test_uniaxial_pull_holds_the_stress_across(fluid, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    atoms = crystal(fluid, a=4.7)
    pressure = -float(atoms.get_stress()[0])  # these spheres repel: press across, as hard as at the start
    dynamics = deform(
        atoms, mode="uniaxial", axis=1, strain_step=0.01, steps_per_strain=200, n_equilibration=200,
        pdamp=100 * units.fs, lateral_pressure_au=pressure, curve=tmp_path / "curve.csv",
    )  # fmt: skip
    dynamics.run(800)
    curve = read_stress_strain(tmp_path / "curve.csv")
    np.testing.assert_allclose(curve.strain, [0.0, 0.01, 0.02, 0.03])
    assert atoms.cell.array[1] == pytest.approx([0.0, 1.03 * 9.4, 0.0])
    assert np.array_equal(atoms.cell.array[[0, 2], 1], [0.0, 0.0])
    across = curve.stress_GPa[:, [0, 2]] + pressure * EV_A3_GPA
    assert np.abs(across).max() < 0.1 * np.ptp(curve.load_GPa)
    assert curve.modulus_GPa(0.03) > 0.2
    assert atoms.cell.array[0, 0] < 9.4 * 0.999  # Poisson
    np.testing.assert_allclose(curve.load_GPa, curve.stress_GPa[:, 1])


def test_curve_holds_the_means_between_rows(fluid, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "curve.csv"
    dynamics = deform(fluid(a=5.0), temperature_K=300, rate_per_ps=0.05, loginterval=20, curve=path)
    rows = []
    for _ in range(60):
        dynamics.run(1)
        rows.append((dynamics.compute_load() * EV_A3_GPA, dynamics.get_temperature(), dynamics.strain))
    curve = read_stress_strain(path)
    means = np.array(rows).reshape(3, 20, 3).mean(axis=1)
    np.testing.assert_allclose(curve.load_GPa, means[:, 0])
    np.testing.assert_allclose(curve.temperature_K, means[:, 1])
    np.testing.assert_allclose(curve.strain, [row[2] for row in rows[19::20]])
    assert type(curve).from_json(curve.to_json(tmp_path / "curve.json")).strength == curve.strength
    with open(path, "a") as file:
        file.write("80,0.16,0.0")  # torn by a kill
    assert len(read_stress_strain(path).strain) == 3


def test_jumps_and_plateaus(fluid) -> None:  # type: ignore[no-untyped-def]
    dynamics = deform(fluid(a=5.0), strain_step=-0.01, steps_per_strain=4, n_equilibration=3)
    strains = [dynamics.strain for _ in dynamics.irun(12)]
    np.testing.assert_allclose(strains, [0, 0, 0, 0, *4 * [-0.01], *4 * [-0.02], -0.03], atol=1e-12)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"mode": "plain-strain"}, "did you mean 'plane-strain'"),
        ({"mode": "shear", "component": "yx"}, "no such shear"),
        ({"axis": 3}, "no such cell vector"),
        ({}, "how fast to deform"),
        ({"rate_per_ps": 0.1, "strain_step": 0.1}, "how fast to deform"),
        ({"strain_step": 0.01}, "how fast to deform"),
        ({"strain_step": 0.5, "steps_per_strain": 10}, "cannot be a jump"),
        ({"rate_per_ps": 50.0}, "0.1 % a step"),
        ({"rate_per_ps": 0.1, "rng": None}, "random forces"),
    ],
)
def test_bad_input(fluid, settings: dict[str, object], text: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=text):
        deform(fluid(), **settings)


def test_uniaxial_needs_aligned_vectors(fluid) -> None:  # type: ignore[no-untyped-def]
    atoms = fluid()
    tilted = atoms.cell.array.copy()
    tilted[1, 0] = 1.0
    atoms.set_cell(tilted, scale_atoms=True)
    deform(atoms, mode="uniaxial", axis=2, rate_per_ps=0.1)
    with pytest.raises(InputError, match="along its Cartesian axis"):
        deform(atoms, mode="uniaxial", axis=0, rate_per_ps=0.1)


def test_foreign_curves_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "curve.csv"
    with pytest.raises(InputError, match="no such file"):
        read_stress_strain(path)
    path.write_text("strain,stress\n0.0,1.0\n")
    with pytest.raises(InputError, match="not a stress-strain curve"):
        read_stress_strain(path)
