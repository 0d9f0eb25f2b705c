"""Tables of many explanations in one file, written batch by batch."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from onnxlrp.drafts import atomic_write
from onnxlrp.errors import InputError
from onnxlrp.runtime.explanation import Explanation
from onnxlrp.view.explanation_table import Columns, counts, table_of
from onnxlrp.view.parquet import write_parquet


def write_csv(tables: Iterable[Columns], path: Path) -> int:
    """Write tables with the same columns below each other as text, and return the number of rows.

    Raises InputError if the columns of a table are not those of the first.
    """
    head: list[str] | None = None
    rows = 0
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        for table in tables:
            if head is None:
                head = list(table)
                writer.writerow(head)
            if list(table) != head:
                raise InputError("the batches of a .csv file have other columns than the first")
            columns = [_cells(np.asarray(column)) for column in table.values()]
            writer.writerows(zip(*columns, strict=True))
            rows += len(columns[0])
    return rows


def _cells(column: np.ndarray) -> list[Any]:
    """List the cells of a column: -0.0 as 0.0, and float32 by the fewest digits that read back as the same number."""
    if column.dtype.kind != "f":
        return list(column.tolist())
    return [str(number) for number in column + column.dtype.type(0)]


TABLE_WRITERS: dict[str, Callable[[Iterable[Columns], Path], int]] = {".csv": write_csv, ".parquet": write_parquet}
"""Formats of tables by their suffix, each with the function that writes tables below each other."""


def write_table(explanations: Iterable[Explanation], path: Path) -> int:
    """Write the tables of explanations to one file, whole or not at all, and return the number of rows."""
    with atomic_write(path) as draft:
        return TABLE_WRITERS[path.suffix.lower()](_tables(explanations), draft)


def _tables(explanations: Iterable[Explanation]) -> Iterator[Columns]:
    """Lay explanations out as tables whose samples are numbered through."""
    first = 0
    for explanation in explanations:
        yield table_of(explanation, first)
        first += counts(explanation)[0]
