"""The steps of an evaluation: one a calculator and property, each a folder with one JSON file a structure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from asennp.calculators.named import calculator_maker
from asennp.dataset import read_frames
from asennp.evaluate import (
    DefectResult,
    DiffusionResult,
    ElasticResult,
    EosResult,
    LatticeResult,
    ParityResult,
    PhononResult,
    QuasiharmonicResult,
    StabilityResult,
    TensileResult,
    TransitionPressureResult,
    TransitionResult,
    compute_diffusion,
    compute_elastic,
    compute_eos,
    compute_lattice,
    compute_parity,
    compute_phonons,
    compute_quasiharmonic,
    compute_shear,
    compute_stability,
    compute_surface,
    compute_tensile,
    compute_transition,
    compute_transition_pressure,
    compute_vacancy,
)
from asennp.evaluate.slab import conventional_cell
from asennp.evaluations.schema import EvaluationConfig
from asennp.phases import phase_fractions
from asennp.processes import run_processes
from asennp.stages.graph import Stage
from asennp.stages.output import StageOutput
from asennp.structures import orthorhombic

#: Properties in order: title, kind of result, whether it starts from the relaxed lattice.
KINDS: Mapping[str, tuple[str, type[Any], bool]] = {
    "parity": ("errors against labels", ParityResult, False),
    "lattice": ("lattices", LatticeResult, False),
    "elastic": ("elastic constants", ElasticResult, True),
    "eos": ("equations of state", EosResult, True),
    "phonons": ("phonons", PhononResult, True),
    "transition_pressure": ("transition pressures", TransitionPressureResult, True),
    "quasiharmonic": ("thermal expansion", QuasiharmonicResult, True),
    "tensile": ("tension", TensileResult, True),
    "shear": ("shear", TensileResult, True),
    "vacancy": ("vacancies", DefectResult, True),
    "surface": ("surfaces", DefectResult, True),
    "stability": ("stability", StabilityResult, True),
    "diffusion": ("diffusion", DiffusionResult, True),
    "transition": ("finite-temperature benchmark", TransitionResult, False),
}
#: Properties of all structures together, or of none.
JOINT = ("parity", "transition_pressure", "transition")


@dataclass(frozen=True)
class Step(Stage):
    """One property of one calculator."""

    def inputs(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return what the result depends on: this calculator, this property, the structures."""
        calculator, property_ = self.name.split("/")
        return {
            "calculator": values["calculators"][calculator],
            "structures": values["structures"],
            "property": values["properties"][property_],
            "seed": values["seed"],
        }

    def function(self) -> Callable[..., StageOutput]:
        """Return the step's work."""
        return partial(_run, self.name)


def plan(config: EvaluationConfig) -> dict[str, Stage]:
    """Return the steps in order; a property that needs relaxed crystals stands on the lattices."""
    steps: dict[str, Stage] = {}
    asked = [name for name in KINDS if getattr(config.properties, name) is not None]
    needs_lattice = any(KINDS[name][2] for name in asked)
    if needs_lattice and "lattice" not in asked:
        asked.insert(0, "lattice")
    for calculator in config.calculators:
        for name in asked:
            title, _, relaxed = KINDS[name]
            after = (f"{calculator}/lattice",) if relaxed else ()
            steps[f"{calculator}/{name}"] = Step(f"{calculator}/{name}", f"{calculator}: {title}", after, ())
    return steps


def result_path(root: Path, calculator: str, property_: str, structure: str) -> Path:
    """Return where a result is."""
    return root / calculator / property_ / f"{'all' if property_ in JOINT else structure}.json"


def _run(name: str, config: EvaluationConfig, folder: Path, upstream: Mapping[str, Path]) -> StageOutput:
    """Compute what is missing of one step."""
    calculator, property_ = name.split("/")
    given = config.calculators[calculator]
    maker = calculator_maker(given.use, given.arguments)
    crystals = {key: one.build(key) for key, one in config.structures.items()}
    if KINDS[property_][2]:
        lattices = upstream[f"{calculator}/lattice"]
        crystals = {key: LatticeResult.from_json(lattices / f"{key}.json").atoms for key in crystals}
    settings = getattr(config.properties, property_)
    if property_ == "transition":
        paths = [folder / "all.json"]
        _transition(config, crystals, maker, folder, paths[0])
    elif property_ in JOINT:
        paths = [folder / "all.json"]
        tasks: list[tuple[Any, ...]] = [(property_, crystals, maker, settings, config.seed, paths[0])]
    else:
        paths = [folder / f"{key}.json" for key in crystals]
        tasks = [(property_, atoms, maker, settings, config.seed, path)
                 for atoms, path in zip(crystals.values(), paths)]  # fmt: skip
    if property_ != "transition":
        for _ in run_processes(_compute, [t for t in tasks if not t[-1].exists()], config.workers):
            pass
    return StageOutput(paths, f"{len(paths)} result(s)", {"results": [path.name for path in paths]})


def _transition(
    config: EvaluationConfig, crystals: dict[str, Atoms], maker: Any, folder: Path, path: Path
) -> None:
    asked = config.properties.transition
    assert asked is not None
    if not path.exists():
        compute_transition(
            crystals,
            maker,
            asked.ladder,
            low=asked.low,
            high=asked.high,
            sites=asked.reference(config.structures),
            fixed_cell=asked.fixed_cell,
            phonons=asked.phonons,
            phonon_supercell=asked.phonon_supercell,
            speed=asked.speed,
            folder=folder,
            workers=config.workers,
            seed=config.seed,
        ).to_json(path)


def _compute(property_: str, what: Any, maker: Any, settings: Any, seed: int, path: Path) -> None:
    """Compute one property of one structure (of all, for the joint ones) and write it."""
    result = _COMPUTE[property_](what, maker(), settings, np.random.default_rng(seed))
    result.to_json(path)


def _repeats(atoms: Atoms, wanted: int) -> int:
    """Return the least cube of cells with so many atoms, to the nearest half."""
    return max(1, round((wanted / len(atoms)) ** (1 / 3) + 0.49))


def _stability(atoms: Atoms, calculator: Any, s: Any, rng: np.random.Generator) -> StabilityResult:
    crystal = atoms.repeat(_repeats(atoms, s.atoms))
    # phases are known of elements and compounds of two species
    known = len(set(crystal.numbers.tolist())) <= 2
    return compute_stability(
        crystal, calculator, s.temperature_K, s.time_ps, s.timestep_fs, rng=rng, pressure_GPa=s.pressure_GPa,
        classify=phase_fractions if known else None,
    )  # fmt: skip


def _diffusion(atoms: Atoms, calculator: Any, s: Any, rng: np.random.Generator) -> DiffusionResult:
    crystal = atoms.repeat(_repeats(atoms, s.atoms))
    return compute_diffusion(crystal, calculator, s.temperatures_K, s.time_ps, s.timestep_fs, rng=rng)


def _quasiharmonic(atoms: Atoms, calculator: Any, s: Any, rng: np.random.Generator) -> QuasiharmonicResult:
    return compute_quasiharmonic(
        atoms, calculator, length_A=s.length_A, n_volumes=s.n_volumes, volume_range=s.volume_range,
        temperatures_K=np.linspace(0.0, s.maximum_K, 51),
    )  # fmt: skip


def _right_angled(atoms: Atoms) -> Atoms:
    """Return the conventional cell, or for a hexagonal crystal the right-angled double of it."""
    cell = conventional_cell(atoms)
    return orthorhombic(cell) if abs(cell.cell.angles()[2] - 120.0) < 1e-3 else cell


def _vacancy(atoms: Atoms, calculator: Any, s: Any, rng: np.random.Generator) -> DefectResult:
    remove = s.remove or atoms.symbols.formula.reduce()[0].count()
    return compute_vacancy(atoms, calculator, remove, _repeats(atoms, s.atoms), separation=s.separation)


#: (structure or structures, calculator, settings, generator) -> result.
_COMPUTE: Mapping[str, Callable[[Any, Any, Any, np.random.Generator], Any]] = {
    "parity": lambda a, c, s, rng: compute_parity(read_frames(s.file), c, remove_shift=s.remove_shift),
    "lattice": lambda a, c, s, rng: compute_lattice(a, c, pressure_GPa=s.pressure_GPa if s else 0.0),
    "elastic": lambda a, c, s, rng: compute_elastic(a, c, strain=s.strain, relaxed_ions=s.relaxed_ions),
    "eos": lambda a, c, s, rng: compute_eos(a, c),
    "phonons": lambda a, c, s, rng: compute_phonons(a, c, length_A=s.length_A),
    "transition_pressure": lambda a, c, s, rng: compute_transition_pressure(a, c, s.maximum_GPa),
    "quasiharmonic": _quasiharmonic,
    "tensile": lambda a, c, s, rng: compute_tensile(
        _right_angled(a), c, s.axis, s.maximum_strain, s.step, mode=s.mode
    ),
    "shear": lambda a, c, s, rng: compute_shear(_right_angled(a), c, s.component, s.maximum_strain, s.step),
    "vacancy": _vacancy,
    "surface": lambda a, c, s, rng: compute_surface(a, c, s.miller, s.thickness_A, charges=s.charges),
    "stability": _stability,
    "diffusion": _diffusion,
}
