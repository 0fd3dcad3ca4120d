"""What the workflow engines share: is one there, are its workers like us, and calls handed to it one by one.

quacc reads the engine, QUACC_WORKFLOW_ENGINE, when a job is decorated, so `require_engine` is called as the
recipes are imported. Parsl and Dask are asked for futures here; Jobflow has none: its flows are only built.
"""

import platform
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

from quacc import get_settings, job

from asennp.errors import InputError
from asennp.files import append_jsonl
from asennp.processes import calling_elsewhere
from asennp.run import RunFolder, versions

#: What installs each engine.
_INSTALL = {
    "parsl": "pip install 'asennp[parsl]'",
    "dask": "pip install 'asennp[dask]'",
    "jobflow": "pip install 'asennp[jobflow]'",
}
#: Stages that train: networks of one committee must come from one set of versions.
TRAINING = ("distill", "pretrain", "train", "trained_sweep")
_GUIDE = "see docs/how-to/cluster.md"


def engine_name() -> str:
    """Return the name of quacc's engine, ``"none"`` without one."""
    return str(get_settings().WORKFLOW_ENGINE or "none")


def require_engine() -> None:
    """Raise InputError if the engine's package is not installed."""
    name = engine_name()
    module = "distributed" if name == "dask" else name
    if name != "none" and find_spec(module) is None:
        raise InputError(
            "the workflow engine is not installed",
            where="QUACC_WORKFLOW_ENGINE",
            got=name,
            do=_INSTALL.get(name, f"pip install {name}"),
        )


def _client() -> Any:
    """Return Dask's client."""
    from distributed import get_client

    try:
        return get_client()
    except ValueError:
        raise InputError(
            "Dask has no client, so no workers",
            where="QUACC_WORKFLOW_ENGINE=dask",
            do=f"make one first: distributed.Client(cluster), {_GUIDE}",
        ) from None


def _require_parsl() -> None:
    """Raise InputError if Parsl was not configured."""
    import parsl

    try:
        parsl.dfk()
    except parsl.errors.NoDataFlowKernelError:
        raise InputError(
            "Parsl is not configured, so it has no workers",
            where="QUACC_WORKFLOW_ENGINE=parsl",
            do=f"load a configuration first: parsl.load(config), {_GUIDE}",
        ) from None


def submit(function: Callable[..., Any], *args: Any) -> "Future[Any]":
    """Hand a call to the engine's workers and return its future; the function must be importable by name."""
    name = engine_name()
    if name == "parsl":
        _require_parsl()
        sent: Future[Any] = job(function)(*args)
        return sent
    if name == "dask":
        return _follow(_client().submit(function, *args, pure=False))
    raise InputError("this engine takes no single calls", got=name, expected="parsl or dask")


def _follow(source: Any, take: Callable[[Any], Any] = lambda result: result) -> "Future[Any]":
    """Return a future of the standard library that ends as an engine's does, with what `take` makes of it."""
    future: Future[Any] = Future()

    def end(ended: Any) -> None:
        try:
            future.set_result(take(ended.result()))
        except BaseException as error:
            future.set_exception(error)

    source.add_done_callback(end)
    return future


def wait(summary: Any) -> Any:
    """Return what a job's or a flow's result stands for, once it is there; Parsl, Dask and no engine."""
    name = engine_name()
    if name == "parsl":
        return summary.result()
    return _client().compute(summary).result() if name == "dask" else summary


def differing_versions(
    submitted: Mapping[str, str], worker: Mapping[str, str] | None = None
) -> dict[str, list[str | None]]:
    """Return each package of another version on a worker (this one, by default): as submitted, there."""
    worker = versions() if worker is None else worker
    return {
        name: [submitted.get(name), worker.get(name)]
        for name in sorted({*submitted, *worker})
        if submitted.get(name) != worker.get(name)
    }


def check_versions(run: RunFolder, stage: str, submitted: Mapping[str, str] | None) -> None:
    """Record in the ledger where this worker's versions differ from the submitter's; refuse to train so."""
    note_versions(run, stage, {} if submitted is None else differing_versions(submitted))


def note_versions(run: RunFolder, stage: str, differing: Mapping[str, list[str | None]]) -> None:
    """Record other versions in the ledger; raise InputError if the stage trains."""
    if not differing:
        return
    append_jsonl(
        run.path / "ledger.jsonl",
        {"stage": stage, "status": "other versions", "worker": platform.node(), "versions": differing},
    )
    if stage in TRAINING:
        name, (there, here) = next(iter(differing.items()))
        raise InputError(
            "a worker has other versions than the submitter, and networks are not trained so",
            where=f"stage {stage}, worker {platform.node()}",
            expected=f"{name} {there}",
            got=f"{name} {here}; {len(differing)} differ",
            do="give the workers the submitter's environment",
        )


def _probe(folder: str, token: str) -> tuple[str, dict[str, str], bool]:
    """Say, on a worker, where it is, what it has, and whether it sees a file of the run folder."""
    return platform.node(), versions(), (Path(folder) / token).is_file()


def check_workers(run_folder: str | Path, trains: bool = True) -> dict[str, str]:
    """Ask a worker, before any work, whether it can do the jobs of a run; return its versions.

    Parameters
    ----------
    run_folder
        The run folder.
    trains
        Whether networks will be trained: then its versions must be the submitter's.

    Raises
    ------
    InputError
        No engine's workers, a worker without this package or without the run folder, other versions.
    """
    run = RunFolder(run_folder)
    seen = run.path / f".seen-{uuid4().hex}"
    seen.touch()
    try:
        node, there, sees = submit(_probe, str(run.path), seen.name).result()
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            "a worker cannot run this package's jobs",
            where=f"engine {engine_name()}",
            got=f"{type(error).__name__}: {error}"[:500],
            do=f"activate the environment with asennp in the workers' start-up ({_GUIDE})",
        ) from error
    finally:
        seen.unlink()
    if not sees:
        raise InputError(
            "a worker does not see the run folder",
            where=f"{run.path}, worker {node}",
            do="put the run on a file system that all workers share",
        )
    note_versions(run, TRAINING[0] if trains else "workers", differing_versions(versions(), there))
    return there


def _call_as_submitted(
    submitted: Mapping[str, str], strict: bool, function: Callable[..., Any], *args: Any
) -> tuple[dict[str, list[str | None]], Any]:
    """Call a function on a worker, unless networks would be trained with other versions than submitted."""
    differing = differing_versions(submitted)
    return differing, None if strict and differing else function(*args)


@contextmanager
def fan_out(run: RunFolder, stage: str) -> Iterator[None]:
    """Let the side-by-side calls of a stage go to the engine's workers; without an engine, to processes here.

    Results are merged by the stage as ever, by the calls' places, whatever worker takes which.
    """
    if engine_name() == "none":
        yield
        return
    here, strict = versions(), stage in TRAINING

    def take(answer: tuple[dict[str, list[str | None]], Any]) -> Any:
        differing, result = answer
        note_versions(run, stage, differing)
        return result

    def send(function: Callable[..., Any], *args: Any) -> "Future[Any]":
        return _follow(submit(_call_as_submitted, here, strict, function, *args), take)

    with calling_elsewhere(send):
        yield
