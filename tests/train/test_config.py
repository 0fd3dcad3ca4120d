from dataclasses import replace

import pytest

from asennp.errors import InputError
from asennp.train import PRESETS, TrainConfig, preset


def test_published_stages():
    fine = preset("fine-tune", epochs=5)
    assert (fine.energy_weight, fine.force_weight, fine.stress_weight) == (0.6, 0.4, 0.005)
    assert fine.epochs == 5 and fine.frozen_layers == (1, 4) and fine.select == "stress_rmse"
    assert preset("buckingham-A").stage == "A-Train"
    assert all(config.bias_rate == config.lr_weights / 10 for config in PRESETS.values())
    with pytest.raises(InputError, match="did you mean 'fine-tune'"):
        preset("finetune")


def test_labels_that_carry_weight():
    config = TrainConfig(stage="A-Train")
    assert config.needed_labels == ("energy", "energies", "forces", "stress")
    assert replace(config, energy_weight=0.0, stress_weight=0.0).needed_labels == ("energy", "forces")


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"stage": "B-Train"}, "stage"),
        ({"select": "energy"}, "select"),
        ({"energy_weight": 0.0, "force_weight": 0.0, "stress_weight": 0.0}, "energy_weight"),
        ({"lr_weights": 0.0}, "lr_weights"),
        ({"frozen_layers": (0,)}, "frozen_layers"),
        ({"hidden": ()}, "hidden"),
        ({"validation_fraction": 1.0}, "validation_fraction"),
        ({"epochs": 0}, "epochs"),
    ],
)
def test_bad_settings_are_named(change, name):
    with pytest.raises(InputError, match=name):
        TrainConfig(**change)
