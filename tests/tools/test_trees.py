"""The measurement of agreement with SHAP, on one set: files without covers, with a background, and by halves."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.peers
for name in ("lightgbm", "onnxmltools", "shap", "skl2onnx", "xgboost"):
    pytest.importorskip(name)

from tools.trees import agreement, datasets, trainers  # noqa: E402


@pytest.mark.parametrize("trainer", trainers.TRAINERS)
def test_agreement(trainer):
    """The grid ranks columns nearly as the trainer's covers do, a background better, halves worse."""
    task = datasets.diabetes()
    grid, background, halves = agreement.row(task, trainers.TRAINERS[trainer], list(agreement.WAYS))
    assert grid[0] > 0.9 and background[0] > 0.98 and halves[0] < grid[0]


def test_figures():
    """The rank correlation is that of signed values, the top column that of the largest absolute value."""
    true = np.array([[3.0, -4.0, 1.0], [1.0, 2.0, 3.0]])
    assert agreement.figures(true, true) == (1.0, 1.0, 1.0)
    signed, size, top = agreement.figures(abs(true), true)
    assert signed == 0.25 and size == 1.0 and top == 1.0
