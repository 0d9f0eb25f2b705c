"""What the command line was given for a model's inputs, files and texts, as arrays that fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from onnxlrp.errors import InputError, OnnxLrpError
from onnxlrp.runtime import files, table_inputs, text
from onnxlrp.runtime.inputs import TensorSpec, check
from onnxlrp.runtime.samples import expand


@dataclasses.dataclass(frozen=True, eq=False)
class CliInputs:
    """The files of `--input` and the texts of `--text`."""

    inputs: Sequence[tuple[str, Path]] = ()
    texts: Sequence[tuple[str, str]] = ()
    tokenizer: Path | None = None
    """For texts; None: the file beside the model."""

    def __bool__(self) -> bool:
        return bool(self.inputs or self.texts)


@dataclasses.dataclass(frozen=True, eq=False)
class Data:
    """What they held, per input."""

    ports: Mapping[str, TensorSpec]
    loaded: Mapping[str, files.Loaded]
    """Of files that hold no text."""
    arrays: Mapping[str, np.ndarray]
    """As the model takes them."""
    tokens: Mapping[str, Sequence[text.Tokens]] = dataclasses.field(default_factory=dict)
    """Of inputs that are text, or ids."""
    tokenizer: text.Tokenizer | None = None


def load(
    given: CliInputs, ports: Mapping[str, TensorSpec], preprocess: files.Preprocess, model: Path | None = None
) -> Data:
    """Files and texts as the model takes them; InputError where one does not fit, is missing or is not known."""
    grouped: dict[str, list[Path]] = {}
    for name, path in given.inputs:
        grouped.setdefault(name, []).extend(expand(path))
    names = dict.fromkeys([*grouped, *(name for name, _ in given.texts)])
    if any(name not in ports for name in names):
        check(names, ports)  # raises: names them all, and the ones there are
    lines = _lines(grouped, given, ports)
    loaded = {
        name: files.join([files.load(path, ports[name], preprocess) for path in paths], ports[name])
        for name, paths in grouped.items()
        if name not in lines
    }
    arrays = {name: one.array for name, one in loaded.items()}
    arrays |= {name: table_inputs.strings(some, ports[name]) for name, some in lines.items() if _is_string(ports[name])}
    words = {name: [text.parted(line) for line in some] for name, some in lines.items() if name not in arrays}
    tokenizer = _tokenizer(given, model, needed=any(text.takes_text(ports[name]) for name in words))
    filled, tokens = text.fill(words, ports, names, lambda: tokenizer or text.find(given.tokenizer, model))
    ready = check({**arrays, **filled}, ports)
    ids = {name: ready[name] for name, one in loaded.items() if not one.columns}
    return Data(ports, loaded, ready, {**tokens, **text.read_ids(ids, ports, tokenizer)}, tokenizer)


def _lines(
    grouped: Mapping[str, Sequence[Path]], given: CliInputs, ports: Mapping[str, TensorSpec]
) -> dict[str, list[str]]:
    """The texts per input, first those in files; lines of numbers are ids, unless a tokenizer was given for them."""
    found: dict[str, list[str]] = {}
    for name, paths in grouped.items():
        if not text.takes_text(ports[name]):
            continue
        parts = [table_inputs.lines_of(path) for path in paths]
        lines = [line for part in parts if part is not None for line in part]
        if None not in parts and lines and (given.tokenizer is not None or not table_inputs.are_numbers(lines)):
            found[name] = lines
    for name, words in given.texts:
        if name in grouped and name not in found:
            raise InputError(f"input {name!r} is given twice: as a text, and as a file that holds none")
        found.setdefault(name, []).append(words)
    return found


def _tokenizer(given: CliInputs, model: Path | None, needed: bool) -> text.Tokenizer | None:
    """What is needed or was asked for must be there; for the names of ids, what lies beside the model is welcome."""
    if needed or given.tokenizer is not None:
        return text.find(given.tokenizer, model)
    try:
        return None if text.beside(model) is None else text.find(None, model)
    except OnnxLrpError:
        return None


def _is_string(port: TensorSpec) -> bool:
    return port.dtype is not None and port.dtype.kind == "O"
