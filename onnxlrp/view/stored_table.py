"""Explanations of many samples in one Parquet file: written in parts, which a later run continues."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import math
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from onnxlrp.drafts import atomic_write, draft
from onnxlrp.errors import InputError
from onnxlrp.interface import Interface
from onnxlrp.notebook_html import notebook_table
from onnxlrp.reprs import counted, cut
from onnxlrp.runtime import results, seal, streaming
from onnxlrp.runtime.batches import Batches
from onnxlrp.runtime.explainer import Explainer
from onnxlrp.runtime.explanation import Explanation
from onnxlrp.runtime.inputs import TensorSpec
from onnxlrp.runtime.record import KEY, parse_record
from onnxlrp.runtime.recorder import Recorder
from onnxlrp.view.arrow_tables import arrow, arrow_table, joined_schema, joined_tables
from onnxlrp.view.explanation_table import table_of
from onnxlrp.view.parquet import parquet, write_row_groups
from onnxlrp.view.record_files import metadata_of

_CELLS = 1 << 20
"""Numbers of relevance in a part, about; a part becomes one row group of the file."""
_ROWS = 1 << 16
"""Most samples in a part."""
_GUESS = 512
"""Size that is assumed for an open axis, such as the length of a text."""
_MARK = b"onnxlrp.map"
"""Entry of the file's metadata with the hash of everything that it was computed from."""


class TableResults(results.Results):
    """A Parquet file that `Explainer.map` has written, as arrays: `table["age_relevance"]` reads a column.

    `batches()` reads one row group after the other; `path` is the file, for `pandas.read_parquet` and the like.
    """

    def __init__(self, path: Path, samples: int, batch_size: int) -> None:
        self.path, self.folder = path, path.parent
        self._about = {"samples": samples, "batch_size": batch_size}
        self._file = parquet().ParquetFile(path)

    @property
    def rows(self) -> int:
        """Number of rows of the table: one a sample for a model of tables."""
        return int(self._file.metadata.num_rows)

    @property
    def done(self) -> int:
        return self.samples

    def batches(self) -> Iterator[dict[str, np.ndarray]]:
        for index in range(self._file.num_row_groups):
            yield _arrays(self._file.read_row_group(index))

    def spans(self) -> list[tuple[int, int]]:
        return [(0, self.samples)]

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._file.schema_arrow.names:
            raise KeyError(name)
        return _arrays(self._file.read([name]))[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._file.schema_arrow.names)

    def __repr__(self) -> str:
        return f"<TableResults '{cut(self.path, 120)}': {counted(self.rows, 'row')}>"

    def _repr_html_(self) -> str:
        rows = [(field.name, str(field.type)) for field in self._file.schema_arrow]
        return notebook_table(f"Table '{self.path}': {counted(self.rows, 'row')}", ("column", "type"), rows)


def _arrays(table: Any) -> dict[str, np.ndarray]:
    return {name: table.column(name).to_numpy(zero_copy_only=False) for name in table.column_names}


class _Parts:
    """Batches in groups: each group becomes one part, and at the end one row group of the file."""

    def __init__(self, batches: Batches, about: Mapping[str, Any], group: int) -> None:
        self.batches, self.group = batches, group
        self._about = about
        self._marks: dict[int, str] = {}

    def __len__(self) -> int:
        return -(-len(self.batches) // self.group)

    def indices(self, part: int) -> range:
        """Indices of the batches in a part."""
        return range(part * self.group, min((part + 1) * self.group, len(self.batches)))

    def path(self, folder: Path, part: int) -> Path:
        """Path of a part's file."""
        indices = self.indices(part)
        start, stop = self.batches.span(indices[0])[0], self.batches.span(indices[-1])[1]
        return folder / f"{start:09}-{stop:09}.arrow"

    def note(self, index: int) -> None:
        """Hash the data of a batch, its identifiers, and everything else that its rows depend on."""
        ids = {name: np.asarray(values) for name, values in self.batches.ids(index).items()}
        self._marks[index] = self.batches.fingerprint(index, [self._about, ids])

    def mark(self, part: int) -> str:
        """Hash of a part; the data of batches that were not noted are read."""
        for index in self.indices(part):
            if index not in self._marks:
                self.note(index)
        return _hash(self._marks[index] for index in self.indices(part))

    def whole(self) -> str:
        """Hash of all parts."""
        return _hash(self.mark(part) for part in range(len(self)))


def _hash(marks: Iterable[str]) -> str:
    return hashlib.sha256("".join(marks).encode()).hexdigest()


def store_table(
    explainer: Explainer,
    batches: Batches,
    path: Path,
    progress: bool,
    replace: bool = False,
    noted: Callable[[Explanation], Explanation] = lambda explanation: explanation,
) -> TableResults:
    """Write the explanations of all batches to a Parquet file, whole or not at all.

    Parts are written to the folder `path` + ".parts" until the file is complete, and a later call with the same model,
    data and options goes on from them. A complete file of the same call is not computed again. `noted` adds to each
    explanation what the file's record is to say of it; each part has a record, which the file keeps. Raises InputError
    if another file is at `path` (unless `replace`), or if the parts are those of another call.
    """
    arrow()
    if not path.parent.is_dir():
        raise InputError(f"the folder {path.parent} does not exist")
    about = {**streaming.about(explainer, batches), "columns": {**explainer.columns, **batches.columns}}
    parts = _Parts(batches, about, _group(explainer.interface, explainer.inputs, batches.size))
    folder = path.with_name(f"{path.name}.parts")
    if path.exists() and not replace:
        if _mark_of(path) != parts.whole():
            raise InputError(
                f"'{path}' exists already, and was not written for this model, data and options: remove it, or write "
                "to another file"
            )
    else:
        with results.open_store(folder, about):
            _write_missing(explainer, parts, folder, progress, noted)
            _join(parts, folder, path)
    if folder.is_dir():
        shutil.rmtree(folder)
    return TableResults(path, batches.count, batches.size)


def _mark_of(path: Path) -> str | None:
    """Read the hash of what a file was computed from; None if it holds none."""
    try:
        found = (parquet().read_schema(path).metadata or {}).get(_MARK)
    except (OSError, arrow().ArrowInvalid):
        return None
    return None if found is None else found.decode("ascii", "replace")


def _group(interface: Interface, specs: Mapping[str, TensorSpec], size: int) -> int:
    """Decide how many batches are one part, so that all parts but large batches hold about as many numbers."""
    cells = sum(math.prod(_sizes(specs.get(name))) for name in interface.relevance)
    return max(1, min(_ROWS, _CELLS // (max(1, cells) * interface.targets)) // size)


def _sizes(spec: TensorSpec | None) -> list[int]:
    shape = (None,) if spec is None or spec.shape is None else spec.shape[1:]
    return [axis if isinstance(axis, int) else _GUESS for axis in shape]


def _write_missing(
    explainer: Explainer,
    parts: _Parts,
    folder: Path,
    progress: bool,
    noted: Callable[[Explanation], Explanation],
) -> None:
    """Explain the batches of the parts that are not there, and write each part with its record once its batches are
    done."""
    recorder = Recorder()
    missing = [part for part in range(len(parts)) if not _is_there(parts, folder, part)]
    which = [index for part in missing for index in parts.indices(part)]
    held: list[Any] = []
    for index, explanation in streaming.explain_batches(explainer, parts.batches, progress, which, parts.note):
        recorder.add(noted(explanation))
        held.append(arrow_table(table_of(explanation, parts.batches.span(index)[0])))
        part = index // parts.group
        if index == parts.indices(part)[-1]:
            table = joined_tables(held).replace_schema_metadata(metadata_of(recorder, ""))
            _write_part(parts.path(folder, part), table, parts.mark(part))
            held.clear()
            recorder = Recorder()


def _is_there(parts: _Parts, folder: Path, part: int) -> bool:
    """Decide whether a part was written by an earlier run. Raises InputError if it explains other data."""
    path = parts.path(folder, part)
    known = seal.mark(path)
    if known is not None and known != parts.mark(part):
        raise InputError(
            f"'{path}' explains other data or another target than the call has now: remove its folder to begin anew, "
            "or write to another file"
        )
    return known is not None


def _write_part(path: Path, table: Any, mark: str) -> None:
    """Write a stream of Arrow with the hash of its data and a seal at the end, whole or not at all."""
    module = arrow()
    with draft(path) as name:
        with name.open("wb") as file:
            with module.ipc.new_stream(file, table.schema) as writer:
                writer.write_table(table)
            file.write(seal.comment(mark).encode())
        seal.close(name)


def _join(parts: _Parts, folder: Path, path: Path) -> None:
    """Write all parts to the file, each as a row group, with their records."""
    paths = [parts.path(folder, part) for part in range(len(parts))]
    schemas = [_open(one).schema for one in paths]
    schema = joined_schema([one.remove_metadata() for one in schemas])
    schema = schema.with_metadata({_MARK: parts.whole().encode()})
    metadata = functools.partial(_record_of_parts, [(one.metadata or {}).get(KEY.encode()) for one in schemas])
    with atomic_write(path) as name:
        write_row_groups(map(_read_part, paths), name, schema, metadata)


def _record_of_parts(texts: Sequence[bytes | None], content_sha256: str) -> dict[str, str]:
    """Make the record of the whole file from those of its parts; empty if an earlier onnxlrp wrote one of them."""
    found = [parse_record(text.decode(), "a part") for text in texts if text is not None]
    if len(found) < len(texts):
        return {}
    whole = dataclasses.replace(found[0], content_sha256=content_sha256, further=tuple(found[1:]))
    return {KEY: whole.to_text()}


def _open(path: Path) -> Any:
    return arrow().ipc.open_stream(path.read_bytes())


def _read_part(path: Path) -> Any:
    """Read a part. Raises InputError if its file is not as it was written."""
    if seal.mark(path) is None:
        raise InputError(f"'{path}' no longer exists")
    return _open(path).read_all().combine_chunks()
