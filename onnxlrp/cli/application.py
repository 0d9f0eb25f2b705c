"""The command line as a whole: its errors as messages and exit statuses."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Annotated, ParamSpec

import typer

from onnxlrp._version import __version__
from onnxlrp.errors import DefectError, OnnxLrpError, OutputsChangedError
from onnxlrp.printable import escaped_lines
from onnxlrp.view import terminal

app = typer.Typer(
    name="onnxlrp",
    help="Turn any ONNX model into an explained ONNX model: relevance (LRP) as further outputs.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
P = ParamSpec("P")
UNUSABLE = 3
"""Exit status if the model or the data cannot be used. (Status 2, wrong usage, is typer's own.)"""
FOUND = 4
"""Exit status if a check found something."""


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """Report every error of a command as a message and an exit status, never as a traceback."""

    @functools.wraps(command)
    def run(*args: P.args, **options: P.kwargs) -> None:
        debug = bool(options.get("debug"))
        with terminal.plain_warnings(debug):
            try:
                command(*args, **options)
            except typer.BadParameter as error:
                error.message = escaped_lines(error.message)
                raise
            except (typer.Exit, typer.Abort, BrokenPipeError):
                raise
            except OutputsChangedError as error:
                terminal.tell_error(_not_equal(error), debug)
                raise typer.Exit(FOUND) from error
            except (OnnxLrpError, OSError) as error:
                terminal.tell_error(error, debug)
            except Exception as error:
                terminal.tell_error(_defect(error), debug)
            else:
                return
        raise typer.Exit(UNUSABLE)

    return run


def _defect(error: Exception) -> DefectError:
    """Wrap an error that nobody foresaw in a DefectError, with its traceback."""
    defect = DefectError(error)
    defect.__cause__ = error
    return defect


def _not_equal(error: OutputsChangedError) -> OutputsChangedError:
    """Add to the error what the user can do."""
    return OutputsChangedError(
        f"{error}\nThis is a defect of onnxlrp, so nothing was written; --no-check writes the model all the same."
    )


def _show_version(wanted: bool) -> None:
    if wanted:
        terminal.say(f"onnxlrp {__version__}")
        raise typer.Exit


@app.callback()
def onnxlrp(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Turn any ONNX model into an explained ONNX model: relevance (LRP) as further outputs."""


def main() -> None:
    """Run the console script."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without Σ or … shows ?, and no traceback
    app()
