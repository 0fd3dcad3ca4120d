"""Several walkers that share one bias, in processes side by side; merging does not depend on their speed."""

from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from asennp.errors import InputError
from asennp.files import read_json, write_json
from asennp.md.bias import WangLandauBias
from asennp.md.momt import MOMT
from asennp.md.restart import read_state, write_state
from asennp.processes import process_pool

_KIND, _VERSION = "asennp-walker-visits", 1

#: Called as start(walker, bias, folder): the dynamics of a walker at its first step, calculator and all.
Start = Callable[[int, WangLandauBias, Path], MOMT]
#: Called as calculator(folder): a calculator like the one that `start` gives, to go on from a restart file.
MakeCalculator = Callable[[Path], Any]
#: Called as observe(dynamics, folder) at the end of a round, before the walker's state is saved.
Observe = Callable[[MOMT, Path], None]


@dataclass(frozen=True)
class Walkers:
    """What the processes need to know; the functions must be importable by name.

    Attributes
    ----------
    folder
        Of the shared run: ``bias.npz``, ``walkers.json`` and a folder ``walker-K`` each.
    start, calculator, observe
        See `run_walkers`.
    round_steps
        MD steps between two merges.
    """

    folder: Path
    start: Start
    calculator: MakeCalculator
    observe: Observe | None
    round_steps: int

    @property
    def bias(self) -> Path:
        """Return the file of the shared bias."""
        return self.folder / "bias.npz"

    def home(self, walker: int) -> Path:
        """Return a walker's folder."""
        return self.folder / f"walker-{walker}"


def run_walkers(
    start: Start,
    calculator: MakeCalculator,
    bias: WangLandauBias,
    folder: str | Path,
    *,
    n_walkers: int,
    steps: int,
    round_steps: int = 5000,
    workers: int | None = None,
    ln_f_final: float | None = None,
    observe: Observe | None = None,
    progress: Callable[[int, str], None] | None = None,
) -> WangLandauBias:
    """Run walkers that learn one bias together; return what they have learned.

    In a round every walker makes `round_steps` MD steps under a private copy of the bias, which learns from
    this walker alone, and notes its visits. Then the visits of all walkers are put into the shared bias, in
    the order of the walkers, as if one after another had made them, and the next round starts from it. The
    result depends neither on the number of processes nor on which of them is faster, and one walker learns
    what a plain run of `MOMT` does. A frozen bias collects its histogram and stays.

    Killed at any time, processes or all, the same call goes on and ends with the same bits.

    Parameters
    ----------
    start
        ``start(walker, bias, folder)`` returns the `MOMT` of a walker with the bias given, its calculator
        set, its frames and log (if any) inside `folder`, and a random generator of its own.
    calculator
        ``calculator(folder)`` returns a new calculator; results must depend on the atoms alone.
    bias
        The bias to begin with; it is left as it is.
    folder
        Where everything is kept.
    n_walkers
        Walkers.
    steps
        MD steps of each walker, a multiple of `round_steps`. A finished run may be made longer.
    round_steps
        MD steps of a round, a multiple of the walkers' ``wl_interval``.
    workers
        Processes; as many as walkers if not given. 0: one walker after another in this process.
    ln_f_final
        End as soon as ln f has fallen to this.
    observe
        ``observe(dynamics, folder)``, called in the walker's process at the end of each round.
    progress
        Called as ``progress(steps made by all walkers, note)`` after each round.

    Returns
    -------
    The shared bias, also in ``folder/bias.npz``.

    Raises
    ------
    InputError
        Numbers that do not fit, or a folder of another run.
    RuntimeError
        A process died; what was done is kept.
    """
    _check(n_walkers, steps, round_steps)
    plan = Walkers(Path(folder), start, calculator, observe, round_steps)
    shared = _open(plan, bias, n_walkers)
    begun = bias.state.n_merges
    with _rounds(plan, n_walkers, n_walkers if workers is None else workers) as make_round:
        while not _ended(shared, (shared.state.n_merges - begun) * round_steps >= steps, ln_f_final):
            number = shared.state.n_merges - begun
            make_round(number)
            _merge(plan, shared, n_walkers, number)
            if progress is not None:
                progress((number + 1) * round_steps * n_walkers, f"ln f = {shared.ln_f:.2g}")
    return shared


@contextmanager
def _rounds(plan: Walkers, n_walkers: int, workers: int) -> Iterator[Callable[[int], None]]:
    """Give a function that has every walker make one round."""
    if workers == 0:

        def one_after_another(number: int) -> None:
            for walker in range(n_walkers):
                _run_round(plan, walker, number)

        yield one_after_another
        return
    with process_pool(min(workers, n_walkers)) as pool:

        def make_round(number: int) -> None:
            futures = [pool.submit(_run_round, plan, walker, number) for walker in range(n_walkers)]
            try:
                for future in futures:
                    future.result()
            except BrokenProcessPool as error:
                raise RuntimeError(
                    f"a walker's process died in round {number}; the same call goes on from the last round"
                ) from error

        yield make_round


def _ended(shared: WangLandauBias, all_steps: bool, ln_f_final: float | None) -> bool:
    return all_steps or (ln_f_final is not None and shared.ln_f <= ln_f_final)


def _check(n_walkers: int, steps: int, round_steps: int) -> None:
    for value, name in ((n_walkers, "n_walkers"), (steps, "steps"), (round_steps, "round_steps")):
        if value < 1 or int(value) != value:
            raise InputError("must be 1 or more", where=name, got=value)
    if steps % round_steps:
        raise InputError(
            "not a whole number of rounds",
            where="steps",
            expected=f"a multiple of round_steps = {round_steps}",
            got=steps,
        )


def _open(plan: Walkers, bias: WangLandauBias, n_walkers: int) -> WangLandauBias:
    """Return the shared bias, from the folder if it holds this run already."""
    terms = {"n_walkers": n_walkers, "round_steps": plan.round_steps, "bias": bias.todict()}
    record = plan.folder / "walkers.json"
    if not record.exists():
        plan.folder.mkdir(parents=True, exist_ok=True)
        bias.save(plan.bias)
        write_json(record, terms)
    else:
        found = read_json(record)
        for key, value in terms.items():
            if found.get(key) != value:
                raise InputError(
                    "this folder holds another run",
                    where=f"{record}: {key}",
                    expected=found.get(key),
                    got=value,
                    do="choose another folder, or the settings this one was begun with",
                )
    return WangLandauBias.load(plan.bias)


def _merge(plan: Walkers, shared: WangLandauBias, n_walkers: int, number: int) -> None:
    """Put the visits of a round into the shared bias, in the order of the walkers."""
    for walker in range(n_walkers):
        values, arrays = read_state(plan.home(walker) / "visits.npz", _KIND, _VERSION)
        if values["round"] != number:
            raise InputError(
                "these visits are of another round",
                where=plan.home(walker) / "visits.npz",
                expected=number,
                got=values["round"],
                do="remove the walkers' folder and start afresh",
            )
        shared.state.pressure_au = values["pressure_au"]
        for point in arrays["visits"].tolist():
            shared.update(*point)
    shared.state.n_merges += 1
    shared.save(plan.bias)


def _run_round(plan: Walkers, walker: int, number: int) -> None:
    """Make one round of a walker, unless it is made already; in a process of its own."""
    home, goal = plan.home(walker), (number + 1) * plan.round_steps
    restart = home / "restart.npz"
    bias = WangLandauBias.load(plan.bias)
    if restart.exists():
        dynamics = MOMT.restart(restart, plan.calculator(home))
        if dynamics.nsteps == goal:
            return
        dynamics.exchange_bias(bias)
    else:
        home.mkdir(parents=True, exist_ok=True)
        dynamics = plan.start(walker, bias, home)
        if plan.round_steps % dynamics.wl_interval:
            raise InputError(
                "a round must hold a whole number of bias intervals",
                where="round_steps",
                expected=f"a multiple of {dynamics.wl_interval}",
                got=plan.round_steps,
            )
    visits: list[tuple[float, ...]] = []
    bias.record = visits
    dynamics.run(goal - dynamics.nsteps)
    if plan.observe is not None:
        plan.observe(dynamics, home)
    table = np.reshape(np.asarray(visits, dtype=float), (len(visits), len(bias.axes)))
    state = {"round": number, "pressure_au": bias.state.pressure_au}
    # visits first: a walker whose restart file is at the end of the round is done with it
    write_state(home / "visits.npz", _KIND, _VERSION, state, {"visits": table})
    dynamics.save(restart)
