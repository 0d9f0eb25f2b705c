"""Programs that `onnxlrp snippet` writes for JavaScript, run in Node.js on files of several kinds."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import onnxlrp
from onnxlrp.runtime.fed_inputs import Program, program_of
from onnxlrp.runtime.reading import open_model
from onnxlrp.view.snippets import javascript_snippet
from onnxlrp.view.snippets.languages import written_in
from tools.runtimes.engines import Engine
from tools.runtimes.subjects import MODELS

_LIMIT = 60
"""Seconds that a program may take."""


def failures(engines: Sequence[Engine], packages: Path, room: Path) -> list[str]:
    """Run the programs for the packages among the runtimes, and say which fail."""
    names = {engine.name for engine in engines}
    chosen = [language for language, engine in (("node", "node"), ("web", "web-node")) if engine in names]
    folder = room / "snippets"
    folder.mkdir()
    (folder / "node_modules").symlink_to(packages.resolve() / "node_modules")
    runs = [_run(folder, name, program, language) for name, program in _programs(folder) for language in chosen]
    return [line for line in runs if line]


def _programs(folder: Path) -> list[tuple[str, Program]]:
    """Convert files with an optional and a required target, with several, with whole numbers, and by element."""
    digits = MODELS / "digits_cnn" / "digits_cnn.torchscript.onnx"
    sentences = MODELS / "sentences_transformer" / "sentences_transformer.onnx"
    coins = MODELS / "coins_unet" / "coins_unet.onnx"
    made = {
        "optional": onnxlrp.convert(digits),
        "required": onnxlrp.convert(digits, target_input="required"),
        "several": onnxlrp.convert(digits, target_input="required", targets=3),
        "ids": onnxlrp.convert(sentences, target_input="required"),
        "element": onnxlrp.convert(coins, "epsilon", target="element", target_input="required"),
    }
    for name, explained in made.items():
        explained.save(folder / f"{name}.onnx")
    return [(name, program_of(open_model(folder / f"{name}.onnx"), f"{name}.onnx")) for name in made]


def _run(folder: Path, name: str, program: Program, language: str) -> str:
    """Run the whole program, and for one file the short lines; return what went wrong, or an empty text."""
    suffix = "js" if language == "node" else "mjs"
    whole = written_in(program, language)
    feeds = whole.partition("const feeds = {")[2].partition("\n  };")[0]
    first = whole.partition("\n")[0]
    codes = {"whole": whole} | ({"short": _around(first, feeds, program)} if name == "required" else {})
    for kind, code in codes.items():
        file = folder / f"{name}-{kind}.{suffix}"
        file.write_text(code, encoding="utf-8")
        done = subprocess.run(["node", file.name], cwd=folder, capture_output=True, text=True, timeout=_LIMIT)
        if done.returncode or (kind == "whole" and str(list(program.relevance_sizes or ())) not in _flat(done.stdout)):
            return f"the {kind} program in {language} for {name!r} fails: {(done.stderr or done.stdout)[-300:]}"
    return ""


def _around(first: str, feeds: str, program: Program) -> str:
    """Put the two short lines into a program that has the tensors which they read."""
    tensors = [f"const {name} = feeds[{key!r}];" for key, name in javascript_snippet.variables(program).items()]
    body = "\n".join([f"const feeds = {{{feeds}\n}};", *tensors, javascript_snippet.short(program)])
    return f"{first}\n(async () => {{\n{body}\n}})();\n"


def _flat(text: str) -> str:
    """Bring `[ 1, 2 ]` to the form of Python, `[1, 2]`."""
    return text.replace("[ ", "[").replace(" ]", "]")
