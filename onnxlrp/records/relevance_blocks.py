"""Relevance of features read from files of results, a block of samples at a time."""

from __future__ import annotations

import csv
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from onnxlrp.errors import InputError
from onnxlrp.extras import optional
from onnxlrp.printable import escaped
from onnxlrp.runtime.archive import UNREADABLE
from onnxlrp.runtime.record import Record
from onnxlrp.view.array_records import arrays_of

MOST = 10_000
"""Most features that a ranking makes sense of."""
_ROWS = 10_000
"""Rows of a table that are read at once."""
_RELEVANCE = re.compile(r"(.+)_relevance(?:_\d+)?")
_TOTAL = "total_relevance"
Block = dict[str, np.ndarray]
"""Relevance of some samples by feature, each [samples]."""


def blocks_of_file(path: Path, record: Record | None) -> Iterator[Block]:
    """Read the explanations in one file. Raises InputError if it cannot be read, or holds no relevance."""
    try:
        yield from _blocks(path, record)
    except (*UNREADABLE, TypeError, AttributeError) as error:
        raise InputError(f"'{escaped(path)}' holds no relevance that can be read: {error}") from error


def _blocks(path: Path, record: Record | None) -> Iterator[Block]:
    suffix = path.suffix.lower()
    if suffix == ".npz":
        arrays = arrays_of(path)
        columns = {n.removesuffix("_columns"): a.tolist() for n, a in arrays.items() if n.endswith("_columns")}
        yield blocks_of_arrays(arrays, columns, record)
    elif suffix == ".json":
        entries = json.loads(path.read_bytes())
        relevance = {f"{name}_relevance": np.asarray(value, np.float64) for name, value in entries["relevance"].items()}
        yield blocks_of_arrays(relevance, entries.get("columns", {}), record)
    else:
        yield from map(_of_table, _tables(path))


def blocks_of_arrays(
    arrays: Mapping[str, np.ndarray], columns: Mapping[str, Sequence[str]], record: Record | None
) -> Block:
    """Cut arrays `<input>_relevance`, [samples, ...] or [samples, K, ...] with K targets, into features.

    `columns` names the columns of inputs. Raises InputError if there is no such array.
    """
    wanted = None if record is None else {f"{name}_relevance": name for name in record.relevance}
    options: Mapping[str, Any] = {} if record is None else record.options
    if "top=" in str(options.get("reduce")):
        raise InputError("the relevance is that of the top elements alone (reduce), whose places are not the same ones")
    targets = options.get("targets", 1)
    block: Block = {}
    for name, array in arrays.items():
        source = _input_of(name) if wanted is None else wanted.get(name)
        if source is None or array.ndim == 0:
            continue
        rows = array.reshape(-1, *array.shape[2:]) if targets != 1 and array.ndim > 1 else array
        block |= _features(source, rows, columns.get(source, ()))
    if not block:
        raise InputError("there is no relevance of an input among the arrays")
    return block


def _input_of(name: str) -> str | None:
    match = _RELEVANCE.fullmatch(name)
    return None if match is None else match[1]


def _features(name: str, rows: np.ndarray, columns: Sequence[str]) -> Block:
    """Name the entries of an input after its samples: by its columns, by its own name, or as `x[0,3]`."""
    shape = rows.shape[1:]
    size = int(np.prod(shape, dtype=np.int64))
    if size > MOST:
        raise InputError(
            f"each sample of {escaped(name)!r} has {size:,} entries with relevance, too many to rank: give results of "
            "a model of tables"
        )
    flat = rows.reshape(len(rows), size)
    if len(columns) == size:
        names = [str(column) for column in columns]
    else:
        indices = itertools.product(*map(range, shape))
        names = [name] if size == 1 else [f"{name}[{','.join(map(str, index))}]" for index in indices]
    return {feature: flat[:, index] for index, feature in enumerate(names)}


def _tables(path: Path) -> Iterator[dict[str, Any]]:
    """Read a table piece by piece, as columns by their names."""
    if path.suffix.lower() == ".parquet":
        parquet = optional("pyarrow.parquet", "a .parquet file", "pyarrow")
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(_ROWS):
                yield {name: batch.column(name).to_numpy(zero_copy_only=False) for name in batch.schema.names}
        return
    with path.open(newline="", encoding="utf-8") as file:
        lines = csv.reader(file)
        head = next(lines, [])
        while rows := list(itertools.islice(lines, _ROWS)):
            yield dict(zip(head, zip(*rows, strict=True), strict=True))


def _of_table(table: Mapping[str, Any]) -> Block:
    """Take the features of a table: a column each, or rows with the name of an input and a place in it."""
    if "relevance" in table and "input" in table:
        return _of_long_table(table)
    found = {name: feature for name in table if name != _TOTAL and (feature := _input_of(name)) is not None}
    if not found:
        raise InputError("there is no column of relevance in the table, whose name ends with _relevance")
    return {feature: np.asarray(table[name], dtype=np.float64) for name, feature in found.items()}


def _of_long_table(table: Mapping[str, Any]) -> Block:
    """Gather the rows of each place of each input."""
    axes = [name for name in table if name == "position" or re.fullmatch(r"axis_\d+", name)]
    relevance = np.asarray(table["relevance"], dtype=np.float64)
    gathered: dict[str, list[float]] = {}
    for name, value, *place in zip(table["input"], relevance.tolist(), *(table[axis] for axis in axes), strict=True):
        indices = ",".join(str(one) for one in place if str(one) != "-1")
        gathered.setdefault(f"{name}[{indices}]" if indices else str(name), []).append(value)
    return {name: np.array(values) for name, values in gathered.items()}
