"""The languages that a snippet can be written in."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from onnxlrp.runtime.fed_inputs import Program
from onnxlrp.view.snippets import cpp_snippet, csharp_snippet, java_snippet, javascript_snippet, python_snippet


@dataclasses.dataclass(frozen=True)
class Language:
    """A language and binding of ONNX Runtime."""

    title: str
    write: Callable[[Program], str]
    remark: str
    """Beginning of a comment."""
    is_run: bool = False
    """True if onnxlrp's own tests run such programs."""


LANGUAGES = {
    "python": Language("Python", python_snippet.write, "#", is_run=True),
    "node": Language("JavaScript, onnxruntime-node", javascript_snippet.write_node, "//", is_run=True),
    "web": Language("JavaScript, onnxruntime-web", javascript_snippet.write_web, "//", is_run=True),
    "cpp": Language("C++", cpp_snippet.write, "//"),
    "csharp": Language("C#", csharp_snippet.write, "//"),
    "java": Language("Java", java_snippet.write, "//"),
}


def written_in(program: Program, language: str) -> str:
    """Write the program that runs an explained file in a language.

    One that onnxlrp's tests do not run says so. Raises InputError where the language's binding has no type for an
    input.
    """
    chosen = LANGUAGES[language]
    said = (
        "" if chosen.is_run else f"{chosen.remark} Written from the file's declarations; not run by onnxlrp's tests.\n"
    )
    return said + chosen.write(program)
