"""A tuning as a composite file: comments that say where the rules come from, then the rules."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from onnxlrp._version import __version__
from onnxlrp.evaluation.candidates import Candidate, rule_text
from onnxlrp.evaluation.tuning_table import setting
from onnxlrp.printable import escaped

if TYPE_CHECKING:
    from onnxlrp.evaluation.tuning_result import Tuning


def as_toml(tuning: Tuning, written: Candidate) -> str:
    """Write the file; the same model, data, options and seed give the same bytes."""
    lines = [f"# {escaped(line)}" for line in _comments(tuning)]
    lines += ["", f"composite = {_quoted(written.start.base)}"]
    for pattern, rule in written.overrides():
        lines += ["", "[[rules]]", f"match = {_quoted(pattern)}", f"rule = {_quoted(rule_text(rule))}"]
    return "\n".join(lines) + "\n"


def _comments(tuning: Tuning) -> Iterator[str]:
    yield f"{tuning.name}"
    yield f"for the model with SHA-256 {tuning.sha256}, by onnxlrp tune {__version__}."
    yield from setting(tuning)
    names = dict.fromkeys((tuning.name, tuning.winner, tuning.presets[0], tuning.best_preset))
    width = max(map(len, names))
    yield "Area on the held-out samples, higher is better:"
    for name in names:
        figure = tuning.figure(name)
        yield f"  {name:{width}}  {figure.mean:.4g} [{figure.low:.4g}, {figure.high:.4g}]"
    yield from tuning.notes


def _quoted(text: str) -> str:
    """Write a string of TOML, whose escapes are those of JSON but for the character DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
