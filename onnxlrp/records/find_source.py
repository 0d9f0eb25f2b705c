"""Sources by their hash: finds the model that an explained model or an explanation was computed from."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from onnxlrp.file_hashes import sha256_of
from onnxlrp.interface import Interface
from onnxlrp.runtime.reading import ModelFile, open_model

_SUFFIXES = (".onnx", ".ort", ".pb", "")


@dataclasses.dataclass(frozen=True)
class FoundSource:
    """A file that has a hash."""

    path: Path
    as_object: bool = False
    """True if the hash is that of the model's serialisation, because it was converted as an object in memory."""

    def model(self) -> Any:
        """Return the model in the form that it was converted in."""
        return onnx.load(self.path) if self.as_object else self.path


def find_source(sha256: str, folders: Iterable[Path]) -> FoundSource | None:
    """Find the model with a SHA-256 among the files of folders; None if there is none."""
    candidates = list(dict.fromkeys(path for folder in folders for path in _models(folder)))
    for path in candidates:
        if _hash_of(path) == sha256:
            return FoundSource(path)
    return next((one for path in candidates if (one := as_source(path, sha256)) is not None), None)


def source_beside(model: Path, interface: Interface) -> ModelFile | None:
    """Find the source of an explained model by its hash among the files beside it, and open it; None if it is not
    there."""
    found = find_source(interface.source_sha256, [model.parent])
    return None if found is None else open_model(found.path)


def as_source(path: Path, sha256: str) -> FoundSource | None:
    """Decide whether a file is the source with a SHA-256, as a file or as an object in memory; None if it is not."""
    if _hash_of(path) == sha256:
        return FoundSource(path)
    try:
        proto = onnx.ModelProto.FromString(path.read_bytes())
    except (OSError, DecodeError):
        return None
    content = proto.SerializeToString(deterministic=True)
    return FoundSource(path, as_object=True) if hashlib.sha256(content).hexdigest() == sha256 else None


def _models(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder that may be models, by name."""
    try:
        names = sorted(folder.iterdir())
    except OSError:
        return
    yield from (path for path in names if path.suffix.lower() in _SUFFIXES[:3] and path.is_file())


def _hash_of(path: Path) -> str | None:
    try:
        return sha256_of(path)
    except OSError:
        return None
