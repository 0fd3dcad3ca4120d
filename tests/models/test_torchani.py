"""TorchANI: its potentials from ours, ours from its files, and every file that is refused."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from ase.build import bulk

from asennp.calculators.hybrid import HybridNNPCalculator
from asennp.errors import InputError
from asennp.models import AEVSettings, AtomicNetworks, Model, NetworkSettings, compute_aev, load_model
from asennp.models.torchani_export import export_torchani
from asennp.models.torchani_io import format_params, import_torchani, read_params, write_torchani
from asennp.units import HARTREE_EV

PARAMS = """\
TM = 1
Rcr = 5.1000e+00
Rca = 3.5000e+00
EtaR = [1.9700000e+01]
ShfR = [8.0000000e-01,1.9000000e+00,3.1000000e+00]   # shortened
Zeta = [1.4100000e+01]
ShfZ = [3.9269908e-01,1.1780972e+00,1.9634954e+00,2.7488936e+00]
EtaA = [1.2500000e+01]
ShfA = [8.0000000e-01,1.1375000e+00]
"""
WIDTHS = (2 * 3 + 3 * 8, 6, 5, 4, 1)


def sequential_networks(n_species=2, seed=0, widths=WIDTHS):
    """Networks as users of TorchANI build them."""
    torch.manual_seed(seed)
    lists = []
    for _ in range(n_species):
        layers = []
        for fan_in, fan_out in itertools.pairwise(widths):
            layers += [torch.nn.Linear(fan_in, fan_out), torch.nn.GELU()]
        lists.append(torch.nn.Sequential(*layers[:-1]))
    return torch.nn.ModuleList(lists)


@pytest.fixture
def files(tmp_path):
    (tmp_path / "ani.params").write_text(PARAMS)
    torch.save(sequential_networks().state_dict(), tmp_path / "best.pt")
    return tmp_path


def make_atoms():
    atoms = bulk("ZnO", "wurtzite", a=3.25, c=5.2, u=0.38) * (2, 1, 1)
    atoms.set_cell(atoms.cell @ [[1.0, 0.02, 0.0], [0.0, 0.99, 0.05], [0.0, 0.0, 1.01]], scale_atoms=True)
    atoms.rattle(0.1, seed=2)
    return atoms


def make_model(n_members=2, charges=None):
    aev = AEVSettings(("Zn", "O"))
    networks = AtomicNetworks.random(
        NetworkSettings(aev.length, 2, (12, 8)), torch.Generator().manual_seed(5), n_members
    )
    return Model(aev, networks, {"Zn": -1.5, "O": 2.25}, charges or {})


def test_networks_are_in_hartree_and_self_energies_in_eV(files):
    """E = HARTREE_EV sum f + sum of self energies, evaluated by torch itself."""
    energies = {"Zn": -3.0, "O": 7.0}
    path = import_torchani(
        files / "best.pt",
        params=files / "ani.params",
        species=("Zn", "O"),
        self_energies=energies,
        out=files / "a.asennp",
    )
    model = load_model(path)
    atoms = make_atoms()
    features = torch.from_numpy(compute_aev(atoms, model.aev))
    networks = sequential_networks().double()
    expected = [
        HARTREE_EV * networks[model.species.index(symbol)](row).item() + energies[symbol]
        for symbol, row in zip(atoms.symbols, features)
    ]
    atoms.calc = HybridNNPCalculator(model, dtype="float64")
    np.testing.assert_allclose(atoms.get_potential_energies(), expected, rtol=1e-6)
    assert model.networks.settings.hidden == WIDTHS[1:-1]
    assert model.meta["imported_from"] == ["best.pt"]


def test_one_species(tmp_path):
    (tmp_path / "ni.params").write_text(PARAMS + "Atyp = [Ni]\n")
    torch.save({"nn": sequential_networks(1, widths=(3 + 8, 5, 1)).state_dict()}, tmp_path / "ni.pt")
    path = import_torchani(tmp_path / "ni.pt", params=tmp_path / "ni.params", out=tmp_path / "ni.asennp")
    atoms = bulk("Ni", cubic=True)
    atoms.calc = HybridNNPCalculator(path)
    assert np.isfinite(atoms.get_potential_energy())


def test_several_files_are_a_committee(files):
    torch.save(sequential_networks(seed=1).state_dict(), files / "other.pt")
    path = import_torchani(
        [files / "best.pt", files / "other.pt"],
        params=files / "ani.params",
        species=("Zn", "O"),
        charges={"Zn": 0.75, "O": -0.75},
        out=files / "a.asennp",
    )
    model = load_model(path)
    assert model.n_members == 2
    assert model.charges == {"Zn": 0.75, "O": -0.75}
    expected = torch.stack([sequential_networks(seed=k)[1][2].weight.T for k in (0, 1)])
    torch.testing.assert_close(model.networks.weights[1][1], expected, rtol=0, atol=0)


@pytest.mark.parametrize("member", [0, 1])
def test_exported_potential_equals_ours(member):
    model = make_model()
    atoms = make_atoms()
    ours = HybridNNPCalculator(model.member(member), dtype="float64")
    theirs = export_torchani(model, member).ase()
    for atoms.calc in (ours, theirs):
        atoms.calc.check = (atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress(voigt=False))
    assert abs(ours.check[0] - theirs.check[0]) < 1e-6 * abs(ours.check[0])
    for mine, other in zip(ours.check[1:], theirs.check[1:]):
        assert np.abs(mine - other).max() < 1e-6 * np.abs(other).max()


def test_exported_energies_are_hartree():
    model, atoms = make_model(), make_atoms()
    module = export_torchani(model)
    inputs = torch.as_tensor(atoms.numbers)[None], torch.as_tensor(atoms.positions)[None]
    hartree = module(inputs, torch.as_tensor(atoms.cell.array), torch.ones(3, dtype=bool)).energies.item()
    atoms.calc = HybridNNPCalculator(model.member(0), dtype="float64")
    assert hartree * HARTREE_EV == pytest.approx(atoms.get_potential_energy(), rel=1e-9)


def test_charges_are_not_dropped_in_silence():
    model = make_model(charges={"Zn": 0.75, "O": -0.75})
    with pytest.raises(InputError, match="short_range_only"):
        export_torchani(model)
    atoms = make_atoms()
    atoms.calc = export_torchani(model, short_range_only=True).ase()
    short = dataclasses.replace(model.member(0), charges={})
    other = HybridNNPCalculator(short, dtype="float64")
    assert atoms.get_potential_energy() == pytest.approx(other.get_potential_energy(atoms), rel=1e-9)


def test_round_trip_is_exact(tmp_path):
    model = make_model(3, {"Zn": 0.75, "O": -0.75})
    *members, params, _ = write_torchani(model, tmp_path / "out")
    path = import_torchani(
        members, params=params, self_energies=model.offsets, charges=model.charges, out=tmp_path / "b.asennp"
    )
    back = load_model(path)
    assert back.aev == model.aev
    assert (back.offsets, back.charges) == (model.offsets, model.charges)
    for name, value in model.networks.state().items():
        np.testing.assert_array_equal(back.networks.state()[name], value)


def test_params_round_trip(tmp_path):
    for settings in (AEVSettings(("Zn", "O")), AEVSettings(("Ni",), n_sections=7, angular_zeta=32.0)):
        (tmp_path / "x.params").write_text(format_params(settings))
        assert read_params(tmp_path / "x.params") == settings


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Rcr = 5.1000e+00\n", "", "Rcr is missing"),
        ("EtaR = [1.9700000e+01]", "EtaR = [19.7, 4.0]", "EtaR has several values"),
        ("3.9269908e-01,", "0.4,", "ShfZ does not divide"),
        ("3.9269908e-01,", "0.0,", "ShfZ does not divide"),
        ("Rca", "Rcutoff", "line 3.*(?s:.*)expected: one of Rcr"),
        ("TM = 1", "cutoff_fn = smooth", "cosine cut-off"),
        ("EtaA = [1.2500000e+01]", "EtaA = [wide]", "EtaA is not made of numbers"),
        ("EtaA = [1.2500000e+01]", "EtaA = [nan]", "EtaA is not finite"),
        ("TM = 1", "Rca = 3.5", "Rca stands twice"),
        ("TM = 1", "Atyp = [O,Zn]", "species differ"),
    ],
)
def test_other_descriptors_are_refused(tmp_path, old, new, message):
    assert old in PARAMS
    (tmp_path / "x.params").write_text(PARAMS.replace(old, new, 1))
    with pytest.raises(InputError, match=message):
        read_params(tmp_path / "x.params", ("Zn", "O"))


def test_missing_species_and_files_are_named(files):
    with pytest.raises(InputError, match="does not name its species"):
        read_params(files / "ani.params")
    with pytest.raises(InputError, match="no such file"):
        read_params(files / "none.params")


class Dangerous:
    def __reduce__(self):
        return print, ("code that came with a file",)


def change_state(**changes):
    def change(path):
        state = sequential_networks().state_dict()
        for key, value in changes.items():
            name = key.replace("_", ".")
            if value is None:
                del state[name]
            else:
                state[name] = value
        torch.save(state, path)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: path.unlink(), "no such file"),
        (lambda path: path.write_text("no weights"), "not a state dict"),
        (lambda path: path.write_bytes(path.read_bytes()[:300]), "not a state dict"),
        (lambda path: torch.save(Dangerous(), path), "without running code"),
        (lambda path: torch.save([1, 2], path), "not a state dict"),
        (lambda path: torch.save(sequential_networks(3).state_dict(), path), "left over: 2.0.bias"),
        (lambda path: torch.save(sequential_networks(1).state_dict(), path), "missing.*1.0.bias"),
        (change_state(layers_0_weight=torch.zeros(2)), "unknown keys"),
        (change_state(**{"1_2_bias": None}), "missing.*1.2.bias"),
        (change_state(**{"0_0_weight": torch.zeros(6, 9)}), "0.0.weight does not fit"),
        (change_state(**{"1_2_bias": torch.full((5,), torch.nan)}), "1.2.bias is not finite"),
        (change_state(**{"0_7_bias": torch.zeros(3)}), "layers are not numbered"),
    ],
)
def test_other_state_dicts_are_refused(files, capsys, change, message):
    change(files / "best.pt")
    with pytest.raises(InputError, match=message):
        import_torchani(
            files / "best.pt", params=files / "ani.params", species=("Zn", "O"), out=files / "a.asennp"
        )
    assert not (files / "a.asennp").exists()
    assert "code that came" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"activation": "celu"}, "unknown activation"),
        ({"self_energies": {"Zn": 1.0}}, "one energy for every species"),
        ({"charges": {"Zn": 1.0}}, "without a charge"),
        ({"species": ("Zn", "Qq")}, "chemical symbols"),
    ],
)
def test_other_arguments_are_refused(files, arguments, message):
    with pytest.raises(InputError, match=message):
        import_torchani(
            files / "best.pt",
            params=files / "ani.params",
            out=files / "a.asennp",
            **{"species": ("Zn", "O"), **arguments},
        )
