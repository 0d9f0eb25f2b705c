"""Records beside arrays and tables: an entry of NPZ, the metadata of Parquet."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import numpy as np

from onnxlrp.extras import optional
from onnxlrp.runtime.archive import ARRAY_FILES, UNREADABLE, hash_of_arrays
from onnxlrp.runtime.record import KEY

_MAGIC = b"PAR1"


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    """Read all arrays of an NPZ, without the record. Raises ValueError if it cannot be read."""
    try:
        with ARRAY_FILES, np.load(path, allow_pickle=False) as content:
            return {name: content[name] for name in content.files if name != KEY}
    except UNREADABLE as error:
        raise ValueError(str(error)) from error


def hash_of_npz(path: Path) -> str:
    """Hash the arrays of an NPZ, as `hash_of_arrays` does."""
    return hash_of_arrays(arrays_of(path))


def into_npz(path: Path, text: str) -> None:
    """Add a record to an NPZ as an array of one string."""
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive, archive.open(f"{KEY}.npy", "w") as entry:
        np.lib.format.write_array(entry, np.array(text), allow_pickle=False)


def out_of_npz(path: Path) -> str | None:
    """Read the record of an NPZ; None if it has none. Raises ValueError if it cannot be read."""
    try:
        with ARRAY_FILES, np.load(path, allow_pickle=False) as content:
            return str(content[KEY]) if KEY in content.files else None
    except UNREADABLE as error:
        raise ValueError(str(error)) from error


def hash_of_parquet(path: Path) -> str:
    """Hash everything in a Parquet file before its footer, which names the columns and holds the record.

    Raises ValueError if it is no Parquet file.
    """
    content = path.read_bytes()
    if len(content) < 12 or content[:4] != _MAGIC or content[-4:] != _MAGIC:
        raise ValueError("it is no Parquet file, or cut short")
    footer = int.from_bytes(content[-8:-4], "little") + 8
    if footer + 4 > len(content):
        raise ValueError("its footer is cut short")
    return hashlib.sha256(content[: len(content) - footer]).hexdigest()


def out_of_parquet(path: Path) -> str | None:
    """Read the record of a Parquet file; None if it has none. Raises ValueError if it cannot be read."""
    parquet = optional("pyarrow.parquet", "a .parquet file", "pyarrow")
    try:
        metadata = parquet.read_metadata(path).metadata or {}
    except Exception as error:  # arrow raises errors of several kinds
        raise ValueError(str(error)) from error
    text = metadata.get(KEY.encode())
    return None if text is None else text.decode("utf-8", "replace")
