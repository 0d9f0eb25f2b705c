"""Values of a call as users have them: files, pictures, data frames, rows, or an array where there is one input."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from onnxlrp.errors import InputError
from onnxlrp.file_hashes import FileMark
from onnxlrp.printable import escaped, listed
from onnxlrp.runtime import column_names, files, table_inputs, text
from onnxlrp.runtime.archive import names_of_arrays
from onnxlrp.runtime.inputs import TensorSpec
from onnxlrp.runtime.matched_columns import Matched, match, takes_a_column, takes_a_table
from onnxlrp.runtime.named_columns import TABLE_FILES, NamedColumns, read_table_file, table_in, table_of_mapping
from onnxlrp.runtime.samples import file_ids, paths_of

_MOST_AXES = 64
"""Number of axes beyond which a list has no meaning, such as one that holds itself; numpy takes as many."""


@dataclasses.dataclass(frozen=True, eq=False)
class Given:
    """Values of a model's inputs by name, and everything that is known of them beside their numbers."""

    inputs: dict[str, Any]
    columns: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    """Names of the columns of inputs [N, columns]."""
    ids: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Identifiers of the samples: columns that no input takes, the index of a frame, names of files."""
    pixels: dict[str, str] = dataclasses.field(default_factory=dict)
    """Scale of the pixels of each input that was read from pictures."""
    originals: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Values that say more than the arrays that were read from them: lists of paths, of pictures, labelled arrays."""
    files: dict[str, tuple[FileMark, ...]] = dataclasses.field(default_factory=dict)
    """Files that values were read from, by input."""


def by_name(
    value: Any,
    specs: Mapping[str, TensorSpec],
    known: Mapping[str, tuple[str, ...]],
    ids: Sequence[str] = (),
) -> Given:
    """Find out which input each part of a value is for; a table becomes arrays, everything else stays as it is.

    `known` names the columns of inputs as the model's file does, `ids` the columns of a table that identify its rows.
    Raises InputError if the value fits the model in no way.
    """
    if isinstance(value, Given):
        return value
    ids = (ids,) if isinstance(ids, str) else tuple(ids)
    if _is_series(value) and _text_input(specs) is not None:
        value = value.to_list()
    marks: tuple[FileMark, ...] = (FileMark.of(Path(value)),) if _is_table_file(value) else ()
    table = _table(value, specs)
    if table is not None:
        texts = _texts_in(table, specs, ids)
        if texts is not None:
            return dataclasses.replace(texts, files={name: marks for name in texts.inputs if marks})
        matched = match(table, specs, known, ids)
        files_read = {name: marks for name in matched.inputs if marks}
        return Given(matched.inputs, matched.columns, matched.ids, files=files_read)
    if ids:
        raise InputError(f"identifiers ({listed(ids)}) are columns of a table, and a {type(value).__name__} is none")
    if _is_series(value):
        value = value.to_list()
    if not isinstance(value, Mapping):
        value = dict.fromkeys(_named_in_archive(value, specs) or [_only(value, specs)], value)
    return _with_frames(dict(value.items()), specs, known)


def load_values(given: Given, specs: Mapping[str, TensorSpec], preprocess: files.Preprocess) -> Given:
    """Read the values that are paths or pictures; everything else stays as it is."""
    known = (given.inputs, given.columns, given.ids, given.pixels, given.originals, given.files)
    read = Given(*map(dict, known))
    for name, value in given.inputs.items():
        spec = specs.get(name)
        if spec is not None and spec.dtype is not None:
            _load(name, value, spec, preprocess, read)
    return read


def _load(name: str, value: Any, spec: TensorSpec, preprocess: files.Preprocess, read: Given) -> None:
    """Read the value of one input into `read` if it is a list of pictures or files, or a labelled array."""
    if (pictures := pictures_in(value)) is not None:
        loaded = files.join([files.load_picture(one, spec, preprocess) for one in pictures], spec)
        read.inputs[name], read.originals[name] = loaded.array, pictures
        read.pixels[name] = str(preprocess.for_input(spec))
    elif (paths := paths_of(value, spec)) is not None:
        read.files[name] = tuple(map(FileMark.of, paths))
        texts = _texts_of(paths, spec)
        if texts is not None:
            read.inputs[name] = texts
            return
        loaded = files.join([files.load(path, spec, preprocess) for path in paths], spec)
        read.inputs[name] = loaded.array
        if loaded.sizes:
            read.originals[name] = paths
            read.pixels[name] = str(preprocess.for_input(spec))
            read.ids.update({name: values for name, values in file_ids(paths).items() if name not in read.ids})
        if loaded.columns:
            read.columns[name] = loaded.columns
    elif hasattr(value, "coords") and hasattr(value, "dims"):  # xarray
        read.originals[name] = value


def pictures_in(value: Any) -> list[Image.Image] | None:
    """List the pictures of Pillow that a value is or holds; None if it is anything else."""
    if isinstance(value, Image.Image):
        return [value]
    some = isinstance(value, (list, tuple)) and value and all(isinstance(one, Image.Image) for one in value)
    return list(value) if some else None


def _table(value: Any, specs: Mapping[str, TensorSpec]) -> NamedColumns | None:
    """Read a value as a table if it is one for the model as a whole, not for one of its inputs."""
    if not takes_a_table(specs):
        return None
    if isinstance(value, Mapping):
        return None if hasattr(value, "coords") else _table_of_mapping(value, specs)
    if _is_table_file(value):
        return read_table_file(Path(value))
    return table_in(value)


def _is_series(value: Any) -> bool:
    """Decide whether a value is a series of pandas or polars."""
    return hasattr(value, "to_list") and getattr(value, "ndim", 1) == 1 and not isinstance(value, Mapping)


def _table_of_mapping(value: Mapping[str, Any], specs: Mapping[str, TensorSpec]) -> NamedColumns | None:
    """Read a dictionary as a row or as columns, unless its entries are whole values of inputs."""
    given = [(specs.get(name), one) for name, one in value.items()]
    if any(_dimensions(one) > 1 or _is_table_file(one) or isinstance(one, Path) for _, one in given):
        return None
    if any(spec is not None and not takes_a_column(spec) for spec, _ in given):
        return None
    if all(spec is not None and _dimensions(one) == len(spec.shape or ()) for spec, one in given):
        return None
    named = any(spec is not None for spec, _ in given)
    return table_of_mapping(value) if named or len(value) > 1 else None


def _dimensions(value: Any) -> int:
    """Count the axes of a value; lists of lists have two or more."""
    depth = 0
    while isinstance(value, (list, tuple)) and depth < _MOST_AXES:
        value, depth = value[0] if value else None, depth + 1
    axes = getattr(value, "ndim", 0)
    return depth + (axes if isinstance(axes, int) else 0)


def _is_table_file(value: Any) -> bool:
    return isinstance(value, (str, Path)) and Path(value).suffix.lower() in TABLE_FILES


def _texts_in(table: NamedColumns, specs: Mapping[str, TensorSpec], ids: Sequence[str]) -> Given | None:
    """Take the only column of a table, or the one by the input's name, as texts for a model of token ids."""
    name = _text_input(specs)
    free = [column for column in table.columns if column not in ids]
    if name is None or not free or (len(free) > 1 and name not in free):
        return None
    cells = table.columns[name if name in free else free[0]].tolist()
    if not all(isinstance(cell, str) for cell in cells):
        return None
    return Given({name: cells}, ids={**table.ids, **{one: table.columns[one] for one in ids}})


def _named_in_archive(value: Any, specs: Mapping[str, TensorSpec]) -> list[str]:
    """List the inputs that an .npz file has arrays for by their names, where these are several; else empty."""
    if not isinstance(value, (str, Path)) or Path(value).suffix.lower() != ".npz":
        return []
    held = names_of_arrays(Path(value))
    names = [name for name in specs if name in held]
    return names if len(names) > 1 else []


def _only(value: Any, specs: Mapping[str, TensorSpec]) -> str:
    """Name the input that a value without a name is for. Raises InputError if it might be for several."""
    needed = [spec for spec in specs.values() if not spec.optional]
    if len(needed) == 1:
        return needed[0].name
    ids = _text_input(specs)
    if ids is not None and (isinstance(value, (str, Path)) or text.as_texts(value) is not None):
        return ids
    if not needed:
        raise InputError("the model needs no input")
    wanted = "\n".join(f"  {escaped(spec.name)}: {spec}" for spec in needed)
    narrow = all(takes_a_column(spec) for spec in needed)
    hint = (
        "a data frame, a row of one, or the path of a .csv or .parquet file"
        if narrow
        else "a mapping from names to values (on the command line NAME=FILE for each)"
    )
    if isinstance(value, Path) and not value.exists():
        raise InputError(f"there is no file '{escaped(value)}'")
    what = f"'{escaped(value)}'" if isinstance(value, (str, Path)) else f"a {type(value).__name__}"
    raise InputError(f"{what} does not say which input it is for: give {hint}. The model takes\n{wanted}")


def _text_input(specs: Mapping[str, TensorSpec]) -> str | None:
    """Name the input of token ids, if the model needs nothing besides it and those that accompany it."""
    needed = [spec for spec in specs.values() if not spec.optional and not text.goes_along(spec.name)]
    is_text = len(needed) == 1 and text.takes_text(needed[0]) and not takes_a_column(needed[0])
    return needed[0].name if is_text else None


def _with_frames(
    inputs: dict[str, Any], specs: Mapping[str, TensorSpec], known: Mapping[str, tuple[str, ...]]
) -> Given:
    """Take the columns of frames that are given for one input each by their names where the model's file knows them."""
    given = Given(inputs)
    for name, value in [*inputs.items()]:
        names = column_names.of_frame(value)
        if not names:
            continue
        given.columns[name] = names
        own = known.get(name, ())
        if own and own != names and {*own} & {*names} and name in specs:
            table = table_in(value)
            if table is not None:
                matched: Matched = match(table, {name: specs[name]}, known)
                given.inputs[name], given.columns[name] = matched.inputs[name], matched.columns[name]
    return given


def _texts_of(paths: Sequence[Path], spec: TensorSpec) -> list[text.Text] | None:
    """Read the texts of files, one a line, for an input of token ids; None if they hold anything else."""
    if not text.takes_text(spec):
        return None
    parts = [table_inputs.lines_of(path) for path in paths]
    lines = [line for part in parts if part is not None for line in part]
    if None in parts or not lines or table_inputs.are_numbers(lines):
        return None
    return [text.parted(line) for line in lines]
