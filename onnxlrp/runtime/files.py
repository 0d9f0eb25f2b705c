"""Conversion of a file to the value of a model's input: picture, .npy, .npz, .csv or text."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from onnxlrp.errors import InputError
from onnxlrp.near_names import did_you_mean
from onnxlrp.printable import escaped, listed
from onnxlrp.runtime import depth, table_inputs
from onnxlrp.runtime.archive import ARRAY_FILES, UNREADABLE
from onnxlrp.runtime.inputs import TensorSpec
from onnxlrp.runtime.values import cast

_CHANNELS: dict[object, str] = {1: "L", 3: "RGB", 4: "RGBA"}
_MOST_PIXELS = 1 << 28
_ORIENTATION = 0x0112
_IN_WORDS = {
    "raw": "pixels of 0 to 255",
    "unit": "pixels of 0 to 1",
    "signed": "pixels of -1 to 1",
    "imagenet": "less ImageNet's mean, divided by its deviation",
}
_MOST_SPREAD = 10.0
"""Largest standard deviation of pixels of 0 to 1 that is taken at its word; larger ones count in 0 to 255."""
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True)
class Preprocess:
    """The scale of a floating-point input: `(pixel - mean) / std` per channel, for pixels of 0 to 255."""

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    automatic: bool = False
    """True stands for the scale that the model's first steps tell, `"raw"` where they tell none."""

    @classmethod
    def parse(cls, text: str) -> Preprocess:
        """Parse a name of PREPROCESS, or `MEAN/STD` for pixels of 0 to 1, such as `0.5,0.5,0.5/0.25,0.25,0.25`.

        Raises InputError for anything else, for means above 1 too, which count in pixels of 0 to 255.
        """
        if isinstance(text, str) and text in PREPROCESS:
            return PREPROCESS[text]
        try:
            mean, std = (tuple(float(part) for part in half.split(",")) for half in str(text).split("/"))
        except ValueError:
            mean, std = (), ()
        if std and len(mean) in (1, len(std)) and all(value > 0 for value in std) and np.isfinite([*mean, *std]).all():
            if max(map(abs, mean)) > 1 or max(std) > _MOST_SPREAD:
                scaled = "/".join(",".join(f"{value / 255:.4g}" for value in half) for half in (mean, std))
                raise InputError(f"'{text}' counts in pixels of 0 to 255; MEAN/STD count in pixels of 0 to 1: {scaled}")
            return cls(tuple(255 * value for value in mean), tuple(255 * value for value in std))
        near = did_you_mean(text, PREPROCESS)
        raise InputError(f"'{text}' is no preprocessing: it is one of {', '.join(PREPROCESS)} or MEAN/STD{near}")

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Scale pixels [..., C] of 0 to 255 to float64 of the same shape."""
        wrong = [len(values) for values in (self.mean, self.std) if len(values) not in (1, pixels.shape[-1])]
        if wrong:
            raise InputError(f"the preprocessing is for {wrong[0]} channels, the picture has {pixels.shape[-1]}")
        return (pixels - np.array(self.mean)) / np.array(self.std)

    def for_input(self, spec: TensorSpec) -> Preprocess:
        """Return the preprocessing itself, or, if it is automatic, the one that an input takes."""
        return PREPROCESS["raw" if spec.pixels is None else spec.pixels.name] if self.automatic else self

    def __str__(self) -> str:
        """Write it as `parse` reads it."""
        names = [name for name, one in PREPROCESS.items() if one == self]
        halves = (",".join(f"{value / 255:.6g}" for value in half) for half in (self.mean, self.std))
        return names[0] if names else "/".join(halves)


PREPROCESS = {
    "auto": Preprocess(automatic=True),
    "raw": Preprocess(),
    "unit": Preprocess(std=(255.0,)),
    "signed": Preprocess((127.5,), (127.5,)),
    "imagenet": Preprocess(tuple(255 * value for value in _MEAN), tuple(255 * value for value in _STD)),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Loaded:
    """Content of a file, in the type and shape of the input."""

    array: np.ndarray
    columns: tuple[str, ...] = ()
    """Names along the last axis, from the header of a .csv file."""
    files: tuple[Path, ...] = ()
    """File of each sample, if it is a picture or an array file."""
    sizes: tuple[tuple[int, int], ...] = ()
    """Width and height of each picture as its file has it, turned as its EXIF data say; empty for other files."""


def load(path: Path, spec: TensorSpec, preprocess: Preprocess = PREPROCESS["auto"], mapped: bool = False) -> Loaded:
    """Read a file for an input; arrays are returned unchanged, everything else is converted.

    With `mapped` an .npy file is returned as a memory map. A picture is turned as its EXIF data say, put on white if it
    is transparent, converted to the input's number of channels (palettes and CMYK to RGB, without colour profiles),
    resized to the input's height and width (the whole picture, so its sides may be stretched), and gets its channels
    first or last as the input has them. Deeper pictures are converted to 8 bits, see `depth`. If a file holds several
    pictures, the first is read, with a warning. For tables see `table_inputs.read_table`. Raises InputError if the file
    cannot be that input's value; nothing is ever unpickled.
    """
    if path.is_dir():
        raise InputError(f"'{escaped(path)}' is a folder, not a file for input {spec.name!r}")
    if not path.exists():
        raise InputError(f"there is no file '{escaped(path)}' for input {spec.name!r}")
    if spec.dtype is None:
        raise InputError(f"input {spec.name!r} is no tensor; the command line cannot fill it")
    try:
        if path.suffix.lower() in (".npy", ".npz"):
            array = _numpy(path, spec, mapped)
            return Loaded(array, files=(path,) * (len(array) if array.ndim else 0))
        if path.suffix.lower() in table_inputs.TABLES:
            array, columns = table_inputs.read_table(path, spec)
            return Loaded(array, columns=columns)
        if path.suffix.lower() == ".txt":
            return Loaded(table_inputs.read_lines(path, spec))
        return _picture_or_text(path, spec, preprocess)
    except OSError as error:
        raise InputError(f"'{escaped(path)}' cannot be read: {error.strerror or error}") from error


def load_picture(picture: Image.Image, spec: TensorSpec, preprocess: Preprocess = PREPROCESS["auto"]) -> Loaded:
    """Convert a picture of Pillow to the value of an input, as `load` does with a picture's file."""
    return _picture(ImageOps.exif_transpose(picture), picture.format, Path("the picture"), spec, preprocess)


def pixels_in_words(spec: TensorSpec) -> str:
    """Say how pictures for an input are scaled without any option, and why."""
    name = "raw" if spec.pixels is None else spec.pixels.name
    because = spec.pixels.why if spec.pixels is not None else "nothing in the model says how its pixels were scaled"
    other = "takes another" if spec.pixels is not None else "imagenet, unit, signed or MEAN/STD if it was trained so"
    scaled = f"pictures for {spec.name!r} go in as {name}, {_IN_WORDS[name]}"
    return f"{scaled}: {because}; --preprocess {other} (onnxlrp help pixels)"


def join(parts: Sequence[Loaded], spec: TensorSpec) -> Loaded:
    """Join several files for one input to one batch, along axis 0."""
    if len(parts) == 1:
        return parts[0]
    try:
        array = np.concatenate([part.array for part in parts])
    except ValueError as error:
        shapes = ", ".join(str(list(part.array.shape)) for part in parts)
        raise InputError(f"the files of input {spec.name!r} make no batch, their shapes differ: {shapes}") from error
    return Loaded(
        array,
        parts[0].columns,
        tuple(file for part in parts for file in part.files),
        tuple(size for part in parts for size in part.sizes),
    )


def picture_size(picture: Path | Image.Image) -> tuple[int, int]:
    """Return width and height of a picture, turned as its EXIF data say."""
    if isinstance(picture, Path):
        with Image.open(picture) as opened:
            return picture_size(opened)
    width, height = picture.size
    return (height, width) if picture.getexif().get(_ORIENTATION, 1) >= 5 else (width, height)


def open_picture(path: Path) -> Image.Image:
    """Open a picture file in its own size, in RGB, as `load` turns and converts it before it is resized."""
    with Image.open(path) as opened:
        picture = ImageOps.exif_transpose(opened)
        picture.load()
        kind = opened.format
    return _converted(depth.eight_bits(picture, kind, path), "RGB")


def picture_layout(spec: TensorSpec) -> str | None:
    """Name the order of a picture's axes: "NCHW", "NHWC", "CHW", "HWC" or "NHW"; None if the input takes none."""
    shape = spec.shape
    if shape is None or spec.dtype is None or spec.dtype.kind not in "uif":
        return None
    if len(shape) == 4:
        for channels in (3, 1, 4):  # 3 first, because a side may also be 1 or 4 long
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


def _numpy(path: Path, spec: TensorSpec, mapped: bool) -> np.ndarray:
    try:
        with ARRAY_FILES:
            content = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return content
        with content:
            alone = content.files[0] if len(content.files) == 1 else None
            name = spec.name if spec.name in content.files else alone
            if name is not None:
                with ARRAY_FILES:
                    entry = content[name]
                if isinstance(entry, np.ndarray):
                    return entry
                raise ValueError(f"its entry {name!r} is no array")
            names = listed(content.files) or "nothing"
    except UNREADABLE as error:
        kind = "an array file of numpy" if path.suffix == ".npy" else "an archive of numpy arrays"
        raise InputError(f"'{escaped(path)}' is not {kind}, or it is damaged: {error}") from error
    raise InputError(f"'{escaped(path)}' holds {names}, but nothing by the name of input {spec.name!r}")


def _picture_or_text(path: Path, spec: TensorSpec, preprocess: Preprocess) -> Loaded:
    try:
        with Image.open(path) as opened:
            if getattr(opened, "is_animated", False) and opened.format != "MPO":  # MPO: a photograph and its previews
                warnings.warn(f"'{escaped(path)}' holds several pictures; the first one is used", stacklevel=2)
            picture = ImageOps.exif_transpose(opened)
            picture.load()
            kind = opened.format
    except UnidentifiedImageError as error:
        if picture_layout(spec) is not None:
            raise InputError(
                f"'{escaped(path)}' is no picture that can be read, for input {spec.name!r}: {spec}"
            ) from error
        try:
            return Loaded(table_inputs.read_lines(path, spec))
        except UnicodeDecodeError as error:
            raise InputError(f"'{escaped(path)}' is neither a picture nor .npy, .npz, .csv or text") from error
    except Exception as error:  # each format's reader raises its own errors
        raise InputError(f"'{escaped(path)}' is a damaged picture, or too large a one: {error}") from error
    return _picture(picture, kind, path, spec, preprocess)


def _picture(picture: Image.Image, kind: str | None, path: Path, spec: TensorSpec, preprocess: Preprocess) -> Loaded:
    layout = picture_layout(spec)
    if layout is None or spec.shape is None or spec.dtype is None:
        raise InputError(
            f"'{escaped(path)}' is a picture, but input {spec.name!r} takes {spec}: give it as .npy, .npz or .csv"
        )
    original, size = picture.size, [spec.shape[layout.index(axis)] for axis in "WH"]
    width, height = (want if isinstance(want, int) else have for want, have in zip(size, picture.size, strict=True))
    channels = spec.shape[layout.index("C")] if "C" in layout else 1
    if width * height > _MOST_PIXELS:
        raise InputError(f"input {spec.name!r} takes {spec}: a picture of {width} x {height} pixels is too large")
    try:
        picture = _converted(depth.eight_bits(picture, kind, path), _CHANNELS.get(channels, "RGB"))
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    except (InputError, ValueError, MemoryError) as error:
        raise InputError(
            f"'{escaped(path)}' cannot become the value of input {spec.name!r}: {error}; give it as .npy"
        ) from error
    pixels = np.asarray(picture).reshape(height, width, -1)
    preprocess = preprocess.for_input(spec)
    if spec.dtype.kind == "f":
        array = _scaled(pixels, spec, preprocess)
    elif preprocess != PREPROCESS["raw"]:
        raise InputError(f"input {spec.name!r} takes {spec.dtype}, pixels of 0 to 255: leave the preprocessing out")
    elif np.iinfo(spec.dtype).max < 255:
        raise InputError(f"input {spec.name!r} takes {spec.dtype}, which cannot hold a pixel of 255: give it as .npy")
    else:
        array = cast(pixels, spec.name, spec.dtype)
    array = array.transpose(2, 0, 1) if layout in ("NCHW", "CHW") else array if "C" in layout else array[..., 0]
    array = array[None] if layout.startswith("N") else array
    return Loaded(np.ascontiguousarray(array), files=(path,), sizes=(original,))


def _scaled(pixels: np.ndarray, spec: TensorSpec, preprocess: Preprocess) -> np.ndarray:
    """Scale pixels [height, width, channels] of 0 to 255 to an input's type, which is done once for each of 256 values.

    The channels lie one after the other in memory, as most models take them.
    """
    assert spec.dtype is not None
    values = np.repeat(np.arange(256)[:, None], pixels.shape[-1], axis=1)
    with np.errstate(over="ignore"):
        scaled = preprocess(values).astype(spec.dtype)
    if np.isinf(scaled).any():  # the picture may hold none of the values that are too large
        return cast(preprocess(pixels), spec.name, spec.dtype)
    channels = [column.take(pixels[..., index]) for index, column in enumerate(scaled.T)]
    return np.stack(channels).transpose(1, 2, 0)


def _converted(picture: Image.Image, mode: str) -> Image.Image:
    """Convert a picture to a mode of Pillow, on white paper if it is transparent, because transparent pixels would turn
    black otherwise."""
    if mode != "RGBA" and picture.has_transparency_data:
        clear = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear)
    return picture.convert(mode)
