from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from PIL import Image

from onnxlrp.runtime.asked_place import AskedPlace
from onnxlrp.view.figures.overlay_sheet import overlay_sheet
from onnxlrp.view.figures.picture_maps import half_level, pictured, smoothed
from onnxlrp.view.figures.scene import scene_of
from tests.view.figures.parts import explained, words

SHAPES = {"image": ("N", 3, 64, 64)}


def pictures(samples=1, side=64):
    return np.random.default_rng(0).normal(size=(samples, 3, side, side)).astype(np.float32)


def test_a_picture_from_a_file_is_shown_in_its_own_size(tmp_path):
    Image.new("RGB", (300, 180), "green").save(tmp_path / "a.png")
    done = explained({"image": pictures()}, shapes=SHAPES, originals={"image": [tmp_path / "a.png"]})
    one = pictured(scene_of(done), "image", 0)
    assert one.picture.shape == (180, 300, 3) and one.relevance.shape == (180, 300) and one.size == (300, 180)
    assert one.raw.shape == (64, 64) and one.raw.sum() == pytest.approx(done.relevance["image"].sum(), rel=1e-3)
    figure = done.plot()
    assert [axes.images[0].get_array().shape[:2] for axes in figure.axes[:3]] == [(180, 300)] * 3


def test_a_file_that_is_gone_leaves_the_models_own_view(tmp_path):
    done = explained({"image": pictures()}, shapes=SHAPES, originals={"image": [tmp_path / "gone.png"]})
    assert pictured(scene_of(done), "image", 0).picture.shape[:2] == (64, 64)


def test_one_scale_for_classes_side_by_side():
    image = pictures()
    both = np.stack([image, 3 * image], axis=1)
    more = {"target": np.array([[1, 2]]), "score": np.array([[2.0, 1.0]], np.float32)}
    figure = explained({"image": both}, {"image": image}, SHAPES, **more).plot()
    text = words(figure)
    assert "dog\nprobability 0.67" in text and "owl\nprobability 0.24" in text
    assert len([axes for axes in figure.axes if axes.images]) == 3  # the picture and a map for each class


def test_small_pictures_stand_beside_their_maps():
    figure = explained({"image": pictures(6, 8)}, shapes={"image": ("N", 3, 8, 8)}).plot()
    maps = [axes.images[0] for axes in figure.axes if axes.images]
    assert len(maps) == 12
    assert maps[1].get_cmap().name == "relevance" and maps[1].norm.vmin == -maps[1].norm.vmax


def test_chosen_samples_alone():
    figure = explained({"image": pictures(3)}, shapes=SHAPES).plot(samples=[2])
    assert len([axes for axes in figure.axes if axes.images]) == 3


def test_long_pictures_are_stretched_not_thinned():
    x = np.ones((1, 3, 4, 2000), np.float32)
    figure = explained({"image": x}, shapes={"image": ("N", 3, 4, 2000)}).plot()
    assert figure.axes[0].get_aspect() == "auto" and min(figure.get_size_inches()) > 2


def test_the_line_surrounds_half_of_what_speaks_for_it():
    relevance = np.array([[8.0, 4.0], [2.0, 2.0]])
    assert half_level(relevance) == 8.0 and half_level(-relevance) is None
    spread = smoothed(np.eye(40))
    assert spread.sum() == pytest.approx(40, rel=0.1) and spread.max() < 0.5


def test_channels_one_by_one():
    x = np.random.default_rng(0).normal(size=(1, 5, 16, 16)).astype(np.float32)
    figure = explained({"image": x}, shapes={"image": ("N", 5, 16, 16)}).plot("channels")
    shown = [axes for axes in figure.axes if axes.images]
    assert len(shown) == 10
    np.testing.assert_array_equal(shown[5 + 2].images[0].get_array(), x[0, 2])


def test_without_matplotlib_a_sheet_of_overlays(tmp_path):
    Image.new("RGB", (300, 250), "green").save(tmp_path / "a.png")
    one = explained({"image": pictures()}, shapes=SHAPES, originals={"image": [tmp_path / "a.png"]})
    assert overlay_sheet(scene_of(one)).size == (300, 250)
    small = explained({"image": pictures(1, 8)}, shapes={"image": ("N", 3, 8, 8)})
    assert overlay_sheet(scene_of(small)).size == (224 + 14 + 224, 224)  # the picture and its map
    assert overlay_sheet(scene_of(explained({"image": pictures(2)}, shapes=SHAPES))).width > 448
    assert overlay_sheet(scene_of(explained({"x": np.ones((1, 3), np.float32)}))) is None


@pytest.mark.parametrize(
    ("mark", "title", "note"),
    [("point", "dog at (3, 4)", "The ring"), ("detected", "dog at (3, 4)", "The dashed box"), ("none", "dog at", "")],
)
def test_a_place_in_the_picture_is_named_and_marked(mark, title, note):
    place = AskedPlace("at (3, 4)", mark, (0.25, 0.5, 0.25, 0.5), of_class=1)
    done = explained({"image": pictures()}, shapes=SHAPES, target=np.array([[1, 4, 3]]))
    figure = dataclasses.replace(done, legend=dataclasses.replace(done.legend, places=((place,),))).plot()
    text = words(figure)
    assert f"{title}" in text and "element" not in text and note in text
    marks = [line for axes in figure.axes for line in axes.lines if list(line.get_xdata())[:1] == [16.0]]
    assert len(marks) == (0 if mark == "none" else 6)
    assert all(axes.get_xlim() == (0, 64) for axes in figure.axes[:3])
