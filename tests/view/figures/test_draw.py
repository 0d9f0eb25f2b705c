"""The dispatcher: which kind of figure an input gets, and how several come together."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from onnxlrp.errors import InputError
from onnxlrp.view.figures.draw import KINDS, figure_kind
from onnxlrp.view.figures.options import Options
from onnxlrp.view.figures.scene import scene_of
from tests.view.figures.parts import explained, words


def ones(*shape, dtype=np.float32):
    return np.ones(shape, dtype)


@pytest.mark.parametrize(
    ("shape", "declared", "kind"),
    [
        ((1, 3, 64, 64), None, "picture"),
        ((1, 64, 64, 3), None, "picture"),
        ((1, 1, 64, 64), None, "picture"),
        ((1, 5, 64, 64), None, "channels"),
        ((4, 5, 64, 64), None, "picture"),
        ((1, 1, 16, 32, 32), None, "sequence"),
        ((1, 8, 100), ("N", 8, "T"), "series"),
        ((1, 600), ("N", "T"), "series"),
        ((1, 600), ("N", 600), "waterfall"),
        ((1, 12), None, "waterfall"),
        ((3, 12), None, "waterfall"),
        ((30, 12), None, "beeswarm"),
    ],
)
def test_kinds(shape, declared, kind):
    done = explained({"x": ones(*shape)}, shapes=None if declared is None else {"x": declared})
    assert figure_kind(scene_of(done), "x", Options()) == kind


def test_options_decide_too():
    scene = scene_of(explained({"x": ones(1, 2, 6, 8)}))
    assert figure_kind(scene, "x", Options(latitude=range(6), longitude=range(8))) == "map"


def test_states_are_no_series():
    """A state [layers, batch, features] counts samples along axis 1."""
    scene = scene_of(explained({"x": ones(1, 600), "state": ones(2, 1, 8)}, axes={"state": 1}))
    assert figure_kind(scene, "state", Options()) == "bars"


def test_several_inputs_are_panels_and_empty_ones_are_named():
    inputs = {"image": ones(1, 3, 64, 64), "age": ones(1, 1), "mass": ones(1, 1), "extra": np.zeros((1, 4), np.float32)}
    figure = explained(inputs).plot()
    assert len(figure.subfigs) == 2
    assert "No relevance at extra." in words(figure)
    assert len(explained(inputs).plot(inputs="image").subfigs) == 0


def test_a_grid_of_degrees():
    x = np.random.default_rng(0).normal(size=(1, 2, 6, 8)).astype(np.float32)
    done = explained({"x": x})
    figure = done.plot(latitude=np.linspace(50, 0, 6), longitude=np.linspace(150, 220, 8))
    figure.draw_without_rendering()
    labels = {text.get_text() for text in figure.axes[-3].get_xticklabels()} | set(words(figure).splitlines())
    assert "180°" in labels and "160°W" in labels
    with pytest.raises(InputError, match="latitude must be 6 numbers"):
        done.plot(latitude=range(8), longitude=range(8))
    with pytest.raises(InputError, match="needs latitude= and longitude="):
        done.plot("map")


def test_labelled_arrays_bring_their_coordinates():
    """An array of xarray has `coords`, a mapping from names to arrays."""

    class Labelled:
        coords: ClassVar = {"lat": np.linspace(50, 0, 6), "lon": np.linspace(0, 70, 8)}
        dims: tuple[str, ...] = ("time", "level", "lat", "lon")

    done = explained({"x": ones(1, 2, 6, 8)}, originals={"x": Labelled()})
    assert figure_kind(scene_of(done), "x", Options()) == "map"
    assert done.plot() is not None
    Labelled.dims = ("time", "level", "lon", "lat")  # the other way round: no map
    assert figure_kind(scene_of(done), "x", Options()) != "map"
    Labelled.dims, Labelled.coords["lat"] = ("time", "level", "lat", "lon"), np.ones((6, 8))  # a curvilinear grid
    assert figure_kind(scene_of(done), "x", Options()) != "map"


def test_what_cannot_be_drawn_is_said():
    done = explained({"x": ones(1, 4)})
    with pytest.raises(InputError, match=r"no kind of figure 'pie'.*waterfall"):
        done.plot("pie")
    with pytest.raises(InputError, match="no relevance was computed for input 'y'"):
        done.plot(inputs="y")
    with pytest.raises(InputError, match="there is no sample 7"):
        done.plot(samples=7)
    with pytest.raises(InputError, match="needs samples of 3 axes"):
        explained({"x": ones(1, 16, 16)}).plot("channels")


def test_titles_name_class_and_probability():
    text = words(explained({"x": ones(1, 4)}).plot())
    assert "dog, probability 0.67" in text and "Score 2 in output logits. Method: epsilon." in text
    own = words(explained({"x": ones(1, 4)}).plot(labels=["a", "b", "c"]))
    assert "b, probability" in own
    one = explained({"x": ones(1, 4)}, outputs={"logits": ones(1, 1)}, target=np.zeros(1, np.int64))
    assert "logits, score 2" in words(one.plot()) and "class" not in words(one.plot()).split("Score")[0]


def test_every_kind_draws_or_refuses():
    """Whatever kind is asked for, a figure or an InputError comes, for data of any shape."""
    for shape in ((1, 5), (6, 5), (1, 4, 30), (1, 3, 32, 32), (1, 2, 6, 16, 16), (1,)):
        done = explained({"x": ones(*shape)})
        for kind in KINDS:
            try:
                figure = done.plot(kind)
            except InputError:
                continue
            figure.draw_without_rendering()


def test_the_caption_says_which_part_is_shown():
    x = ones(3, 2, 40)
    text = words(explained({"x": x}, shapes={"x": ("N", 2, "T")}).plot())
    assert "Sample 0 of 3." in text and "dog, probability" in text
    both = np.stack([ones(1, 5, 32, 32), ones(1, 5, 32, 32)], axis=1)
    more = {"target": np.array([[2, 1]]), "score": np.array([[1.0, 2.0]], np.float32)}
    done = explained({"x": both}, {"x": ones(1, 5, 32, 32)}, **more)
    assert "The first of 2 targets." in words(done.plot("channels")) and "owl" in words(done.plot("channels"))
