"""Results of many batches in a folder: one .npz a batch, each written whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from onnxlrp.drafts import draft
from onnxlrp.errors import InputError
from onnxlrp.near_names import did_you_mean
from onnxlrp.notebook_html import notebook_table
from onnxlrp.reprs import counted, cut
from onnxlrp.runtime import seal
from onnxlrp.runtime.archive import remove_drafts, write_npz
from onnxlrp.runtime.lock import only_writer
from onnxlrp.runtime.record import KEY, Record, parse_record

FORMAT = 2
"""Version of the layout of a folder of results."""
_ABOUT = "map.json"
_PART = re.compile(r"(\d{9,18})-(\d{9,18})\.npz")
_WORDS = {
    "model": "the model",
    "samples": "the number of samples",
    "batch_size": "batch_size",
    "inputs": "the inputs' names",
    "preprocess": "preprocess",
    "shared": "a target, weights or an input that all samples share",
    "tokenizer": "the tokenizer",
    "providers": "the providers that onnxruntime runs it on",
}

_FOREIGN = "'{}' is no folder that Explainer.map has written to: it has no " + _ABOUT
_DAMAGED = "'{}' is damaged ({}): write to another folder; numpy.load reads the .npz files of this one"


class Results(Mapping[str, np.ndarray]):
    """A folder that `Explainer.map` has written or is still writing, as arrays over the samples of all complete files.

    `results["image_relevance"]` joins the batches in memory; `results.batches()` reads one after the other. Every file
    holds one batch, is named by its samples and can be read by `numpy.load` without onnxlrp. The file ends with a hash
    of its content, which is checked on reading. Raises InputError if the folder holds no results, or if a file in it is
    damaged.
    """

    def __init__(self, folder: Any) -> None:
        self.folder = as_folder(folder)
        self._about = _read_about(self.folder)

    @property
    def samples(self) -> int:
        """Number of samples once the folder is complete."""
        return int(self._about["samples"])

    @property
    def batch_size(self) -> int:
        """Number of samples in a file; the last file may hold fewer."""
        return int(self._about["batch_size"])

    @property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """Names of the columns of each input, as far as they were known when the folder was begun."""
        known = self._about.get("columns")
        return {name: tuple(names) for name, names in known.items()} if isinstance(known, dict) else {}

    @property
    def done(self) -> int:
        """Number of samples that are written so far, by the names of the files."""
        return sum(stop - start for start, stop in self.spans())

    @property
    def complete(self) -> bool:
        """True if every sample is written."""
        return self.done == self.samples

    def batches(self) -> Iterator[dict[str, np.ndarray]]:
        """Read the arrays of each batch that is complete, in order."""
        for span in self.spans():
            yield self._arrays(*span)

    def record(self, start: int, stop: int) -> Record | None:
        """Read the record of the batch of these samples; None if an earlier onnxlrp wrote it."""
        path = self.part(start, stop)
        text = seal.read(path).get(KEY)
        return None if text is None else parse_record(str(text), f"'{path}'")

    def _arrays(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """Read the arrays of a batch, without its record."""
        return {name: array for name, array in seal.read(self.part(start, stop)).items() if name != KEY}

    def __getitem__(self, name: str) -> np.ndarray:
        parts = []
        for start, stop in self.spans():
            content = self._arrays(start, stop)
            if name not in content:
                raise KeyError(f"{name}{did_you_mean(name, content)}")
            parts.append(content[name])
            if parts[-1].ndim == 0 or len(parts[-1]) not in (stop - start, 1):
                raise InputError(f"axis 0 of {name!r} does not count samples: read it by batches()")
        if not parts:
            raise KeyError(name)
        try:
            return np.concatenate(parts)
        except ValueError as error:
            shapes = sorted({str(list(part.shape[1:])) for part in parts})
            raise InputError(
                f"{name!r} differs in shape between batches ({', '.join(shapes[:5])}): read it by batches()"
            ) from error

    def __iter__(self) -> Iterator[str]:
        spans = self.spans()
        if spans:
            yield from self._arrays(*spans[0])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __repr__(self) -> str:
        return f"<Results '{cut(self.folder, 120)}': {self.done:,} of {counted(self.samples, 'sample')}>"

    def _repr_html_(self) -> str:
        spans = self.spans()
        arrays = self._arrays(*spans[0]) if spans else {}
        rows = [(name, str(value.dtype), str([*value.shape])) for name, value in arrays.items()]
        title = f"Results in '{self.folder}': {self.done:,} of {counted(self.samples, 'sample')}"
        return notebook_table(title, ("array", "type", "shape in the first batch"), rows)

    def part(self, start: int, stop: int) -> Path:
        """Return the path of a batch's file."""
        return self.folder / f"{start:09}-{stop:09}.npz"

    def spans(self) -> list[tuple[int, int]]:
        """List the range of samples of each batch that is written. Raises InputError if the folder cannot be read any
        more."""
        try:
            names = [match for path in self.folder.iterdir() if (match := _PART.fullmatch(path.name))]
        except OSError as error:
            raise InputError(f"'{self.folder}' cannot be read: {error.strerror or error}") from error
        spans = sorted((int(match[1]), int(match[2])) for match in names)
        return [span for span in spans if span[0] % self.batch_size == 0 and span[1] == self._stop(span[0])]

    def _stop(self, start: int) -> int:
        return min(start + self.batch_size, self.samples)


def as_folder(value: Any) -> Path:
    """Convert a value to the path of a folder. Raises InputError if it is no path, or the path of a file."""
    try:
        folder = Path(value)
        if "\0" in str(folder):
            raise ValueError(value)
        is_other = folder.exists() and not folder.is_dir()
    except (TypeError, ValueError) as error:
        raise InputError(f"results of many batches go to a folder, and {value!r:.80} is no path of one") from error
    except OSError as error:
        raise InputError(f"'{folder}' cannot be read: {error.strerror or error}") from error
    if is_other:
        raise InputError(f"'{folder}' is a file: results of many batches go to a folder")
    return folder


def is_table_file(value: Any) -> bool:
    """Decide whether results go to one .parquet file: a path of this suffix that is no folder."""
    return (
        isinstance(value, (str, os.PathLike)) and Path(value).suffix.lower() == ".parquet" and not Path(value).is_dir()
    )


@contextlib.contextmanager
def open_store(folder: Path, about: Mapping[str, Any]) -> Iterator[Results]:
    """Open a folder to write to: a new one, or one that was begun with the same model, data and options.

    Until the block ends no other run can write there. Raises InputError, naming what differs, if the folder was begun
    with others, or if another run is writing.
    """
    _refuse_foreign(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the folder '{folder}' cannot be created: {error.strerror or error}") from error
    with only_writer(folder):
        remove_drafts(folder)
        if not (folder / _ABOUT).exists():
            with draft(folder / _ABOUT) as file:
                file.write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        existing = _read_about(folder)
        other = [words for key, words in _WORDS.items() if existing.get(key) != about.get(key)]
        if other:
            raise InputError(
                f"'{folder}' was begun with other settings; these differ: {', '.join(other)}. Call it as before to "
                "continue, or write to another folder"
            )
        yield Results(folder)


def is_done(results: Results, span: tuple[int, int], fingerprint: Callable[[], str]) -> bool:
    """Decide whether a batch is complete; `fingerprint` hashes its data, and is called only if its file exists.

    Raises InputError if the file is damaged, or explains other data.
    """
    path = results.part(*span)
    known = seal.mark(path)
    if known is not None and known != fingerprint():
        raise InputError(
            f"'{path}' explains other data or another target than samples {span[0]} to {span[1] - 1} have now: remove "
            "it, and it is computed again, or write to another folder"
        )
    return known is not None


def write(results: Results, span: tuple[int, int], fingerprint: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write one batch, whole or not at all."""
    with draft(results.part(*span)) as file:
        write_npz(file, arrays, compressed=False, comment=seal.comment(fingerprint))
        seal.close(file)


def _refuse_foreign(folder: Path) -> None:
    """Raise InputError if a folder holds files (hidden ones aside), but no results."""
    try:
        names = [path.name for path in folder.iterdir() if not path.name.startswith(".")] if folder.is_dir() else []
    except OSError as error:
        raise InputError(f"'{folder}' cannot be read: {error.strerror or error}") from error
    if names and _ABOUT not in names:
        raise InputError(_FOREIGN.format(folder))


def _read_about(folder: Path) -> dict[str, Any]:
    path = folder / _ABOUT
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(_FOREIGN.format(folder)) from error
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(_DAMAGED.format(path, f"it is no JSON: {error}")) from error
    if not isinstance(about, dict):
        raise InputError(_DAMAGED.format(path, "it is no JSON object"))
    if about.get("format") != FORMAT:
        raise InputError(
            f"another version of onnxlrp wrote the results in '{folder}': read its .npz files with numpy.load, and "
            "write new results to another folder"
        )
    for key in ("samples", "batch_size"):
        if type(about.get(key)) is not int or about[key] < 1:
            raise InputError(_DAMAGED.format(path, f'"{key}" is no whole number from 1 on'))
    return about
