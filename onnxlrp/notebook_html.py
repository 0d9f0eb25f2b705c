"""Small tables in HTML for notebooks: self-contained, readable on light and dark paper."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

from onnxlrp.printable import escaped

_MOST_ROWS = 30
"""Number of rows that a table shows at most."""
_CELL = "padding:2px 8px;text-align:{};vertical-align:top"
_MOST_CHARACTERS = 160


def notebook_table(
    title: str, head: Sequence[str], rows: Iterable[Sequence[object]], notes: Iterable[str] = (), numbers: int = 0
) -> str:
    """Write a title, a table and notes as HTML; the last `numbers` columns are aligned to the right."""
    sides = ["left"] * (len(head) - numbers) + ["right"] * numbers
    every = list(rows)
    lines = [_row("th", head, sides), *(_row("td", row, sides) for row in every[:_MOST_ROWS])]
    body = f'<table style="border-collapse:collapse">{"".join(lines)}</table>'
    more = [f"and {len(every) - _MOST_ROWS} more rows; print() shows all"] if len(every) > _MOST_ROWS else []
    below = "".join(f'<div style="opacity:.75">{_text(note, 400)}</div>' for note in (*more, *notes))
    return f'<div style="font-size:90%"><div><b>{_text(title, 400)}</b></div>{body}{below}</div>'


def rich_in_notebook(title: str, table: Any, notes: Iterable[str] = ()) -> str:
    """Write a table of rich as HTML, without its colours."""
    head = [str(column.header) for column in table.columns]
    rows = zip(*([str(cell) for cell in column.cells] for column in table.columns), strict=True)
    return notebook_table(title, head, rows, notes, numbers=max(len(head) - 1, 0))


def _row(kind: str, cells: Sequence[object], sides: Sequence[str]) -> str:
    inside = "".join(
        f'<{kind} style="{_CELL.format(side)}">{_text(cell)}</{kind}>' for cell, side in zip(cells, sides, strict=True)
    )
    return f"<tr>{inside}</tr>"


def _text(words: object, most: int = _MOST_CHARACTERS) -> str:
    shown = escaped(words)
    return html.escape(shown if len(shown) <= most else shown[: most - 1] + "…")
