"""Tables as Parquet files, written piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from onnxlrp.errors import InputError, OnnxLrpError
from onnxlrp.extras import optional
from onnxlrp.file_hashes import sha256_of


def write_parquet(
    tables: Iterable[dict[str, np.ndarray]], path: Path, metadata: Callable[[str], Mapping[str, str]] | None = None
) -> int:
    """Write tables with the same columns below each other, one row group each, and return the number of rows.

    Only one table is held in memory at a time. `metadata` is called after the last table with the SHA-256 of the file
    so far, which is all but its footer, and gives entries of the file's metadata. Raises InputError if the columns of a
    table are not those of the first, and OnnxLrpError if pyarrow is not installed.
    """
    arrow, parquet = optional("pyarrow", "a .parquet file"), optional("pyarrow.parquet", "a .parquet file")
    writer, schema, rows = None, None, 0
    try:
        for table in tables:
            content = arrow.table({name: _column(arrow, value) for name, value in table.items()})
            if writer is None:
                schema = content.schema
                writer = parquet.ParquetWriter(path, schema)
            elif content.schema != schema:
                content = _cast(content, schema)
            writer.write_table(content)
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


def _column(arrow: Any, value: np.ndarray) -> Any:
    array = np.asarray(value)
    return arrow.array(array.tolist() if array.dtype.kind in "OUSM" else np.ascontiguousarray(array))


def _cast(content: Any, schema: Any) -> Any:
    """Give a table the types of the first. Raises InputError if it has other columns."""
    try:
        return content.cast(schema)
    except Exception as error:  # arrow raises errors of several kinds
        raise InputError(f"the batches of a .parquet file have other columns or types: {error}") from error
