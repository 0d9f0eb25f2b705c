"""Files with a record: writes a file whole or not at all with its record, and reads the record again."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from onnxlrp.drafts import atomic_write
from onnxlrp.errors import InputError
from onnxlrp.file_hashes import sha256_of
from onnxlrp.printable import escaped
from onnxlrp.runtime.record import KEY, Record, parse_record
from onnxlrp.runtime.recorder import Recorder
from onnxlrp.view import array_records, binary_records, text_records

BESIDE = ".record.json"
"""End of the name of a record that lies beside its file, as that of a .csv does."""
_ALONE = (".csv", ".npy")
"""Suffixes of files that have no place for a record."""
_Into = Callable[[bytes, str], bytes]
_OutOf = Callable[[bytes], tuple[str | None, bytes]]
_INSIDE: dict[str, tuple[_Into, _OutOf]] = {
    ".png": (binary_records.into_png, binary_records.out_of_png),
    ".gif": (binary_records.into_gif, binary_records.out_of_gif),
    ".svg": (text_records.into_svg, text_records.out_of_svg),
    ".html": (text_records.into_html, text_records.out_of_html),
    ".htm": (text_records.into_html, text_records.out_of_html),
    ".json": (text_records.into_json, text_records.out_of_json),
}
"""Suffixes of files that are changed as a whole, each with what puts a record in and takes it out."""
SUFFIXES = (*_INSIDE, ".npz", ".parquet", *_ALONE)
"""Suffixes of files that may have a record."""


@dataclasses.dataclass(frozen=True)
class FoundRecord:
    """The record of a file, and the hash that the rest of the file has now."""

    record: Record
    file: Path
    """File of the results themselves, beside which the record may lie."""
    content_sha256: str


def record_beside(path: Path) -> Path:
    """Name the file of the record of a file that has no place for one."""
    return path.with_name(path.name + BESIDE)


def files_written(path: Path) -> list[Path]:
    """List the files that results at a path are written to: the file itself, and perhaps its record."""
    return [path, record_beside(path)] if path.suffix.lower() in _ALONE else [path]


@contextlib.contextmanager
def recorded_write(path: Path, recorder: Recorder, further: Sequence[Record] = ()) -> Iterator[Path]:
    """Open a draft of `path` as `atomic_write` does, and put the record of everything that `recorder` has got by the
    end of the block into the file or beside it; both are written whole, or neither.

    `further` holds the records of further explanations in the same file.
    """
    with contextlib.ExitStack() as stack:
        draft = stack.enter_context(atomic_write(path))
        yield draft
        if path.suffix.lower() in _ALONE:
            _write_beside(path, draft, recorder, stack)
        elif not recorder.is_empty:
            _put_inside(draft, recorder, further)


def _write_beside(path: Path, draft: Path, recorder: Recorder, stack: contextlib.ExitStack) -> None:
    """Write the record to a file beside; one that is there is of another explanation, and goes."""
    place = record_beside(path)
    if recorder.is_empty:
        place.unlink(missing_ok=True)
        return
    text = recorder.record(sha256_of(draft)).to_text()
    stack.enter_context(atomic_write(place)).write_text(text + "\n", encoding="ascii")


def _put_inside(draft: Path, recorder: Recorder, further: Sequence[Record]) -> None:
    suffix = draft.suffix.lower()
    if suffix == ".npz":
        content_sha256 = array_records.hash_of_npz(draft)
        array_records.into_npz(draft, recorder.record(content_sha256, further).to_text())
    elif suffix in _INSIDE:  # a .parquet file has got it from its writer
        into, out_of = _INSIDE[suffix]
        content = draft.read_bytes()
        content_sha256 = hashlib.sha256(out_of(content)[1]).hexdigest()
        draft.write_bytes(into(content, recorder.record(content_sha256, further).to_text()))


def metadata_of(recorder: Recorder, content_sha256: str) -> dict[str, str]:
    """Make the metadata of a Parquet file with the record of everything that `recorder` has got; empty without any."""
    return {} if recorder.is_empty else {KEY: recorder.record(content_sha256).to_text()}


def find_record(path: Path) -> FoundRecord:
    """Read the record of a file, or one that lies beside its file, and hash the rest of the file.

    Raises InputError if there is no such file, if it has no record, or if it cannot be read.
    """
    if path.name.endswith(BESIDE):
        path = path.with_name(path.name.removesuffix(BESIDE))
        if not path.is_file():
            raise InputError(f"'{escaped(path)}', the file of this record, is not beside it: copy both together")
    place = f"'{escaped(path)}'"
    if path.is_dir():
        raise InputError(f"{place} is a folder: name one of its files, each of which has a record of its own")
    if not path.is_file():
        raise InputError(f"there is no file {place}")
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{place} has no record: it is none of {', '.join(SUFFIXES)}")
    try:
        text, content_sha256 = _taken(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{place} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if text is None:
        raise InputError(
            f"{place} has no record: an earlier onnxlrp wrote it, another program wrote it again, or its explanation "
            "was put together by hand"
        )
    return FoundRecord(parse_record(text, place), path, content_sha256)


def _taken(path: Path) -> tuple[str | None, str]:
    """Return the text of a file's record, None if it has none, and the hash of the rest."""
    suffix = path.suffix.lower()
    if suffix in _ALONE:
        place = record_beside(path)
        return place.read_text(encoding="utf-8") if place.is_file() else None, sha256_of(path)
    if suffix == ".npz":
        return array_records.out_of_npz(path), array_records.hash_of_npz(path)
    if suffix == ".parquet":
        return array_records.out_of_parquet(path), array_records.hash_of_parquet(path)
    text, rest = _INSIDE[suffix][1](path.read_bytes())
    return text, hashlib.sha256(rest).hexdigest()
