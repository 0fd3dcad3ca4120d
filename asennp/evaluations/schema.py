"""The one schema of an evaluation: calculators, structures, and the properties asked for."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from ase import Atoms
from ase.io import read
from ase.spacegroup.symmetrize import check_symmetry
from pydantic import Field, model_validator

from asennp.config import Count, Positive, Section, parse_as, read_values, set_key
from asennp.errors import InputError, nearest
from asennp.evaluate.ladder import Ladder
from asennp.evaluate.nvt import FixedCell
from asennp.evaluate.polarisation import Sites
from asennp.evaluate.speed import Speed
from asennp.structures import build_perovskite, build_phase, perovskite_born_charges

Prototype = Literal["rocksalt", "zincblende", "wurtzite", "cesiumchloride", "fluorite", "perovskite"]


class CalculatorConfig(Section):
    """One calculator."""

    use: str
    """A model's or potential's name or file, a teacher's or ASE's name, or ``package.module:Class``."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments."""


class StructureConfig(Section):
    """One crystal: from a file, a prototype, or a perovskite."""

    file: str | None = None
    """Any structure file that ASE reads; a relative path is one of the folder the command is called in."""
    prototype: Prototype | None = None
    formula: str | None = None
    a: Positive | None = None
    """Lattice parameters to start from (Å)."""
    c: Positive | None = None
    u: float | None = None
    mode: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    """Shifts of A, B, the O along and the O across in a perovskite, in edges."""
    along: tuple[int, int, int] = (0, 0, 1)
    """Axes that the shifts go along."""
    spacegroup: int | None = None
    """Number of the space group that the start must have."""

    @model_validator(mode="after")
    def _one_source(self) -> "StructureConfig":
        if (self.file is None) == (self.prototype is None):
            raise ValueError("give either file or prototype")
        if self.prototype is not None and (self.formula is None or self.a is None):
            raise ValueError("a prototype needs formula and a")
        return self

    def build(self, name: str) -> Atoms:
        """Build the crystal, and refuse one that is not at the asked symmetry."""
        atoms = self._make(name)
        if self.spacegroup is not None:
            found = check_symmetry(atoms, 0.01)
            if found.number != self.spacegroup:
                raise InputError(
                    "the structure is not at the asked symmetry",
                    where=f"structures.{name}",
                    expected=f"space group {self.spacegroup}",
                    got=f"{found.number} ({found.international})",
                )
        return atoms

    def _make(self, name: str) -> Atoms:
        if self.file is not None:
            if not Path(self.file).is_file():
                raise InputError("no such file", where=f"structures.{name}.file", got=self.file)
            atoms = read(self.file)
            assert isinstance(atoms, Atoms)
            return Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        assert self.formula is not None and self.a is not None and self.prototype is not None
        if self.prototype == "perovskite":
            return build_perovskite(self.formula, self.a, self.c, self.mode, self.along)
        return build_phase(self.formula, self.prototype, self.a, c=self.c, u=self.u, cubic=False)


class ParityProperty(Section):
    """Errors against labelled frames, and the calibration of a committee's spread."""

    file: str
    """Frames that ASE reads, with REF_energy, REF_forces, REF_stress or some of them."""
    remove_shift: bool = False
    """Take the mean error of the energy out: for labels that have another zero."""

    @model_validator(mode="after")
    def _is_there(self) -> "ParityProperty":
        if not Path(self.file).is_file():
            raise ValueError(f"file: no such file {self.file!r}")
        return self


class LatticeProperty(Section):
    """Relaxed lattice parameters, and energies of the phases above the lowest."""

    pressure_GPa: float = 0.0


class ElasticProperty(Section):
    """Elastic tensor."""

    strain: Positive = 0.005
    relaxed_ions: bool = True


class EosProperty(Section):
    """Equation of state."""


class PhononProperty(Section):
    """Phonons."""

    length_A: Positive = 12.0
    """Least height of the supercell."""


class PressureProperty(Section):
    """Transition pressures among all structures."""

    maximum_GPa: Positive = 60.0


class QuasiharmonicProperty(Section):
    """Thermal expansion and free energy."""

    length_A: Positive = 10.0
    """Least height of the supercell."""
    n_volumes: Annotated[int, Field(ge=5)] = 7
    volume_range: tuple[float, float] = (-0.03, 0.06)
    """Relative change of volume, least and greatest."""
    maximum_K: Positive = 1000.0


class TensileProperty(Section):
    """Static tension of the conventional cell (of a hexagonal crystal: a, √3 a, c)."""

    axis: Literal[0, 1, 2] = 0
    mode: Literal["plane-strain", "uniaxial"] = "uniaxial"
    maximum_strain: Positive = 0.3
    step: Positive = 0.02


class ShearProperty(Section):
    """Static shear of the conventional cell (of a hexagonal crystal: a, √3 a, c)."""

    component: Literal["yz", "xz", "xy"] = "xy"
    maximum_strain: Positive = 0.4
    step: Positive = 0.04


class VacancyProperty(Section):
    """Vacancies."""

    remove: dict[str, Count] = Field(default_factory=dict)
    """Atoms to take out; one formula unit if left out."""
    separation: Literal["near", "far"] = "near"
    atoms: Count = 64
    """Supercells of at least so many atoms."""


class SurfaceProperty(Section):
    """A nonpolar surface."""

    miller: tuple[int, int, int] = (1, 0, 0)
    """In the standard conventional cell."""
    thickness_A: Positive = 15.0
    charges: dict[str, float] | None = None
    """Formal charges, by which polar terminations are found; None for crystals that are not ionic."""


class DiffusionProperty(Section):
    """Diffusion at several temperatures."""

    temperatures_K: tuple[Positive, ...] = Field(default=(600.0, 800.0, 1000.0), min_length=1)
    time_ps: Positive = 50.0
    timestep_fs: Positive = 1.0
    atoms: Count = 64
    """Supercells of at least so many atoms."""


class StabilityProperty(Section):
    """A thermostatted run."""

    temperature_K: Positive = 300.0
    time_ps: Positive = 2.0
    timestep_fs: Positive = 1.0
    pressure_GPa: float | None = None
    """Outer pressure; without it the volume is held."""
    atoms: Count = 64
    """Supercells of at least so many atoms."""


class TransitionProperty(Section):
    """The finite-temperature benchmark."""

    low: str | None = None
    """Structure that climbs up begin with."""
    high: str | None = None
    sites: str | None = None
    """Structure of high symmetry that displacements are measured from."""
    born: tuple[float, float, float, float] | None = None
    """Born charges of A, B, O along and O across its bonds, of a perovskite."""
    ladder: Ladder | None = None
    fixed_cell: FixedCell | None = None
    phonons: tuple[str, ...] = ()
    phonon_supercell: tuple[Count, Count, Count] = (2, 2, 2)
    speed: Speed | None = None

    def reference(self, structures: dict[str, StructureConfig]) -> Sites | None:
        """Return sites and Born charges, if both are given."""
        if self.sites is None or self.born is None:
            return None
        charges: np.ndarray = perovskite_born_charges(*self.born)
        return Sites.given(structures[self.sites].build(self.sites), charges)


class Properties(Section):
    """What is computed; a property that is not named is not."""

    parity: ParityProperty | None = None
    lattice: LatticeProperty | None = None
    elastic: ElasticProperty | None = None
    eos: EosProperty | None = None
    phonons: PhononProperty | None = None
    transition_pressure: PressureProperty | None = None
    quasiharmonic: QuasiharmonicProperty | None = None
    tensile: TensileProperty | None = None
    shear: ShearProperty | None = None
    vacancy: VacancyProperty | None = None
    surface: SurfaceProperty | None = None
    stability: StabilityProperty | None = None
    diffusion: DiffusionProperty | None = None
    transition: TransitionProperty | None = None


class EvaluationConfig(Section):
    """An evaluation."""

    name: str
    seed: int = 1
    workers: Count = 2
    """Processes side by side, one thread each."""
    calculators: dict[str, CalculatorConfig] = Field(min_length=1)
    structures: dict[str, StructureConfig] = Field(min_length=1)
    properties: Properties
    reference: dict[str, dict[str, float]] = Field(default_factory=dict)
    """Values to stand beside, {structure: {a: ..., c: ..., energy_meV: ...}}."""
    reference_source: str = ""

    @model_validator(mode="after")
    def _names_exist(self) -> "EvaluationConfig":
        asked = self.properties.transition
        if asked is not None:
            named = {"low": asked.low, "high": asked.high, "sites": asked.sites}
            named |= {f"phonons[{k}]": name for k, name in enumerate(asked.phonons)}
            for key, name in named.items():
                if name is not None and name not in self.structures:
                    hint = nearest(name, self.structures)
                    raise ValueError(f"properties.transition.{key}: no structure {name!r}; {hint}")
        if not any(value is not None for _, value in self.properties):
            raise ValueError("properties: none is asked for")
        return self


def is_evaluation(source: str | Path) -> bool:
    """Tell an evaluation, by shipped name or file, from a run's configuration."""
    from asennp.config import preset_names

    if Path(source).suffix not in (".yaml", ".yml"):
        return str(source) in preset_names("evaluations")
    values, _ = read_values(source, "evaluations")
    return "properties" in values or "calculators" in values


def load_evaluation(
    source: str | Path, overrides: dict[str, Any] | None = None, calculators: Sequence[str] | None = None
) -> EvaluationConfig:
    """Read a shipped evaluation by name, or a YAML file.

    Parameters
    ----------
    overrides
        Dotted keys that win over the file, those of `calculators` included.
    calculators
        "NAME" or "LABEL=NAME" each, instead of the file's calculators.
    """
    values, where = read_values(source, "evaluations")
    if calculators:
        values["calculators"] = _named(calculators)
    for key, value in (overrides or {}).items():
        set_key(values, key, value)
    return parse_as(EvaluationConfig, values, where)


def _named(calculators: Sequence[str]) -> dict[str, Any]:
    """Return calculators by label; without one a file's stem, or the name, is the label."""
    named: dict[str, Any] = {}
    for given in calculators:
        label, equals, name = given.partition("=")
        if not equals:
            label, name = Path(given).stem, given
        if label in named:
            raise InputError(
                f"two calculators are called {label!r}",
                where="--calculator",
                got=f"{named[label]['use']}, {name}",
                do=f"give one a name of its own: -c other={name}",
            )
        named[label] = {"use": name}
    return named
