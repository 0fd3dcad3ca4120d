"""A model: descriptor, committee of networks, energy offsets and charges, in one self-describing file.

The file ``NAME.asennp`` is an uncompressed zip of ``model.json`` and ``.npy`` arrays (never pickles). The
JSON holds the SHA-256 of every array and of itself; times are fixed, so equal models are equal bytes.
"""

import hashlib
import io
import json
import math
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from asennp.errors import InputError, nearest
from asennp.files import json_default, sha256_json, shipped_models, write_atomic
from asennp.models.aev import AEVSettings
from asennp.models.network import AtomicNetworks, NetworkSettings

FORMAT = "asennp model"
#: Version written; files of a higher version are refused, those of a lower one upgraded as they are read.
FORMAT_VERSION = 1
#: What turns JSON and arrays of version n into those of version n + 1, for every n below `FORMAT_VERSION`.
UPGRADES: dict[int, Callable[[dict[str, Any], dict[str, np.ndarray]], None]] = {}
#: What a model's calculator may add for the long range.
ELECTROSTATICS = ("point", "pqeq")
_UNITS = {"energy": "eV", "length": "Å", "charge": "e"}
_LARGEST_ENTRY = 1 << 31


@dataclass(frozen=True, eq=False)
class Model:
    """A trained potential: E = sum_i [mean over members of f_species(i)(G_i) + offset] + Coulomb(charges).

    Parameters
    ----------
    aev
        Descriptor settings; they name the species.
    networks
        Atomic networks of M members, energies in eV.
    offsets
        Energy of each species that is added to every member, eV/atom; missing species count as 0.
    charges
        Charge of each species for the Coulomb part, e; empty for a model without one.
    meta
        The model's card: whatever describes where it came from, as JSON values (for instance
        ``training_sha256``).
    ranges
        Smallest and largest value of every feature in the training data by species, (S, 2, F);
        None if unknown.
    electrostatics
        ``"point"``: the charges; ``"pqeq"``: polarizable charge equilibration, without `charges`.
    """

    aev: AEVSettings
    networks: AtomicNetworks
    offsets: Mapping[str, float] = field(default_factory=dict)
    charges: Mapping[str, float] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)
    ranges: np.ndarray | None = None
    electrostatics: str = "point"

    def __post_init__(self) -> None:
        if self.electrostatics not in ELECTROSTATICS or (self.electrostatics != "point" and self.charges):
            raise InputError(
                "unknown electrostatics, or charges beside those of PQEq",
                where="Model",
                expected=" or ".join(ELECTROSTATICS),
                got=f"{self.electrostatics!r} with charges {dict(self.charges)}",
            )
        species, settings = self.aev.species, self.networks.settings
        if (settings.n_features, settings.n_species) != (self.aev.length, len(species)):
            raise InputError(
                "networks do not fit the descriptor",
                where="Model",
                expected=f"{self.aev.length} features, {len(species)} species",
                got=f"{settings.n_features} features, {settings.n_species} species",
            )
        for name in ("offsets", "charges"):
            values: Mapping[str, float] = getattr(self, name)
            if unknown := sorted(set(values) - set(species)):
                raise InputError(f"{name} of unknown species", where="Model", expected=species, got=unknown)
            if not all(math.isfinite(value) for value in values.values()):
                raise InputError(f"{name} must be finite", where="Model", got=dict(values))
        if self.charges and (missing := sorted(set(species) - set(self.charges))):
            raise InputError("species without a charge", where="Model", got=", ".join(missing))
        if self.ranges is not None and self.ranges.shape != (len(species), 2, self.aev.length):
            raise InputError(
                "feature ranges do not fit the descriptor",
                where="Model",
                expected=(len(species), 2, self.aev.length),
                got=self.ranges.shape,
            )

    @property
    def species(self) -> tuple[str, ...]:
        """Chemical symbols the model knows."""
        return self.aev.species

    @property
    def n_members(self) -> int:
        """Number of committee members."""
        return self.networks.n_members

    @property
    def is_long_ranged(self) -> bool:
        """Whether its calculator adds a long range to the networks."""
        return bool(self.charges) or self.electrostatics != "point"

    @property
    def offsets_array(self) -> np.ndarray:
        """Energy offsets in the order of `species` (S,), eV/atom."""
        return np.array([self.offsets.get(symbol, 0.0) for symbol in self.species])

    def member(self, number: int) -> Self:
        """Return one member as a model of its own."""
        if not 0 <= number < self.n_members:
            raise InputError(
                "no such member", where="member", expected=f"0 ... {self.n_members - 1}", got=number
            )
        return replace(self, networks=self.networks.member(number))

    @classmethod
    def stack(cls, models: Sequence["Model"], meta: Mapping[str, Any] | None = None) -> "Model":
        """Join models of one descriptor and the same charges into a committee.

        Members of other offsets than the first keep their own: the difference goes into the bias of their
        output layers. `ranges` becomes the union of the members' ranges.
        """
        first = models[0]
        for model in models[1:]:
            same = model.electrostatics == first.electrostatics and dict(model.charges) == dict(first.charges)
            if model.aev != first.aev or not same:
                raise InputError("members need the same descriptor and charges", where="Model.stack")
        members = []
        for model in models:
            networks = model.networks.to()
            for biases, shift in zip(networks.biases, model.offsets_array - first.offsets_array):
                biases[-1] += float(shift)
            members.append(networks)
        known = [model.ranges for model in models if model.ranges is not None]
        ranges = None
        if len(known) == len(models):
            ranges = np.stack(
                [np.min([r[:, 0] for r in known], axis=0), np.max([r[:, 1] for r in known], axis=0)], axis=1
            )
        return cls(
            first.aev,
            AtomicNetworks.stack(members),
            dict(first.offsets),
            dict(first.charges),
            dict(first.meta if meta is None else meta),
            ranges,
            first.electrostatics,
        )

    def todict(self) -> dict[str, Any]:
        """Return everything but the arrays as plain values."""
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "units": _UNITS,
            "aev": self.aev.todict(),
            "networks": self.networks.settings.todict(),
            "n_members": self.n_members,
            "offsets": {symbol: float(value) for symbol, value in self.offsets.items()},
            "charges": {symbol: float(value) for symbol, value in self.charges.items()},
            "meta": dict(self.meta),
            # files of models without it stay as they were
            **({"electrostatics": self.electrostatics} if self.electrostatics != "point" else {}),
        }

    def save(self, path: str | Path) -> Path:
        """Write the model as one file, atomically; parameters are stored in single precision."""
        arrays = {name: value.astype("<f4") for name, value in self.networks.state().items()}
        if self.ranges is not None:
            arrays["ranges"] = self.ranges.astype("<f4")
        blobs = {}
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
            blobs[f"{name}.npy"] = buffer.getvalue()
        card = self.todict()
        card["arrays"] = {name: hashlib.sha256(blob).hexdigest() for name, blob in blobs.items()}
        # a round trip makes the hash the one the reader will compute (tuples, NumPy numbers)
        card = json.loads(json.dumps(card, default=json_default, ensure_ascii=False))
        card["sha256"] = sha256_json(card)
        text = json.dumps(card, indent=1, ensure_ascii=False) + "\n"
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
            for name, blob in {"model.json": text.encode(), **blobs}.items():
                archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), blob)
        return write_atomic(path, target.getvalue())


def load_model(source: "str | Path | Model") -> Model:
    """Load a model by a shipped name or from a file.

    Parameters
    ----------
    source
        A name from `shipped_models`, or the path of an ``.asennp`` file. A model is passed through.

    Raises
    ------
    InputError
        Unknown name, missing file, or a file that is torn, damaged, foreign or of a newer format.
    """
    if isinstance(source, Model):
        return source
    shipped = shipped_models()
    path = shipped.get(str(source), Path(source))
    if path.is_dir() and (path / "model.asennp").is_file():
        path = path / "model.asennp"
    if not path.is_file():
        raise InputError(
            "no such model: neither a file nor the name of a shipped model",
            where="model",
            got=str(source),
            do=nearest(str(source), shipped) if shipped else "give the path of an .asennp file",
        )
    return _read(path)


def _read(path: Path) -> Model:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {entry.filename: entry for entry in archive.infolist()}
            if "model.json" not in entries:
                raise InputError("not a model file: it holds no model.json", where=path)
            if any(entry.file_size > _LARGEST_ENTRY for entry in entries.values()):
                raise InputError("not a model file: an entry is too large", where=path)
            blobs = {name: archive.read(name) for name in entries}
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise InputError(
            f"the model file is damaged or no model file ({error})", where=path, do="fetch or train it again"
        ) from error
    card = _check_card(path, blobs.pop("model.json"))
    arrays = _check_arrays(path, card["arrays"], blobs)
    try:
        for version in range(card["format_version"], FORMAT_VERSION):
            UPGRADES[version](card, arrays)
        aev = AEVSettings(**card["aev"])
        settings = NetworkSettings(**card["networks"])
        ranges = arrays.pop("ranges", None)
        return Model(
            aev,
            AtomicNetworks.from_state(settings, arrays),
            card["offsets"],
            card["charges"],
            card["meta"],
            None if ranges is None else ranges.astype(float),
            card.get("electrostatics", "point"),
        )
    except (KeyError, TypeError, InputError) as error:
        raise InputError(f"the model file's content does not fit together: {error}", where=path) from error


def _check_card(path: Path, blob: bytes) -> dict[str, Any]:
    """Return the model's JSON once it is known to be whole, ours and readable."""
    try:
        card = json.loads(blob)
    except ValueError as error:
        raise InputError("model.json is damaged", where=path) from error
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise InputError("not a model of this package", where=path, expected=f"format: {FORMAT!r}")
    version = card.get("format_version")
    if type(version) is not int or version < 1:
        raise InputError("the model file states no format version", where=path, got=version)
    if version > FORMAT_VERSION:
        raise InputError(
            "the model file is of a newer format",
            where=path,
            expected=f"format_version up to {FORMAT_VERSION}",
            got=version,
            do="upgrade asennp",
        )
    stated = card.pop("sha256", None)
    if stated != sha256_json(card) or not isinstance(card.get("arrays"), dict):
        raise InputError("model.json was changed or damaged: its checksum does not fit", where=path)
    return card


def _check_arrays(path: Path, stated: Mapping[str, str], blobs: Mapping[str, bytes]) -> dict[str, np.ndarray]:
    if set(stated) != set(blobs):
        wrong = ", ".join(sorted(set(stated) ^ set(blobs)))
        raise InputError(f"arrays are missing or left over: {wrong}", where=path)
    arrays = {}
    for name, blob in blobs.items():
        if hashlib.sha256(blob).hexdigest() != stated[name]:
            raise InputError(f"{name} was changed or damaged: its checksum does not fit", where=path)
        arrays[name.removesuffix(".npy")] = np.load(io.BytesIO(blob), allow_pickle=False)
    return arrays


def feature_ranges(features: np.ndarray, species: np.ndarray, n_species: int) -> np.ndarray:
    """Return the smallest and largest value of every feature by species, (S, 2, F), for `Model.ranges`.

    A species without atoms gets an empty range (inf, -inf).

    Parameters
    ----------
    features, species
        Descriptors (N, F) and species indices (N,) of the training data.
    """
    ranges = np.empty((n_species, 2, features.shape[1]))
    ranges[:, 0], ranges[:, 1] = np.inf, -np.inf
    for index in np.unique(species):
        chosen = features[species == index]
        ranges[index] = chosen.min(axis=0), chosen.max(axis=0)
    return ranges


def describe(model: Model) -> str:
    """Return a page on a model: species, descriptor, networks, offsets, charges, card."""
    aev, settings = asdict(model.aev), model.networks.settings
    n_parameters = sum(parameter.numel() for parameter in model.networks.parameters()) // model.n_members
    lines = [
        f"species      {', '.join(model.species)}",
        f"descriptor   ANI AEV, {model.aev.length} features: {len(aev['radial_shifts'])} radial to "
        f"{aev['radial_cutoff']} Å, {len(aev['angular_shifts'])} x {aev['n_sections']} angular to "
        f"{aev['angular_cutoff']} Å",
        f"networks     {model.n_members} member(s), {'-'.join(map(str, settings.widths))} "
        f"{settings.activation}, {n_parameters} parameters each, "
        + str(model.networks.dtype).removeprefix("torch."),
        "offsets      " + _listed(model.offsets, "eV/atom"),
        "charges      "
        + ("PQEq" if model.electrostatics == "pqeq" else _listed(model.charges, "e, added as a Coulomb sum")),
        f"ranges       {'of the training features' if model.ranges is not None else 'none'}",
    ]
    if not all(torch.isfinite(parameter).all() for parameter in model.networks.parameters()):
        lines.append("WARNING      some parameters are not finite")
    for key, value in model.meta.items():
        if not isinstance(value, str):
            value = json.dumps(value, default=json_default, ensure_ascii=False)
        lines.append(f"{key:<12} {value}")
    return "\n".join(lines)


def _listed(values: Mapping[str, float], unit: str) -> str:
    return (
        ", ".join(f"{key} {value:+.6g}" for key, value in values.items()) + f" {unit}" if values else "none"
    )
