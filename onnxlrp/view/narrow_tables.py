"""Tables on narrow screens: a row becomes lines of a name and a value, instead of columns one letter wide."""

from __future__ import annotations

from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

_NARROW = 60
"""Width in characters below which a table that does not fit is written as lines."""


def fitted(what: RenderableType, console: Console) -> RenderableType:
    """Return a table as it is if it fits the screen, or if the screen is wide; else as lines."""
    if not isinstance(what, Table) or console.width >= _NARROW:
        return what
    options: ConsoleOptions = console.options.update(width=10_000)
    return what if Measurement.get(console, options, what).maximum <= console.width else _lines(what)


def _lines(table: Table) -> Text:
    """Write each row as its first cell, and below it, indented, the name and the value of every other cell."""
    text = Text(str(table.title or ""), overflow="fold")
    text.append("\n" if table.title else "")
    heads = [_text(column.header) for column in table.columns]
    for row in zip(*([*column.cells] for column in table.columns), strict=True):
        cells = [_text(cell) for cell in row]
        text.append_text(Text.assemble(heads[0], " ", cells[0], "\n") if cells[0] else Text(""))
        for head, cell in zip(heads[1:], cells[1:], strict=True):
            text.append_text(Text.assemble("  ", head, ": ", cell, "\n") if cell else Text(""))
    text.right_crop(1)
    return text


def _text(cell: RenderableType) -> Text:
    return cell if isinstance(cell, Text) else Text(str(cell))
