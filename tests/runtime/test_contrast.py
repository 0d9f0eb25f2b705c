"""A class against the rest."""

from __future__ import annotations

import numpy as np
import pytest

import onnxlrp
from onnxlrp.errors import TargetError
from tests.source.nets import image, network


def test_the_weights():
    np.testing.assert_allclose(onnxlrp.contrastive(1, 3), [[-0.5, 1, -0.5]])
    np.testing.assert_allclose(onnxlrp.contrastive([0, 2], 3), [[1, -0.5, -0.5], [-0.5, -0.5, 1]])
    np.testing.assert_allclose(onnxlrp.contrastive(0, 4, against=[1, 3]), [[1, -0.5, 0, -0.5]])
    np.testing.assert_allclose(onnxlrp.contrastive(2, 3, against=0), [[-1, 0, 1]])


@pytest.mark.parametrize("composite", ["epsilon", "epsilon_plus", "gradient"])
def test_it_is_the_class_minus_the_mean_of_the_rest(composite):
    """Relevance is linear in what it starts from: the class's own minus that of the others."""
    explainer = onnxlrp.Explainer(onnxlrp.convert(network(), composite, output="y", target="weights"))
    x = image(2)
    whole = explainer(x, weights=onnxlrp.contrastive([0, 2], classes=3)).relevance["x"]
    each = [explainer(x, weights=np.eye(3)[[c]]).relevance["x"] for c in range(3)]
    expected = np.stack([each[0][0] - (each[1] + each[2])[0] / 2, each[2][1] - (each[0] + each[1])[1] / 2])
    np.testing.assert_allclose(whole, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((3, 3), "classes are 0 to 2"),
        ((-1, 3), "classes are 0 to 2"),
        ((0.5, 3), "must be a class"),
        ((1, 3, [0, 1]), "class 1 is compared with itself"),
        ((0, 1), "no other"),
    ],
)
def test_classes_that_do_not_exist(arguments, words):
    with pytest.raises(TargetError, match=words):
        onnxlrp.contrastive(*arguments)
