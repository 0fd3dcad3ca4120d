"""Networks in the files of TorchANI's users: state dicts of `torch.nn.Sequential` and ``.params`` files.

A state dict holds the tensors ``S.L.weight`` and ``S.L.bias`` of species S and layer L; activations take
the odd numbers, so that layers count 0, 2, 4... The constants of the descriptor stand in a text file of
lines such as ``Rcr = 5.1`` and ``ShfR = [0.9, 1.5]``, as NeuroChem and TorchANI write it. Energies are in
Hartree there and in eV here; this module is where they are converted.
"""

import io
import pickle
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asennp.errors import InputError, nearest
from asennp.files import sha256_file, write_atomic, write_json
from asennp.models.aev import AEVSettings
from asennp.models.model import Model
from asennp.models.network import AtomicNetworks, NetworkSettings
from asennp.units import HARTREE_EV

_KEY = re.compile(r"(\d+)\.(\d+)\.(weight|bias)")
_SCALARS = {"Rcr": "radial_cutoff", "Rca": "angular_cutoff"}
_SINGLES = {"EtaR": "radial_eta", "EtaA": "angular_eta", "Zeta": "angular_zeta"}
_LISTS = {"ShfR": "radial_shifts", "ShfA": "angular_shifts"}
_KNOWN = (*_SCALARS, *_SINGLES, *_LISTS, "ShfZ", "Atyp", "TM")
#: Published sections are rounded to seven or eight digits.
_SECTION_TOLERANCE = 1e-5


def import_torchani(
    state_dict_pt: str | Path | Sequence[str | Path],
    *,
    params: str | Path,
    out: str | Path,
    species: Sequence[str] | None = None,
    self_energies: Mapping[str, float] | None = None,
    charges: Mapping[str, float] | None = None,
    activation: str = "gelu",
) -> Path:
    """Turn TorchANI networks into a model file.

    E_i = HARTREE_EV f_species(i)(G_i) + self_energies[species(i)], f as trained (Hartree).

    Parameters
    ----------
    state_dict_pt
        State dict of the networks, or several of the same shape for a committee. A checkpoint that keeps it
        under ``nn`` is taken too. Files are read without running code from them (``weights_only``).
    params
        Constants of the descriptor.
    out
        Model file to write, ``*.asennp``.
    species
        Chemical symbols in the order of the state dict's first numbers; may be left out if `params` has
        ``Atyp``.
    self_energies
        Energy of each species that is added to the networks', eV/atom; without it nothing is added.
    charges
        Charges for the Coulomb part, e; without it there is none.
    activation
        ``"gelu"``: a state dict does not say what it was trained with.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    InputError
        A file that is no such thing, or a descriptor or network of another form; the message says which
        key was expected to be what.
    """
    sources = [state_dict_pt] if isinstance(state_dict_pt, (str, Path)) else state_dict_pt
    files = [Path(file) for file in sources]
    if not files:
        raise InputError("no state dicts to import", where="import_torchani")
    aev = read_params(params, species)
    if self_energies is not None and set(self_energies) != set(aev.species):
        raise InputError(
            "one energy for every species is needed",
            where="self_energies",
            expected=", ".join(aev.species),
            got=", ".join(self_energies),
        )
    members = [_read_networks(file, aev, activation) for file in files]
    for file, member in zip(files, members):
        if member.settings != members[0].settings:
            raise InputError(
                "members of a committee need the same layers",
                where=file,
                expected=members[0].settings.widths,
                got=member.settings.widths,
            )
    meta = {
        "imported_from": [file.name for file in files],
        "imported_sha256": [sha256_file(file) for file in files],
        "parameters": Path(params).name,
    }
    networks = AtomicNetworks.stack(members)
    return Model(aev, networks, self_energies or {}, charges or {}, meta).save(out)


def write_torchani(model: Model, folder: str | Path) -> list[Path]:
    """Write a model as `import_torchani` reads it: ``member-K.pt``, ``ani.params``, ``energies.json``.

    Networks are in Hartree and double precision, so importing them again gives back the same model bit for
    bit. What state dicts have no place for, offsets (eV/atom) and charges (e), goes into ``energies.json``.

    Parameters
    ----------
    model
        The model; its charges are not part of TorchANI's networks.
    folder
        Made if it is not there.

    Returns
    -------
    list of Path
        The state dicts, then the other files.
    """
    folder = Path(folder)
    paths = []
    for number in range(model.n_members):
        content = io.BytesIO()
        torch.save(state_dict(model, number), content)
        paths.append(write_atomic(folder / f"member-{number}.pt", content.getvalue()))
    paths.append(write_atomic(folder / "ani.params", format_params(model.aev)))
    values = {"self_energies_eV": dict(model.offsets), "charges_e": dict(model.charges)}
    return [*paths, write_json(folder / "energies.json", values)]


def state_dict(model: Model, member: int = 0) -> dict[str, torch.Tensor]:
    """Return one member's networks as ``S.L.weight`` and ``S.L.bias``, in Hartree and double precision."""
    networks = model.member(member).networks
    state = {}
    for species in range(networks.settings.n_species):
        for layer in range(networks.n_layers):
            scale = 1.0 / HARTREE_EV if layer == networks.n_layers - 1 else 1.0
            weight = networks.weights[species][layer][0].detach().cpu().double() * scale
            bias = networks.biases[species][layer][0].detach().cpu().double() * scale
            state[f"{species}.{2 * layer}.weight"] = weight.T.contiguous()
            state[f"{species}.{2 * layer}.bias"] = bias
    return state


def format_params(aev: AEVSettings) -> str:
    """Return the text of a ``.params`` file, in full precision."""
    values: dict[str, Any] = {key: getattr(aev, name) for key, name in _SCALARS.items()}
    values |= {key: [getattr(aev, name)] for key, name in _SINGLES.items()}
    values |= {key: list(getattr(aev, name)) for key, name in _LISTS.items()}
    values["ShfZ"] = aev.sections.tolist()
    lines = [f"{key} = {value!r}" for key, value in values.items()]
    return "\n".join(["TM = 1", *lines, f"Atyp = [{','.join(aev.species)}]"]) + "\n"


def read_params(path: str | Path, species: Sequence[str] | None = None) -> AEVSettings:
    """Read the constants of a descriptor from a ``.params`` file.

    Parameters
    ----------
    path
        The file.
    species
        Chemical symbols; by default, and if given the same as, the file's ``Atyp``.

    Raises
    ------
    InputError
        A missing, unknown or unreadable key, several widths where one is expected, or sections that do not
        divide (0, pi) evenly.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("no such file", where="params", got=str(path))
    found = _read_lines(path)
    wanted = [key for key in _KNOWN if key not in ("Atyp", "TM")]
    if missing := [key for key in wanted if key not in found]:
        raise InputError(
            f"{', '.join(missing)} is missing", where=path, expected=", ".join(wanted), got=", ".join(found)
        )
    values: dict[str, Any] = {name: _numbers(path, key, found[key]) for key, name in _LISTS.items()}
    for key, name in (_SCALARS | _SINGLES).items():
        numbers = _numbers(path, key, found[key])
        if len(numbers) != 1:
            raise InputError(f"{key} has several values", where=path, expected="one value", got=found[key])
        values[name] = numbers[0]
    values["n_sections"] = _count_sections(path, _numbers(path, "ShfZ", found["ShfZ"]))
    stated = [word for word in re.split(r"[\s,]+", found.get("Atyp", "").strip("[]")) if word]
    if species is not None and stated and list(species) != stated:
        raise InputError(
            "species differ from the file's Atyp", where=path, expected=stated, got=list(species)
        )
    if species is None and not stated:
        raise InputError("the file does not name its species", where=path, do="give them by species=")
    return AEVSettings(tuple(species or stated), **values)


def _read_lines(path: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    try:
        lines = path.read_text().splitlines()
    except UnicodeDecodeError as error:
        raise InputError("not a text file", where=path) from error
    for number, line in enumerate(lines, 1):
        key, equals, value = (part.strip() for part in line.partition("#")[0].partition("="))
        if not key:
            continue
        if not equals or key not in _KNOWN:
            raise InputError(
                "not a constant of the ANI descriptor with a cosine cut-off",
                where=f"{path}, line {number}",
                expected="one of " + ", ".join(_KNOWN),
                got=line.strip(),
                do=nearest(key, _KNOWN),
            )
        if key in found:
            raise InputError(f"{key} stands twice", where=f"{path}, line {number}")
        found[key] = value
    return found


def _numbers(path: Path, key: str, text: str) -> list[float]:
    try:
        numbers = [float(word) for word in text.strip("[]").split(",")]
    except ValueError as error:
        raise InputError(f"{key} is not made of numbers", where=path, got=text) from error
    if not np.isfinite(numbers).all():
        raise InputError(f"{key} is not finite", where=path, got=text)
    return numbers


def _count_sections(path: Path, angles: list[float]) -> int:
    n = len(angles)
    even = (np.arange(n) + 0.5) * np.pi / n
    if np.abs(np.array(angles) - even).max() > _SECTION_TOLERANCE:
        raise InputError(
            "ShfZ does not divide (0, pi) evenly",
            where=path,
            expected=f"{n} sections at (z + 1/2) pi/{n}: {np.round(even, 6).tolist()}",
            got=angles,
        )
    return n


def _read_networks(path: Path, aev: AEVSettings, activation: str) -> AtomicNetworks:
    """Read one member and convert it to eV."""
    state = _load(path)
    layers = _sort_layers(path, state, len(aev.species))
    hidden = tuple(len(state[f"0.{layer}.bias"]) for layer in layers[:-1])
    settings = NetworkSettings(aev.length, len(aev.species), hidden, activation)
    weights: list[list[torch.Tensor]] = []
    biases: list[list[torch.Tensor]] = []
    for species in range(settings.n_species):
        weights.append([])
        biases.append([])
        for number, layer in enumerate(layers):
            shape = settings.widths[number + 1], settings.widths[number]
            weight = _tensor(path, state, f"{species}.{layer}.weight", shape)
            bias = _tensor(path, state, f"{species}.{layer}.bias", shape[:1])
            scale = HARTREE_EV if number == len(hidden) else 1.0
            weights[-1].append((weight.T * scale).contiguous()[None])
            biases[-1].append((bias * scale)[None])
    return AtomicNetworks(settings, weights, biases)


def _load(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError("no such file", where="state dict", got=str(path))
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise InputError(
            "not a state dict that can be read without running code from it",
            where=path,
            expected="a file of torch.save(networks.state_dict(), ...)",
            got=str(error).splitlines()[0][:200] if str(error) else type(error).__name__,
        ) from error
    if isinstance(state, Mapping) and isinstance(state.get("nn"), Mapping):
        state = state["nn"]
    if not isinstance(state, Mapping) or not state:
        raise InputError("not a state dict", where=path, got=type(state).__name__)
    return dict(state)


def _sort_layers(path: Path, state: Mapping[str, Any], n_species: int) -> list[int]:
    """Return the numbers of the layers, 0, 2, 4..., once every species is known to have them all."""
    matches = {key: _KEY.fullmatch(str(key)) for key in state}
    if strange := [str(key) for key, match in matches.items() if match is None]:
        raise InputError(
            "unknown keys",
            where=path,
            expected="SPECIES.LAYER.weight and SPECIES.LAYER.bias, such as 0.2.weight",
            got=", ".join(strange[:4]),
        )
    layers = sorted({int(match[2]) for match in matches.values() if match})
    if len(layers) < 2 or layers != list(range(0, 2 * len(layers), 2)):
        raise InputError(
            "layers are not numbered as linear ones with an activation between",
            where=path,
            expected="0, 2, 4, ...",
            got=", ".join(map(str, layers)),
        )
    wanted = {
        f"{species}.{layer}.{kind}"
        for species in range(n_species)
        for layer in layers
        for kind in ("weight", "bias")
    }
    if wrong := sorted(wanted ^ set(matches)):
        raise InputError(
            f"tensors are missing or left over: {', '.join(wrong[:4])}",
            where=path,
            expected=f"weight and bias of {n_species} species and {len(layers)} layers",
        )
    return layers


def _tensor(path: Path, state: Mapping[str, Any], key: str, shape: tuple[int, ...]) -> torch.Tensor:
    tensor = state[key]
    if not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point() or tensor.shape != shape:
        got = tuple(tensor.shape) if isinstance(tensor, torch.Tensor) else type(tensor).__name__
        raise InputError(
            f"{key} does not fit (features by the descriptor, the same layers for every species)",
            where=path,
            expected=shape,
            got=got,
        )
    if not torch.isfinite(tensor).all():
        raise InputError(f"{key} is not finite", where=path)
    return tensor.detach().double()
