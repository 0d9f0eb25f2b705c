"""Tables of many explanations in one file, written batch by batch."""

from __future__ import annotations

import csv
import functools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from onnxlrp.errors import InputError
from onnxlrp.runtime.explanation import Explanation
from onnxlrp.runtime.recorder import Recorder
from onnxlrp.view.explanation_table import Columns, table_of
from onnxlrp.view.parquet import write_parquet
from onnxlrp.view.record_files import metadata_of, recorded_write


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


TABLE_FORMATS = (".csv", ".parquet")
"""Suffixes of files of many tables."""


def write_table(explanations: Iterable[Explanation], path: Path) -> int:
    """Write the tables of explanations to one file with its record, whole or not at all, and return the number of
    rows."""
    recorder = Recorder()
    tables = map(table_of, _recorded(explanations, recorder))
    with recorded_write(path, recorder) as draft:
        if path.suffix.lower() == ".csv":
            return write_csv(tables, draft)
        return write_parquet(tables, draft, functools.partial(metadata_of, recorder))


def _recorded(explanations: Iterable[Explanation], recorder: Recorder) -> Iterator[Explanation]:
    for explanation in explanations:
        recorder.add(explanation)
        yield explanation
