"""Model files of every format ever written stay readable; ``data/format-N.asennp`` are never written anew."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from asennp import HybridNNPCalculator
from asennp.models import AEVSettings, load_model
from asennp.models import model as model_file
from asennp.models.model import FORMAT_VERSION

DATA = Path(__file__).parent / "data"
FORMATS = [1]


def test_every_format_has_its_file():
    """Whoever raises the version adds a file of it here, and a test below that it loads."""
    assert list(range(1, FORMAT_VERSION + 1)) == FORMATS
    assert sorted(path.name for path in DATA.glob("*.asennp")) == [f"format-{n}.asennp" for n in FORMATS]


def test_old_files_are_upgraded_version_by_version(monkeypatch):
    """Two versions as they might come: an entry of the settings renamed, an array put in other units."""

    def rename(card, arrays):
        card["networks"]["hidden"] = card["networks"].pop("hidden_widths")

    def rescale(card, arrays):
        card["networks"]["hidden_widths"] = card["networks"].pop("hidden")
        arrays["ranges"] = 2.0 * arrays["ranges"]

    assert set(model_file.UPGRADES) == set(range(1, FORMAT_VERSION))
    path = DATA / "format-1.asennp"
    now = load_model(path)
    latest = model_file.FORMAT_VERSION
    monkeypatch.setattr(model_file, "FORMAT_VERSION", latest + 2)
    monkeypatch.setattr(model_file, "UPGRADES", model_file.UPGRADES | {latest: rescale, latest + 1: rename})
    upgraded = load_model(path)
    assert upgraded.networks.settings == now.networks.settings
    np.testing.assert_array_equal(upgraded.ranges, 2.0 * now.ranges)
    assert upgraded.todict()["format_version"] == latest + 2


def test_format_1():
    path = DATA / "format-1.asennp"
    stored = hashlib.sha256(path.read_bytes()).hexdigest()
    assert stored == "b29f71ad57d15f436cae1936d61cab8fa2a4de6e2fe5bf3a1146673a83d1ed11"
    model = load_model(path)
    assert model.aev == AEVSettings(
        ("Zn", "O"),
        radial_cutoff=4.0,
        radial_shifts=(1.0, 2.0, 3.0),
        angular_cutoff=3.0,
        angular_shifts=(1.0, 2.0),
        n_sections=2,
    )
    assert (model.offsets, model.charges) == ({"Zn": -1.5, "O": 2.25}, {"Zn": 0.75, "O": -0.75})
    assert model.meta == {"training_sha256": "ab", "widths": [1, 2], "loss": 0.5, "who": "Å"}
    assert model.networks.settings.widths == (18, 5, 4, 1)
    assert model.ranges is not None and model.ranges.shape == (2, 2, 18)
    digest = hashlib.sha256()
    for name, value in sorted(model.networks.state().items()):
        digest.update(name.encode() + value.astype("<f4").tobytes())
    assert digest.hexdigest() == "09b5246a42e7dcb0087b4abdebde146cfea417de5d1791f6a97ac031ba2b4ce7"
    np.testing.assert_array_equal(model.networks.biases[1][1], np.full((2, 4), 0.25))


def test_format_1_gives_the_energies_it_gave():
    atoms = Atoms(
        "ZnOZnO", [(0, 0, 0), (2.1, 0.1, 0), (2.0, 2.2, 0.3), (0.1, 1.9, 0)], cell=[4.1, 4.3, 4.2], pbc=True
    )
    atoms.calc = HybridNNPCalculator(DATA / "format-1.asennp", dtype="float64", coulomb_accuracy=1e-10)
    assert atoms.get_potential_energy() == pytest.approx(-9.593368336, abs=1e-7)
    assert atoms.calc.committee.energy_std == pytest.approx(1.2508670697, abs=1e-9)


@pytest.mark.skipif(FORMAT_VERSION != 1, reason="another format is written now")
def test_the_format_is_written_as_it_was(tmp_path):
    path = DATA / "format-1.asennp"
    assert load_model(path).save(tmp_path / "again.asennp").read_bytes() == path.read_bytes()
