"""`onnxlrp snippet`, and the lines about running a file that `convert` prints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from onnxlrp.cli import command_options as opt
from onnxlrp.cli.application import guarded
from onnxlrp.printable import escaped, escaped_lines, listed


@guarded
def snippet(
    model: opt.Model,
    language: Annotated[
        Literal["python", "node", "web", "cpp", "csharp", "java"],
        typer.Option("--language", "-l", help="The language and binding of ONNX Runtime."),
    ] = "python",
    debug: opt.Debug = False,
) -> None:
    """Print the program that runs an explained model with ONNX Runtime alone, in one of several languages."""
    from onnxlrp.runtime.fed_inputs import program_of
    from onnxlrp.runtime.reading import open_model
    from onnxlrp.view.snippets.languages import written_in

    print(escaped_lines(written_in(program_of(open_model(model), str(model)), language)))


def about_running(written: Path) -> tuple[list[str], str]:
    """Say which inputs a file takes, and the lines that run it in Python and JavaScript.

    The note beside the lines, which may be empty, is about runtimes that do not take its optional inputs. Raises
    InputError for a file that no snippet can feed.
    """
    from onnxlrp.runtime.fed_inputs import program_of
    from onnxlrp.runtime.reading import open_model
    from onnxlrp.view.snippets import javascript_snippet, python_snippet

    program = program_of(open_model(written), str(written))
    name, kind = (max(len(escaped(getattr(one, key))) for one in program.inputs) for key in ("name", "type"))
    lines = ["inputs:"]
    lines += [f"  {escaped(one.name):{name}}  {one.type:{kind}}  {escaped(one.about)}" for one in program.inputs]
    for title, short in (("Python", python_snippet.short), ("JavaScript", javascript_snippet.short)):
        lines += [f"{title}:", *(f"  {line}" for line in short(program).splitlines())]
    lines.append(f"whole programs, also in C++, C# and Java: onnxlrp snippet {escaped(written)} --language node")
    return lines, _hidden([one.name for one in program.hidden])


def _hidden(names: Sequence[str]) -> str:
    if not names:
        return ""
    one = ("input", "it", "an ordinary one")
    inputs, them, ordinary = one if len(names) == 1 else ("inputs", "them", "ordinary ones")
    return (
        f"only ONNX Runtime for Python, C, C++ and C# takes the optional {inputs} {listed(names)}: Node.js ignores "
        f"what is fed for {them} without an error, others refuse {them}; --target-input required makes {them} "
        f"{ordinary}"
    )
