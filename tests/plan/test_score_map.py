"""Scores that are one place of a map: layouts, pools over all places, and the rule that `auto` then takes."""

from __future__ import annotations

import onnx_ir as ir
import pytest

import onnxlrp
from onnxlrp.plan.score_map import is_place_of_map
from onnxlrp.rules import Gamma
from tests.plan.models import model


@pytest.mark.parametrize(
    ("shape", "found"),
    [
        (("N", 3, "H", "W"), True),
        (("N", 1, 8, 8), True),
        (("N", 8, 8, 1), True),
        ((1, 2, 4, 4, 4), True),
        (("N", 1000, 1, 1), False),
        (("N", 20, 6), False),
        (("N", 10), False),
    ],
)
def test_layouts(shape, found):
    assert is_place_of_map(ir.Value(name="score", shape=ir.Shape(shape))) is found


def test_an_unknown_rank_is_no_map():
    assert not is_place_of_map(ir.Value(name="score"))


@pytest.mark.parametrize(("end", "gamma"), [("y = Conv(h, v)", 1.0), ("p = GlobalAveragePool(h) y = Conv(p, v)", 0.1)])
def test_auto_takes_a_larger_gamma_for_maps(end, gamma):
    text = f"g (float[N,3,8,8] x) => (float[N,2,H,W] y) {{ a = Conv(x, w) h = Relu(a) {end} }}"
    plan = onnxlrp.inspect(model(text, {"w": (4, 3, 3, 3), "v": (2, 4, 1, 1)}))
    (step,) = (step for step in plan.steps if step.rule == Gamma(gamma, stabiliser="clamp"))
    assert step.operator == "Conv"
