"""The command line: parse, call, print. No logic of its own."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from asennp import __version__
from asennp.config import Config, dump_config, load_config, preset_names
from asennp.errors import InputError
from asennp.files import read_json, write_atomic
from asennp.processes import WorkerKilled
from asennp.progress import console
from asennp.run import RunFolder
from asennp.stages.graph import STAGES

app = typer.Typer(
    help="Neural network potentials for ionic solids, as ASE objects.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="rich",
)

Source = Annotated[str, typer.Argument(help="A preset's name, or a YAML file.", metavar="PRESET|CONFIG.yaml")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Run folder; ./NAME if left out.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        "-s",
        help="KEY=VALUE that wins over the file, e.g. -s sample.steps=20000.",
        metavar="KEY=VALUE",
    ),
]
RunArgument = Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")]

PROJECT, STAGE, MODEL = "Runs", "Stages (each first runs what it stands on)", "Models"
SIMULATION = "Simulations"


@app.callback(invoke_without_command=True)
def _main(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    if version:
        print(f"asennp {__version__}")
        raise typer.Exit


def _overrides(settings: list[str] | None, option: str = "--set") -> dict[str, Any]:
    values = {}
    for setting in settings or []:
        key, equals, value = setting.partition("=")
        if not equals:
            raise InputError("not of the form KEY=VALUE", where=option, got=setting)
        values[key] = yaml.safe_load(value)
    return values


def _flow(config: Config, out: Path | None, until: str) -> RunFolder:
    """Execute the recipe's flow on quacc's own engine (none): the one orchestrator."""
    run = RunFolder.create(out or Path(config.name), config)
    with run.lock():
        # quacc reads its engine when a recipe is decorated, that is when the recipes are imported
        os.environ["QUACC_WORKFLOW_ENGINE"] = "None"
        from asennp.recipes import zno_flow

        try:
            zno_flow(str(run.path), until=until)
        except KeyboardInterrupt:
            print("\nstopped; the same command continues from the last checkpoint", file=sys.stderr)
            raise typer.Exit(130) from None
    return run


@app.command(rich_help_panel=PROJECT)
def run(source: Source, out: Out = None, set_: Settings = None) -> None:
    """Run everything from sampling to the report; started again, continue or say that all is done."""
    folder = _flow(load_config(source, _overrides(set_)), out, "report")
    floor = read_json(folder.path / "report" / "summary.json")["floor"]
    for line in floor:
        mark = "[green]pass[/]" if line["passed"] else "[red]FAIL[/]"
        console.print(f"  {mark}  {line['text']}")
    console.print(f"report: {folder.path / 'report.html'}", style="bold")
    if not all(line["passed"] for line in floor):
        console.print("the run ended below its floor: see the lines marked FAIL", style="red")
        raise typer.Exit(1)


@app.command(rich_help_panel=PROJECT)
def init(source: Source, out: Out = None, set_: Settings = None) -> None:
    """Make a run folder with the complete configuration, and run nothing."""
    config = load_config(source, _overrides(set_))
    folder = RunFolder.create(out or Path(config.name), config)
    console.print(f"{folder.path / 'config.yaml'}")


@app.command(rich_help_panel=PROJECT)
def status(folder: RunArgument) -> None:
    """Say which stages of a run folder are done."""
    opened = RunFolder(folder)
    for name, stage in STAGES.items():
        record = opened.done(name)
        state = f"done, {record['seconds']:.0f} s" if record else "-"
        console.print(f"{name:10} {state:14} {stage.title}")


@app.command(rich_help_panel=PROJECT)
def schema() -> None:
    """Print the JSON schema of a configuration: every key with its kind, default and meaning."""
    print(json.dumps(Config.model_json_schema(), indent=1))


@app.command(rich_help_panel=PROJECT)
def preset(
    name: Annotated[str | None, typer.Argument(help="Preset to print; without it their names.")] = None,
    write: Annotated[Path | None, typer.Option(help="Write to a new file instead.")] = None,
) -> None:
    """Print a preset with every key filled in, to start one's own YAML from."""
    if name is None:
        print("\n".join(preset_names()))
        return
    text = dump_config(load_config(name))
    if write is None:
        print(text, end="")
    elif write.exists():
        raise InputError("exists already", where=write, do="choose another name")
    else:
        write_atomic(write, text)


def _evaluate(source: str, out: Path | None, set_: list[str] | None, calculators: list[str] | None) -> None:
    """Do an evaluation, or go on with it."""
    from asennp.evaluations.folder import EvaluationFolder
    from asennp.evaluations.schema import load_evaluation

    values = _overrides(set_)
    config = load_evaluation(source, values, calculators)
    folder = EvaluationFolder.create(out or Path(config.name), config)
    with folder.lock():
        try:
            page = folder.run()
        except KeyboardInterrupt:
            print("\nstopped; the same command continues from the last checkpoint", file=sys.stderr)
            raise typer.Exit(130) from None
    console.print(f"report: {page}", style="bold")


Potentials = Annotated[
    list[str] | None,
    typer.Option(
        "--calculator",
        "-c",
        help="[LABEL=]NAME instead of the file's: a model, a potential, a teacher, package.module:Class; "
        "several stand side by side.",
        metavar="[LABEL=]NAME",
    ),
]


@app.command(rich_help_panel=PROJECT)
def transition(
    source: Annotated[str, typer.Argument(help="pbtio3, batio3, zno-pressure, or a YAML file.")],
    calculator: Potentials = None,
    out: Out = None,
    set_: Settings = None,
) -> None:
    """Run the finite-temperature benchmark: does a potential find a crystal's transitions?"""
    _evaluate(source, out, set_, calculator)


@app.command(rich_help_panel=STAGE)
def evaluate(
    source: Annotated[str, typer.Argument(help="A run's preset or YAML, or an evaluation's name or YAML.")],
    calculator: Potentials = None,
    out: Out = None,
    set_: Settings = None,
) -> None:
    """Evaluation: of any calculators by an evaluation's YAML, or of the models of a run."""
    from asennp.evaluations.schema import is_evaluation

    if is_evaluation(source):
        _evaluate(source, out, set_, calculator)
        return
    if calculator:
        raise InputError("a run evaluates its own models", where="--calculator", got=calculator)
    folder = _flow(load_config(source, _overrides(set_)), out, "evaluate")
    console.print(f"{folder.path / 'evaluate'}", style="bold")


def _add_stage(name: str) -> None:
    def command(source: Source, out: Out = None, set_: Settings = None) -> None:
        folder = _flow(load_config(source, _overrides(set_)), out, name)
        console.print(f"{folder.path / name}", style="bold")

    stage = STAGES[name]
    needs = f" Stands on: {', '.join(stage.after)}." if stage.after else ""
    command.__doc__ = f"{stage.title[0].upper()}{stage.title[1:]}.{needs}"
    app.command(name, rich_help_panel=STAGE)(command)


for _name in STAGES:
    if _name != "evaluate":
        _add_stage(_name)


@app.command(rich_help_panel=SIMULATION)
def md(
    structure: Annotated[Path, typer.Argument(help="A structure in any format that ASE reads.")],
    calculator: Annotated[
        str,
        typer.Option(
            "--calculator", "-c", help="A model, a potential, a teacher, a name of ASE, package.module:Class."
        ),
    ],
    ensemble: Annotated[
        str, typer.Option("--ensemble", "-e", help="nve, nvt, npt, momt, tensile or shear.")
    ] = "nvt",
    steps: Annotated[int, typer.Option(help="Steps in all; raise it to go on.")] = 1000,
    timestep: Annotated[float, typer.Option(help="fs.")] = 1.0,
    temperature: Annotated[float, typer.Option(help="K.")] = 300.0,
    pressure: Annotated[float, typer.Option(help="GPa.")] = 0.0,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder; STRUCTURE-ENSEMBLE if left out.")
    ] = None,
    argument: Annotated[
        list[str] | None, typer.Option("--argument", "-a", help="NAME=VALUE for the calculator.")
    ] = None,
    integrator: Annotated[str | None, typer.Option(help="Else the ensemble's usual one.")] = None,
    mask: Annotated[str | None, typer.Option(help="Free components of a flexible cell, e.g. xx,xy.")] = None,
    tdamp: Annotated[float, typer.Option(help="Time constant of the thermostat, fs.")] = 100.0,
    pdamp: Annotated[float, typer.Option(help="Time constant of the barostat, fs.")] = 1000.0,
    order: Annotated[
        list[str] | None, typer.Option(help="momt: sc=4,4,4, fcc=2,2,2, bcc=2,2,2 or volume; one an axis.")
    ] = None,
    mesh: Annotated[
        list[str] | None, typer.Option(help="momt: LOW:HIGH:NODES of the enthalpy (eV), then one an order.")
    ] = None,
    bias: Annotated[
        str | None, typer.Option(help="momt: a saved bias to go on with; FILE! keeps it frozen.")
    ] = None,
    ln_f: Annotated[float, typer.Option(help="momt: first modification factor.")] = 1.0,
    wl_interval: Annotated[int, typer.Option(help="momt: steps between two updates.")] = 100,
    axis: Annotated[int, typer.Option(help="tensile: cell vector that is pulled.")] = 0,
    component: Annotated[str, typer.Option(help="shear: yz, xz or xy.")] = "xy",
    mode: Annotated[str, typer.Option(help="tensile: plane-strain or uniaxial.")] = "plane-strain",
    rate: Annotated[float | None, typer.Option(help="tensile, shear: strain a ps.")] = None,
    strain_step: Annotated[float | None, typer.Option(help="... or strain of a jump,")] = None,
    steps_per_strain: Annotated[int | None, typer.Option(help="and steps between jumps.")] = None,
    equilibration: Annotated[int, typer.Option(help="tensile, shear: steps before.")] = 0,
    interval: Annotated[int, typer.Option(help="Steps between frames and log lines.")] = 100,
    checkpoint: Annotated[int, typer.Option(help="Steps between restart files.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of all random numbers.")] = 0,
    replicas: Annotated[
        int | None, typer.Option(help="Independent runs, seeds from --seed on, evaluated together.")
    ] = None,
) -> None:
    """Run molecular dynamics of a structure; the same command continues it."""
    from asennp.simulation import Simulation, simulate, simulate_replicas

    folder = out or Path(f"{structure.stem}-{ensemble}")
    simulation = Simulation(
        structure=str(structure), calculator=calculator, ensemble=ensemble, steps=steps, timestep_fs=timestep,
        temperature_K=temperature, pressure_GPa=pressure, arguments=_overrides(argument, "--argument"),
        integrator=integrator, mask=tuple(mask.split(",")) if mask else None, tdamp_fs=tdamp, pdamp_fs=pdamp,
        orders=tuple(order or ()), mesh=tuple(mesh or ()), bias=bias, ln_f=ln_f, wl_interval=wl_interval,
        axis=axis, component=component, mode=mode, rate_per_ps=rate, strain_step=strain_step,
        steps_per_strain=steps_per_strain, equilibration=equilibration, interval=interval,
        checkpoint=checkpoint, seed=seed,
    )  # fmt: skip
    try:
        if replicas is None:
            simulate(simulation, folder)
        else:
            simulate_replicas(simulation, folder, replicas)
    except KeyboardInterrupt:
        print("\nstopped; the same command continues from here", file=sys.stderr)
        raise typer.Exit(130) from None
    console.print(f"{folder}", style="bold")


@app.command(rich_help_panel=MODEL)
def doctor(model: Annotated[str, typer.Argument(help="A shipped model's name, or a file.")]) -> None:
    """Describe a model file: what it is made of, trained on, and whether it is whole."""
    from asennp.models import load_model
    from asennp.models.model import describe

    print(describe(load_model(model)))


@app.command("import", rich_help_panel=MODEL)
def import_(
    state_dicts: Annotated[
        list[Path], typer.Argument(help="State dicts of TorchANI networks; several are a committee.")
    ],
    params: Annotated[Path, typer.Option(help="File with the descriptor's constants (Rcr = ...).")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Model file to write, *.asennp.")],
    species: Annotated[
        str | None, typer.Option(help="In the networks' order, e.g. Zn,O; else the file's Atyp.")
    ] = None,
    self_energies: Annotated[
        str | None, typer.Option(help="Added to the networks', eV/atom, e.g. Zn=-1.5,O=2.25.")
    ] = None,
    charges: Annotated[str | None, typer.Option(help="For a Coulomb part, e, e.g. Zn=0.75,O=-0.75.")] = None,
    activation: Annotated[str, typer.Option(help="What the networks were trained with.")] = "gelu",
) -> None:
    """Turn TorchANI networks into a model file."""
    from asennp.models import import_torchani, load_model
    from asennp.models.model import describe

    path = import_torchani(
        state_dicts,
        params=params,
        out=out,
        species=species.split(",") if species else None,
        self_energies=_by_species("--self-energies", self_energies),
        charges=_by_species("--charges", charges),
        activation=activation,
    )
    print(describe(load_model(path)))
    console.print(f"{path}", style="bold")


@app.command(rich_help_panel=MODEL)
def export(
    model: Annotated[str, typer.Argument(help="A shipped model's name, or a file.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for TorchANI's files.")] = None,
    lammps: Annotated[Path | None, typer.Option(help="Folder for a LAMMPS input instead.")] = None,
    structure: Annotated[
        Path | None, typer.Option(help="lammps: a structure in any format that ASE reads.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", help="lammps: KEY=VALUE of the run, e.g. -s ensemble=npt."),
    ] = None,
) -> None:
    """Write a model for other programs: TorchANI state dicts (--out), or a ready LAMMPS input (--lammps)."""
    if (out is None) == (lammps is None):
        raise InputError("for whom is it?", where="export", expected="--out FOLDER or --lammps FOLDER")
    if lammps is not None:
        from asennp.lammps import make_settings, write_input
        from asennp.simulation import read_structure

        if structure is None:
            raise InputError("a LAMMPS input needs a structure", where="--structure", expected="a file")
        settings = make_settings(_overrides(set_))
        console.print(f"{write_input(model, read_structure(structure), lammps, settings)}", style="bold")
        return
    from asennp.models import load_model
    from asennp.models.torchani_io import write_torchani

    assert out is not None
    for path in write_torchani(load_model(model), out):
        console.print(f"{path}")


@app.command(rich_help_panel=SIMULATION)
def lammps(folder: Annotated[Path, typer.Argument(help="Folder written by export --lammps.")]) -> None:
    """Run a LAMMPS input with the networks; on N cores: mpiexec -n N asennp lammps FOLDER."""
    from asennp.lammps import run_folder

    run_folder(folder, screen=True)


def _by_species(option: str, text: str | None) -> dict[str, float] | None:
    if text is None:
        return None
    try:
        return {symbol: float(value) for symbol, value in (pair.split("=") for pair in text.split(","))}
    except ValueError:
        raise InputError("not of the form EL=NUMBER,EL=NUMBER", where=option, got=text) from None


def main() -> None:
    """Run the command line; bad input ends with exit code 2 and one message, a failed run with 1."""
    debug = "--debug" in sys.argv
    try:
        app(standalone_mode=True)
    except InputError as error:
        if debug:
            raise
        print(f"asennp: {error}", file=sys.stderr)
        sys.exit(2)
    except WorkerKilled as error:
        if debug:
            raise
        print(f"asennp: {error}", file=sys.stderr)
        sys.exit(1)
    except Exception as error:
        if debug:
            raise
        print(
            f"asennp: {type(error).__name__}: {error}\n  to do: --debug before the command shows where",
            file=sys.stderr,
        )
        sys.exit(1)
