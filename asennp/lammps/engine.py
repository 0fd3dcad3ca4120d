"""LAMMPS driven from Python: each rank evaluates the networks on its own atoms, step by step."""

import os
import sys
import time
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.lammps import Prism
from ase.calculators.singlepoint import SinglePointCalculator

from asennp.calculators.teachers import load_lammps
from asennp.errors import InputError
from asennp.files import hold_folder, read_json, write_json
from asennp.lammps.domain import DomainNetworks
from asennp.lammps.inputs import FIX, make_settings, write_input
from asennp.models.model import Model, load_model

_BAR = 1e-4 * units.GPa
#: Variables in which an mpiexec tells its processes how many they are: MPICH, Open MPI.
_WORLD_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE")


@dataclass(frozen=True, eq=False)
class LammpsResult:
    """What a run ended with.

    Attributes
    ----------
    atoms
        The last frame, in the orientation of the cell that was given, with velocities and a calculator that
        holds its energy (eV), forces (eV/Å) and stress (eV/Å^3, potential part).
    steps
        Steps done.
    n_ranks
        MPI processes.
    seconds
        Wall time of the run.
    network_cpu_seconds
        CPU time of the networks on the rank that had most to do.
    """

    atoms: Atoms
    steps: int
    n_ranks: int
    seconds: float
    network_cpu_seconds: float


def run(
    model: str | Path | Model,
    atoms: Atoms,
    folder: str | Path,
    *,
    coulomb_accuracy: float = 1e-6,
    dtype: str = "float32",
    screen: bool = False,
    **settings: Any,
) -> LammpsResult:
    """Write a folder by `write_input` and run it; under ``mpiexec -n N`` every rank calls this.

    Parameters
    ----------
    model, atoms, folder, coulomb_accuracy, dtype
        See `asennp.lammps.write_input`.
    screen
        Whether LAMMPS writes to the terminal; it always writes log.lammps.
    settings
        Fields of `asennp.lammps.LammpsSettings`.

    Raises
    ------
    InputError
        Input that cannot be used, LAMMPS or mpi4py not installed, an mpiexec of another MPI.
    """
    world = _World()
    if world.rank == 0:
        chosen = make_settings(settings)
        write_input(model, atoms, folder, chosen, coulomb_accuracy=coulomb_accuracy, dtype=dtype)
    world.wait()
    return run_folder(folder, screen=screen)


def run_folder(folder: str | Path, *, screen: bool = False) -> LammpsResult:
    """Run what `write_input` wrote, or what became of it by hand; parameters and errors as for `run`.

    LAMMPS reads system.lammps, the networks are tied to its fix, and LAMMPS reads run.lammps. Files: the
    input's own (frames.lammpstrj, log.lammps, final.data) and summary.json.
    """
    folder = Path(folder)
    if not (folder / "asennp.json").is_file():
        raise InputError(
            "no LAMMPS input of ours in this folder",
            where=folder,
            do="write one with: asennp export MODEL --lammps FOLDER --structure FILE",
        )
    world = _World()
    card = read_json(folder / "asennp.json")
    model = load_model(folder / "model.asennp")
    if world.rank == 0:
        with hold_folder(folder):
            return _run(world, folder, card, model, screen)
    return _run(world, folder, card, model, screen)


class _World:
    """The MPI processes of this run; one without MPI's Python package."""

    def __init__(self) -> None:
        self._lammps = _load()
        self.communicator: Any = None
        self.rank, self.size = 0, 1
        started = {name: int(os.environ.get(name, "1")) for name in _WORLD_SIZES}
        expected = max(started.values())
        if expected == 1:
            return
        ours = Path(self._lammps.__file__).parents[4] / "bin" / "mpiexec"
        if started["OMPI_COMM_WORLD_SIZE"] > 1 and ours.exists():
            raise InputError(
                "started by Open MPI, where LAMMPS's MPI is MPICH: its ranks would not see each other",
                where="mpiexec",
                do=f"start with {ours}",
            )
        try:
            from mpi4py import MPI
        except ImportError as error:
            raise InputError(
                "several ranks need mpi4py", got=str(error), do="pip install 'asennp[lammps]'"
            ) from None
        self.communicator = MPI.COMM_WORLD
        self.rank, self.size = self.communicator.Get_rank(), self.communicator.Get_size()
        if self.size != expected:
            raise InputError(
                "the ranks do not see each other",
                where="mpiexec",
                expected=f"{expected} ranks",
                got=self.size,
                do="start with the mpiexec of the MPI that LAMMPS and mpi4py use",
            )

    def start(self, screen: bool) -> Any:
        """Start LAMMPS on all ranks."""
        return self._lammps.lammps(cmdargs=[] if screen else ["-screen", "none"])

    def wait(self) -> None:
        """Wait until all ranks are here."""
        if self.communicator is not None:
            self.communicator.Barrier()

    def sum(self, array: np.ndarray) -> np.ndarray:
        """Return the sum over ranks, on every rank."""
        if self.communicator is None:
            return array
        total = np.empty_like(array)
        self.communicator.Allreduce(array, total)
        return total

    def largest(self, value: float) -> float:
        """Return the largest value of any rank."""
        return value if self.communicator is None else float(max(self.communicator.allgather(value)))

    def abort(self) -> None:
        """End all ranks: one that failed would leave the others waiting."""
        if self.communicator is not None:
            self.communicator.Abort(1)


def _load() -> Any:
    try:
        return load_lammps()
    except ImportError as error:
        raise InputError(
            "LAMMPS cannot be loaded", got=str(error), do="pip install 'asennp[lammps]'"
        ) from None


class _Callback:
    """What LAMMPS calls every step: the networks' forces on this rank's atoms, their energy and virial."""

    def __init__(self, engine: Any, world: _World, networks: DomainNetworks, n_atoms: int) -> None:
        self._engine, self._world, self._networks, self._n_atoms = engine, world, networks, n_atoms
        #: What went wrong inside: an exception cannot pass through LAMMPS.
        self.error: Exception | None = None
        #: CPU time spent in the networks, which does not count waiting for other ranks.
        self.seconds = 0.0

    def __call__(
        self, caller: Any, step: int, n_owned: int, owned_tags: Any, owned: Any, forces: np.ndarray
    ) -> None:
        """Add forces; `forces` is LAMMPS's array, (n_owned, 3) eV/Å."""
        if self.error is not None:
            return
        try:
            forces[:] = self._evaluate(n_owned)
        except Exception as error:
            self.error = error
            if self._world.size > 1:
                print(f"asennp: rank {self._world.rank}: {error}", file=sys.stderr, flush=True)
                self._world.abort()
            forces[:] = 0.0
            self._engine.force_timeout()

    def _evaluate(self, n_owned: int) -> np.ndarray:
        engine, started = self._engine, time.thread_time()
        n_all = engine.extract_setting("nall")
        positions = engine.numpy.extract_atom("x", nelem=n_all)
        tags = engine.numpy.extract_atom("id", nelem=n_all)
        species = engine.numpy.extract_atom("type", nelem=n_all) - 1
        energy, local, virial = self._networks.compute(positions, species, tags, n_owned)
        n = self._n_atoms
        total = np.empty((n + 4, 3))
        # a ghost's force goes to its owner: the sum over ranks, and over an atom's images, by its tag
        for axis in range(3):
            total[: n + 1, axis] = np.bincount(tags, weights=local[:, axis], minlength=n + 1)
        total[0], total[n + 1 :] = energy, virial  # tags begin at 1
        self.seconds += time.thread_time() - started
        total = self._world.sum(total)
        engine.fix_external_set_energy_global(FIX, float(total[0, 0]))
        # of the forces, so of the other sign: xx yy zz xy xz yz; LAMMPS shares the sum among its ranks
        engine.fix_external_set_virial_global(FIX, -total[n + 1 :].ravel()[[0, 4, 8, 1, 2, 5]])
        return np.asarray(total[tags[:n_owned]])


def _run(world: _World, folder: Path, card: dict[str, Any], model: Model, screen: bool) -> LammpsResult:
    with chdir(folder):  # the files name each other without a folder
        engine = world.start(screen)
        try:
            engine.file("system.lammps")
            networks = DomainNetworks(model, card["dtype"])
            callback = _Callback(engine, world, networks, engine.get_natoms())
            engine.set_fix_external_callback(FIX, callback)
            started = time.perf_counter()
            engine.file("run.lammps")
            seconds = time.perf_counter() - started
            if callback.error is not None:
                raise callback.error
            result = LammpsResult(
                _last_frame(engine, model, np.array(card["cell"])),
                int(engine.extract_global("ntimestep")),
                world.size,
                seconds,
                world.largest(callback.seconds),
            )
            engine.command("write_data final.data")  # deals the atoms out anew, so after the last look
        finally:
            engine.close()
        if world.rank == 0:
            values = {name: value for name, value in vars(result).items() if name != "atoms"}
            values["energy_eV"] = result.atoms.get_potential_energy()
            write_json("summary.json", values)
    return result


def _last_frame(engine: Any, model: Model, cell: np.ndarray) -> Atoms:
    """Gather the atoms in the order they were given, turned back into the orientation they had."""
    prism, n = Prism(cell), engine.get_natoms()
    low, high, xy, yz, xz, *_ = engine.extract_box()
    box = np.diag(np.subtract(high, low))
    box[1, 0], box[2, 0], box[2, 1] = xy, xz, yz

    def gathered(name: str, kind: int, columns: int) -> np.ndarray:
        return np.array(engine.gather_atoms(name, kind, columns)).reshape(n, columns)

    types = gathered("type", 0, 1)[:, 0]
    atoms = Atoms(
        [model.species[k - 1] for k in types],
        prism.vector_to_ase(gathered("x", 1, 3) - low),
        cell=prism.update_cell(box),
        pbc=True,
    )
    atoms.set_velocities(prism.vector_to_ase(gathered("v", 1, 3)) / (1000.0 * units.fs))
    pressure = engine.numpy.extract_compute("configurational", 0, 1)
    stress = np.zeros((3, 3))
    stress[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]] = -np.asarray(pressure) * _BAR
    stress = stress + np.triu(stress, 1).T
    turned = prism.tensor2_to_ase(stress)
    energy = engine.get_thermo("pe")
    atoms.calc = SinglePointCalculator(
        atoms,
        energy=energy,
        forces=prism.vector_to_ase(gathered("f", 1, 3)),
        stress=turned.ravel()[[0, 4, 8, 5, 2, 1]],
    )
    return atoms
