"""Terminal output: results go to stdout, everything else to stderr."""

from __future__ import annotations

import contextlib
import sys
import textwrap
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TextIO

from onnxlrp.errors import ExplanationWarning, OnnxLrpError
from onnxlrp.printable import escaped, escaped_lines

if TYPE_CHECKING:  # numpy and rich are imported late: `onnxlrp --help` does without them
    from rich.console import Console, RenderableType

    from onnxlrp.runtime.cautions import Caution

_LINES = 20
_LINE = 300
# Wide enough for any table: output to a file or a program must not be folded.
_UNFOLDED = 4000


def show(what: RenderableType) -> None:
    """Print a table or text on stdout: folded to the width of a terminal, as lines if that is too narrow, and unfolded
    if stdout is a file."""
    from onnxlrp.view.narrow_tables import fitted

    screen = console(sys.stdout)
    screen.print(fitted(what, screen))


def show_with_notes(table: RenderableType, lines: Iterable[str], notes: Iterable[str]) -> None:
    """Print a table and lines about it, and notes on stderr."""
    show(table)
    for line in lines:
        say(line)
    for note in notes:
        tell("note", note)


def say(line: str) -> None:
    """Print a line on stdout."""
    print(escaped(line))


def tell(kind: str, message: str) -> None:
    """Print `kind: message` on stderr, at most a screen of it."""
    lines = escaped_lines(message).strip().split("\n")
    if len(lines) > _LINES:
        lines = [*lines[: _LINES - 1], f"… and {len(lines) - _LINES + 1} lines more"]
    lines = [line if len(line) <= _LINE else line[:_LINE] + " …" for line in lines]
    print(f"{kind}: " + "\n".join(lines), file=sys.stderr)


def note_text(note: str) -> str:
    """Turn a note of a plan into a line; the prefix "note:" is left out if the note is a warning."""
    note = escaped(note)
    return note if note.startswith("warning: ") else f"note: {note}"


def tell_cautions(cautions: Iterable[Caution]) -> None:
    """Print each caution about an explanation as a note of its own, NaN as a warning."""
    for caution in cautions:
        sentence = f"{caution.sentence} (onnxlrp help {caution.kind})"
        tell("warning" if caution.kind == "nan" else "note", "\n".join(textwrap.wrap(sentence, _LINE)))


@contextlib.contextmanager
def cautions_heard() -> Iterator[list[Caution]]:
    """Collect the cautions about all explanations during the block, in a list that grows; they are printed as usual."""
    heard: list[Caution] = []
    before = warnings.showwarning

    def show(message: Warning | str, *args: Any, **more: Any) -> None:
        if isinstance(message, ExplanationWarning):
            heard.extend(message.cautions)
        before(message, *args, **more)

    warnings.showwarning = show
    try:
        yield heard
    finally:
        warnings.showwarning = before


def tell_error(error: BaseException, debug: bool) -> None:
    """Print the message of an error that is meant for the user; with `debug` the traceback too."""
    if debug:
        _print_traceback(error)
    tell("error", str(error) or type(error).__name__)
    if isinstance(error, OnnxLrpError):
        tell("more", f"onnxlrp help {error.word}")


def _print_traceback(error: BaseException) -> None:
    """Print the whole chain of errors with escaped names, because libraries quote names unescaped."""
    print(escaped_lines("".join(traceback.format_exception(error))), end="", file=sys.stderr)


@contextlib.contextmanager
def plain_warnings(debug: bool) -> Iterator[None]:
    """Print onnxlrp's own warnings as one line each on stderr; those of libraries only with `debug`."""
    said: set[str] = set()

    def say(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if isinstance(message, ExplanationWarning):
            tell_cautions(message.cautions)
            return
        words = str(message)
        if (category is UserWarning or debug) and words not in said:
            said.add(words)
            tell("warning", words)

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = say
        yield


@contextlib.contextmanager
def progress(description: str, total: int | None = None) -> Iterator[Callable[[str], None]]:
    """Show a bar on stderr while the block runs, and remove it afterwards; nothing if stderr is no terminal.

    Yields a function to call after each of `total` steps with a description of the next; `total` is None if the number
    of steps is not known.
    """
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    screen = console(sys.stderr)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        task = bar.add_task(escaped(description), total=total)

        def step(next_description: str) -> None:
            bar.update(task, advance=1 if total is not None else 0, description=escaped(next_description))

        yield step


def console(stream: Any) -> Console:
    """Make a console that takes names of nodes literally, without markup or emoji."""
    from rich.console import Console

    options: dict[str, Any] = {"markup": False, "emoji": False, "highlight": False}
    screen = Console(file=stream, **options)
    return screen if screen.is_terminal else Console(file=stream, width=_UNFOLDED, **options)
