from dataclasses import replace

import pytest

from asennp.errors import InputError
from asennp.train import PRESETS, TrainConfig, preset


def test_published_stages():
    fine = preset("fine-tune", epochs=5)
    assert (fine.energy_weight, fine.force_weight, fine.stress_weight) == (0.6, 0.4, 0.005)
    assert fine.epochs == 5 and fine.frozen_layers == (1, 4) and fine.select == "stress_rmse"
    assert preset("buckingham-A").stage == "A-Train"
    by_descent = [config for config in PRESETS.values() if config.bias_optimizer == "sgd"]
    assert all(config.bias_rate == config.lr_weights / 10 for config in by_descent)
    assert {name for name, config in PRESETS.items() if config not in by_descent} == {"muon-A", "muon-T"}
    assert all(config.weight_optimizer == "adam" for config in by_descent)
    with pytest.raises(InputError, match="did you mean 'fine-tune'"):
        preset("finetune")


@pytest.mark.parametrize(
    ("name", "stage", "weights", "rate", "epochs", "select"),
    [
        ("buckingham-coulomb-T", "T-Train", (1.0, 0.1, 0.025), 1e-4, 400, "energy_rmse"),
        ("buckingham-A", "A-Train", (8.0, 0.1, 0.025), 1e-4, 400, "energy_rmse"),
        ("transfer", "T-Train", (0.5, 0.5, 0.002), 5e-5, 400, "energy_rmse"),
        ("fine-tune", "T-Train", (0.6, 0.4, 0.005), 5e-5, 1000, "stress_rmse"),
        ("nickel-pretrain", "T-Train", (1.0, 0.1, 0.025), 1e-3, 400, "energy_rmse"),
        ("nickel-pretrain-forces", "T-Train", (0.1, 0.9, 0.0), 1e-3, 400, "force_rmse"),
        ("nickel-fine-tune", "T-Train", (0.2, 0.4, 0.4), 1e-4, 400, "energy_rmse"),
        ("nickel-fine-tune-forces", "T-Train", (0.2, 0.8, 0.0), 1e-4, 400, "force_rmse"),
    ],
)
def test_every_published_stage_has_its_numbers(name, stage, weights, rate, epochs, select):
    config = preset(name)
    assert config.stage == stage and config.lr_weights == rate and config.bias_rate == rate / 10
    assert (config.energy_weight, config.force_weight, config.stress_weight) == weights
    assert (config.epochs, config.select) == (epochs, select)
    assert config.hidden == (224, 192, 160) and config.batch_size == 64 and config.validation_fraction == 0.2
    assert config.weight_decay == (0.0, 1e-5, 1e-6) and config.bias_optimizer == "sgd"
    factor, patience = (0.8, 50) if name.startswith("nickel") else (0.5, 100)
    assert (config.schedule, config.plateau_factor, config.plateau_patience) == ("plateau", factor, patience)
    # additions of ours are off
    assert (config.early_stop, config.ema_decay, config.gradient_clip, config.amp) == (
        None,
        None,
        None,
        False,
    )
    if not name.startswith("nickel"):
        text = preset(f"{name}-text-rates")
        assert text == replace(config, lr_weights=1e-3, lr_biases=1e-4)


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
        ({"early_stop": 0}, "early_stop"),
        ({"ema_decay": 1.0}, "ema_decay"),
        ({"gradient_clip": 0.0}, "gradient_clip"),
        ({"amp": True, "dtype": "float64"}, "amp"),
    ],
)
def test_bad_settings_are_named(change, name):
    with pytest.raises(InputError, match=name):
        TrainConfig(**change)
