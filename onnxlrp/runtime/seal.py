"""Seal of a finished file of results: its last bytes are a hash of all others, so that damage shows without other
files."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import IO, Any

import numpy as np

from onnxlrp.errors import InputError
from onnxlrp.runtime.archive import ARRAY_FILES, UNREADABLE

_DIGITS = 64
_BLANK = "0" * _DIGITS
_BLOCK = 1 << 20


def comment(mark: str) -> str:
    """Make the archive's comment for a part: the fingerprint of its data, and blanks where `close` writes the seal."""
    return mark + _BLANK


def close(path: Path) -> None:
    """Write the seal: the last bytes of the file become the SHA-256 of all bytes before them."""
    with path.open("r+b") as file:
        seal = _hash(file).encode()
        file.seek(-_DIGITS, os.SEEK_END)
        file.write(seal)


def mark(path: Path) -> str | None:
    """Return the fingerprint of the data that a part explains, None if there is no such part.

    This reads the whole file. Raises InputError if the file is not as it was written.
    """
    try:
        with path.open("rb") as file:
            content_hash = _hash(file)
            file.seek(-2 * _DIGITS, os.SEEK_END)
            written = file.read()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        if isinstance(error, PermissionError) and not path.is_dir():  # a folder is one on Windows
            raise InputError(f"'{path}' cannot be read: {error.strerror}") from error
        raise _damaged(path, getattr(error, "strerror", None) or str(error)) from error
    if written[_DIGITS:] != content_hash.encode():
        raise _damaged(path, "its content is not what was written")
    return written[:_DIGITS].decode("ascii", "replace")


def read(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of a part. Raises InputError if its file is not as it was written."""
    if mark(path) is None:
        raise InputError(f"'{path}' no longer exists")
    try:
        with ARRAY_FILES, np.load(path, allow_pickle=False) as content:
            return {name: content[name] for name in content.files}
    except UNREADABLE as error:
        raise _damaged(path, str(error)) from error


def _hash(file: IO[bytes]) -> str:
    """Hash all bytes but those of the seal. Raises ValueError if the file is too short to hold one."""
    rest = os.fstat(file.fileno()).st_size - _DIGITS
    if rest < _DIGITS:
        raise ValueError("it is cut short")
    digest: Any = hashlib.sha256()
    while rest > 0 and (block := file.read(min(rest, _BLOCK))):
        digest.update(block)
        rest -= len(block)
    return digest.hexdigest()


def _damaged(path: Path, why: str) -> InputError:
    return InputError(f"'{path}' is damaged: remove it, and the same call computes it again ({why})")
