import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.lj import LennardJones

from asennp.errors import InputError
from asennp.evaluate import compute_lattice, compute_quasiharmonic
from asennp.report import figures
from asennp.report.phonons import tabulate_quasiharmonic
from asennp.report.svg import to_svg
from asennp.units import EV_A3_GPA, KB


@pytest.fixture(scope="module")
def argon():
    calculator = LennardJones(sigma=2.5, epsilon=0.1, rc=5.0, smooth=True)
    return compute_lattice(bulk("Ar", a=3.9, cubic=True), calculator, fmax=1e-5, smax_GPa=1e-4), calculator


@pytest.fixture(scope="module")
def result(argon):
    lattice, calculator = argon
    return compute_quasiharmonic(
        lattice.atoms, calculator, (2, 2, 2), n_volumes=5, volume_range=(-0.02, 0.08), mesh_length_A=10.0,
        temperatures_K=np.arange(0.0, 301.0, 25.0),
    )  # fmt: skip


def test_identities_of_thermodynamics(argon, result):
    """S = -dG/dT, and alpha = gamma C_V / (B V) with C_P - C_V = alpha^2 B V T."""
    r = result
    assert np.all(np.diff(r.gibbs_eV) < 0.0) and np.all(np.diff(r.volume) > 0.0)
    k = 8
    work = r.expansion_per_K[k] * r.bulk_GPa[k] / EV_A3_GPA * r.volume[k]
    constant_volume = r.heat_capacity_kB[k] * KB - r.expansion_per_K[k] * work * r.temperatures_K[k]
    assert work == pytest.approx(r.gruneisen[k] * constant_volume, rel=0.02)
    # zero-point motion swells the crystal
    assert r.volume[0] > argon[0].volume_per_atom
    # heat: T d2G/dT2 = -C_P
    curvature = np.gradient(np.gradient(r.gibbs_eV, r.temperatures_K), r.temperatures_K)[k]
    assert -r.temperatures_K[k] * curvature == pytest.approx(r.heat_capacity_kB[k] * KB, rel=0.02)


def test_figure_and_table(result):
    assert "Bulk modulus" in to_svg(figures.plot_quasiharmonic({"argon": result}), "t")
    row = tabulate_quasiharmonic({"argon": result}, temperature_K=200.0).rows[0]
    assert row[1] == result.volume[0] and row[2] == result.volume[8]


def test_a_range_of_volumes_that_is_too_small_is_refused(argon):
    lattice, calculator = argon
    with pytest.raises(InputError, match="widen the range"):
        compute_quasiharmonic(
            lattice.atoms, calculator, (2, 2, 2), n_volumes=5, volume_range=(-0.01, 0.01),
            mesh_length_A=5.0, temperatures_K=np.arange(0.0, 901.0, 100.0),
        )  # fmt: skip
    with pytest.raises(InputError, match="too few volumes"):
        compute_quasiharmonic(lattice.atoms, calculator, n_volumes=3)
