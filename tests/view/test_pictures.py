from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from onnxlrp.view import pictures


def test_red_for_blue_against_white_zero():
    red, white, blue = pictures.colours(np.array([1.0, 0.0, -1.0]), limit=1).tolist()
    assert red[0] > 100 and red[2] < 50
    assert white == [255, 255, 255]
    assert blue[2] > 90 and blue[0] < 50


def test_the_scale_is_symmetric():
    relevance = np.array([[4.0, -2.0], [2.0, 0.0]])
    limit = pictures.limit_of(relevance)
    assert limit == pytest.approx(4, rel=0.02)
    strong, weak = pictures.colours(relevance, limit)[0].astype(int)
    half = pictures.colours(np.array([2.0]), limit)[0].astype(int)
    assert (255 - strong).sum() > (255 - half).sum()
    assert abs((255 - weak).sum() - (255 - half).sum()) < 60  # as far from white on either side


def test_degenerate_maps():
    assert np.asarray(pictures.heatmap(np.zeros((2, 2)))).min() == 255
    holes = np.asarray(pictures.heatmap(np.array([[np.nan, 1.0]])))
    assert holes[0, 0].tolist() == [128, 128, 128]
    assert pictures.limit_of(np.full(3, np.nan)) == 1
    assert pictures.limit_of(np.r_[np.zeros(10_000), 5.0]) == 5


def test_a_single_outlier_does_not_hide_the_rest():
    relevance = np.ones((100, 100))
    relevance[0, 0] = 1e6
    assert pictures.limit_of(relevance) < 10


@pytest.mark.parametrize(
    ("shape", "layout"), [((2, 3, 4, 5), "NCHW"), ((2, 4, 5, 3), "NHWC"), ((2, 4, 5), "NHW"), ((3, 4, 5), "CHW")]
)
def test_channels_add_up(shape, layout):
    relevance = np.random.default_rng(0).standard_normal(shape)
    maps = pictures.to_map(relevance, layout)
    assert maps.shape == ((2 if "N" in layout else 1), 4, 5)
    assert maps.sum() == pytest.approx(relevance.sum())


def test_overlay_keeps_the_picture_where_nothing_matters():
    picture = Image.fromarray(np.tile(np.array([[0, 255]], np.uint8), (4, 4)))
    relevance = np.zeros((4, 8))
    relevance[0, 0], relevance[3, 7] = 1, -1
    laid = np.asarray(pictures.overlay(picture, relevance)).astype(int)
    assert laid.shape == (4, 8, 3)
    assert laid[0, 0, 0] > laid[0, 0, 2] + 80 and laid[3, 7, 2] > laid[3, 7, 0] + 80
    assert laid[1, 0].tolist() == laid[2, 2].tolist() and np.ptp(laid[1, 0]) == 0
    assert laid[1, 1].min() > laid[1, 0].max()


def test_small_inputs_are_enlarged_by_whole_factors():
    assert pictures.enlarged(Image.new("RGB", (8, 8)), 224).size == (224, 224)
    assert pictures.enlarged(Image.new("RGB", (9, 12)), 224).size == (225, 300)
    assert pictures.enlarged(Image.new("RGB", (500, 300)), 224).size == (500, 300)


def test_inputs_as_pictures():
    assert pictures.picture_of(np.array([[-1.0, 1.0]])).tobytes() == bytes([0, 255])
    assert pictures.picture_of(np.zeros((2, 2, 3))).mode == "RGB"
    assert pictures.picture_of(np.zeros((2, 2, 1))).size == (2, 2)


def test_contact_sheet_holds_every_cell():
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
    cells = [
        pictures.Cell(Image.new("RGB", (64, 64), colour), "a caption far too long for its picture")
        for colour in colours
    ]
    sheet = pictures.contact_sheet([cells[:2], cells[2:]], ["one", "two"], "title")
    assert {colour for _, colour in sheet.getcolors(1 << 24)} >= set(colours)
    assert sheet.width < 64 * 2 + 60


def test_cells_of_different_sizes():
    cells = [pictures.Cell(Image.new("RGB", (8, 8))), pictures.Cell(Image.new("RGB", (40, 20), (9, 9, 9)))]
    assert pictures.contact_sheet([cells]).width > 80
