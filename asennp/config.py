"""The one schema of a run: every key of a preset or of a user's YAML, with its unit and default.

``asennp schema`` prints it as JSON schema. Unknown keys are errors that name the nearest known key.
"""

import dataclasses
import typing
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from ase.data import atomic_numbers
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from asennp.errors import InputError, nearest
from asennp.train.config import TrainConfig


class Section(BaseModel):
    """Part of a configuration: frozen, its keys documented, unknown ones refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


#: Mappings of the user's own names: one given in a file replaces that of the preset it is based on.
_WHOLE = ("walkers", "phases", "charges")

S = typing.TypeVar("S", bound=Section)
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(gt=0)]
Axis = tuple[float, float, Annotated[int, Field(ge=8)]]


class PhaseConfig(Section):
    """One crystal structure of the compound."""

    prototype: Literal["rocksalt", "zincblende", "wurtzite"]
    a: Positive
    """Lattice constant a (Å) in the empirical potential."""
    c: Positive | None = None
    u: float | None = None


class SystemConfig(Section):
    """The compound: species with formal charges, and its phases."""

    charges: dict[str, float]
    """Formal charge of each species (e)."""
    phases: dict[str, PhaseConfig]

    @model_validator(mode="after")
    def _binary_and_neutral(self) -> "SystemConfig":
        for symbol in self.charges:
            if symbol not in atomic_numbers:
                raise ValueError(f"unknown element {symbol!r}; {nearest(symbol, atomic_numbers)}")
        if len(self.charges) != 2:
            raise ValueError(f"a compound of two species is expected, got {len(self.charges)}")
        if abs(sum(self.charges.values())) > 1e-9:
            raise ValueError(f"formal charges of a 1:1 compound must cancel, got {self.charges}")
        return self


class PotentialConfig(Section):
    """The empirical potential that samples and pretrains."""

    name: str
    """A shipped potential's name, or a file of the same form."""
    cutoff: Positive = 10.0
    """Short-range cut-off (Å)."""
    accuracy: Annotated[float, Field(gt=1e-14, lt=1e-1)] = 1e-6
    """Relative force error of the Coulomb sum."""
    guard: bool = True
    """Repulsive splice inside the inner maximum of the pair potential (counted, reported)."""


class WangLandauConfig(Section):
    """How the partial enthalpy is built."""

    interval: Count = 100
    """MD steps between two updates."""
    ln_f: Positive = 1.0
    """First modification factor, ln f."""
    kernel_nodes: Positive = 1.5
    """Width of the update kernel, in mesh nodes."""
    schedule: Literal["constant", "flatness", "1/t"] = "constant"
    temperature_range_K: tuple[Positive, Positive] = (500.0, 8000.0)
    """Bounds of the microcanonical temperature T0/alpha, by limiting the slope of the surface."""


class MeltConfig(Section):
    """A disordered start: melted in a widened cell, then let to the run's temperature and pressure."""

    expansion: Positive = 1.25
    """Volume of the melting cell over the crystal's: dense rock salt stands 5000 K at its own volume."""
    temperature_K: Positive = 5000.0
    steps: Count = 10_000
    """Steps at that volume and `temperature_K`."""
    equilibration_steps: Count = 3000
    """Steps at the run's own temperature and pressure, before the bias acts: few, lest it freezes."""


Star = Literal["sc", "fcc", "bcc", "own", "volume"]


class WalkerConfig(Section):
    """One MOMT run."""

    phase: str
    """Phase of the start."""
    orders: dict[Star, Axis]
    """Order parameters, each with its mesh (low, high, nodes): the {100}, {111} or {110} star of a cubic
    lattice (sc, fcc, bcc), the strong short star of the start's own crystal (own), or the cell's volume."""
    cells: tuple[Count, Count, Count] = (2, 2, 2)
    """Unit cells along each edge: conventional cubic ones, or right-angled ones of wurtzite."""
    enthalpy: Axis | None = None
    """Mesh in H = U + PV (eV): low, high, nodes. Without it there is no bias: plain NPT."""
    melt: MeltConfig | None = None
    """If set, the walker starts from the melt of this crystal."""
    steps: Count | None = None
    """Length of this walker, if not `sample.steps`."""
    pool: str | None = None
    """A pool's name, or its file: frames of a run made before, taken in place of one."""

    @model_validator(mode="after")
    def _pools_do_not_run(self) -> "WalkerConfig":
        given = [key for key in ("enthalpy", "melt", "steps") if getattr(self, key) is not None]
        if self.pool is not None and given:
            raise ValueError(f"a walker from a pool does not run: leave out {', '.join(given)}")
        return self


class SampleConfig(Section):
    """MOMT sampling with the empirical potential."""

    walkers: dict[str, WalkerConfig]
    steps: Count
    timestep_fs: Positive = 1.0
    temperature_K: Positive = 2000.0
    pressure_bar: float = 1.0
    frame_interval: Count = 100
    checkpoint_interval: Count = 10_000
    integrator: Literal["mtk-isotropic", "mtk-flexible", "langevin-isotropic", "langevin-flexible"] = (
        "mtk-isotropic"
    )
    """Heat bath and cell, see `MOMT`; a flexible cell also changes its shape."""
    wang_landau: WangLandauConfig = WangLandauConfig()

    def steps_of(self, name: str) -> int:
        """Return the length of a walker."""
        return self.walkers[name].steps or self.steps


class TensileConfig(Section):
    """Tensile MD with the empirical potential: frames nobody trains on."""

    phase: str
    cells: tuple[Count, Count, Count] = (2, 2, 2)
    temperature_K: Positive = 300.0
    timestep_fs: Positive = 1.0
    equilibration_steps: int = 1000
    rate_A_per_ps: Positive = 0.002
    axis: Literal[0, 1, 2] = 0
    mode: Literal["plane-strain"] = "plane-strain"
    steps: Count
    frame_interval: Count = 100
    labelled: Count
    """Frames labelled by the teacher, evenly spaced along the pull."""
    pool: str | None = None
    """A pool's name, or its file: frames of a pull made before, taken in place of one."""


class DescriptorConfig(Section):
    """ANI descriptor."""

    radial_cutoff: Positive = 6.9
    angular_cutoff: Positive = 3.5


class DistillConfig(Section):
    """Committee active learning on the pool, less the test blocks that nothing else sees."""

    test_fraction: Annotated[float, Field(ge=0.15, lt=0.5)] = 0.15
    """Share of test frames among all labelled ones; drawn from held-out blocks of the trajectories."""
    block_steps: Count = 2000
    """Length of a block, in MD steps."""
    initial: Count
    """Frames of the first, random block."""
    chunk: Count
    """Frames screened a round."""
    cap: Count = 100
    """Most frames taken a round."""
    n_sd: float = 3.0
    """A frame is taken when its score exceeds the mean by this many standard deviations."""
    per_species: bool = False
    """Judge the atoms of each species apart."""
    diversity: bool = False
    """Where the cap cuts, take frames far from each other in the space of the descriptor, not the worst."""
    n_members: Annotated[int, Field(ge=2)] = 5
    train: TrainConfig
    """Training of each member of the committee."""
    warm_epochs: Count | None = None
    """If set, members continue from the last round for so many epochs instead of starting anew."""
    curve_frames: Count = 400
    """Frames of the pool on which the learning curve is measured."""


class LabelConfig(Section):
    """High-fidelity labels by any ASE calculator."""

    teacher: str = "chgnet"
    """Any calculator by one word: chgnet, mace, tblite, lammps, espresso, zno-binks, package.module:Class."""
    arguments: dict[str, Any] = {}
    """Keyword arguments of the calculator."""
    scale_spread: Annotated[float, Field(ge=0, lt=0.1)] = 0.02
    """Half-width of the random isotropic scaling around the teacher's equilibrium."""
    crystals: int = 0
    """Strained and displaced crystals of each phase added to the distilled frames."""
    crystal_strain: Positive = 0.02
    crystal_displacement_A: Positive = 0.08
    max_force_eV_A: Positive = 50.0
    """A label with a larger force is recorded as failed."""


class ChargeConfig(Section):
    """The training-free sweep of the effective charge."""

    q_max: Positive = 2.0
    q_step: Positive = 0.01
    epsilon_inf: tuple[Positive, Positive]
    """Range of the high-frequency dielectric constant."""
    epsilon_0: tuple[Positive, Positive]
    """Range of the static dielectric constant."""
    source: str
    """Where the dielectric constants are from."""
    use: Literal["regressed", "plain", "dielectric"] | Positive = "regressed"
    """The estimate trained on, or a charge (e) of the user's own."""
    energy_window_eV: Positive | None = None
    """Use only frames this far (eV/atom) above the lowest of their composition."""
    bootstrap: Count = 300
    splits: Count = 16


class TrainingConfig(Section):
    """Transfer to the teacher's labels."""

    members: Annotated[int, Field(ge=2)] = 3
    """Members of each committee, the pretrained one included."""
    target: Literal["energy", "free_energy"] = "energy"
    electrostatics: Literal["point", "pqeq"] = "point"
    """Long range of the hybrid model: point charges of the effective charge, or PQEq."""
    direct: TrainConfig
    """Comparison: no pretraining, no Coulomb."""
    transfer: TrainConfig
    fine_tune: TrainConfig | None = None


class TrainedSweepConfig(Section):
    """The charge sweep by short trainings, beside the ones without."""

    charges: tuple[Annotated[float, Field(ge=0)], ...] = (0.0, 0.5, 1.0, 1.5, 2.0)
    """Charges (e) to train at; the chosen one is added."""
    epochs: Count = 40
    """Epochs of the transfer at each charge; all else is train.transfer's."""
    fine_tune_epochs: Count = 20
    tensile_share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Part of the tensile frames added to a training at the chosen charge; the rest is held out."""


class EvaluateConfig(Section):
    """What is measured of the trained model."""

    nvt_ps: Positive = 2.0
    nvt_temperature_K: Positive = 300.0
    pull_steps: Count = 2000
    pull_rate_A_per_ps: Positive = 1.0
    strain: Positive = 0.005
    relaxed_ions: bool = True


class FloorConfig(Section):
    """The least a run must reach; below it the run says which line failed and exits with 1."""

    wang_landau_updates: Count = 300
    order_coverage: Annotated[float, Field(gt=0, le=1)] = 0.5
    force_mae_fraction: Annotated[float, Field(gt=0, le=1)] = 0.4


class Config(Section):
    """One run, from the empirical potential to the report."""

    name: str
    seed: int = 1
    workers: Count = 2
    """Processes side by side, one thread each."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where networks are trained; by default on a GPU if there is one."""
    system: SystemConfig
    potential: PotentialConfig
    sample: SampleConfig
    tensile: TensileConfig
    distill: DistillConfig
    descriptor: DescriptorConfig = DescriptorConfig()
    pretrain: TrainConfig
    label: LabelConfig = LabelConfig()
    charge: ChargeConfig
    train: TrainingConfig
    trained_sweep: TrainedSweepConfig | None = None
    """Left out, no charge sweep is trained."""
    evaluate: EvaluateConfig = EvaluateConfig()
    floor: FloorConfig = FloorConfig()

    @model_validator(mode="after")
    def _phases_exist(self) -> "Config":
        used = {f"sample.walkers.{k}.phase": w.phase for k, w in self.sample.walkers.items()}
        used["tensile.phase"] = self.tensile.phase
        for key, phase in used.items():
            if phase not in self.system.phases:
                raise ValueError(f"{key}: no phase {phase!r}; {nearest(phase, self.system.phases)}")
        return self


def preset_names(folder: str = "presets") -> list[str]:
    """Return the names of the shipped presets."""
    place = resources.files("asennp.data") / folder
    return sorted(p.name.removesuffix(".yaml") for p in place.iterdir() if p.name.endswith(".yaml"))


def load_config(source: str | Path, overrides: dict[str, Any] | None = None) -> Config:
    """Read a preset by name, or a YAML file.

    A file with ``based_on: PRESET`` takes from that preset what it does not say itself, key by key;
    walkers count as one key.

    Parameters
    ----------
    source
        A preset's name or a path that ends in .yaml or .yml.
    overrides
        Dotted keys to values that win over the file, e.g. ``{"sample.steps": 1000}``.

    Raises
    ------
    InputError
        Unknown preset, unreadable file, or a key that is unknown, missing or of a wrong value.
    """
    values, where = read_values(source, "presets")
    for key, value in (overrides or {}).items():
        set_key(values, key, value)
    return parse_config(values, where)


def read_values(source: str | Path, folder: str) -> tuple[dict[str, Any], str]:
    """Read the keys of a shipped YAML file of a data folder by name, or of a user's; say where they are from.

    Raises
    ------
    InputError
        Unknown name, no such file, or not a mapping of keys.
    """
    path = Path(source)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise InputError("no such file", where=path, do="name a file, or a preset")
        text, where = path.read_text(), str(path)
    elif str(source) in preset_names(folder):
        text = (resources.files("asennp.data") / folder / f"{source}.yaml").read_text()
        where = f"preset {source}"
    else:
        raise InputError(
            f"no preset {str(source)!r}",
            expected="a preset's name, or a file ending in .yaml",
            do=nearest(str(source), preset_names(folder)),
        )
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError("not a YAML file", where=where, got=str(error).replace("\n", " ")) from None
    if not isinstance(values, dict):
        raise InputError("not a mapping of keys", where=where, got=type(values).__name__)
    base = values.pop("based_on", None)
    return (values if base is None else _merge(read_values(str(base), folder)[0], values)), where


def _merge(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Return the keys of `base` with those of `own` in their place, section by section."""
    merged = dict(base)
    for key, value in own.items():
        sections = isinstance(value, dict) and isinstance(base.get(key), dict) and key not in _WHOLE
        merged[key] = _merge(base[key], value) if sections else value
    return merged


def parse_config(values: dict[str, Any], where: str) -> Config:
    """Validate a mapping as the configuration of a run."""
    return parse_as(Config, values, where)


def parse_as(kind: type[S], values: dict[str, Any], where: str) -> S:
    """Validate a mapping; errors are collected into one message that names each key."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        lines = [_explain(detail, kind) for detail in error.errors()]
        raise InputError("\n  ".join([f"{len(lines)} key(s) cannot be used", *lines]), where=where) from None


def dump_config(config: Section) -> str:
    """Return the complete configuration as YAML."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def set_key(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key of nested mappings."""
    *parents, last = key.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
    values[last] = value


def _explain(detail: Any, kind: type[Section]) -> str:
    """Turn one of pydantic's findings into: key, what, expected, got, nearest."""
    location = [str(part) for part in detail["loc"]]
    key = ".".join(location) or "(whole)"
    if detail["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"{key}: unknown key; {nearest(location[-1], _fields_at(location[:-1], kind))}"
    if detail["type"] == "missing":
        return f"{key}: missing key"
    message = detail["msg"].removeprefix("Value error, ")
    got = "" if isinstance(detail["input"], (dict, BaseModel)) else f", got {detail['input']!r}"
    return f"{key}: {message[0].lower()}{message[1:]}{got}"


def _keys(kind: Any) -> dict[str, Any]:
    """Return the keys of a section and their kinds; none for a plain value."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {name: field.annotation for name, field in kind.model_fields.items()}
    return typing.get_type_hints(kind) if dataclasses.is_dataclass(kind) else {}


def _fields_at(location: list[str], kind: Any) -> list[str]:
    """List the keys the schema knows at a place."""
    for part in location:
        if typing.get_origin(kind) is dict:
            kind = typing.get_args(kind)[1]
        elif part in _keys(kind):
            kind = _keys(kind)[part]
        if typing.get_origin(kind) is not dict:
            kind = next((option for option in typing.get_args(kind) if _keys(option)), kind)
    return list(_keys(kind))
