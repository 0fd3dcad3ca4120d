"""The one error for bad input: what is wrong, where, what was expected, what came, what to do."""

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """Input that cannot be used; the message is meant for the person who gave it.

    Parameters
    ----------
    what
        The problem, in one clause.
    where
        File, key or argument at fault.
    expected, got
        What would have been accepted, and what came instead.
    do
        What to do about it.
    """

    def __init__(
        self,
        what: str,
        *,
        where: object = None,
        expected: object = None,
        got: object = None,
        do: str | None = None,
    ) -> None:
        lines = [what if where is None else f"{where}: {what}"]
        if expected is not None:
            lines.append(f"expected: {expected}")
        if got is not None:
            lines.append(f"got: {got}")
        if do is not None:
            lines.append(f"to do: {do}")
        super().__init__("\n  ".join(lines))


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint that names the nearest known word, or lists the known ones."""
    names = [str(name) for name in known]
    close = get_close_matches(str(word), names, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else "use one of: " + ", ".join(names)
