"""Side-by-side work in fresh processes of one thread each."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from typing import Any

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


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


def _leave_interrupts_to_the_parent() -> None:
    """Ignore Ctrl-C, which a terminal sends to every process: the parent ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def process_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Open fresh one-thread processes that serve many calls; an error or Ctrl-C ends them at once."""
    pool = ProcessPoolExecutor(
        workers, mp_context=multiprocessing.get_context("spawn"), initializer=_leave_interrupts_to_the_parent
    )
    try:
        with _one_thread():  # processes are started when calls come in, so as long as the pool is open
            yield pool
    except BaseException:
        # Ctrl-C or a failed worker: the others stop at once, their checkpoints stay
        for process in list((pool._processes or {}).values()):
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def run_processes(
    function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], workers: int = 2
) -> Iterator[tuple[int, Any]]:
    """Call `function(*arguments[k])` in up to `workers` one-thread processes.

    Yields ``(k, result)`` in the order of completion; an exception of a worker is raised here. The
    function must be importable by name (fresh interpreters: nothing is inherited by fork). With one
    worker the calls are still made in a process of their own, so results do not depend on `workers`.
    """
    if not arguments:
        return
    with process_pool(min(workers, len(arguments))) as pool:
        futures = {pool.submit(function, *args): k for k, args in enumerate(arguments)}
        for future in as_completed(futures):
            yield futures[future], future.result()


def call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function: for `run_processes` over tasks that differ in what they call."""
    return function(*arguments)
