"""Threads inside one evaluation.

Compiled kernels release the interpreter's lock, so threads of Python itself run them side by side: nothing is
compiled twice, no other library's threads are waited for, and a forked process simply starts its own.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

from asennp.errors import InputError

#: Work below this time, s, is not worth a second thread: waking one takes some 20 to 50 microseconds.
LEAST_SECONDS = 1e-4


def check_threads(threads: Any) -> int:
    """Return a number of threads."""
    if not isinstance(threads, int) or isinstance(threads, bool) or not 1 <= threads <= 1024:
        raise InputError("not a number of threads", where="threads", expected="1, 2, 3...", got=threads)
    return threads


def share(threads: int, n: int, work: Callable[[int, int], object], parts: int = 1) -> None:
    """Call work(first, last) for contiguous parts of range(n) that cover it, in up to `threads` threads.

    Whatever `work` writes must depend on the numbers it is given alone, not on how they are parted: then the
    number of threads changes nothing but the time. One thread makes one call.

    Parameters
    ----------
    parts
        Parts for each thread; more than one where they may take different times.
    """
    n_parts = min(n, threads * parts)
    if threads == 1 or n_parts <= 1:
        work(0, n)
        return
    queue = iter([(n * k // n_parts, n * (k + 1) // n_parts) for k in range(n_parts)])

    def take() -> None:
        for first, last in queue:  # a list's iterator hands each out once
            work(first, last)

    helpers = min(threads, n_parts) - 1
    pool = _pool(os.getpid(), helpers)
    futures = [pool.submit(take) for _ in range(helpers)]
    try:
        take()
    finally:
        for future in futures:
            if not future.cancel():  # one that never began has nothing left to do
                future.result()


@lru_cache(maxsize=8)
def _pool(process: int, helpers: int) -> ThreadPoolExecutor:
    """Return the helpers of a process: threads do not survive a fork."""
    return ThreadPoolExecutor(helpers, thread_name_prefix="asennp")
