"""The finite-temperature benchmark: does a potential find the transitions of a crystal?

After the PTO-test (Li, Yang, Chen, Yu and Liu, J. Phys. Chem. C 2025, doi:10.1021/acs.jpcc.5c07541): relaxed
phases, a ladder of constant-pressure runs, polarisation at the experimental cell, and the cost of a step.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.formula import Formula

from asennp.errors import InputError, nearest
from asennp.evaluate.changes import RULES, Change, describe_changes, find_changes
from asennp.evaluate.check import CheckResult, compute_check
from asennp.evaluate.enthalpy import TransitionPressureResult, compute_transition_pressure
from asennp.evaluate.ladder import Classify, Climb, Direction, Ladder, Rung, climb, plan_climbs, read_rungs
from asennp.evaluate.lattice import LatticeResult, compute_lattice
from asennp.evaluate.nvt import FixedCell, PolarisationPoint, climb_fixed, plan_fixed, read_points
from asennp.evaluate.phonons import PhononResult, compute_phonons
from asennp.evaluate.polarisation import Sites
from asennp.evaluate.precision import in_double
from asennp.evaluate.runs import is_done
from asennp.evaluate.speed import Speed, SpeedResult, compute_speed
from asennp.evaluate.workers import Calculators, as_calculator, run_tasks
from asennp.phases import phase_fractions
from asennp.processes import call
from asennp.results import Result


@dataclass(frozen=True, eq=False)
class StaticPhase(Result):
    """A relaxed phase.

    Attributes
    ----------
    lattice
        The relaxed crystal.
    edges_A, angles
        (3,) of the cell it came in, Å and degrees.
    energy_above
        Energy above the lowest phase, eV per formula unit.
    left
        Why this is not the phase that was asked for (relaxed into another space group, did not
        converge); empty if it is.
    """

    lattice: LatticeResult
    edges_A: np.ndarray
    angles: np.ndarray
    energy_above: float
    left: str


@dataclass(frozen=True, eq=False)
class TransitionResult(Result):
    """What the benchmark found of one potential.

    Attributes
    ----------
    check
        Consistency of the calculator.
    static
        {phase: relaxed phase}.
    pressures
        Order of the phases under pressure at 0 K; None for a temperature ladder.
    phonons
        {phase: phonons}.
    variable
        "temperature_K" or "pressure_GPa".
    rungs
        Averages of every run.
    changes
        {rule: transitions}, see `asennp.evaluate.changes`.
    summaries
        {rule: one sentence}, also where no transition was found.
    failures
        Runs that broke or melted, in words.
    polarisation
        Polarisation at fixed cell, rung by rung.
    speed
        Cost of a step.
    """

    check: CheckResult
    static: dict[str, StaticPhase]
    pressures: TransitionPressureResult | None
    phonons: dict[str, PhononResult]
    variable: str
    rungs: tuple[Rung, ...]
    changes: dict[str, tuple[Change, ...]]
    summaries: dict[str, str]
    failures: tuple[str, ...]
    polarisation: tuple[PolarisationPoint, ...]
    speed: SpeedResult | None


def compute_transition(
    phases: Mapping[str, Atoms],
    calculator: Calculators,
    ladder: Ladder | None = None,
    *,
    low: str | None = None,
    high: str | None = None,
    sites: Sites | None = None,
    fixed_cell: FixedCell | None = None,
    phonons: Sequence[str] = (),
    phonon_supercell: tuple[int, int, int] = (2, 2, 2),
    speed: Speed | None = None,
    folder: str | Path | None = None,
    classify: Classify | None = None,
    workers: int = 1,
    seed: int = 0,
) -> TransitionResult:
    """Run the benchmark, or go on with it; whatever is in the folder is not done again.

    Parameters
    ----------
    phases
        {name: small cell} of one composition, at the asked symmetry (which the relaxation keeps).
    calculator
        An ASE calculator with energy, forces and stress, or a function of no arguments that makes one,
        which allows several workers.
    ladder
        The constant-pressure runs; None for the static step alone.
    low, high
        Phases that climbs up and down begin with; the first and the last if not given.
    sites
        Sites of high symmetry with Born charges: the polarisation is then followed.
    fixed_cell
        Runs at a given cell for P(T); needs `sites`.
    phonons, phonon_supercell
        Phases whose phonons are computed, and the supercell.
    speed
        Measure the cost of a step, alone, after everything else.
    folder
        Where runs live and continue; a temporary folder if not given.
    classify
        Function (atoms) -> {phase: share of the atoms}, importable by name, that judges the rungs where there
        are no sites; for elements and compounds of two species `asennp.phases` if not given.
    workers
        Processes of one thread each.
    seed
        Of all random numbers.

    Raises
    ------
    InputError
        No phases, phases of different composition, an unknown name, or a calculator without stress.
    """
    _check_input(phases, {"low": low, "high": high, **{f"phonons[{k}]": p for k, p in enumerate(phonons)}})
    if fixed_cell is not None and sites is None:
        raise InputError("the polarisation needs Born charges", where="sites", got=None)
    if folder is None:
        with tempfile.TemporaryDirectory() as place:
            return compute_transition(
                phases, calculator, ladder, low=low, high=high, sites=sites, fixed_cell=fixed_cell,
                phonons=phonons, phonon_supercell=phonon_supercell, speed=speed, folder=place,
                classify=classify, workers=workers, seed=seed,
            )  # fmt: skip
    root = Path(folder)
    if classify is None and len(set(next(iter(phases.values())).numbers)) <= 2:
        classify = phase_fractions
    first = next(iter(phases))
    _do({root / "check.json": (_check, phases[first])}, calculator, workers)
    static_tasks: dict[Path, tuple[Any, Any]] = {
        root / f"lattice-{name}.json": (_relax, atoms) for name, atoms in phases.items()
    }
    climbs_pressure = ladder is not None and ladder.variable == "pressure_GPa" and len(phases) > 1
    if climbs_pressure:
        static_tasks[root / "pressures.json"] = (_order_by_pressure, dict(phases))
    _do(static_tasks, calculator, workers)
    static = _static(phases, root)

    starts: dict[Direction, Atoms] = {
        "up": static[low or first].lattice.atoms,
        "down": static[high or list(phases)[-1]].lattice.atoms,
    }
    _do(
        {root / f"phonons-{p}.json": (partial(_phonons, supercell=phonon_supercell), static[p].lattice.atoms)
         for p in phonons},
        calculator, workers,
    )  # fmt: skip
    climbs = [] if ladder is None else plan_climbs(ladder, starts, root / "ladder", sites, seed, classify)
    held = []
    if fixed_cell is not None and sites is not None:
        held = plan_fixed(fixed_cell, starts["up"], root / "fixed-cell", sites, seed)
    runs: list[tuple[Any, ...]] = [(climb, plan) for plan in climbs if not is_done(plan.places())]
    runs += [(climb_fixed, plan) for plan in held if not is_done([plan.place])]
    run_tasks(call, runs, calculator, workers)
    if speed is not None:
        _do({root / "speed.json": (partial(_speed, settings=speed), starts["up"])}, calculator, 1)
    return _collect(root, static, ladder, climbs, read_points(held), phonons)


# --- tasks: each writes one file ----------------------------------------------------------------------


def _do(tasks: Mapping[Path, tuple[Callable[..., Any], Any]], calculator: Calculators, workers: int) -> None:
    """Make the files that are missing."""
    missing = [(function, what, path) for path, (function, what) in tasks.items() if not path.is_file()]
    run_tasks(call, missing, calculator, workers)


def _check(atoms: Atoms, path: Path, calculator: Calculators) -> None:
    compute_check(atoms, in_double(as_calculator(calculator))).to_json(path)


def _relax(atoms: Atoms, path: Path, calculator: Calculators) -> None:
    compute_lattice(atoms, as_calculator(calculator), fmax=1e-3, steps=500).to_json(path)


def _order_by_pressure(phases: Mapping[str, Atoms], path: Path, calculator: Calculators) -> None:
    compute_transition_pressure(phases, as_calculator(calculator)).to_json(path)


def _phonons(atoms: Atoms, path: Path, calculator: Calculators, supercell: tuple[int, int, int]) -> None:
    compute_phonons(atoms, as_calculator(calculator), supercell, born=None).to_json(path)


def _speed(atoms: Atoms, path: Path, calculator: Calculators, settings: Speed) -> None:
    compute_speed(atoms, as_calculator(calculator), settings, path.with_suffix("")).to_json(path)


# --- reading ------------------------------------------------------------------------------------------


def _check_input(phases: Mapping[str, Atoms], names: Mapping[str, str | None]) -> None:
    if not phases:
        raise InputError("no phases", where="phases", expected="{name: atoms}")
    formulas = {name: str(atoms.symbols.formula.reduce()[0].format("hill")) for name, atoms in phases.items()}
    if len(set(formulas.values())) > 1:
        raise InputError("phases of different composition", where="phases", got=formulas)
    for where, name in names.items():
        if name is not None and name not in phases:
            raise InputError(f"no phase {name!r}", where=where, do=nearest(name, phases))


def _static(phases: Mapping[str, Atoms], root: Path) -> dict[str, StaticPhase]:
    lattices = {name: LatticeResult.from_json(root / f"lattice-{name}.json") for name in phases}
    reduced, _ = Formula(str(next(iter(phases.values())).symbols)).reduce()
    lowest = min(lattice.energy_per_atom for lattice in lattices.values())
    return {
        name: StaticPhase(
            lattice=lattice,
            edges_A=lattice.atoms.cell.cellpar()[:3],
            angles=lattice.atoms.cell.cellpar()[3:],
            energy_above=(lattice.energy_per_atom - lowest) * len(reduced),
            left=_left(lattice),
        )
        for name, lattice in lattices.items()
    }


def _left(lattice: LatticeResult) -> str:
    """Say why a relaxed crystal is not the one asked for."""
    if lattice.warnings:
        return "; ".join(lattice.warnings)
    if not lattice.converged:
        return f"not converged: {lattice.max_force:.2g} eV/Å, {lattice.max_stress_GPa:.2g} GPa left"
    return ""


def _collect(
    root: Path,
    static: dict[str, StaticPhase],
    ladder: Ladder | None,
    climbs: Sequence[Climb],
    points: Sequence[PolarisationPoint],
    phonons: Sequence[str],
) -> TransitionResult:
    variable = "temperature_K" if ladder is None else ladder.variable
    rungs = tuple(rung for rung, _ in read_rungs(climbs))
    used = [rule for rule in RULES if rungs and _applies(rule, rungs)]
    changes = {rule: find_changes(rungs, rule, variable) for rule in used}
    pressures, speed = root / "pressures.json", root / "speed.json"
    return TransitionResult(
        check=CheckResult.from_json(root / "check.json"),
        static=static,
        pressures=TransitionPressureResult.from_json(pressures) if pressures.is_file() else None,
        phonons={name: PhononResult.from_json(root / f"phonons-{name}.json") for name in phonons},
        variable=variable,
        rungs=rungs,
        changes=changes,
        summaries={rule: describe_changes(rungs, changes[rule], rule, variable) for rule in used},
        failures=tuple(
            f"{rung.temperature_K:g} K, {rung.pressure_GPa:g} GPa ({rung.direction}, seed {rung.seed}): "
            f"{rung.status}, {rung.message}"
            for rung in rungs
            if rung.status != "ok"
        ),
        polarisation=tuple(points),
        speed=SpeedResult.from_json(speed) if speed.is_file() else None,
    )


def _applies(rule: str, rungs: Sequence[Rung]) -> bool:
    if rule == "polarisation":
        return any(rung.polarisation is not None for rung in rungs)
    if rule == "phase":
        return any(rung.fractions is not None for rung in rungs)
    return all(rung.fractions is None for rung in rungs)
