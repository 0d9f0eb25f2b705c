from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import PathCollection

from onnxlrp.view.figures.many_rows_figure import spread
from tests.view.figures.parts import explained, words

ROWS = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32) * np.array([1, 5, 2], np.float32)


def test_columns_are_ranked_by_mean_relevance():
    figure = explained({"x": ROWS}, columns={"x": ("age", "mass", "town")}).plot()
    ranking, points = figure.axes[:2]
    assert [text.get_text() for text in ranking.get_yticklabels()] == ["mass", "town", "age"]
    assert [bar.get_width() for bar in ranking.patches] == pytest.approx(np.sort(np.abs(ROWS).mean(0))[::-1])
    clouds = [c for c in points.collections if isinstance(c, PathCollection)]
    np.testing.assert_allclose(clouds[0].get_offsets()[:, 0], ROWS[:, 1], rtol=1e-6)
    assert "over 40 rows" in words(figure) and "Every row explains dog" in words(figure)


def test_ranking_alone_and_words_as_values():
    done = explained({"x": ROWS}, {"x": ROWS.astype(str).astype(object)})
    assert len(done.plot("ranking").axes) == 1
    assert len(done.plot("beeswarm").axes) == 3


def test_points_that_lie_together_are_spread_within_their_row():
    shift = spread(np.r_[np.zeros(30), 5.0], 5.0)
    assert np.unique(shift[:30]).size == 30 and np.abs(shift).max() <= 0.39 and shift[30] == 0
