from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import LineCollection, QuadMesh

from onnxlrp.view.figures.options import Options
from onnxlrp.view.figures.scene import scene_of
from onnxlrp.view.figures.series_figure import axis_of_time, series_of
from tests.view.figures.parts import explained


def series(shape, declared=None, **options):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    done = explained({"x": x}, shapes=None if declared is None else {"x": declared})
    return x, scene_of(done), Options(**options)


@pytest.mark.parametrize(
    ("shape", "declared", "options", "axis"),
    [
        ((1, 3, 50), ("N", 3, 50), {}, 2),
        ((1, 50, 3), ("N", 50, 3), {}, 1),
        ((1, 100, 20), ("N", 100, "time"), {}, 2),
        ((1, 20, 100), ("N", "T", 100), {}, 1),
        ((1, 3, 50), ("N", 3, 50), {"time_axis": 1}, 1),
        ((1, 3, 50), ("N", 3, 50), {"time_axis": -2}, 1),
    ],
)
def test_the_axis_of_time(shape, declared, options, axis):
    _, scene, options = series(shape, declared, **options)
    assert axis_of_time(scene, "x", options) == axis


def test_channels_first_whatever_the_order():
    x, scene, options = series((1, 50, 3))
    one = series_of(scene, "x", 0, 0, options)
    np.testing.assert_allclose(one.relevance, x[0].T, rtol=1e-6)


def test_seconds_and_bins_that_keep_the_sum():
    x, scene, options = series((1, 1, 48_000), sampling_rate=16_000)
    one = series_of(scene, "x", 0, 0, options)
    assert one.edges[-1] == 3.0 and one.relevance.shape[1] <= 1200 and one.unit == "time in seconds"
    assert one.relevance.sum() == pytest.approx(x.sum(), rel=1e-4)


def test_few_channels_are_lines_with_strips():
    x = np.random.default_rng(0).normal(size=(1, 2, 60)).astype(np.float32)
    figure = explained({"x": x}).plot(sampling_rate=10)
    lines = [axes for axes in figure.axes if any(isinstance(c, LineCollection) for c in axes.collections)]
    strips = [c for axes in figure.axes for c in axes.collections if isinstance(c, QuadMesh)]
    assert len([axes for axes in lines if axes.get_ylabel().startswith("channel")]) == 2
    np.testing.assert_allclose(strips[0].get_array().reshape(-1), x[0, 0], rtol=1e-6)


def test_many_channels_are_strips_never_a_picture():
    x = np.random.default_rng(0).normal(size=(1, 100, 224)).astype(np.float32)
    figure = explained({"x": x}, shapes={"x": ("N", 100, "T")}).plot()
    meshes = [c.get_array() for axes in figure.axes for c in axes.collections if isinstance(c, QuadMesh)]
    assert [mesh.shape for mesh in meshes[:2]] == [(100, 224), (100, 224)]
    width, height = figure.get_size_inches()
    assert 0.5 < width / height < 3


def test_a_signal_of_open_length_is_a_series():
    x = np.random.default_rng(0).normal(size=(1, 576)).astype(np.float32)
    figure = explained({"x": x}, shapes={"x": ("N", "samples")}).plot()
    assert figure.axes[1].get_xlabel() == "time step"


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("shape", [(1, 1, 30), (1, 2, 1)])
def test_unknown_values_leave_a_gap(shape, value):
    x = np.ones(shape, np.float32)
    for unknown in (x * value, np.where(np.arange(shape[-1]) == 0, value, x).astype(np.float32)):
        figure = explained({"x": x}, {"x": unknown}, {"x": ("N", shape[1], "T")}).plot("series")
        assert np.isfinite(figure.axes[0].get_ylim()).all()
