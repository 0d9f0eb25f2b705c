"""Checks of the files that are about to be replaced."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from onnxlrp import external_data
from onnxlrp.errors import InputError
from onnxlrp.interface import Interface


def check_replaceable(path: Path, sources: Iterable[Path] = ()) -> None:
    """Raise InputError if a file must not be written: if it is one of `sources`, by any name or link, or if it is no
    regular file.

    A link is refused, because it would be replaced itself, and its target would stay as it was.
    """
    try:
        state = path.lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"'{path}' cannot be written: {error.strerror}") from error
    for source in sources:
        if _is_same(path, source):
            raise InputError(f"'{path}' is the source itself, or holds its weights ({source}); choose another name")
    if stat.S_ISDIR(state.st_mode):
        raise InputError(f"'{path}' is a folder")
    if stat.S_ISLNK(state.st_mode):
        raise InputError(f"'{path}' is a link to {str(path.readlink())!r}: give a name that is none")
    if not stat.S_ISREG(state.st_mode):
        raise InputError(f"'{path}' is no regular file: give another name")


def check_folder(path: Path) -> None:
    """Raise InputError if the folder that a file is to be written to does not exist."""
    if not path.parent.is_dir():
        raise InputError(f"there is no folder '{path.parent}'")


def check_data_file(data: Path, model: Path, sources: Iterable[Path] = ()) -> None:
    """Raise InputError if the weight file `data` of the new model `model` exists, unless an explained model at that
    path wrote it."""
    check_replaceable(data, sources)
    if data.exists() and not any(map(data.samefile, _own_data(model))):
        raise InputError(f"'{data}' exists already, and was not written with an explained model '{model}': move it")


def files_of(path: Path) -> list[Path]:
    """List the model's file and the files of its weights, as far as they can be told; only the model is opened."""
    try:
        proto = onnx.ModelProto.FromString(path.read_bytes())
    except (OSError, DecodeError):
        return [path]
    held = [one for one in external_data.tensors(proto) if one.is_external]
    names = {entry.value for one in held for entry in one.tensor.external_data if entry.key == "location"}
    folders = {path.parent, path.resolve().parent}
    return [path, *(folder / name for folder in folders for name in names if name.isprintable())]


def _own_data(model: Path) -> list[Path]:
    """List the weight files of an explained model; empty if there is no such model."""
    if not model.is_file():
        return []
    try:
        proto = onnx.ModelProto.FromString(model.read_bytes())
    except (OSError, DecodeError):
        return []
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    return [file for file in files_of(model)[1:] if file.exists()] if Interface.is_in(metadata) else []


def _is_same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:
        return False
