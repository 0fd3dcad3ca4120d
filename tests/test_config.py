"""One schema: presets are valid, mistakes are named with the nearest right word."""

from pathlib import Path

import pytest
import yaml

from asennp.config import Config, dump_config, load_config, parse_config, preset_names
from asennp.errors import InputError


@pytest.mark.parametrize("name", preset_names())
def test_presets_are_valid_and_complete_themselves(name: str) -> None:
    config = load_config(name)
    assert config.name == name
    assert parse_config(yaml.safe_load(dump_config(config)), "dump") == config


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"sample.stepz": 5}, ["sample.stepz: unknown key", "did you mean 'steps'"]),
        ({"distill.train.epoch": 5}, ["distill.train.epoch: unknown key", "did you mean 'epochs'"]),
        ({"sample.walkers.SC.cell": 5}, ["sample.walkers.SC.cell: unknown key", "did you mean 'cells'"]),
        ({"sample.steps": -5}, ["sample.steps: input should be greater than 0", "got -5"]),
        ({"sample.steps": "many"}, ["sample.steps: input should be a valid integer", "got 'many'"]),
        ({"system.charges": {"Zn": 2, "Oo": -2}}, ["unknown element 'Oo'", "did you mean"]),
        ({"system.charges": {"Zn": 2, "O": -1}}, ["formal charges of a 1:1 compound must cancel"]),
        ({"tensile.phase": "RSS"}, ["tensile.phase: no phase 'RSS'", "did you mean 'RS'"]),
        ({"potential": {}}, ["potential.name: missing key"]),
    ],
)
def test_mistakes_are_named(overrides: dict, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        load_config("zno-quick", overrides)
    for word in words:
        assert word in str(caught.value)


def test_unknown_preset_and_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'zno-quick'"):
        load_config("zno-quik")
    with pytest.raises(InputError, match="no such file"):
        load_config(tmp_path / "absent.yaml")
    (tmp_path / "bad.yaml").write_text("a: [1,")
    with pytest.raises(InputError, match="not a YAML file"):
        load_config(tmp_path / "bad.yaml")


def test_every_key_is_explained_or_obvious() -> None:
    """The JSON schema is what ``asennp schema`` prints: each section says what it is."""
    for name, section in Config.model_json_schema()["$defs"].items():
        assert section.get("description"), name


def test_a_file_may_stand_on_a_preset(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        "based_on: zno-tiny\nname: mine\nsample:\n  steps: 50\n"
        "  walkers: {ONE: {phase: W, enthalpy: [-160, -140, 40], orders: {own: [0, 9, 10]}}}\n"
    )
    config, base = load_config(mine), load_config("zno-tiny")
    assert list(config.sample.walkers) == ["ONE"]  # walkers are one key: those of the preset are gone
    assert (config.name, config.sample.steps) == ("mine", 50)
    assert config.sample.temperature_K == base.sample.temperature_K
    assert config.distill == base.distill
