from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from onnxlrp.view.figures.row_columns import most_relevant, shown_rows
from onnxlrp.view.figures.scene import scene_of
from onnxlrp.view.figures.waterfall_figure import waterfall
from tests.view.figures.parts import explained, words

TABLE = np.array([[0.5, -1.5, 3.0, 0.25]], np.float32)


def steps(done, top=12):
    scene = scene_of(done)
    return waterfall(scene, shown_rows(scene, ["x"]), 0, top)


def test_it_leads_from_the_base_value_to_the_raw_score():
    done = explained({"x": TABLE}, base_value=np.array([1.0]), raw_score=np.array([3.25]))
    fall = steps(done)
    assert (fall.begin, fall.end, fall.begin_name, fall.end_name) == (1.0, 3.25, "base value", "raw score")
    assert [step.amount for step in fall.steps] == [3.0, -1.5, 0.5, 0.25]
    for one, following in zip(fall.steps, fall.steps[1:]):
        assert one.start + one.amount == pytest.approx(following.start)
    assert fall.steps[-1].start + fall.steps[-1].amount == pytest.approx(fall.end)


def test_without_a_base_value_the_biases_lead_to_the_score():
    """The columns get 2.25 of the score 2: biases take 0.25 away."""
    fall = steps(explained({"x": TABLE}))
    assert (fall.end, fall.end_name) == (2.0, "score")
    assert not fall.steps[-1].is_column and fall.steps[-1].amount == pytest.approx(-0.25)


def test_a_hidden_score_is_not_made_up():
    """Where a softmax was skipped, the raw score is not among the outputs: it leads to the sum of relevance."""
    done = explained({"x": TABLE})
    hidden = dataclasses.replace(done, interface=dataclasses.replace(done.interface, score_is_output=False))
    fall = steps(hidden)
    assert (fall.end, fall.end_name) == (pytest.approx(2.25), "Σ relevance")


def test_columns_past_the_top_stand_together():
    fall = steps(explained({"x": np.array([[4.0, 3.0, 2.0, 1.0]], np.float32)}), top=2)
    assert [step.amount for step in fall.steps] == [4.0, 3.0, 3.0, pytest.approx(-8.0)]
    assert fall.steps[2].label == "2 others"
    assert most_relevant(np.array([1.0, -3.0, 2.0]), 2) == ([1, 2, 0], [])  # one column is not left alone


def test_bars_have_the_colours_of_their_signs_and_names_with_values():
    done = explained({"x": TABLE}, {"x": TABLE * 2}, columns={"x": ("age", "mass", "price $a$", "town")})
    figure = done.plot("waterfall")
    axes = figure.axes[0]
    colours = {round(bar.get_width(), 2): to_rgb(bar.get_facecolor()) for bar in axes.patches}
    assert colours[3.0][0] > colours[3.0][2] and colours[-1.5][2] > colours[-1.5][0]
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels[0] == "price $a$ = 6" and labels[1] == "mass = -3" and labels[-1] == "score = 2"
    assert "dog" in words(figure) and "epsilon" in words(figure)


def test_an_input_a_column_is_one_table():
    done = explained({"age": TABLE[:, :1], "mass": TABLE[:, 1:2]})
    figure = done.plot()
    assert len(figure.axes) == 1
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()][:2] == ["mass = 1.5", "age = 0.5"]


def test_amounts_of_money_are_written_in_full():
    """No power of ten beside the axis, no exponent at a bar."""
    done = explained({"x": np.array([[250000.0, -1500.0]], np.float32)})
    figure = done.plot("waterfall")
    figure.canvas.draw()
    text = words(figure)
    assert "+250,000" in text and "−1500" in text and "1e" not in text and "e+" not in text


def test_what_is_left_out_is_said():
    rows = np.repeat(TABLE, 6, axis=0)
    assert "The first 4 of 6 explanations." in words(explained({"x": rows}).plot("waterfall"))
    assert "explanations" not in words(explained({"x": rows}).plot("waterfall", samples=[0, 1]))
