"""Pictures of any size are drawn within bounds."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from PIL import Image

from onnxlrp.runtime import Explanation
from onnxlrp.runtime.inputs import TensorSpec
from onnxlrp.view import pictures, shrinking
from onnxlrp.view.figures.overlay_sheet import overlay_sheet
from onnxlrp.view.figures.scene import Scene


@pytest.mark.parametrize(
    ("height", "width", "block"),
    [
        (224, 224, (1, 1)),
        (4000, 4000, (1, 1)),
        (1, 8192, (1, 1)),
        (1, 200_000, (1, 25)),
        (4, 60_000, (1, 8)),
        (100, 60_000, (1, 8)),
        (3000, 60_000, (8, 8)),
        (60_000, 4, (8, 1)),
        (20_000, 20_000, (5, 5)),
        (1_000_000, 1_000_000, (245, 245)),
        (1, 10**9, (1, 122_071)),
    ],
)
def test_blocks(height, width, block):
    """The aspect ratio stays, unless less than 64 pixels would be left across."""
    assert shrinking.block_of(height, width) == block
    down, across = block
    assert -(-height // down) * -(-width // across) <= shrinking.PIXELS
    assert max(-(-height // down), -(-width // across)) <= shrinking.LONGEST


def test_a_pixel_is_the_mean_of_its_block(monkeypatch):
    """Blocks at the end are smaller, and no paler for that."""
    monkeypatch.setattr(shrinking, "LONGEST", 4)
    monkeypatch.setattr(shrinking, "_READABLE", 1)
    values = np.random.default_rng(0).normal(size=(7, 11, 3))
    expected = [[values[y : y + 3, x : x + 3].sum(axis=2).mean() for x in range(0, 11, 3)] for y in range(0, 7, 3)]
    np.testing.assert_allclose(shrinking.shrunk(values, channels=True), expected)
    np.testing.assert_allclose(
        pictures.to_map(np.moveaxis(values, -1, 0).astype(np.float32), "CHW")[0], expected, rtol=1e-5
    )


@pytest.mark.parametrize(("shape", "size"), [((1, 200_000), (8000, 462)), ((60_000, 4), (462, 7500))])
@pytest.mark.parametrize("channels", [1, 3])
def test_heatmaps_of_very_long_pictures_are_small_and_readable(shape, size, channels):
    """A long picture and its map lie one above the other, a tall one's side by side, 224 pixels across each."""
    x = np.ones((1, channels, *shape), np.float32)
    explanation = Explanation({"x": x}, {}, {}, np.zeros(1, np.int64), np.zeros(1), None)
    spec = TensorSpec("x", x.dtype, ("N", *x.shape[1:]))
    tracemalloc.start()
    sheet = overlay_sheet(Scene(explanation, {"x": x}, {"x": "picture"}, {"x": spec}))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sheet is not None and sheet.size == size
    assert peak < 200e6


def test_enlarging_stretches_across_before_it_grows_too_long():
    assert pictures.enlarged(Image.new("RGB", (8192, 4)), 224).size == (8192, 224)
    assert pictures.enlarged(Image.new("RGB", (3000, 1)), 224).size == (6000, 224)


def test_a_sheet_of_large_pictures_is_bounded():
    rows = [[pictures.Cell(Image.new("L", (8000, 3000)), "one") for _ in range(4)] for _ in range(3)]
    sheet = pictures.contact_sheet(rows)
    assert sheet.width * sheet.height < 1 << 26
