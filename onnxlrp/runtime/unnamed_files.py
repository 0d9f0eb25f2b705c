"""Files that the command line gives without the name of an input: a whole table, or the only input's value."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from onnxlrp.errors import InputError
from onnxlrp.printable import listed
from onnxlrp.runtime.given_values import Given, by_name
from onnxlrp.runtime.inputs import TensorSpec
from onnxlrp.runtime.named_columns import TABLE_FILES


@dataclasses.dataclass(frozen=True, eq=False)
class Spread:
    """Files by the inputs that they are for, and the values that a table has for inputs."""

    files: list[tuple[str, Path]]
    table: Given


def spread(
    files: Sequence[tuple[str, Path]],
    specs: Mapping[str, TensorSpec],
    known: Mapping[str, tuple[str, ...]],
    ids: Sequence[str],
) -> Spread:
    """Find the inputs that files without a name (`""`) are for.

    A table that is named for the model's only input is read in the same way if it holds identifiers (`ids`). Raises
    InputError if the files fit no input, or if identifiers are asked for and there is no table.
    """
    named = [(name, path) for name, path in files if name]
    unnamed = [path for name, path in files if not name]
    needed = [spec.name for spec in specs.values() if not spec.optional]
    if ids and not unnamed and [name for name, _ in named] == needed[:1] and len(needed) == 1:
        named, unnamed = [], [named[0][1]]
    if not unnamed:
        if ids:
            raise InputError(f"identifiers ({listed(ids)}) are columns of a table: give it as --input FILE.csv")
        return Spread(named, Given({}))
    is_table = any(path.suffix.lower() in TABLE_FILES for path in unnamed)
    if is_table and len(unnamed) > 1:
        raise InputError(f"the table is one file, not {len(unnamed)}: {listed(unnamed)}; join them first")
    others = {name for name, _ in named}
    free = {name: spec for name, spec in specs.items() if name not in others}
    value: Any = unnamed[0] if len(unnamed) == 1 else unnamed
    given = by_name(value, free, known, ids)
    paths = [(name, path) for name, one in given.inputs.items() if one is value for path in unnamed]
    table = {name: one for name, one in given.inputs.items() if one is not value}
    return Spread([*named, *paths], dataclasses.replace(given, inputs=table))
