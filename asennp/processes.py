"""Side-by-side work in fresh processes of one thread each."""

import dataclasses
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")

#: Takes a function and its arguments to where it is called, as `Executor.submit` does.
Submit = Callable[..., "Future[Any]"]
_elsewhere: ContextVar[Submit | None] = ContextVar("_elsewhere", default=None)


class WorkerKilled(RuntimeError):
    """A worker process ended in the middle of its work, by no doing of its own.

    Parameters
    ----------
    pool
        The pool it belonged to.
    at_work
        What the pool's workers were doing, a line each.
    """

    def __init__(self, pool: ProcessPoolExecutor, at_work: Sequence[str] = ()) -> None:
        # the pool ends the other workers by SIGTERM: the code that tells is another one
        processes = list((pool._processes or {}).values())
        pool.shutdown(wait=True)  # all have ended then, and their codes are known
        codes = [process.exitcode for process in processes]
        code = next((code for code in codes if code not in (None, 0, -signal.SIGTERM)), None)
        how = "" if code is None else f" ({_name_of_exit(code)})"
        lines = [f"a worker process was killed{how}"]
        lines += [f"at work: {one}" for one in at_work]
        lines.append(
            "to do: the same command continues with what is on disk; if memory ran out (dmesg tells), with "
            "fewer workers"
        )
        super().__init__("\n  ".join(lines))


def _name_of_exit(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"exit code {code}"


def _describe(function: Callable[..., Any], arguments: Sequence[Any]) -> str:
    """Name a call by its function and the folders or files that it was given."""
    if function is call:
        function, *arguments = arguments
    parts = [getattr(one, f.name) for one in arguments if dataclasses.is_dataclass(one)
             for f in dataclasses.fields(one)]  # fmt: skip
    paths = [str(part) for part in (*arguments, *parts) if isinstance(part, Path)]
    return f"{function.__name__.strip('_')} in {', '.join(paths)}" if paths else function.__name__.strip("_")


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let processes started inside inherit one-thread settings (libraries read them at import)."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _live_and_die_with_the_parent() -> None:
    """Ignore Ctrl-C, which a terminal sends to every process: the parent ends its workers, killed or not.

    A worker that outlived its parent would write on while the same command, given again, starts another.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def process_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Open fresh one-thread processes that serve many calls; an error or Ctrl-C ends them at once.

    Raises
    ------
    WorkerKilled
        A process was killed, for example because memory ran out.
    """
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        workers, mp_context=multiprocessing.get_context("spawn"), initializer=_live_and_die_with_the_parent
    )
    try:
        with _one_thread():  # processes are started when calls come in, so as long as the pool is open
            yield pool
    except BrokenProcessPool as error:
        raise WorkerKilled(pool) from error
    except BaseException:
        # Ctrl-C or a failed worker: the others stop at once, their checkpoints stay; one whose start was
        # interrupted is not yet in the pool's own list, and would be waited for at the end of the program
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def calling_elsewhere(submit: Submit) -> Iterator[None]:
    """Let `run_processes` hand its calls to `submit`, such as a cluster's, in place of processes here."""
    token = _elsewhere.set(submit)
    try:
        yield
    finally:
        _elsewhere.reset(token)


def run_processes(
    function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], workers: int = 2
) -> Iterator[tuple[int, Any]]:
    """Call `function(*arguments[k])` in up to `workers` one-thread processes.

    Yields ``(k, result)`` in the order of completion; an exception of a worker is raised here. The
    function must be importable by name (fresh interpreters: nothing is inherited by fork). With one
    worker the calls are still made in a process of their own, so results do not depend on `workers`.

    Raises
    ------
    WorkerKilled
        A process was killed; the message names what was at work and its folder.
    """
    if not arguments:
        return
    if (submit := _elsewhere.get()) is not None:
        sent = {submit(function, *args): k for k, args in enumerate(arguments)}
        for done in as_completed(sent):
            yield sent[done], done.result()
        return
    with process_pool(min(workers, len(arguments))) as pool:
        futures = {pool.submit(function, *args): k for k, args in enumerate(arguments)}
        left = dict.fromkeys(range(len(arguments)))  # in order, which is that of being taken up
        for future in as_completed(futures):
            k = futures[future]
            try:
                result = future.result()
            except BrokenProcessPool as error:
                at_work = [_describe(function, arguments[one]) for one in list(left)[:workers]]
                raise WorkerKilled(pool, at_work) from error
            del left[k]
            yield k, result


def call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function: for `run_processes` over tasks that differ in what they call."""
    return function(*arguments)
