"""Page docs/robustness.md: a table of the results, and one of the mutants; parts that did not run keep their rows."""

from __future__ import annotations

import dataclasses
import datetime
import re
from collections.abc import Mapping
from pathlib import Path

import onnx
import onnxruntime

from onnxlrp._version import __version__

_ROW = re.compile(r"^\| (\w+) \|.*\|$", re.MULTILINE)
_MUTANTS = "## Mutated models\n"
_HEAD = """# Robustness

`python -m tools.robustness` tries again what must go on holding (`--part NAME` one part, which then changes its own row
only). Its exit status is 1 where something did not hold.

| part | what holds | tried | result | measured |
|---|---|---:|---|---|
"""


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of the table."""

    name: str
    promise: str
    tried: str
    result: str
    seconds: float

    def __str__(self) -> str:
        versions = f"onnxlrp {__version__}, onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}"
        when = f"{datetime.date.today()}, {versions}, {self.seconds:.0f} s"
        return f"| {' | '.join((self.name, self.promise, self.tried, self.result, when))} |"


def write(page: Path, names: list[str], rows: Mapping[str, Row], mutants: str | None) -> None:
    """Write the page; `names` lists every part in order, `rows` those that ran, and `mutants` is their section, or
    None."""
    old = page.read_text(encoding="utf-8") if page.exists() else ""
    known = {match[1]: match[0] for match in _ROW.finditer(old.partition(_MUTANTS)[0])}
    known |= {name: str(row) for name, row in rows.items()}
    table = "\n".join(known[name] for name in names if name in known)
    section = old.partition(_MUTANTS)[2].strip() if mutants is None else mutants.strip()
    page.write_text(f"{_HEAD}{table}\n\n{_MUTANTS}\n{section}\n", encoding="utf-8")
