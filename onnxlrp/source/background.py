"""Read the rows of data that a model is explained against from an array, a data frame, a dictionary of inputs, or a
file."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from onnxlrp.errors import InputError
from onnxlrp.near_names import did_you_mean
from onnxlrp.printable import listed
from onnxlrp.strings import as_strings

_CLUSTERS = "kmeans="
"""Start of a wish for centres in the place of rows."""


def rows_of(background: Any, inputs: Sequence[ir.Value]) -> dict[ir.Value, np.ndarray]:
    """Find the rows for every input of a model that the background has data for, in the type of the input.

    `background` is an array [rows, …] for a model of one input; a data frame with a column for each feature, or for
    each input; a dictionary of arrays by input; or the path of a .npy, .npz or .csv file. Raises InputError if it fits
    the inputs in none of these ways, holds no rows, or holds a cell that is not a number.
    """
    data = _read(Path(background)) if isinstance(background, (str, Path)) else background
    columns = _columns(data)
    names = [str(v.name) for v in inputs]
    if columns is not None and not columns:
        raise InputError(f"background: it holds no columns; the model's inputs are {listed(names)}")
    if columns is not None and set(columns) & set(names):
        unknown = [n for n in columns if n not in names]
        # A table may have more columns, such as an index or the answers.
        is_table = hasattr(data, "columns") or (data is not background and Path(background).suffix.lower() == ".csv")
        if unknown and not is_table:
            near = did_you_mean(unknown[0], names)
            raise InputError(f"background: the model has no input {listed(unknown)}{near}; its inputs: {listed(names)}")
        found = {v: _fitted(columns[str(v.name)], v) for v in inputs if v.name in columns}
    elif len(inputs) == 1:
        whole = data if columns is None else np.stack([np.asarray(c).reshape(-1) for c in columns.values()], axis=1)
        found = {inputs[0]: _fitted(whole, inputs[0])}
    else:
        raise InputError(f"background: the model has {len(inputs)} inputs; give a dictionary of {listed(names)}")
    counts = {len(rows) for rows in found.values()}
    if len(counts) > 1:
        raise InputError(f"background: the inputs have different numbers of rows: {sorted(counts)}")
    return found


def split_clusters(background: Any) -> tuple[Any, int | None]:
    """Separate a background into its data and the number of centres that are wanted in their place, None for the rows.

    Centres are asked for as a pair, `("kmeans=50", data)`, or by the beginning of a path, `"kmeans=50:rows.csv"`.
    Raises InputError if the number is no whole number from 1 on.
    """
    if isinstance(background, (str, Path)):
        wanted, _, data = str(background).partition(":")
        if not wanted.startswith(_CLUSTERS) or not data:
            return background, None
    elif isinstance(background, tuple) and len(background) == 2 and isinstance(background[0], str):
        wanted, data = background
    else:
        return background, None
    count = wanted.removeprefix(_CLUSTERS)
    if not wanted.startswith(_CLUSTERS) or not count.isascii() or not count.isdigit() or int(count) < 1:
        raise InputError(f"background: {wanted!r} is not kmeans=K with a whole number K from 1 on")
    return data, int(count)


def _columns(data: Any) -> dict[str, Any] | None:
    """Give the columns of a table or a dictionary by their names; None for data of any other kind."""
    if isinstance(data, Mapping):
        return {str(name): values for name, values in data.items()}
    if hasattr(data, "columns") and hasattr(data, "to_numpy"):
        return {str(name): data[name].to_numpy() for name in data.columns}
    return None


def _fitted(rows: Any, value: ir.Value) -> np.ndarray:
    """Convert rows to the type of an input, one row for each sample; a vector becomes a column for an input [samples,
    1]."""
    if value.dtype is None or not isinstance(value.type, ir.TensorType):
        raise InputError(f"background: the input {value.name!r} is no tensor")
    try:
        if value.dtype == ir.DataType.STRING:
            array = as_strings(np.asarray(rows, dtype=object), str(value.name))
        else:
            array = _as_numbers(rows, value.dtype.numpy())
    except (TypeError, ValueError, OverflowError) as e:
        raise InputError(f"background: the input {value.name!r} holds {value.dtype}, and the rows do not: {e}") from e
    shape = value.shape
    if shape is not None and array.ndim == 1 and len(shape) == 2 and shape[1] == 1:
        array = array.reshape(-1, 1)
    wrong = shape is not None and (
        array.ndim != len(shape)
        or any(isinstance(d, int) and d != n for d, n in zip(list(shape)[1:], array.shape[1:], strict=True))
    )
    if wrong or array.size == 0:
        raise InputError(
            f"background: the rows are {list(array.shape)}, which does not fit the input {value.name!r} of shape "
            f"{value.shape}: give one row or more, each the size of a sample"
        )
    return array


def _as_numbers(rows: Any, dtype: np.dtype) -> np.ndarray:
    """Convert rows to numbers or truth values: empty cells, None and pandas' NA are missing, true and false 1 and 0.

    Raises ValueError or TypeError for other words, and for missing values, fractions or numbers out of range where the
    type has none.
    """
    array = np.asarray(rows)
    if array.dtype.kind in "OSU":
        array = np.array([_number(cell) for cell in array.reshape(-1).tolist()], np.float64).reshape(array.shape)
    with np.errstate(invalid="ignore"):
        converted = array.astype(dtype)
    changed = converted != array
    if dtype.kind in "iub" and changed.any():
        raise ValueError(f"they hold {array[changed][0]}")
    return converted


def _number(cell: Any) -> float:
    if cell is None or type(cell).__name__ == "NAType":
        return float("nan")
    if not isinstance(cell, (str, bytes)):
        return float(cell)
    word = cell.decode() if isinstance(cell, bytes) else cell
    return float({"": "nan", "true": "1", "false": "0"}.get(word.strip().lower(), word))


def _read(path: Path) -> Any:
    """Read the content of a file: an array, or a dictionary of arrays by name."""
    readers = {".npy": np.load, ".npz": lambda p: dict(np.load(p)), ".csv": _table}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"background: {path} is no .npy, .npz or .csv file")
    try:
        found = reader(path)
    except (OSError, ValueError, zipfile.BadZipFile) as e:
        raise InputError(f"background: {path} cannot be read: {e}") from e
    # numpy gives this name to an array that is saved without one.
    return next(iter(found.values())) if isinstance(found, dict) and list(found) == ["arr_0"] else found


def _table(path: Path) -> Any:
    """Read a table of numbers as one array, or as columns by the names in its first line."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = [line for line in csv.reader(file) if line]
    if not lines or any(len(line) != len(lines[0]) for line in lines):
        raise InputError(
            f"background: {path} is no table: its lines hold different numbers of cells, or there are none"
        )
    if all(_is_number(cell) for cell in lines[0]):
        return np.array(lines)
    return dict(zip(lines[0], zip(*lines[1:], strict=True), strict=False)) if len(lines) > 1 else np.array([])


def _is_number(cell: str) -> bool:
    try:
        float(cell or "nan")
    except ValueError:
        return False
    return True
