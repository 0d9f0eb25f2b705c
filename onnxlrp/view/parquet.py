"""Tables as Parquet files, written piece by piece."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from onnxlrp.extras import optional
from onnxlrp.view.arrow_tables import arrow_table, fitted_to
from onnxlrp.view.explanation_table import Columns


def parquet() -> Any:
    """Import pyarrow's Parquet. Raises OnnxLrpError that says what to install if it is missing."""
    return optional("pyarrow.parquet", "a .parquet file", "pyarrow")


def write_parquet(tables: Iterable[Columns], path: Path) -> int:
    """Write tables with the same columns below each other, one row group each, and return the number of rows.

    Only one table is held in memory at a time. Raises InputError if the columns of a table are of other types than
    those of the first, and OnnxLrpError if pyarrow is not installed.
    """
    return write_row_groups(map(arrow_table, tables), path)


def write_row_groups(tables: Iterable[Any], path: Path, schema: Any = None) -> int:
    """Write tables of Arrow as row groups, and return the number of rows; the schema is by default the first one's."""
    writer, rows = None, 0
    try:
        for table in tables:
            schema = table.schema if schema is None else schema
            if writer is None:
                writer = parquet().ParquetWriter(path, schema)
            content = table if table.schema.equals(schema, check_metadata=True) else fitted_to(table, schema)
            writer.write_table(content, row_group_size=max(1, content.num_rows))
            rows += content.num_rows
    finally:
        if writer is not None:
            writer.close()
    return rows
