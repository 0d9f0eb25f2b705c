"""Inputs from the command line: files and texts as arrays that fit the model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from onnxlrp.errors import InputError, OnnxLrpError
from onnxlrp.file_hashes import FileMark
from onnxlrp.runtime import files, table_inputs, text
from onnxlrp.runtime.given_values import Given
from onnxlrp.runtime.inputs import TensorSpec, check
from onnxlrp.runtime.samples import expand, file_ids
from onnxlrp.runtime.unnamed_files import spread


@dataclasses.dataclass(frozen=True, eq=False)
class CliInputs:
    """The files of `--input`, each with the name of its input or "", and the texts of `--text`."""

    inputs: Sequence[tuple[str, Path]] = ()
    texts: Sequence[tuple[str, str]] = ()
    tokenizer: Path | None = None
    """Tokenizer file for the texts; None stands for the file beside the model."""
    ids: Sequence[str] = ()
    """Columns of a table that identify its rows, from `--id`."""

    def __bool__(self) -> bool:
        return bool(self.inputs or self.texts)


@dataclasses.dataclass(frozen=True, eq=False)
class Data:
    """Values of all inputs, as read from files and texts."""

    specs: Mapping[str, TensorSpec]
    loaded: Mapping[str, files.Loaded]
    """Content of each file that holds no text."""
    arrays: Mapping[str, np.ndarray]
    """Arrays as the model takes them."""
    tokens: Mapping[str, Sequence[text.Tokens]] = dataclasses.field(default_factory=dict)
    """Tokens of the inputs that are texts or ids."""
    tokenizer: text.Tokenizer | None = None
    table: Given = dataclasses.field(default_factory=lambda: Given({}))
    """Values that a whole table had for inputs, the names of its columns, and its identifiers."""
    pixels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Scale of the pixels of each input that was read from pictures."""
    originals: Mapping[str, Sequence[Path]] = dataclasses.field(default_factory=dict)
    """Files of the inputs that are pictures, one a sample."""

    files: Mapping[str, tuple[FileMark, ...]] = dataclasses.field(default_factory=dict)
    """Files that the inputs were read from, by input."""

    @property
    def samples(self) -> int:
        """Number of samples: the first axis of the first input that has one."""
        return next((len(one) for one in self.arrays.values() if np.ndim(one)), 1)

    @property
    def ids(self) -> dict[str, list[str]]:
        """Names of the samples: the file of each picture or array, and its folder if there are several."""
        names = next((one.files for one in self.loaded.values() if len(one.files) == self.samples), ())
        paths = names if len({*names}) > 1 or any(one.sizes for one in self.loaded.values()) else ()
        return file_ids(paths)

    @property
    def batch_size(self) -> int | None:
        """Number of samples that the model takes at once, if it is fixed and there are more."""
        fixed = fixed_batch(self.arrays, self.specs)
        return fixed if fixed is not None and fixed < self.samples else None


def load(
    given: CliInputs,
    specs: Mapping[str, TensorSpec],
    preprocess: files.Preprocess,
    model: Path | None = None,
    known: Mapping[str, tuple[str, ...]] | None = None,
) -> Data:
    """Read files and texts into the arrays that the model takes; `known` names columns as the model's file does.

    Raises InputError if a value does not fit, if one is missing, or if the model has no input of that name.
    """
    grouped: dict[str, list[Path]] = {}
    found = spread(given.inputs, specs, known or {}, given.ids)
    table = {name: value for name, value in found.table.inputs.items() if text.as_texts(value) is None}
    given = dataclasses.replace(given, texts=[*given.texts, *_texts_of_table(found.table, table)])
    for name, path in found.files:
        grouped.setdefault(name, []).extend(expand(path, specs.get(name)))
    marks = {name: tuple(map(FileMark.of, paths)) for name, paths in grouped.items()}
    names = dict.fromkeys([*table, *grouped, *(name for name, _ in given.texts)])
    if any(name not in specs for name in names):
        check(names, specs)  # raises an error that lists the unknown names and the model's own
    lines = _lines(grouped, given, specs)
    loaded = {
        name: files.join([files.load(path, specs[name], preprocess) for path in paths], specs[name])
        for name, paths in grouped.items()
        if name not in lines
    }
    arrays = {**table, **{name: one.array for name, one in loaded.items()}}
    arrays |= {name: table_inputs.strings(some, specs[name]) for name, some in lines.items() if _is_string(specs[name])}
    words = {name: [text.parted(line) for line in some] for name, some in lines.items() if name not in arrays}
    tokenizer = _tokenizer(given, model, needed=any(text.takes_text(specs[name]) for name in words))
    filled, tokens = text.fill(words, specs, names, lambda: tokenizer or text.find(given.tokenizer, model))
    ready = _checked({**arrays, **filled}, specs)
    ids = {name: ready[name] for name, one in loaded.items() if not one.columns}
    tokens = {**tokens, **text.read_ids(ids, specs, tokenizer)}
    originals = {name: grouped[name] for name, one in loaded.items() if one.sizes}
    pixels = {name: str(preprocess.for_input(specs[name])) for name in originals}
    files_read = {**found.table.files, **marks}
    return Data(specs, loaded, ready, tokens, tokenizer, found.table, pixels, originals, files_read)


def fixed_batch(arrays: Mapping[str, Any], specs: Mapping[str, TensorSpec]) -> int | None:
    """Return the number of samples that a model takes at once, if all inputs declare the same; else None."""
    shapes = [specs[name].shape for name in arrays if name in specs]
    sizes = {shape[0] if shape else None for shape in shapes}
    fixed = sizes.pop() if len(sizes) == 1 else None
    return fixed if isinstance(fixed, int) else None


def _checked(arrays: Mapping[str, Any], specs: Mapping[str, TensorSpec]) -> dict[str, Any]:
    """Check the arrays; those of a model with a fixed batch may hold several batches."""
    fixed = fixed_batch(arrays, specs)
    lengths = {len(one) if np.ndim(one) else 0 for one in arrays.values()}
    if not fixed or len(lengths) > 1 or min(lengths, default=0) <= fixed or min(lengths) % fixed:
        return check(arrays, specs)
    parts = [
        check({name: one[start : start + fixed] for name, one in arrays.items()}, specs)
        for start in range(0, min(lengths), fixed)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in arrays}


def _texts_of_table(found: Given, table: Mapping[str, np.ndarray]) -> list[tuple[str, str]]:
    return [(name, words) for name, value in found.inputs.items() if name not in table for words in value]


def _lines(
    grouped: Mapping[str, Sequence[Path]], given: CliInputs, specs: Mapping[str, TensorSpec]
) -> dict[str, list[str]]:
    """Collect the texts of each input, those in files first.

    Lines of numbers in a file are ids, not a text, unless a tokenizer was given.
    """
    texts: dict[str, list[str]] = {}
    for name, paths in grouped.items():
        if not text.takes_text(specs[name]):
            continue
        parts = [table_inputs.lines_of(path) for path in paths]
        lines = [line for part in parts if part is not None for line in part]
        if None not in parts and lines and (given.tokenizer is not None or not table_inputs.are_numbers(lines)):
            texts[name] = lines
    for name, words in given.texts:
        if name in grouped and name not in texts:
            raise InputError(f"input {name!r} is given twice: as a text, and as a file that holds none")
        texts.setdefault(name, []).append(words)
    return texts


def _tokenizer(given: CliInputs, model: Path | None, needed: bool) -> text.Tokenizer | None:
    """Read the tokenizer. If it is needed only to name ids, a missing or unreadable one gives None instead of an
    error."""
    if needed or given.tokenizer is not None:
        return text.find(given.tokenizer, model)
    try:
        return None if text.beside(model) is None else text.find(None, model)
    except OnnxLrpError:
        return None


def _is_string(spec: TensorSpec) -> bool:
    return spec.dtype is not None and spec.dtype.kind == "O"
