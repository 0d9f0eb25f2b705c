"""Small tables in HTML for notebooks: self-contained, readable on light and dark paper."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from onnxlrp.printable import escaped

_CELL = "padding:2px 8px;text-align:{};vertical-align:top"
_MOST_CHARACTERS = 80


def notebook_table(
    title: str, head: Sequence[str], rows: Iterable[Sequence[object]], notes: Iterable[str] = (), numbers: int = 0
) -> str:
    """Write a title, a table and notes as HTML; the last `numbers` columns are aligned to the right."""
    sides = ["left"] * (len(head) - numbers) + ["right"] * numbers
    lines = [_row("th", head, sides), *(_row("td", row, sides) for row in rows)]
    body = f'<table style="border-collapse:collapse">{"".join(lines)}</table>' if head else ""
    below = "".join(f'<div style="opacity:.75">{_text(note, 400)}</div>' for note in notes)
    return f'<div style="font-size:90%"><div><b>{_text(title, 400)}</b></div>{body}{below}</div>'


def _row(kind: str, cells: Sequence[object], sides: Sequence[str]) -> str:
    inside = "".join(
        f'<{kind} style="{_CELL.format(side)}">{_text(cell)}</{kind}>' for cell, side in zip(cells, sides, strict=True)
    )
    return f"<tr>{inside}</tr>"


def _text(words: object, most: int = _MOST_CHARACTERS) -> str:
    shown = escaped(words)
    return html.escape(shown if len(shown) <= most else shown[: most - 1] + "…")
