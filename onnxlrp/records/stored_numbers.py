"""Numbers of a file of results: reads the relevance that it holds, and lays out a new explanation alike."""

from __future__ import annotations

import csv
import functools
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from onnxlrp.errors import InputError
from onnxlrp.extras import optional
from onnxlrp.file_hashes import FileMark
from onnxlrp.interface import Interface
from onnxlrp.runtime.archive import UNREADABLE
from onnxlrp.runtime.explanation import Explanation
from onnxlrp.view.array_records import arrays_of
from onnxlrp.view.explanation_table import table_of

Numbers = dict[str, np.ndarray]
"""Arrays of relevance by input, or columns of a table by their place."""
_RELEVANCE = re.compile(r"(.*_)?relevance(_\d+)?")
_TABLES = (".csv", ".parquet")


def has_numbers(path: Path) -> bool:
    """Decide whether a file holds relevance as numbers, not as a picture."""
    return path.suffix.lower() in (".json", ".npz", ".npy", *_TABLES)


def numbers_in(path: Path, interface: Interface) -> Numbers:
    """Read the relevance that a file holds. Raises InputError if it cannot be read."""
    try:
        return _read(FileMark.of(path), tuple(interface.relevance.items()))
    except (*UNREADABLE, TypeError, AttributeError) as error:
        raise InputError(f"the numbers in '{path}' cannot be read: {error}") from error


def numbers_of(explanations: Sequence[Explanation], path: Path) -> Numbers:
    """Lay out explanations as a file of the path's suffix holds them."""
    if path.suffix.lower() in _TABLES:
        tables = [_columns(table_of(explanation)) for explanation in explanations]
        return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
    parts = [explanation.relevance for explanation in explanations]
    return {name: np.concatenate([part[name] for part in parts]) if len(parts) > 1 else one
            for name, one in parts[0].items()}  # fmt: skip


def target_in(path: Path) -> np.ndarray | None:
    """Read the explained targets off a file that holds them as numbers; None if it does not."""
    suffix = path.suffix.lower()
    try:
        if suffix in _TABLES:
            column = read_table(path).get("target")
            return None if column is None else np.asarray(column, dtype=np.float64).astype(np.int64)
        if suffix in (".json", ".npz"):
            found = json.loads(path.read_bytes())["target"] if suffix == ".json" else arrays_of(path).get("target")
            return None if found is None else np.asarray(found, dtype=np.int64)
    except (*UNREADABLE, TypeError):
        return None
    return None


def is_last(path: Path, row: int) -> bool:
    """Decide whether a table ends at a row; True for a file that is no table."""
    if path.suffix.lower() not in _TABLES:
        return True
    return all(len(column) == row for column in read_table(path).values())


@functools.lru_cache(maxsize=1)
def _read(mark: FileMark, relevance: tuple[tuple[str, str], ...]) -> Numbers:
    """Read the relevance of a file, which is kept for the next record in the same file."""
    path = mark.path
    suffix = path.suffix.lower()
    if suffix == ".json":
        stored = json.loads(path.read_bytes())["relevance"]
        return {name: _array(stored[name]) for name, _ in relevance}
    if suffix == ".npz":
        arrays = arrays_of(path)
        return {name: arrays[output] for name, output in relevance}
    if suffix == ".npy":
        return {relevance[0][0]: np.load(path, allow_pickle=False)}
    return {name: np.asarray(column, dtype=np.float64) for name, column in _columns(read_table(path)).items()}


def _array(values: Any) -> np.ndarray:
    """Convert lists from JSON, in which null stands for numbers that are not finite."""
    return np.asarray(values, dtype=np.float64)


def read_table(path: Path) -> dict[str, Any]:
    """Read a .csv or .parquet file as columns by their names."""
    if path.suffix.lower() == ".parquet":
        table = optional("pyarrow.parquet", "a .parquet file", "pyarrow").read_table(path)
        return {name: column.to_numpy(zero_copy_only=False) for name, column in zip(table.column_names, table.columns)}
    with path.open(newline="", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    return dict(zip(head, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(head, ())


def _columns(table: dict[str, Any]) -> dict[str, Any]:
    """Take the columns of relevance, by their place among these: their names depend on what is known of the inputs."""
    kept = [column for name, column in table.items() if _RELEVANCE.fullmatch(name)]
    return {f"column {index + 1}": column for index, column in enumerate(kept)}
