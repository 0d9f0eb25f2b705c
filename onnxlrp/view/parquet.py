"""Tables as Parquet files, written piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from onnxlrp.errors import OnnxLrpError
from onnxlrp.extras import optional
from onnxlrp.file_hashes import sha256_of
from onnxlrp.view.arrow_tables import arrow_table, fitted_to
from onnxlrp.view.explanation_table import Columns

Metadata = Callable[[str], Mapping[str, str]]
"""Function that is called after the last table with the SHA-256 of the file so far, which is all but its footer, and
gives entries of the file's metadata."""


def parquet() -> Any:
    """Import pyarrow's Parquet. Raises OnnxLrpError that says what to install if it is missing."""
    return optional("pyarrow.parquet", "a .parquet file", "pyarrow")


def write_parquet(tables: Iterable[Columns], path: Path, metadata: Metadata | None = None) -> int:
    """Write tables with the same columns below each other, one row group each, and return the number of rows.

    Only one table is held in memory at a time. Raises InputError if the columns of a table are of other types than
    those of the first, and OnnxLrpError if pyarrow is not installed.
    """
    return write_row_groups(map(arrow_table, tables), path, metadata=metadata)


def write_row_groups(tables: Iterable[Any], path: Path, schema: Any = None, metadata: Metadata | None = None) -> int:
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
        if writer is not None and metadata is not None and (entries := metadata(sha256_of(path))):
            _add_metadata(writer, entries)
    finally:
        if writer is not None:
            writer.close()
    return rows


def _add_metadata(writer: Any, entries: Mapping[str, str]) -> None:
    if not hasattr(writer, "add_key_value_metadata"):
        raise OnnxLrpError("a .parquet file with a record needs pyarrow 17 or newer: pip install -U pyarrow")
    writer.add_key_value_metadata(entries)
