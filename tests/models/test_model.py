"""The model file: round trip, determinism, and every way it can be wrong."""

import dataclasses
import json
import zipfile

import numpy as np
import pytest
import torch

from asennp.errors import InputError
from asennp.files import sha256_json
from asennp.models import AEVSettings, AtomicNetworks, Model, NetworkSettings, load_model
from asennp.models import model as module
from asennp.models.model import describe, feature_ranges

AEV = AEVSettings(("Zn", "O"), radial_shifts=(1.0, 2.0), angular_shifts=(1.0, 2.0), n_sections=2)


@pytest.fixture
def model():
    networks = AtomicNetworks.random(
        NetworkSettings(AEV.length, 2, (5, 4)), torch.Generator().manual_seed(0), n_members=3
    )
    ranges = np.stack([np.zeros((2, AEV.length)), np.ones((2, AEV.length))], axis=1)
    meta = {"training_sha256": "ab", "widths": (1, 2), "loss": np.float64(0.5), "who": "Å"}
    return Model(AEV, networks, {"Zn": -1.5, "O": 2.25}, {"Zn": 0.75, "O": -0.75}, meta, ranges)


def test_round_trip(model, tmp_path):
    loaded = load_model(model.save(tmp_path / "a.asennp"))
    assert loaded.aev == model.aev
    assert loaded.networks.settings == model.networks.settings
    assert (loaded.offsets, loaded.charges) == (model.offsets, model.charges)
    assert loaded.meta == {"training_sha256": "ab", "widths": [1, 2], "loss": 0.5, "who": "Å"}
    np.testing.assert_array_equal(loaded.ranges, model.ranges)
    for name, value in model.networks.state().items():
        np.testing.assert_array_equal(loaded.networks.state()[name], value)
    np.testing.assert_array_equal(loaded.offsets_array, [-1.5, 2.25])


def test_equal_models_are_equal_bytes(model, tmp_path):
    first = model.save(tmp_path / "a.asennp").read_bytes()
    assert model.save(tmp_path / "b.asennp").read_bytes() == first
    assert load_model(tmp_path / "a.asennp").save(tmp_path / "c.asennp").read_bytes() == first


def test_member_and_stack(model):
    members = [model.member(k) for k in range(3)]
    assert [member.n_members for member in members] == [1, 1, 1]
    shifted = dataclasses.replace(members[1], offsets={"Zn": -1.0, "O": 2.25})
    committee = Model.stack([members[0], shifted])
    features = torch.rand(4, AEV.length)
    species = torch.tensor([0, 1, 0, 1])
    energies, _ = committee.networks.energies_and_gradients(features, species)
    alone, _ = members[1].networks.energies_and_gradients(features, species)
    expected = alone[0] + torch.tensor([0.5, 0.0, 0.5, 0.0])
    torch.testing.assert_close(energies[1], expected)
    with pytest.raises(InputError, match="member"):
        model.member(3)
    with pytest.raises(InputError, match="charges"):
        Model.stack([members[0], dataclasses.replace(members[1], charges={})])


def rewrite(path, change):
    """Write the zip again with entries changed by `change(entries)`."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    change(entries)
    with zipfile.ZipFile(path, "w") as archive:
        for name, blob in entries.items():
            archive.writestr(name, blob)


def edit_card(**changes):
    def change(entries):
        card = json.loads(entries["model.json"]) | changes
        card.pop("sha256")
        entries["model.json"] = json.dumps(card | {"sha256": sha256_json(card)}).encode()

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: e.update({"bias.0.0.npy": e["bias.0.0.npy"][:-1] + b"\x01"}), r"bias\.0\.0.*checksum"),
        (lambda e: e.pop("weight.1.2.npy"), r"missing.*weight\.1\.2"),
        (lambda e: e.update({"extra.npy": b""}), "left over: extra"),
        (lambda e: e.pop("model.json"), "no model.json"),
        (lambda e: e.update({"model.json": b"{"}), "model.json is damaged"),
        (lambda e: e.update({"model.json": e["model.json"].replace(b"0.75", b"0.76")}), "checksum"),
        (edit_card(format="other"), "not a model of this package"),
        (edit_card(format_version=99), "newer format"),
        (edit_card(format_version=0), "no format version"),
        (edit_card(format_version=True), "no format version"),
        (edit_card(networks={"n_features": 3, "n_species": 2, "hidden": [5]}), "does not fit"),
    ],
)
def test_changed_files_are_refused(model, tmp_path, change, message):
    path = model.save(tmp_path / "a.asennp")
    rewrite(path, change)
    with pytest.raises(InputError, match=message):
        load_model(path)


def test_torn_and_foreign_files_are_refused(model, tmp_path):
    path = model.save(tmp_path / "a.asennp")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match="damaged"):
        load_model(path)
    path.write_text("not a zip")
    with pytest.raises(InputError, match="damaged or no model file"):
        load_model(path)


def test_unknown_name_hints_at_the_nearest(monkeypatch, model, tmp_path):
    path = model.save(tmp_path / "zno-demo" / "model.asennp")
    monkeypatch.setattr(module, "shipped_models", lambda: {"zno-demo": path})
    assert load_model("zno-demo").charges == model.charges
    assert load_model(path.parent).charges == model.charges
    assert load_model(model) is model
    with pytest.raises(InputError, match="did you mean 'zno-demo'"):
        load_model("zno-dmo")


def test_every_shipped_model_loads():
    for path in module.shipped_models().values():
        load_model(path)


def test_misfits_are_refused(model):
    for changes, message in [
        ({"charges": {"Zn": 1.0}}, "without a charge"),
        ({"charges": {"Zn": 1.0, "O": np.nan}}, "finite"),
        ({"offsets": {"H": 1.0}}, "unknown species"),
        ({"ranges": np.zeros((2, 2, 3))}, "ranges"),
        ({"aev": AEVSettings(("Zn", "O"))}, "descriptor"),
    ]:
        with pytest.raises(InputError, match=message):
            dataclasses.replace(model, **changes)


def test_description_names_what_matters(model):
    text = describe(model)
    for part in ("Zn, O", "3 member(s)", "+0.75", "training_sha256 ab", "-5-4-1"):
        assert part in text


def test_feature_ranges_by_species():
    features = np.array([[1.0, 5.0], [2.0, 4.0], [7.0, 7.0]])
    ranges = feature_ranges(features, np.array([0, 0, 2]), 3)
    np.testing.assert_array_equal(ranges[0], [[1, 4], [2, 5]])
    np.testing.assert_array_equal(ranges[2], [[7, 7], [7, 7]])
    assert np.all(ranges[1, 0] > ranges[1, 1])
