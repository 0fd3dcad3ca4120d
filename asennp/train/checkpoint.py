"""The state of a training between two epochs, in one file written whole or not at all."""

import io
import pickle
from pathlib import Path
from typing import Any

import torch

from asennp.errors import InputError
from asennp.files import write_atomic

FORMAT = 2


def save_checkpoint(path: str | Path, identity: str, state: dict[str, Any]) -> None:
    """Write a state of tensors and plain values.

    Parameters
    ----------
    path
        Target.
    identity
        Hash of everything that decides the training (settings, data, start); `load_checkpoint` demands
        the same.
    state
        The state.
    """
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, "identity": identity, "state": state}, buffer)
    write_atomic(path, buffer.getvalue())


def load_checkpoint(path: str | Path, identity: str) -> dict[str, Any]:
    """Read a state written for the same training; tensors and plain values only (no code is run).

    Raises
    ------
    InputError
        For a torn file and for a checkpoint of another training.
    """
    advice = "remove the folder to start anew, or pass resume='never'"
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        known = content["format"] == FORMAT
        state, found = content["state"], content["identity"]
    except (
        RuntimeError,
        pickle.UnpicklingError,
        EOFError,
        KeyError,
        TypeError,
        ValueError,
        OSError,
    ) as error:
        raise InputError(
            "the checkpoint cannot be read", where=path, got=type(error).__name__, do=advice
        ) from error
    if not known:
        raise InputError("a checkpoint of another format", where=path, expected=FORMAT, do=advice)
    if found != identity:
        raise InputError(
            "this checkpoint belongs to another training",
            where=path,
            expected=f"settings and data {identity[:12]}",
            got=str(found)[:12],
            do=advice,
        )
    return dict(state)
