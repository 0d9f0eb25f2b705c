"""A file as the value of a model's input: picture, .npy, .npz, .csv or text."""

from __future__ import annotations

import csv
import dataclasses
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from onnxlrp.errors import InputError
from onnxlrp.printable import listed
from onnxlrp.runtime.inputs import Port

_CHANNELS: dict[object, str] = {1: "L", 3: "RGB", 4: "RGBA"}
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True)
class Preprocess:
    """What a floating-point input holds for a pixel of 0 to 255: `(pixel - mean) / std`, per channel."""

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    @classmethod
    def parse(cls, text: str) -> Preprocess:
        """A name of PREPROCESS, or `MEAN/STD` for pixels of 0 to 1, such as `0.5,0.5,0.5/0.25,0.25,0.25`."""
        if text in PREPROCESS:
            return PREPROCESS[text]
        try:
            mean, std = (tuple(float(part) * 255 for part in half.split(",")) for half in text.split("/"))
            if len(mean) in (1, len(std)) and all(value > 0 for value in std):
                return cls(mean, std)
        except ValueError:
            pass
        raise InputError(f"'{text}' is no preprocessing: it is one of {', '.join(PREPROCESS)} or MEAN/STD")

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels [..., C] of 0 to 255 -> float64 of the same shape."""
        wrong = [len(values) for values in (self.mean, self.std) if len(values) not in (1, pixels.shape[-1])]
        if wrong:
            raise InputError(f"the preprocessing is for {wrong[0]} channels, the picture has {pixels.shape[-1]}")
        return (pixels - np.array(self.mean)) / np.array(self.std)


PREPROCESS = {
    "raw": Preprocess(),
    "unit": Preprocess(std=(255.0,)),
    "signed": Preprocess((127.5,), (127.5,)),
    "imagenet": Preprocess(tuple(255 * value for value in _MEAN), tuple(255 * value for value in _STD)),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Loaded:
    """What a file held, in the type and shape of the input."""

    array: np.ndarray
    pictures: tuple[Image.Image, ...] = ()
    """RGB, in the size that the model sees; one per sample."""
    columns: tuple[str, ...] = ()
    """Names of the last axis, where a .csv file has a header."""


def load(path: Path, port: Port, preprocess: Preprocess = PREPROCESS["raw"], mapped: bool = False) -> Loaded:
    """The file's content for that input; arrays are taken as they are, everything else is converted.

    `mapped`: an .npy file as a memory map.
    A picture is resized to the input's height and width (the whole picture, so its sides may be stretched) and gets
    its channels first or last as the input has them. Raises InputError where the file cannot be that input's value.
    """
    if path.is_dir():
        raise InputError(f"'{path}' is a folder, not a file for input {port.name!r}")
    if not path.exists():
        raise InputError(f"there is no file '{path}' for input {port.name!r}")
    if port.dtype is None:
        raise InputError(f"input {port.name!r} is no tensor; the command line cannot fill it")
    try:
        if path.suffix.lower() in (".npy", ".npz"):
            return Loaded(_numpy(path, port, mapped))
        if path.suffix.lower() in (".csv", ".tsv"):
            return _table(path, port)
        if path.suffix.lower() == ".txt":
            return Loaded(_text(path, port))
        return _picture_or_text(path, port, preprocess)
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}") from error


def lines_of(path: Path) -> list[str] | None:
    """The lines of a text that are not empty; None where it holds an array, a table, or no text at all."""
    if path.suffix.lower() in (".npy", ".npz", ".csv", ".tsv") or not path.is_file():
        return None
    try:
        return [line for line in _read_text(path).splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError):
        return None


def are_numbers(lines: Sequence[str]) -> bool:
    """Whether lines hold nothing but numbers."""
    return all(_is_number(cell) for line in lines for cell in line.replace(",", " ").split())


def join(parts: Sequence[Loaded], port: Port) -> Loaded:
    """Several files of one input as one batch, along axis 0."""
    if len(parts) == 1:
        return parts[0]
    try:
        array = np.concatenate([part.array for part in parts])
    except ValueError as error:
        shapes = ", ".join(str(list(part.array.shape)) for part in parts)
        raise InputError(f"the files of input {port.name!r} make no batch, their shapes differ: {shapes}") from error
    return Loaded(array, tuple(picture for part in parts for picture in part.pictures), parts[0].columns)


def picture_layout(port: Port) -> str | None:
    """Where a picture's axes are: "NCHW", "NHWC", "CHW", "HWC" or "NHW"; None where the input takes none."""
    shape = port.shape
    if shape is None or port.dtype is None or port.dtype.kind not in "uif":
        return None
    if len(shape) == 4:
        for channels in (3, 1, 4):  # a picture may be 4 high, or 1: colour decides
            for layout, axis in (("NCHW", 1), ("NHWC", 3)):
                if shape[axis] == channels:
                    return layout
        return "NCHW" if not isinstance(shape[1], int) and not isinstance(shape[3], int) else None
    if len(shape) == 3:
        if shape[0] in (3, 4):
            return "CHW"
        if shape[2] in (3, 4):
            return "HWC"
        return "NHW" if all(not isinstance(size, int) or size >= 8 for size in shape[1:]) else None
    return None


def _numpy(path: Path, port: Port, mapped: bool) -> np.ndarray:
    try:
        content = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return content
        with content:
            if port.name in content.files:
                return content[port.name]
            if len(content.files) == 1:
                return content[content.files[0]]
            names = listed(content.files) or "nothing"
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, MemoryError, SyntaxError) as error:
        kind = "an array file of numpy" if path.suffix == ".npy" else "an archive of numpy arrays"
        raise InputError(f"'{path}' is not {kind}, or it is damaged: {error}") from error
    raise InputError(f"'{path}' holds {names}, but nothing by the name of input {port.name!r}")


def _table(path: Path, port: Port) -> Loaded:
    """Rows of a .csv file are samples; a column that has the input's name is that input alone."""
    text = _read_text(path)
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    rows = [row for row in csv.reader(text.splitlines(), delimiter=delimiter) if any(cell.strip() for cell in row)]
    if not rows:
        raise InputError(f"'{path}' is empty")
    columns: tuple[str, ...] = ()
    if any(not _is_number(cell) for cell in rows[0]) and (port.dtype != np.dtype(object) or port.name in rows[0]):
        columns, rows = tuple(cell.strip() for cell in rows[0]), rows[1:]
    if any(len(row) != len(rows[0]) for row in rows) or not rows:
        raise InputError(f"'{path}' is no table: its rows differ in length, or there are none")
    cells = np.array(rows, dtype=object)
    if port.name in columns:
        cells, columns = cells[:, [columns.index(port.name)]], (port.name,)
    return Loaded(_shaped(_numbers(cells, port, path), port, path), columns=columns)


def _text(path: Path, port: Port) -> np.ndarray:
    """Lines for a string input; rows of numbers for any other."""
    lines = [line for line in _read_text(path).splitlines() if line.strip()]
    if port.dtype is not None and port.dtype.kind == "O":
        return strings(lines, port)
    rows = [line.replace(",", " ").split() for line in lines]
    if not rows or any(len(row) != len(rows[0]) for row in rows):
        raise InputError(f"'{path}': input {port.name!r} takes {port}, so each line must hold as many numbers")
    return _shaped(_numbers(np.array(rows, dtype=object), port, path), port, path)


def strings(lines: Sequence[str], port: Port) -> np.ndarray:
    """Lines as the value of a string input."""
    array = np.array(lines, dtype=object)
    return array.reshape(-1, 1) if port.shape is not None and len(port.shape) == 2 else array


def _numbers(cells: np.ndarray, port: Port, path: Path) -> np.ndarray:
    """Text cells [R, C] in the type of the input; an empty cell is NaN."""
    dtype = port.dtype
    if dtype is None or dtype.kind == "O":
        return cells
    for row, column in np.ndindex(cells.shape):
        cell = str(cells[row, column]).strip()
        try:
            cells[row, column] = _number(cell, dtype)
        except ValueError as error:
            hint = "; words need a tokenizer and a .txt file" if dtype.kind == "i" and not _is_number(cell) else ""
            raise InputError(
                f"'{path}', row {row + 1}: '{cell:.40}' is no {dtype}, which input {port.name!r} takes{hint}"
            ) from error
    try:
        return cells.astype(dtype)
    except OverflowError as error:
        raise InputError(f"'{path}': a number is too large for {dtype}, which input {port.name!r} takes") from error


def _number(cell: str, dtype: np.dtype) -> Any:
    if dtype.kind == "f":
        return float(cell) if cell else float("nan")
    if dtype.kind == "b":
        if cell.lower() not in ("0", "1", "true", "false"):
            raise ValueError(cell)
        return cell.lower() in ("1", "true")
    try:
        return int(cell)
    except ValueError:
        if float(cell).is_integer():
            return int(float(cell))
        raise


def _shaped(table: np.ndarray, port: Port, path: Path) -> np.ndarray:
    """Rows [R, C] in the rank of the input: one sample a row, or one sample whose rows are its time steps."""
    shape = port.shape
    if shape is None or len(shape) == 2:
        return table
    if len(shape) <= 1 and 1 in table.shape:
        return table.reshape(-1) if len(shape) == 1 else table.reshape(())
    if len(shape) >= 3:
        trailing = [size if isinstance(size, int) else -1 for size in shape[1:]]
        if len(shape) == 3 and trailing[-1] == table.shape[1] and trailing[0] in (-1, len(table)):
            return table[None]
        known = int(np.prod([size for size in trailing if size > 0]))
        whole = known == table.shape[1] if -1 not in trailing else known and table.shape[1] % known == 0
        if trailing.count(-1) <= 1 and whole:
            return table.reshape(len(table), *trailing)
    raise InputError(
        f"'{path}' has {table.shape[0]} rows of {table.shape[1]} values, which do not make up {port.name!r}: {port}"
    )


def _picture_or_text(path: Path, port: Port, preprocess: Preprocess) -> Loaded:
    try:
        with Image.open(path) as opened:
            picture = ImageOps.exif_transpose(opened)
            picture.load()
    except UnidentifiedImageError as error:
        if picture_layout(port) is not None:
            raise InputError(f"'{path}' is no picture that can be read, for input {port.name!r}: {port}") from error
        try:
            return Loaded(_text(path, port))
        except UnicodeDecodeError as error:
            raise InputError(f"'{path}' is neither a picture nor .npy, .npz, .csv or text") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"'{path}' is a damaged picture, or too large a one: {error}") from error
    return _picture(picture, path, port, preprocess)


def _picture(picture: Image.Image, path: Path, port: Port, preprocess: Preprocess) -> Loaded:
    layout = picture_layout(port)
    if layout is None or port.shape is None or port.dtype is None:
        raise InputError(f"'{path}' is a picture, but input {port.name!r} takes {port}: give it as .npy, .npz or .csv")
    size = [port.shape[layout.index(axis)] for axis in "WH"]
    width, height = (want if isinstance(want, int) else have for want, have in zip(size, picture.size, strict=True))
    channels = port.shape[layout.index("C")] if "C" in layout else 1
    mode = _CHANNELS.get(channels, "RGB")
    picture = _eight_bits(picture)
    if mode != "RGBA" and picture.mode in ("RGBA", "LA", "PA", "P"):
        clear = picture.convert("RGBA")  # what is transparent would turn black: put it on white paper
        picture = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear)
    picture = picture.convert(mode).resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(picture).reshape(height, width, -1)
    if port.dtype.kind == "f":
        pixels = preprocess(pixels)
    elif preprocess != PREPROCESS["raw"]:
        raise InputError(f"input {port.name!r} takes {port.dtype}, pixels of 0 to 255: leave the preprocessing out")
    elif np.iinfo(port.dtype).max < 255:
        raise InputError(f"input {port.name!r} takes {port.dtype}, which cannot hold a pixel of 255: give it as .npy")
    array = pixels.astype(port.dtype)
    array = array.transpose(2, 0, 1) if layout in ("NCHW", "CHW") else array if "C" in layout else array[..., 0]
    array = array[None] if layout.startswith("N") else array
    return Loaded(np.ascontiguousarray(array), (picture.convert("RGB"),))


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Pictures of 16 or 32 bits a pixel scaled to 8; Pillow's own conversion would clip them."""
    if picture.mode.startswith(("I", "F")):
        values = np.asarray(picture, dtype=np.float64)
        top = 65535.0 if values.max(initial=0) > 255 else 255.0
        return Image.fromarray(np.clip(values * (255.0 / top), 0, 255).astype(np.uint8))
    return picture


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        if path.suffix.lower() in (".csv", ".tsv", ".txt"):
            raise InputError(f"'{path}' is not text in UTF-8") from None
        raise


def _is_number(cell: str) -> bool:
    try:
        float(cell or "nan")
    except ValueError:
        return False
    return True
