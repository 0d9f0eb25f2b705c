"""Progress bar over samples on stderr, for long work that a program asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def progress_bar(wanted: bool, words: str, total: int, missing: int | None = None) -> Iterator[Callable[[int], None]]:
    """Show a bar over `total` samples, `missing` of which are still to do, if it is wanted and stderr is a terminal.

    Yields a function that is told how many samples were done.
    """
    if not wanted:
        yield lambda samples: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    screen = Console(stderr=True)
    columns = (TextColumn(words), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        task = bar.add_task(words, total=total, completed=0 if missing is None else total - missing)
        yield lambda samples: bar.advance(task, samples)
