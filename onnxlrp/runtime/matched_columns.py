"""Columns of a table as the values of a model's inputs: an input a column, or one input of many columns."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from onnxlrp.errors import InputError
from onnxlrp.near_names import did_you_mean
from onnxlrp.printable import escaped, listed
from onnxlrp.runtime.inputs import TensorSpec, check_one
from onnxlrp.runtime.named_columns import NamedColumns
from onnxlrp.runtime.table_inputs import cells_as_numbers, in_type
from onnxlrp.runtime.values import cast

_HOW = "(ids=, on the command line --id)"
_MOST_NAMED = 5
"""Number of names that a message lists at most."""


@dataclasses.dataclass(frozen=True, eq=False)
class Matched:
    """Values of inputs from a table, the names of their columns, and what identifies the rows."""

    inputs: dict[str, Any]
    columns: dict[str, tuple[str, ...]]
    ids: dict[str, np.ndarray]


def takes_a_column(spec: TensorSpec) -> bool:
    """Decide whether an input holds one number or text a sample: [N] or [N, 1]."""
    shape = spec.shape
    return shape is not None and (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1))


def takes_a_table(specs: Mapping[str, TensorSpec]) -> bool:
    """Decide whether all inputs that a model needs can be filled from the columns of a table."""
    needed = [spec for spec in specs.values() if not spec.optional]
    return bool(needed) and all(spec.shape is not None and len(spec.shape) in (1, 2) for spec in needed)


def match(
    table: NamedColumns,
    specs: Mapping[str, TensorSpec],
    known: Mapping[str, tuple[str, ...]],
    ids: Sequence[str] = (),
) -> Matched:
    """Find the columns of a table for every input that the model needs.

    An input of one column takes the column of its name, whatever the order; one of many columns takes those whose names
    the model's file knows (`known`), else all that are left, in their order. Columns in `ids` identify the rows.
    Raises InputError if a column is missing, is left over, or does not hold what the input takes.
    """
    _check_ids(ids, table)
    free = {name: name for name in table.columns if name not in ids}
    narrow = [spec for spec in specs.values() if takes_a_column(spec)]
    wide = [spec for spec in specs.values() if not takes_a_column(spec) and not spec.optional]
    wanted = {spec.name: spec.name for spec in narrow} | {c: s.name for s in wide for c in known.get(s.name, ())}
    found = {column: own for column in wanted if (own := _column_named(column, free)) is not None}
    alike = {name.casefold() for name in free}  # such columns are meant by name, whatever their order
    named = [spec for spec in wide if any(c in found or c.casefold() in alike for c in known.get(spec.name, ()))]
    rest = [name for name in free if name not in found.values()]
    left = [spec for spec in wide if spec not in named]
    if len(narrow) == 1 and not wide and not found and len(rest) == 1:
        found[narrow[0].name] = rest.pop()
    if len(left) == 1 and _fits(left[0], len(rest)):
        taken, rest = {left[0].name: tuple(rest)}, []
    else:
        taken = {}
    taken |= {spec.name: tuple(found.get(c, c) for c in known[spec.name]) for spec in named}
    needed = [s.name for s in narrow if not s.optional] + [c for s in named for c in known[s.name]]
    missing = [column for column in needed if column not in found]
    if missing or rest or {spec.name for spec in left} - taken.keys():
        raise InputError(_mismatch(table, missing, rest, free, wanted, [s for s in left if s.name not in taken]))
    inputs = {s.name: _value([found[s.name]], table, s) for s in narrow if s.name in found}
    inputs |= {name: _value(columns, table, specs[name]) for name, columns in taken.items()}
    named_ids = {**table.ids, **{name: table.columns[name] for name in ids}}
    return Matched({n: inputs[n] for n in specs if n in inputs}, taken, named_ids)


def _check_ids(ids: Sequence[str], table: NamedColumns) -> None:
    for name in ids:
        if name not in table.columns:
            raise InputError(
                f"{table.place} has no column {name!r:.80} for an identifier{did_you_mean(name, table.columns)}; its "
                f"columns: {_some(list(table.columns))}"
            )


def _column_named(wanted: str, free: Mapping[str, str]) -> str | None:
    """Find a column by its name, or by the name that exporters write for it, with underscores for other signs."""
    if wanted in free:
        return wanted
    like = [name for name in free if _plain(name) == _plain(wanted)]
    return like[0] if len(like) == 1 else None


def _plain(name: str) -> str:
    return re.sub(r"\W", "_", name)


def _fits(spec: TensorSpec, width: int) -> bool:
    size = None if spec.shape is None else spec.shape[-1]
    return (
        spec.shape is not None and len(spec.shape) == 2 and (size == width or (width > 0 and not isinstance(size, int)))
    )


def _mismatch(
    table: NamedColumns,
    missing: Sequence[str],
    rest: Sequence[str],
    free: Mapping[str, str],
    wanted: Mapping[str, str],
    unfilled: Sequence[TensorSpec],
) -> str:
    """Say which columns are missing and which are left over, each with the name that may be meant."""
    parts = []
    if missing:
        parts.append(lacking(table.place, missing, rest))
    if unfilled:
        spec = unfilled[0]
        width = None if spec.shape is None else spec.shape[-1]
        more = isinstance(width, int) and len(rest) > width
        hint = f": leave those out that are no features, or name them as identifiers {_HOW}" if more else ""
        parts.append(
            f"{table.place} has {len(rest)} columns for input {spec.name!r}, which takes {spec}{hint}"
            if len(unfilled) == 1
            else f"inputs {listed(s.name for s in unfilled)} take several columns each: give {{name: frame[columns]}}"
        )
    elif rest:
        near = did_you_mean(rest[0], [name for name in wanted if name not in free])
        which, what = ("it", "an identifier") if len(rest) == 1 else ("them", "identifiers")
        parts.append(
            f"{table.place} has {_columns(rest)} that no input takes{near}: leave {which} out, or name {which} as "
            f"{what} {_HOW}"
        )
    return "; ".join(parts)


def lacking(place: str, missing: Sequence[str], rest: Sequence[str]) -> str:
    """Say that a table lacks columns, with the one among the `rest` that may be meant."""
    return f"{place} lacks {_columns(missing)}{did_you_mean(missing[0], rest)}"


def _columns(names: Sequence[str]) -> str:
    return f"{'column' if len(names) == 1 else 'columns'} {_some(names)}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(f"{name!r:.80}" for name in names[:_MOST_NAMED]) + more


def _value(columns: Sequence[str], table: NamedColumns, spec: TensorSpec) -> Any:
    """Join columns to the value of an input, in its type."""
    if spec.dtype is None:
        raise InputError(f"input {spec.name!r} takes {spec}, which no column of a table can fill")
    cells = [_converted(name, table, spec) for name in columns]
    flat = spec.shape is not None and len(spec.shape) == 1
    return check_one(cells[0] if flat else np.stack(cells, axis=1), spec)


def _converted(name: str, table: NamedColumns, spec: TensorSpec) -> np.ndarray:
    """Convert the cells of one column to an input's type, [rows]."""
    assert spec.dtype is not None
    if table.path is not None and table.numbers is not None and spec.dtype.kind == "f":
        return in_type(table.numbers[name], name, spec.dtype, table.path)
    cells = table.columns[name]
    if table.path is not None:
        return cells_as_numbers(cells.reshape(-1, 1), dataclasses.replace(spec, name=name), table.path)[:, 0]
    if spec.dtype.kind == "O":
        return cells.astype(object)
    other = f", and input {spec.name!r} takes {spec}"
    if cells.dtype.kind in "OUS":
        cells = np.array([_number(cell, name, row, table, spec) for row, cell in enumerate(cells.tolist())], np.float64)
    if cells.dtype.kind not in "biuf":
        raise InputError(
            f"{table.place}: column {name!r:.80} holds {cells.dtype}, and input {spec.name!r} takes {spec}"
        )
    converted = cast(cells, name, spec.dtype)
    if converted.dtype != spec.dtype:
        raise InputError(f"{table.place}: column {name!r:.80} holds fractions or missing values{other}")
    return converted


def _number(cell: Any, name: str, row: int, table: NamedColumns, spec: TensorSpec) -> float:
    """Convert a cell to a number; None and pandas' NA are NaN."""
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):
        return float("nan")
    try:
        if isinstance(cell, (str, bytes)):
            raise TypeError
        return float(cell)
    except (TypeError, ValueError):
        raise InputError(
            f"{table.place}, row {row + 1}: column {name!r:.80} holds {escaped(repr(cell))[:40]}, and input "
            f"{spec.name!r} takes {spec}"
        ) from None
