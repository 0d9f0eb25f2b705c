"""Samples of one input that are read only when needed: from arrays, texts or files."""

from __future__ import annotations

import dataclasses
import functools
import glob
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from onnxlrp.errors import InputError, OnnxLrpError
from onnxlrp.file_hashes import FileMark, sha256_of
from onnxlrp.printable import escaped, listed
from onnxlrp.runtime import column_names, files, fingerprint, table_inputs, text
from onnxlrp.runtime.inputs import TensorSpec

_ARRAYS = (".npy", ".npz")
_TABLES = (".csv", ".tsv", ".txt")
_NO_SAMPLES = "input '{}' takes {}; give an array of samples or files, not {}"


class Samples(Protocol):
    """The value of one input for every sample, along axis 0."""

    def __len__(self) -> int: ...

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of a table; empty if they are not known."""

    def read(self, start: int, stop: int) -> Any:
        """Return the samples of a range, as one value for the model's input."""

    def identify(self, start: int, stop: int, digest: Any) -> None:
        """Add to a hash everything that tells these samples from others."""


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """An array, a list, or any other object with a length and slices (h5py, zarr, memory maps)."""

    values: Any
    name: str
    """Name of the input, for errors."""

    def __len__(self) -> int:
        return len(self.values)

    @property
    def columns(self) -> tuple[str, ...]:
        return column_names.of_frame(self.values)

    def read(self, start: int, stop: int) -> Any:
        try:
            part = self.values[start:stop]
            if isinstance(part, np.ma.MaskedArray) or column_names.of_frame(part):
                return part
            return list(part) if isinstance(part, (list, tuple)) else np.ascontiguousarray(part)
        except OnnxLrpError:
            raise
        except Exception as error:  # whatever a library's slices raise
            raise InputError(f"samples of '{self.name}' cannot be read: {type(error).__name__}: {error}") from error

    def identify(self, start: int, stop: int, digest: Any) -> None:
        fingerprint.add(digest, self.read(start, stop))


@dataclasses.dataclass(frozen=True, eq=False)
class _File:
    path: Path
    length: int
    rows: Any = None
    """Content of a text or table, which is read only once."""
    columns: tuple[str, ...] = ()


class Files:
    """Pictures, .npy, .npz, .csv and text files, one after the other: a picture is one sample, a row or a line another.

    Raises InputError for a file that does not exist or holds no samples. Pictures are opened when they are read.
    """

    def __init__(self, paths: Sequence[Path], spec: TensorSpec, preprocess: files.Preprocess) -> None:
        self._port = spec
        self._preprocess = preprocess
        self._files = [self._open(path) for path in paths]
        self._ends = np.cumsum([file.length for file in self._files], dtype=np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1])

    @property
    def columns(self) -> tuple[str, ...]:
        return self._files[0].columns

    @functools.cached_property
    def names(self) -> list[str]:
        """Paths of the files, if each of them is a picture, and so one sample; else an empty list."""
        is_alone = all(file.rows is None and file.path.suffix.lower() not in _ARRAYS for file in self._files)
        return [str(file.path) for file in self._files] if is_alone else []

    def marks(self, start: int, stop: int) -> tuple[FileMark, ...]:
        """Mark the files that hold a range of samples."""
        return tuple(FileMark.of(file.path) for file, _, _ in self._within(start, stop))

    def read(self, start: int, stop: int) -> Any:
        parts = [self._rows(file)[first:last] for file, first, last in self._within(start, stop)]
        if all(isinstance(part, list) for part in parts):
            return [row for part in parts for row in part]
        arrays = [files.Loaded(np.asarray(part)) for part in parts]
        return np.ascontiguousarray(files.join(arrays, self._port).array)

    def identify(self, start: int, stop: int, digest: Any) -> None:
        """Hash arrays and tables by their rows, and pictures by the content of their files.

        Neither the name nor the time of a file says what it holds.
        """
        for file, first, last in self._within(start, stop):
            suffix = file.path.suffix.lower()
            if file.rows is not None or suffix in _ARRAYS:
                fingerprint.add(digest, self._rows(file)[first:last])
            else:
                fingerprint.add(digest, [suffix, self._content(file.path)])

    def _content(self, path: Path) -> str:
        try:
            return sha256_of(path)
        except OSError as error:
            raise InputError(f"'{escaped(path)}' cannot be read: {error.strerror or error}") from error

    def _within(self, start: int, stop: int) -> list[tuple[_File, int, int]]:
        """Find the files that hold a range of samples, and the range of each one's own samples."""
        ranges = []
        index = int(np.searchsorted(self._ends, start, side="right"))
        while index < len(self._files) and (before := int(self._ends[index]) - self._files[index].length) < stop:
            file = self._files[index]
            ranges.append((file, max(start - before, 0), min(stop - before, file.length)))
            index += 1
        return ranges

    def _open(self, path: Path) -> _File:
        suffix = path.suffix.lower()
        if suffix in _ARRAYS:
            return _File(path, len(self._array(path)))
        if suffix in _TABLES:
            rows: Any = self._lines(path)
            columns: tuple[str, ...] = ()
            if rows is None:
                loaded = files.load(path, self._port, self._preprocess)
                rows, columns = loaded.array, loaded.columns
            if np.ndim(rows) == 0:
                raise InputError(f"'{escaped(path)}' holds one number, not samples of input {self._port.name!r}")
            return _File(path, len(rows), rows, columns)
        if not path.is_file():
            raise InputError(f"there is no file '{escaped(path)}' for input {self._port.name!r}")
        return _File(path, 1)

    def _rows(self, file: _File) -> Any:
        if file.rows is not None:
            return file.rows
        if file.path.suffix.lower() in _ARRAYS:
            return self._array(file.path)
        array = files.load(file.path, self._port, self._preprocess).array
        array = array if array.ndim != self._rank() - 1 else array[None]
        if len(array) != 1:
            raise InputError(
                f"'{escaped(file.path)}' holds {len(array)} samples; name it .csv or .txt if it is a table"
            )
        return array

    def _array(self, path: Path) -> np.ndarray:
        """Open an .npy file as a memory map; a single sample may come without the batch axis."""
        array = files.load(path, self._port, self._preprocess, mapped=True).array
        if array.ndim == 0:
            raise InputError(f"'{escaped(path)}' holds one number, not samples of input {self._port.name!r}")
        return array if array.ndim != self._rank() - 1 else array[None]

    def _rank(self) -> int:
        return -1 if self._port.shape is None else len(self._port.shape)

    def _lines(self, path: Path) -> list[text.Text] | None:
        """Read the texts of a file, one a line; None if it holds numbers."""
        lines = table_inputs.lines_of(path) if text.takes_text(self._port) else None
        return None if not lines or table_inputs.are_numbers(lines) else [text.parted(line) for line in lines]


def find(value: Any, spec: TensorSpec, preprocess: files.Preprocess) -> Samples:
    """Find the samples that a value names: a path, a folder, a pattern such as `pictures/*.png`, a list of paths, an
    array or a list. A string is a path unless the input takes texts or strings."""
    named = paths_of(value, spec)
    if named is not None:
        return Files(named, spec, preprocess)
    value = [value] if isinstance(value, str) else value
    sliced = hasattr(value, "__len__") and hasattr(value, "__getitem__") and not isinstance(value, Mapping)
    try:
        if sliced and getattr(value, "ndim", 1) != 0 and len(value) >= 0:
            return Rows(value, spec.name)
    except Exception as error:  # whatever a library's __len__ raises, a sparse matrix's at least
        raise InputError(_NO_SAMPLES.format(spec.name, spec, type(value).__name__)) from error
    raise InputError(_NO_SAMPLES.format(spec.name, spec, f"{value!r:.80}"))


def paths_of(value: Any, spec: TensorSpec) -> list[Path] | None:
    """List the files that a value names; None if it is no path."""
    is_words = text.takes_text(spec) or (spec.dtype is not None and spec.dtype.kind == "O")
    kinds = Path if is_words else (Path, str)
    if isinstance(value, kinds):
        return expand(Path(value), spec)
    if isinstance(value, (list, tuple)) and value and all(isinstance(one, kinds) for one in value):
        return [path for one in value for path in expand(Path(one), spec)]
    return None


def expand(path: Path, spec: TensorSpec | None = None) -> list[Path]:
    """List the files of a folder or of a pattern by name, without hidden ones; any other path stands for itself.

    Where `spec` is an input that takes pictures, files of a folder that are none are left out with a warning, and those
    of its sub-folders follow, one folder after the other.
    """
    pictures = spec is not None and files.picture_layout(spec) is not None
    try:
        if path.is_dir():
            paths, words = _in_folder(path, pictures), f"the folder '{escaped(path)}' holds no file"
        elif not path.exists() and glob.has_magic(str(path)):
            root = Path(path.anchor)
            paths, words = list(root.glob(str(path.relative_to(root)))), f"'{escaped(path)}' names no file"
        else:
            return [path]
    except (OSError, ValueError) as error:
        raise InputError(f"'{escaped(path)}' is no file, folder or pattern that can be read: {error}") from error
    visible = [one for one in paths if one.is_file() and not one.name.startswith(".")]
    kept = [one for one in visible if not (pictures and path.is_dir()) or is_picture_file(one) or _is_array(one)]
    if not kept:
        raise InputError(f"the folder '{escaped(path)}' holds no picture" if visible else words)
    if left := [one for one in visible if one not in {*kept}]:
        named = listed([one.relative_to(path) for one in left[:5]]) + (" and others" if len(left) > 5 else "")
        warnings.warn(f"left out of '{escaped(path)}', no pictures: {named}", stacklevel=2)
    return kept if path.is_dir() and pictures else sorted(kept)


def file_ids(paths: Sequence[Path]) -> dict[str, list[str]]:
    """Identify samples by their files, and by the folders of these if there are several, which are often classes."""
    ids = {"file": [str(path) for path in paths]} if paths else {}
    folders = [path.parent.name for path in paths]
    return {**ids, "folder": folders} if len({path.parent for path in paths}) > 1 else ids


def _in_folder(path: Path, deep: bool) -> list[Path]:
    """List the files of a folder by name; with `deep` those of its sub-folders too."""
    entries = sorted(one for one in path.iterdir() if not one.name.startswith("."))
    folders = [sorted(one.iterdir()) for one in entries if deep and one.is_dir()]
    below = [file for one in folders if any(map(is_picture_file, one)) for file in one if not _is_array(file)]
    return [*(one for one in entries if one.is_file()), *below]


def _is_array(path: Path) -> bool:
    return path.suffix.lower() in _ARRAYS


def is_picture_file(path: Path) -> bool:
    """Decide by a file's name whether it is a picture; a name without a suffix that is known, by its first bytes."""
    Image.init()
    kind = Image.registered_extensions().get(path.suffix.lower())
    if kind is not None:
        return kind in Image.OPEN
    if path.suffix.lower() in (*_ARRAYS, *_TABLES) or not path.is_file():
        return False
    try:
        with Image.open(path):
            return True
    except Exception:  # each format's reader raises its own errors
        return False
