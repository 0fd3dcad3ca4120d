"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

console = Console(stderr=False, highlight=False, soft_wrap=True)


class StepFile:
    """The number of steps a worker process has made, in a file the parent can read.

    Parameters
    ----------
    path
        The file; written at most twice a second, never locked, of no meaning to results.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._written = 0.0

    def __call__(self, done: int, note: str = "") -> None:
        """Write that `done` steps are made."""
        now = time.monotonic()
        if now - self._written > 0.5:
            self._written = now
            self.path.write_text(f"{done} {note}")

    @staticmethod
    def read(path: Path) -> tuple[int, str]:
        """Return the steps made and the worker's note (0 when there is nothing yet)."""
        try:
            done, _, note = path.read_text().partition(" ")
            return int(done), note
        except (OSError, ValueError):
            return 0, ""


@contextmanager
def progress(name: str, total: int) -> Iterator[Callable[[int, str], None]]:
    """Show the progress of one piece of work; the function given takes (steps made, note)."""
    started = time.monotonic()
    if console.is_terminal:
        columns = (
            TextColumn("  [cyan]{task.description:<10}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[note]}"),
        )
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(name, total=total, note="")

            def move(done: int, note: str = "") -> None:
                bar.update(task, completed=done, note=note)

            yield move
        return
    shown = -1

    def line(done: int, note: str = "") -> None:
        nonlocal shown
        quarter = 4 * done // max(total, 1)
        if quarter > shown:
            shown = quarter
            print(f"  {name}: {done}/{total} ({time.monotonic() - started:.0f} s) {note}".rstrip())
            sys.stdout.flush()

    yield line


@contextmanager
def watch(name: str, total: int, files: list[Path]) -> Iterator[None]:
    """Show the summed progress that worker processes write to their step files."""
    stop = threading.Event()
    with progress(name, total) as show:

        def poll() -> None:
            while not stop.wait(0.5):
                made = [StepFile.read(path) for path in files]
                show(sum(done for done, _ in made), "  ".join(note for _, note in made if note))

        thread = threading.Thread(target=poll, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
