"""The words of the house: docstrings that are understood at the first reading, and one name for one thing."""

from __future__ import annotations

import ast
import collections
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_house import PACKAGE, ROOT, rooms

TWINS = {
    "Epsilon": "the rule and the composite have this name in the field",
    **dict.fromkeys(
        ("audit", "check", "convert", "deploy", "evaluate", "explain", "inspect", "report", "tune", "verify"),
        "a command of the command line has the name of what it does",
    ),
    "parse": "a public function of `onnxlrp.rules` and of `onnxlrp.composites`",
}
"""Names that two things of the package have, each with the reason."""
NO_OPENING = re.compile(r"(Of|What|Whether|Where|Which|How|As|The same)\b")
NO_PLACE_IN_A_GRAPH = re.compile(r"\b(behind|in front of)\b")


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the docstrings of a file with their lines, those of fields and constants too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value


def comments(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the comments of a file with their lines."""
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


@pytest.mark.parametrize("room", [*sorted(rooms()), "tools"])
def test_docstrings_are_sentences_of_their_own(room):
    """They begin with a verb or a noun; places in the graph are upstream and downstream."""
    for path in rooms().get(room) or sorted((ROOT / "tools").rglob("*.py")):
        place = path.relative_to(ROOT)
        for line, text in docstrings(path):
            assert not NO_OPENING.match(text), f"{place}:{line} opens with a word that leaves out its noun: {text[:60]}"
        for line, text in (*docstrings(path), *comments(path)):
            assert not NO_PLACE_IN_A_GRAPH.search(text), f"{place}:{line} says where by another word than upstream"


def test_one_name_is_one_thing():
    """No two files share a name, nor two classes or functions that other files import by name."""
    files = [path for room in rooms().values() for path in room if path.name != "__init__.py"]
    names = collections.Counter(path.name for path in files)
    assert {name for name, count in names.items() if count > 1} == set()
    places, imported = collections.defaultdict(set), set()
    for path in PACKAGE.rglob("*.py"):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        tree = ast.parse(path.read_text())
        for node in tree.body:
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and not node.name.startswith("_"):
                places[node.name].add(module)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                imported.update((node.module, alias.name) for alias in node.names)
    shared = {name: {m for m in modules if (m, name) in imported} for name, modules in places.items()}
    twins = {name: modules for name, modules in shared.items() if len(modules) > 1}
    assert twins.keys() - TWINS.keys() == set(), {name: twins[name] for name in twins.keys() - TWINS.keys()}
    assert TWINS.keys() - twins.keys() == set(), "these names are no twins any more: take them out of TWINS"
