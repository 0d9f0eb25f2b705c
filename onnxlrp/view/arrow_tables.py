"""Tables of explanations as tables of Arrow, the form that Parquet files, Ray and Spark share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from onnxlrp.errors import InputError
from onnxlrp.extras import optional
from onnxlrp.view.explanation_table import Columns


def arrow() -> Any:
    """Import pyarrow. Raises OnnxLrpError that says what to install if it is missing."""
    return optional("pyarrow", "a .parquet file")


def arrow_table(columns: Columns) -> Any:
    """Convert columns to a table of Arrow. A column of arrays becomes one of lists; texts keep their None."""
    module = arrow()
    return module.table({name: _column(module, value) for name, value in columns.items()})


def joined_tables(tables: Sequence[Any]) -> Any:
    """Put tables below each other. A column that one of them lacks, or that holds nothing but None, takes the type of
    the others. Raises InputError if the types differ otherwise."""
    module = arrow()
    if len(tables) == 1:
        return tables[0]
    try:
        return module.concat_tables(tables, promote_options="default").combine_chunks()
    except module.ArrowInvalid as error:
        raise _differ(error) from error


def joined_schema(schemas: Sequence[Any]) -> Any:
    """Join schemas as `joined_tables` joins tables."""
    module = arrow()
    try:
        return module.unify_schemas(list(schemas), promote_options="default")
    except (module.ArrowInvalid, module.ArrowTypeError) as error:
        raise _differ(error) from error


def fitted_to(table: Any, schema: Any) -> Any:
    """Give a table the columns of a schema in their order and types; one that it lacks holds null. Raises InputError if
    a column is of a type that does not convert."""
    module, known = arrow(), dict(zip(table.column_names, table.columns, strict=True))
    columns = [_fitted(module, known.get(field.name), field.type, table.num_rows) for field in schema]
    return module.table(columns, schema=schema)


def _fitted(module: Any, column: Any, kind: Any, rows: int) -> Any:
    if column is None:
        return module.nulls(rows, kind)
    try:
        return column if column.type == kind else column.cast(kind)
    except (module.ArrowInvalid, module.ArrowNotImplementedError) as error:
        raise _differ(error) from error


def _differ(error: Exception) -> InputError:
    return InputError(f"the batches of a table have columns of different types: {error}")


def _column(module: Any, value: Any) -> Any:
    array = np.asarray(value)
    if array.dtype.kind not in "OUSM":
        return module.array(np.ascontiguousarray(array))
    if array.dtype.kind == "O" and len(array) and isinstance(array[0], np.ndarray):
        return module.array(list(array), module.list_(module.from_numpy_dtype(array[0].dtype)))
    return module.array(array.tolist())
