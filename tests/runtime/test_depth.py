"""Pictures of every depth, mode and number of frames."""

from __future__ import annotations

import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from onnxlrp.errors import InputError
from onnxlrp.runtime.files import Preprocess, load
from onnxlrp.runtime.inputs import TensorSpec

RAMP = np.arange(16).reshape(4, 4)
GREY = TensorSpec("x", np.dtype(np.float32), ("N", 1, 4, 4))
COLOUR = TensorSpec("x", np.dtype(np.float32), ("N", 3, 4, 4))


def grey(path):
    return load(path, GREY).array[0, 0]


@pytest.mark.parametrize(
    ("name", "pixels", "expected"),
    [
        ("a.png", (RAMP * 4369).astype(np.uint16), RAMP * 17),
        ("a.tif", (RAMP * 4369).astype(np.uint16), RAMP * 17),
        ("a.tif", (RAMP / 15).astype(np.float32), RAMP * 17),
        ("a.tif", (RAMP * 17).astype(np.float32), RAMP * 17),
        ("a.tif", np.zeros((4, 4), np.float32), RAMP * 0),
        ("a.png", RAMP.astype(np.uint8), RAMP),
    ],
)
def test_depths(tmp_path, name, pixels, expected):
    Image.fromarray(pixels).save(tmp_path / name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(grey(tmp_path / name), expected)


def test_depths_of_portable_maps(tmp_path):
    """Their largest value is in the file; Pillow opens them as 32 bits."""
    (tmp_path / "a.pgm").write_bytes(b"P5 4 4 65535\n" + (RAMP * 4369).astype(">u2").tobytes())
    np.testing.assert_array_equal(grey(tmp_path / "a.pgm"), RAMP * 17)


@pytest.mark.parametrize("top", [15, 255, 4095])
def test_sixteen_bits_of_small_values_are_dark_and_said_to_be(tmp_path, top):
    Image.fromarray((RAMP * top // 15).astype(np.uint16)).save(tmp_path / "dark.png")
    with pytest.warns(UserWarning, match=rf"dark\.png' has 16 bits, but pixels up to {top} of 65535 only"):
        assert grey(tmp_path / "dark.png").max() == top // 257


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (RAMP * 1000.0, "from 0 to 15000"),
        (RAMP - 5.0, "from -5 to 10"),
        (np.where(RAMP == 3, np.nan, RAMP), "NaN"),
        (np.where(RAMP == 3, np.inf, RAMP), "to inf"),
        ((RAMP * 1000).astype(np.int32), "32 bits"),
    ],
)
def test_pixels_whose_white_is_not_known(tmp_path, pixels, words):
    pixels = pixels if pixels.dtype == np.int32 else pixels.astype(np.float32)
    Image.fromarray(pixels).save(tmp_path / "a.tif")
    with pytest.raises(InputError, match=rf"a\.tif.*{words}.*give it as \.npy"):
        grey(tmp_path / "a.tif")


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.tif", "a.webp"])
def test_the_first_of_several_pictures_is_taken_and_said(tmp_path, name):
    frames = [Image.new("RGB", (4, 4), (value, 0, 0)) for value in (200, 100, 0)]
    options = {"lossless": True} if name == "a.webp" else {}
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **options)
    with pytest.warns(UserWarning, match=rf"{name}' holds several pictures; the first"):
        assert load(tmp_path / name, COLOUR).array[0, :, 0, 0].tolist() == [200, 0, 0]


def palette(path):
    picture = Image.new("P", (4, 4), 1)
    picture.putpalette([0, 0, 0, 10, 20, 30])
    picture.save(path)


def transparent(path):
    Image.new("RGB", (4, 4), (1, 2, 3)).save(path, transparency=(1, 2, 3))


MODES = {
    "one bit": (lambda path: Image.new("1", (4, 4), 1).save(path), "a.png", [255, 255, 255]),
    "grey": (lambda path: Image.new("L", (4, 4), 9).save(path), "a.png", [9, 9, 9]),
    "grey and clear": (lambda path: Image.new("LA", (4, 4), (9, 0)).save(path), "a.png", [255, 255, 255]),
    "half clear": (lambda path: Image.new("RGBA", (4, 4), (0, 0, 255, 128)).save(path), "a.png", [127, 127, 255]),
    "one colour clear": (transparent, "a.png", [255, 255, 255]),
    "palette": (palette, "a.png", [10, 20, 30]),
    "CMYK": (lambda path: Image.new("CMYK", (4, 4), (0, 255, 255, 0)).save(path), "a.tif", [255, 0, 0]),
}


@pytest.mark.parametrize("mode", MODES)
def test_modes(tmp_path, mode):
    save, name, expected = MODES[mode]
    save(tmp_path / name)
    assert load(tmp_path / name, COLOUR).array[0, :, 0, 0].tolist() == expected


def test_pixels_that_overflow_in_float16(tmp_path):
    Image.new("L", (4, 4), 200).save(tmp_path / "a.png")
    port = TensorSpec("x", np.dtype(np.float16), ("N", 1, 4, 4))
    with pytest.raises(InputError, match="float16, which cannot hold"):
        load(tmp_path / "a.png", port, Preprocess(std=(1e-5,)))


@pytest.mark.parametrize("side", [0, 100_000])
def test_models_whose_pictures_have_no_size_or_too_large_a_one(tmp_path, side):
    Image.new("L", (4, 4), 200).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"too large|must be > 0"):
        load(tmp_path / "a.png", TensorSpec("x", np.dtype(np.float32), ("N", 1, side, side)))


def test_a_picture_that_would_fill_the_memory(tmp_path):
    """Its header announces 3.6 billion pixels; Pillow's guard stops there."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0")), (b"IEND", b"")]
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    with pytest.raises(InputError, match="too large a one"):
        load(tmp_path / "a.png", COLOUR)
