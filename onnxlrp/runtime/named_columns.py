"""Tables by the names of their columns: data frames, rows of them, dictionaries, .csv and .parquet files."""

from __future__ import annotations

import collections
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from onnxlrp.errors import InputError
from onnxlrp.extras import optional
from onnxlrp.printable import escaped
from onnxlrp.runtime import column_names, table_inputs
from onnxlrp.runtime.csv_numbers import numbers_below_names

TABLE_FILES = (*table_inputs.TABLES, ".parquet")
"""Suffixes of files that hold a table."""


@dataclasses.dataclass(frozen=True, eq=False)
class NamedColumns:
    """A table: an array [rows] for each column."""

    columns: Mapping[str, np.ndarray]
    place: str
    """Name of the table in messages."""
    ids: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    """Identifiers of the rows that came beside the columns: the index of a pandas frame, unless it only counts."""
    path: Path | None = None
    """File of a .csv, whose cells are text; None if the cells have the types that they had."""
    numbers: Mapping[str, np.ndarray] | None = None
    """Cells of a .csv as float64, if all of them are plain numbers."""


class TextColumns(Mapping[str, np.ndarray]):
    """Cells of a .csv file as text, by column; they are read when the first of them is asked for."""

    def __init__(self, names: Sequence[str], read: Callable[[], Mapping[str, np.ndarray]]) -> None:
        self._names, self._read = dict.fromkeys(names), read

    @functools.cached_property
    def _cells(self) -> Mapping[str, np.ndarray]:
        return self._read()

    def __getitem__(self, name: str) -> np.ndarray:
        return self._cells[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def table_in(value: Any) -> NamedColumns | None:
    """Read a table from a data frame (pandas, polars, pyarrow), a row of one, a list of dictionaries, or a structured
    array; None for anything else."""
    if isinstance(value, np.ndarray):
        names = value.dtype.names
        return None if names is None else NamedColumns({n: value[n].reshape(-1) for n in names}, "the array")
    if isinstance(value, (list, tuple)):
        rows = bool(value) and all(isinstance(row, Mapping) for row in value)
        return _of_rows(value) if rows else None
    if hasattr(value, "column_names") and hasattr(value, "to_pylist"):  # pyarrow
        columns = [column.to_numpy(zero_copy_only=False) for column in value.columns]
        return NamedColumns(_unique(value.column_names, columns, "the table"), "the table")
    if hasattr(value, "index") and hasattr(value, "name") and hasattr(value, "items") and _is_row(value):
        place = "the row"
        columns = [np.array([cell], dtype=object) for cell in value.tolist()]
        return NamedColumns(_unique([*map(str, value.index)], columns, place), place, _row_id(value))
    return _of_frame(value) if column_names.of_frame(value) else None


def table_of_mapping(value: Mapping[str, Any]) -> NamedColumns | None:
    """Read a table from a dictionary of columns, or of the numbers and texts of one row; None if an entry is
    neither."""
    columns = {}
    for name, cells in value.items():
        single = cells is None or isinstance(cells, (str, bool, int, float, np.generic))
        if not single and np.ndim(getattr(cells, "values", cells)) > 1:
            return None
        column = np.asarray([cells], dtype=object) if single else _cells(cells)
        if column.ndim != 1:
            return None
        columns[str(name)] = column
    lengths = {len(column) for column in columns.values()}
    if len(lengths) > 1:
        raise InputError(f"the columns differ in their number of rows: {sorted(lengths)}")
    return NamedColumns(columns, "the dictionary") if columns else None


def read_table_file(path: Path) -> NamedColumns | None:
    """Read a .csv, .tsv or .parquet file whose first row names the columns; None for a .csv without such a row."""
    if not path.is_file():
        raise InputError(f"there is no file '{escaped(path)}'")
    place = f"'{escaped(path)}'"
    if path.suffix.lower() == ".parquet":
        parquet = optional("pyarrow.parquet", "a .parquet file", "pyarrow")
        try:
            content = parquet.read_table(path)
        except Exception as error:  # arrow raises errors of several kinds
            raise InputError(f"{place} is no Parquet file that can be read: {error}") from error
        return dataclasses.replace(_known(table_in(content)), place=place)
    content = table_inputs.read_text(path)
    plain = numbers_below_names(content)
    if plain is not None:
        numbers = _unique(plain[0], [*plain[1].T], place)
        cells = TextColumns(plain[0], lambda: _text_cells(content, path) or {})
        return NamedColumns(cells, place, path=path, numbers=numbers)
    found = _text_cells(content, path)
    return None if found is None else NamedColumns(found, place, path=path)


def _text_cells(content: str, path: Path) -> dict[str, np.ndarray] | None:
    """Read the cells of a .csv as text, by column; None if no row names the columns."""
    head, rows = table_inputs.named_rows(content, path)
    return None if head is None else _unique(head, [*np.array(rows, dtype=object).T], f"'{escaped(path)}'")


def _known(table: NamedColumns | None) -> NamedColumns:
    assert table is not None
    return table


def _of_rows(rows: Sequence[Mapping[str, Any]]) -> NamedColumns:
    place = "the list of rows"
    names = [*rows[0]]
    if any({*row} != {*names} for row in rows):
        raise InputError(f"{place}: its dictionaries differ in their names")
    return NamedColumns({str(n): _cells([row[n] for row in rows]) for n in names}, place)


def _of_frame(frame: Any) -> NamedColumns:
    place = "the data frame"
    names = [str(name) for name in frame.columns]
    rows = frame.iloc if hasattr(frame, "iloc") else None
    columns = [np.asarray(frame[name] if rows is None else rows[:, i]) for i, name in enumerate(frame.columns)]
    return NamedColumns(_unique(names, columns, place), place, _index(frame))


def _index(frame: Any) -> dict[str, np.ndarray]:
    """Take the index of a pandas frame as identifiers of its rows, unless it only counts them."""
    index = getattr(frame, "index", None)
    if index is None or callable(index) or getattr(index, "nlevels", 1) != 1:
        return {}
    values = np.asarray(index)
    counts = index.name is None and values.dtype.kind in "iu" and np.array_equal(values, np.arange(len(values)))
    return {} if counts else {str(index.name or "index"): values}


def _row_id(row: Any) -> dict[str, np.ndarray]:
    return {} if row.name is None else {"index": np.array([row.name])}


def _is_row(value: Any) -> bool:
    """Decide whether a pandas series is a row of a frame: its index holds names."""
    return len(value) > 0 and all(isinstance(name, str) for name in value.index)


def _cells(values: Any) -> np.ndarray:
    """Convert the cells of a column to an array; words and numbers side by side stay what they are."""
    if isinstance(values, np.ndarray):
        return values
    if hasattr(values, "to_numpy"):
        return np.asarray(values.to_numpy())
    array = np.asarray(values)
    return np.asarray(values, dtype=object) if array.dtype.kind in "OUS" else array


def _unique(names: Sequence[str], columns: Sequence[np.ndarray], place: str) -> dict[str, np.ndarray]:
    """Pair names with columns. Raises InputError if two columns have one name."""
    twice = [name for name, count in collections.Counter(names).items() if count > 1]
    if twice:
        raise InputError(f"{place} has two columns by the name of {twice[0]!r:.80}")
    return dict(zip(names, columns, strict=True))
