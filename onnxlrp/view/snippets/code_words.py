"""Names of a file as words of a program: string literals, identifiers and comments, whatever a name holds."""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Mapping

from onnxlrp.errors import InputError
from onnxlrp.printable import escaped


def literal(text: str) -> str:
    r"""Write a string literal of JavaScript, C# or Java: `"a\"b"`."""
    return json.dumps(text)


def python_literal(text: str) -> str:
    """Write a string literal of Python, in double quotes where nothing in it is quoted."""
    written = ascii(text)
    return written if '"' in written or "\\'" in written or written[0] == '"' else f'"{written[1:-1]}"'


def c_literal(text: str) -> str:
    """Write a string literal of C++: bytes outside ASCII by their octal number, which has an end, unlike `\\x`."""
    characters = (chr(byte) if 32 <= byte < 127 and byte not in b'"\\?' else f"\\{byte:03o}" for byte in text.encode())
    return '"' + "".join(characters) + '"'


def identifier(name: str, taken: set[str]) -> str:
    """Make a name for a variable, which is added to those that are taken."""
    word = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or "value"
    word = f"x_{word}" if word[0].isdigit() or keyword.iskeyword(word) or word in _RESERVED else word
    found, count = word, 2
    while found in taken:
        found, count = f"{word}_{count}", count + 1
    taken.add(found)
    return found


def comment(text: str) -> str:
    r"""Write the text of a comment to the end of a line: no newline, and no `\`, which Java and C++ obey even there."""
    return escaped(text).replace("\\", "/")


def element_type(kind: str, table: Mapping[str, str], language: str, name: str) -> str:
    """Look up a language's name for an element type. Raises InputError where its binding has none."""
    if kind not in table:
        raise InputError(f"input '{name}' is {kind}, which ONNX Runtime for {language} does not take")
    return table[kind]


_WORDS = """
auto bool byte case catch char class const delete double enum export extern false float function goto int let long main
names new null object operator out private public results session short static std string struct switch template this
throw true try typedef undefined union unsigned using var virtual void yield
"""
_RESERVED = frozenset(_WORDS.split())
