"""Sums of Gaussian cores and shells against independent sums, and their derivatives."""

import math

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from scipy.special import erf, erfc

from asennp.electrostatics.ewald import Ewald
from asennp.electrostatics.gaussian import pair_widths
from asennp.electrostatics.gaussian_mesh import MeshSum
from asennp.electrostatics.gaussian_pairs import PairSum
from asennp.electrostatics.gaussian_waves import WaveSum, _taper
from asennp.electrostatics.kernels_gaussian import gaussian_pair, tapered_pair
from asennp.electrostatics.table import step_down
from asennp.neighbors import neighbor_pairs
from asennp.units import COULOMB_EV_A

EXPONENTS = np.array([0.51, 0.12])


def crystal() -> tuple[Atoms, np.ndarray]:
    """A displaced, triclinic wurtzite cell and the kinds of its atoms."""
    atoms = bulk("ZnO", "wurtzite", a=3.25, c=5.2)
    rng = np.random.default_rng(0)
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.05 * rng.normal(size=(3, 3))), scale_atoms=True)
    atoms.rattle(0.1, seed=1)
    return atoms, (atoms.numbers == 8).astype(np.int64)


def sites(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Core charges, shell charges, shell displacements."""
    rng = np.random.default_rng(3)
    shell = -1.0 - 0.2 * rng.random(n)
    core = rng.normal(size=n)
    core -= (core + shell).sum() / n
    return core, shell, 0.05 * rng.normal(size=(n, 3))


def place(solver, atoms, kinds, exponents=EXPONENTS):
    return solver.at(atoms.positions, atoms.cell.array, atoms.pbc, kinds, exponents)


def test_pair_function_and_its_derivatives():
    for a in (0.2, 0.9):
        for r in (1e-3, 0.3, 0.49 / a, 0.51 / a, 2.0, 7.0):
            f, f1, f2 = gaussian_pair(a, r * r)
            assert f == pytest.approx(erf(a * r) / r, rel=1e-13)
            h = 1e-3 * max(r, 0.3)
            for value, index in ((f1, 0), (f2, 1)):
                numeric = (gaussian_pair(a, (r + h) ** 2)[index] - gaussian_pair(a, (r - h) ** 2)[index]) / (
                    2 * h * r
                )
                assert value == pytest.approx(numeric, rel=2e-5)
    assert gaussian_pair(0.4, 0.0)[0] == pytest.approx(2 * 0.4 / math.sqrt(math.pi), rel=1e-14)


def test_taper_ends_smoothly():
    cutoff = 5.0
    for r in (0.5, 3.0, 4.9):
        x = r / cutoff
        taper = 1 - 35 * x**4 + 84 * x**5 - 70 * x**6 + 20 * x**7
        assert tapered_pair(0.5, r * r, cutoff)[0] == pytest.approx(erf(0.5 * r) / r * taper, rel=1e-13)
        h = 1e-4
        slopes = [tapered_pair(0.5, (r + k * h) ** 2, cutoff) for k in (-1, 1)]
        middle = tapered_pair(0.5, r * r, cutoff)
        for index in (0, 1):
            numeric = (slopes[1][index] - slopes[0][index]) / (2 * h * r)
            assert middle[index + 1] == pytest.approx(numeric, rel=1e-5)
    assert tapered_pair(0.5, cutoff**2, cutoff) == (0.0, 0.0, 0.0)
    np.testing.assert_allclose(tapered_pair(0.5, (cutoff - 1e-4) ** 2, cutoff), 0.0, atol=1e-7)


def test_lattice_sum_is_point_ewald_with_pair_corrections():
    """An independent splitting: Ewald's sum of point charges less erfc(a r)/r of every pair of sites."""
    atoms, kinds = crystal()
    core, shell, shells = sites(len(atoms))
    positions = np.concatenate([atoms.positions, atoms.positions + shells])
    charges = np.concatenate([core, shell])
    energy = Ewald(1e-12).compute(positions, atoms.cell.array, charges, atoms.pbc)[0].sum() / COULOMB_EV_A
    pairs = neighbor_pairs(positions, atoms.cell.array, atoms.pbc, 25.0)
    widths = pair_widths(EXPONENTS)[np.tile(kinds, 2)[pairs.i], np.tile(kinds, 2)[pairs.j]]
    terms = -erfc(widths * pairs.distances) / pairs.distances
    own = (pairs.j - pairs.i == len(atoms)) & (pairs.shifts == 0).all(axis=1)
    terms[own] = -1.0 / pairs.distances[own]
    energy += (charges[pairs.i] * charges[pairs.j] * terms).sum()
    for accuracy in (1e-12, 1e-8):
        sums = place(WaveSum(accuracy), atoms, kinds).evaluate(core, shell, shells)
        assert sums.energies.sum() == pytest.approx(energy, abs=10 * accuracy)


def test_waves_at_the_end_of_the_reach():
    """Just inside the reach the taper is tiny, but never negative: its root is taken."""
    reach = 4.7
    k = reach * (1.0 - np.geomspace(1e-16, 0.05, 400))
    step, log = _taper(k, reach)
    assert (step >= 0.0).all()
    assert np.isfinite(log).all()
    np.testing.assert_allclose(step, step_down((k - 0.9 * reach) / (0.1 * reach)), atol=1e-14)


def test_mesh_agrees_with_plane_waves():
    atoms, kinds = crystal()
    core, shell, shells = sites(len(atoms))
    exact = place(WaveSum(1e-13), atoms, kinds)
    for accuracy in (1e-3, 1e-6):
        mesh = place(MeshSum(accuracy, (6,)), atoms, kinds)
        one, other = (sums.evaluate(core, shell, shells) for sums in (exact, mesh))
        for name in ("energies", "core_potential", "core_gradient", "shell_gradient", "virial"):
            np.testing.assert_allclose(
                getattr(other, name), getattr(one, name), atol=10 * accuracy, err_msg=name
            )
        one, other = (sums.curvature(core, shell, shells).dense() for sums in (exact, mesh))
        np.testing.assert_allclose(other, one, atol=10 * accuracy)


def test_madelung_constant_of_narrow_charges():
    """Far apart, Gaussians are point charges: rock salt, per formula unit and nearest distance."""
    atoms = bulk("NaCl", "rocksalt", a=20.0, cubic=True)
    kinds = np.zeros(8, np.int64)
    charges = np.where(atoms.numbers == 11, 1.0, -1.0)
    sums = place(WaveSum(1e-10), atoms, kinds, np.array([0.9])).evaluate(
        charges, np.zeros(8), np.zeros((8, 3))
    )
    assert -sums.energies.sum() / 4 * 10.0 == pytest.approx(1.74756459, abs=1e-8)


SUMS = {
    "open": lambda: PairSum(),
    "tapered": lambda: PairSum(9.0),
    "waves": lambda: WaveSum(1e-12),
    "mesh": lambda: MeshSum(1e-6, (6,)),
}


@pytest.mark.parametrize("kind", SUMS)
def test_derivatives(kind):
    """Potentials, gradients, virial and second derivatives are those of the energy."""
    atoms, kinds = crystal()
    if kind == "open":
        atoms.pbc = False
    n = len(atoms)
    core, shell, shells = sites(n)
    here = SUMS[kind]()
    step = 1e-4

    def energy(frame=atoms, core=core, shells=shells):
        return place(SUMS[kind](), frame, kinds).evaluate(core, shell, shells).energies.sum()

    sums = place(here, atoms, kinds).evaluate(core, shell, shells)
    for i in range(n):
        change = step * np.eye(n)[i]
        slope = (energy(core=core + change) - energy(core=core - change)) / (2 * step)
        assert sums.core_potential[i] == pytest.approx(slope, abs=1e-9)
        moved = np.zeros((n, 3))
        moved[i, i % 3] = step
        slope = (energy(shells=shells + moved) - energy(shells=shells - moved)) / (2 * step)
        assert sums.shell_gradient[i, i % 3] == pytest.approx(slope, abs=1e-9)
        ahead, behind = atoms.copy(), atoms.copy()
        ahead.positions += moved
        behind.positions -= moved
        slope = (energy(ahead) - energy(behind)) / (2 * step)
        assert (sums.core_gradient + sums.shell_gradient)[i, i % 3] == pytest.approx(slope, abs=1e-9)
    for a, b in ((0, 0), (2, 2), (1, 2), (0, 1)):
        strain = np.zeros((3, 3))
        strain[a, b] = strain[b, a] = step if a == b else step / 2
        frames = []
        for sign in (1, -1):
            frame = atoms.copy()
            frame.set_cell(atoms.cell.array @ (np.eye(3) + sign * strain), scale_atoms=True)
            frames.append(energy(frame))
        assert sums.virial[a, b] == pytest.approx((frames[0] - frames[1]) / (2 * step), abs=1e-7)

    curvature = here.curvature(core, shell, shells)
    matrix = curvature.dense()
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-14)
    np.testing.assert_allclose(here.charge_matrix(), matrix[:n, :n], atol=1e-13)
    x = np.random.default_rng(5).normal(size=4 * n)
    by_q, by_s = curvature.apply(x[:n].copy(), x[n:].reshape(n, 3).copy())
    np.testing.assert_allclose(np.concatenate([by_q, by_s.ravel()]), matrix @ x, atol=1e-12)
    h = 1e-5
    ahead = here.evaluate(core + h * x[:n], shell, shells + h * x[n:].reshape(n, 3))
    behind = here.evaluate(core - h * x[:n], shell, shells - h * x[n:].reshape(n, 3))
    by_q = (ahead.core_potential - behind.core_potential) / (2 * h)
    by_s = (ahead.shell_gradient - behind.shell_gradient) / (2 * h)
    np.testing.assert_allclose(np.concatenate([by_q, by_s.ravel()]), matrix @ x, atol=1e-7)
