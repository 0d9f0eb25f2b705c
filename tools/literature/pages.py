"""Numbers, tables and figures of an example, and the page in docs/literature that shows them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.gallery import compressed

PAGES = Path(__file__).parents[2] / "docs" / "literature"


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
    """Numbers that a test can check, tables for the page by their marks, and figures by the names of their files."""

    numbers: Mapping[str, float]
    tables: Mapping[str, str]
    figures: Mapping[str, Any]
    animations: Mapping[str, bytes] = dataclasses.field(default_factory=dict)


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Write a table in Markdown; numbers get three digits and stand to the right."""
    sides = ["---" if isinstance(value, str) else "--:" for value in rows[0]]
    lines = [header, sides, *([_cell(one) for one in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write(name: str, found: Found) -> None:
    """Put the tables between their marks on the page `docs/literature/NAME.md`, and write its figures beside it."""
    page = PAGES / f"{name}.md"
    text = page.read_text(encoding="utf-8")
    for mark, content in found.tables.items():
        block = re.compile(rf"(<!-- table {mark} -->\n).*?(<!-- end -->)", re.DOTALL)
        text, count = block.subn(lambda match, content=content: f"{match[1]}\n{content}\n\n{match[2]}", text)
        if count != 1:
            raise SystemExit(f"{page}: there must be one <!-- table {mark} --> with its <!-- end -->")
    page.write_text(text, encoding="utf-8")
    for file, figure in found.figures.items():
        (PAGES / file).write_bytes(compressed(figure))
    for file, content in found.animations.items():
        (PAGES / file).write_bytes(content)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value)
