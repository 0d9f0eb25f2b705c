"""Tables and lines of text as the value of an input: each row of numbers is a sample."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from onnxlrp.errors import InputError
from onnxlrp.printable import escaped
from onnxlrp.runtime.inputs import TensorSpec
from onnxlrp.runtime.values import cast

TABLES = (".csv", ".tsv")
_MISSING = ("", "na", "n/a", "#n/a", "nan", "null", "none", "?")
_LIKE_A_NUMBER = re.compile(r"[-+]?[\d.,'’_\s%$€]*\d[\d.,'’_\s%$€]*")
_DECIMAL = re.compile(r"[-+].*|.*[.eE].*")
_TRUTHS = {"true": 1, "false": 0}
"""Words that are the numbers 1 and 0 to a model, as pandas writes a column of booleans."""
_SPELLED = {**dict.fromkeys(_MISSING, "nan"), **{word: str(number) for word, number in _TRUTHS.items()}}
"""Words that stand for numbers, each with the number as Python reads it."""


def read_table(path: Path, spec: TensorSpec) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read the rows of a .csv file in the type and shape of the input, and the names of its columns if it has a header.

    Cells are separated by tabs, semicolons or commas: the first of them that occurs equally often in all rows. A column
    with the input's name is the input's whole value. A missing value (an empty cell, NA, null and the like) is NaN if
    the input takes fractions. Raises InputError if a cell is no number; decimal commas and thousands separators are not
    guessed.
    """
    rows = list(_rows(read_text(path), path))
    if not rows:
        raise InputError(f"'{escaped(path)}' is empty")
    columns: tuple[str, ...] = ()
    if _is_header(rows[0], rows[1:], spec, path):
        columns, rows = tuple(cell.strip() for cell in rows[0]), rows[1:]
    if any(len(row) != len(rows[0]) for row in rows) or not rows:
        raise InputError(f"'{escaped(path)}' is no table: its rows differ in length, or there are none")
    cells = np.array(rows, dtype=object)
    if spec.name in columns:
        if columns.count(spec.name) > 1:
            raise InputError(f"'{escaped(path)}' has several columns by the name of input {spec.name!r}")
        if len(columns) != cells.shape[1]:
            raise InputError(
                f"'{escaped(path)}' names {len(columns)} columns, but its rows hold {cells.shape[1]} values"
            )
        cells, columns = cells[:, [columns.index(spec.name)]], (spec.name,)
    return _shaped(cells_as_numbers(cells, spec, path), spec, path), columns


def named_rows(text: str, path: Path) -> tuple[list[str] | None, list[list[str]]]:
    """Read the cells of the text of a .csv file, with the names in its first row; None for the names if that row holds
    numbers only.

    Raises InputError if the text is empty, or if its rows differ in length.
    """
    rows = list(_rows(text, path))
    if not rows:
        raise InputError(f"'{escaped(path)}' is empty")
    if are_no_names(rows[0]):
        return None, rows
    lengths = {len(row) for row in rows}
    if len(lengths) > 1 or len(rows) == 1:
        raise InputError(f"'{escaped(path)}' is no table: its rows differ in length, or there are none")
    return [cell.strip() for cell in rows[0]], rows[1:]


def are_no_names(row: Sequence[str]) -> bool:
    """Decide whether a first row holds numbers and missing values only, so that it names no columns."""
    return all(_is_missing(cell) or _is_number(cell) for cell in row)


def read_lines(path: Path, spec: TensorSpec) -> np.ndarray:
    """Read lines for a string input, and rows of numbers for any other."""
    lines = [line for line in read_text(path).splitlines() if line.strip()]
    if spec.dtype is not None and spec.dtype.kind == "O":
        return strings(lines, spec)
    rows = [line.replace(",", " ").split() for line in lines]
    if not rows or any(len(row) != len(rows[0]) for row in rows):
        raise InputError(
            f"'{escaped(path)}': input {spec.name!r} takes {spec}, so lines must hold equally many numbers"
        )
    return _shaped(cells_as_numbers(np.array(rows, dtype=object), spec, path), spec, path)


def lines_of(path: Path) -> list[str] | None:
    """Return the lines of a text that are not empty; None if the file holds an array, a table, or no text at all."""
    if path.suffix.lower() in (".npy", ".npz", *TABLES) or not path.is_file():
        return None
    try:
        return [line for line in read_text(path).splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError):
        return None


def are_numbers(lines: Sequence[str]) -> bool:
    """Decide whether lines hold nothing but numbers."""
    return all(_is_number(cell) for line in lines for cell in line.replace(",", " ").split())


def strings(lines: Sequence[str], spec: TensorSpec) -> np.ndarray:
    """Shape lines as the value of a string input."""
    array = np.array(lines, dtype=object)
    return array.reshape(-1, 1) if spec.shape is not None and len(spec.shape) == 2 else array


def read_text(path: Path) -> str:
    """Read a text in UTF-8, without a byte order mark.

    Raises InputError for a .csv, .tsv or .txt file that is no such text, and UnicodeDecodeError for any other file.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        if path.suffix.lower() in (*TABLES, ".txt"):
            raise InputError(f"'{escaped(path)}' is not text in UTF-8") from None
        raise


def _rows(text: str, path: Path) -> Iterator[list[str]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter_of(text))
    try:
        yield from (row for row in reader if any(map(str.strip, row)))
    except csv.Error as error:
        raise InputError(f"'{escaped(path)}' is no table: {error}") from error


def delimiter_of(text: str) -> str:
    """Choose the first of tab, semicolon and comma that all lines hold equally often, else the one most frequent in the
    first.

    Semicolons come before commas, because a table separated by semicolons may hold decimal commas.
    """
    quoted = '"' in text
    lines = [re.sub(r'"[^"]*"', "", line) if quoted else line for line in text.splitlines() if line.strip()]
    for delimiter in "\t;,":
        counts = {line.count(delimiter) for line in lines}
        if len(counts) == 1 and counts != {0}:
            return delimiter
    return max(",;\t", key=(lines or [""])[0].count)


def _is_header(row: Sequence[str], rest: Sequence[Sequence[str]], spec: TensorSpec, path: Path) -> bool:
    """Decide whether the first row names columns: it holds words, or just 0, 1, 2, … above rows of fractions.

    Raises InputError if a row of words holds fractions too.
    """
    if spec.dtype is not None and spec.dtype.kind == "O":
        return spec.name in row
    cells = [cell.strip() for cell in row]
    is_bool = spec.dtype is not None and spec.dtype.kind == "b"
    known = ("true", "false") if is_bool else ()
    words = [cell for cell in cells if not _is_missing(cell) and not _LIKE_A_NUMBER.fullmatch(cell)]
    words = [cell for cell in words if not _is_number(cell) and cell.lower() not in known]
    if not words:
        counted = cells == [str(index) for index in range(len(cells))]
        return counted and len(cells) > 1 and bool(rest) and all(_is_fraction(cell) for other in rest for cell in other)
    fractions = [cell for cell in cells if _is_number(cell) and not _is_missing(cell) and _DECIMAL.fullmatch(cell)]
    if fractions:
        raise InputError(
            f"'{escaped(path)}': the first row holds {words[0][:40]!r} and {fractions[0]:.40}, so that it is neither "
            "names of columns nor numbers"
        )
    return True


def _is_fraction(cell: str) -> bool:
    return _is_missing(cell) or bool(_DECIMAL.fullmatch(cell.strip()))


def _is_missing(cell: str) -> bool:
    return cell.strip().lower() in _MISSING


def _is_number(cell: str) -> bool:
    """Decide whether a cell is a number in all programs, unlike 1_000, which is one in Python alone."""
    try:
        float(cell or "nan")
    except ValueError:
        return False
    return "_" not in cell


def cells_as_numbers(cells: np.ndarray, spec: TensorSpec, path: Path) -> np.ndarray:
    """Convert text cells [R, C] to the type of the input; a missing one becomes NaN."""
    dtype = spec.dtype
    if dtype is None or dtype.kind == "O":
        return cells
    numbers = _all_numbers(cells.reshape(-1).tolist(), dtype)
    if numbers is None:
        numbers = _each_number(cells, spec, path)
    return in_type(numbers.reshape(cells.shape), spec.name, dtype, path)


def in_type(numbers: np.ndarray, name: str, dtype: np.dtype, path: Path) -> np.ndarray:
    """Cast numbers of a file to the type of an input. Raises InputError if one is too large for it."""
    try:
        return cast(numbers, name, dtype)
    except InputError as error:
        raise InputError(f"'{escaped(path)}': {error}") from error


def _all_numbers(cells: list[str], dtype: np.dtype) -> np.ndarray | None:
    """Convert cells at once, which takes a fraction of the time of `_each_number`.

    None stands for cells that only `_each_number` reads, or names in its error.
    """
    if dtype.kind not in "fiu" or "_" in "".join(cells):
        return None
    convert: Any = float if dtype.kind == "f" else int
    try:
        try:
            numbers = [*map(convert, cells)]
        except ValueError:
            numbers = [convert(_SPELLED.get(cell.strip().lower(), cell)) for cell in cells]
        found = np.array(numbers, np.float64 if dtype.kind == "f" else dtype)
    except (ValueError, OverflowError):
        return None
    return None if dtype.kind == "f" and np.isinf(found).any() else found  # infinity may be a number too large


def _each_number(cells: np.ndarray, spec: TensorSpec, path: Path) -> np.ndarray:
    """Convert cells [R, C] one by one. Raises InputError that names the first one that is no number of the type."""
    assert spec.dtype is not None
    dtype, numbers = spec.dtype, np.empty(cells.shape, object)
    for row, column in np.ndindex(cells.shape):
        cell = str(cells[row, column]).strip()
        try:
            numbers[row, column] = _number(cell, dtype)
        except OverflowError as error:
            raise InputError(
                f"'{escaped(path)}', row {row + 1}: {cell[:40]!r} is too {error} for {dtype}, "
                f"which input {spec.name!r} takes"
            ) from error
        except ValueError as error:
            raise InputError(
                f"'{escaped(path)}', row {row + 1}: {cell[:40]!r} is no {dtype}, which input {spec.name!r} takes"
                + _hint(cell, dtype)
            ) from error
    return numbers.astype(np.float64 if dtype.kind == "f" else dtype)


def _number(cell: str, dtype: np.dtype) -> Any:
    """Convert one cell; true and false are 1 and 0 to every type.

    Raises ValueError if it is no number of that type, OverflowError if it is too "large" or "small".
    """
    if cell.lower() in _TRUTHS:
        return dtype.type(_TRUTHS[cell.lower()])
    if dtype.kind == "b":
        if cell not in ("0", "1"):
            raise ValueError(cell)
        return cell == "1"
    if dtype.kind == "f":
        number = float("nan") if _is_missing(cell) else float(cell)
        if math.isinf(number) and "inf" not in cell.lower():
            raise OverflowError("small" if number < 0 else "large")
    else:
        number = _whole(cell)
        if not np.iinfo(dtype).min <= number <= np.iinfo(dtype).max:
            raise OverflowError("small" if number < 0 else "large")
    if "_" in cell:
        raise ValueError(cell)
    return number


def _whole(cell: str) -> int:
    try:
        return int(cell)
    except ValueError:
        if float(cell).is_integer():
            return int(float(cell))
        raise


def _hint(cell: str, dtype: np.dtype) -> str:
    if _is_missing(cell):
        return ": a missing value, read as NaN, may stand for fractions only"
    if _LIKE_A_NUMBER.fullmatch(cell) and not _is_number(cell):
        return ": numbers need a decimal point, and no thousands separators"
    return "; words need a tokenizer and a .txt file" if dtype.kind == "i" and not _is_number(cell) else ""


def _shaped(table: np.ndarray, spec: TensorSpec, path: Path) -> np.ndarray:
    """Give rows [R, C] the rank of the input: each row is a sample, or all rows are the time steps of one sample."""
    shape = spec.shape
    if shape is None or len(shape) == 2:
        return table
    if len(shape) <= 1 and 1 in table.shape:
        return table.reshape(-1) if len(shape) == 1 else table.reshape(())
    if len(shape) >= 3:
        trailing = [size if isinstance(size, int) else -1 for size in shape[1:]]
        if len(shape) == 3 and trailing[-1] == table.shape[1] and trailing[0] in (-1, len(table)):
            return table[None]
        known = int(np.prod([size for size in trailing if size > 0]))
        whole = known == table.shape[1] if -1 not in trailing else known and table.shape[1] % known == 0
        if trailing.count(-1) <= 1 and whole:
            return table.reshape(len(table), *trailing)
    raise InputError(
        f"'{escaped(path)}' has {table.shape[0]} rows of {table.shape[1]} values, which do not make up "
        f"{spec.name!r}: {spec}"
    )
