"""The plan says which part of a product's output relevance arrives at."""

from __future__ import annotations

import onnx
import pytest

import onnxlrp
from onnxlrp.plan import single_score
from tests.plan.models import model

WEIGHTS = {"w": (4, 12), "v": (4, 3)}
LAYER = "h = MatMul(x, w)"


def joint(*lines: str, constants: str = "") -> onnx.ModelProto:
    """One product [N, 5, 12] of x [N, 5, 4], and what reads it; the scores are the mean over its rows of `a` by v."""
    tail = ("y0 = MatMul(a, v)", "y = ReduceMean <keepdims = 0> (y0, rows)")
    body = "\n".join((LAYER, *lines, *tail))
    return model(f"g (float[N, 5, 4] x) => (float[N, 3] y) <int64[1] rows = {{1}}{constants}> {{ {body} }}", WEIGHTS)


def columns(proto: onnx.ModelProto, composite: str = "epsilon") -> range | None:
    """The columns of the product by `w` that the plan finds."""
    steps = onnxlrp.inspect(proto, composite).steps
    return next(s.columns for s in steps if s.layer is not None and s.layer.w.name == "w")


SIZES = ", int64[3] sizes = {4, 4, 4}"
INNER = SIZES + ", int64[4] inner = {1, 2, 1, 2}"
ENDS = ", int64[1] low = {4}, int64[1] high = {8}, int64[1] axis = {2}"
STEPS = ", int64[1] low = {-1}, int64[1] high = {-9}, int64[1] axis = {2}, int64[1] step = {-2}"
PLACES = ", int64[4] places = {-1, 4, 9, 5}"
FOUR = ", int64[1] low = {4}, int64[1] high = {8}, int64[1] axis = {-1}, int64[1] one = {1}"
HEADS = ", int64[4] shape = {0, 0, 3, 4}, int64 second = {1}"


@pytest.mark.parametrize(
    ("lines", "constants", "expected"),
    [
        (["q, k, a = Split <axis = 2> (h, sizes)"], SIZES, range(8, 12)),
        (["a, k, u = Split <axis = -1> (h, sizes)"], SIZES, range(4)),
        (["a = Slice(h, low, high, axis)"], ENDS, range(4, 8)),
        (["a = Slice(h, low, high, axis, step)"], STEPS, range(5, 12)),
        (["a = Gather <axis = 2> (h, places)"], PLACES, range(4, 12)),
        (["t = Unsqueeze(h, one)", "s = Slice(t, low, high, axis)", "a = Squeeze(s, one)"], FOUR, range(4, 8)),
        (["t = Transpose <perm = [2, 0, 1]> (h)", "s = Gather <axis = 0> (t, places)",
          "a = Transpose <perm = [1, 2, 0]> (s)"], PLACES, range(4, 12)),
        (["t = Reshape(h, shape)", "a = Gather <axis = 2> (t, second)"], HEADS, range(4, 8)),
        (["q, k, u = Split <axis = 2> (h, sizes)", "a = Gather <axis = 2> (u, inner)"], INNER, range(9, 11)),
        (["q, k, u = Split <axis = 2> (h, sizes)", "a = Add(q, k)"], SIZES, range(8)),
        (["q, k, u = Split <axis = 2> (h, sizes)", "b = Add(q, k)", "a = Add(b, u)"], SIZES, None),
        (["b = Slice(h, low, high, axis)", "r = Abs(h)", "c = Slice(r, low, high, axis)", "a = Add(b, c)"], ENDS, None),
    ],
)  # fmt: skip
def test_columns(lines, constants, expected):
    """From the first to the last column that something takes; None where that is all, or something takes them whole."""
    assert columns(joint(*lines, constants=constants)) == expected


def test_one_column_without_an_axis():
    body = f"{LAYER} s = Gather(h, second) t = Reshape(s, one) y = Concat <axis = 0> (t, t)"
    constants = "<int64 second = {1}, int64[1] one = {1}>"
    proto = model(f"g (float[4] x) => (y) {constants} {{ {body} }}", WEIGHTS)
    assert columns(proto) == range(1, 2)


@pytest.mark.parametrize(("composite", "expected"), [("epsilon", range(4, 12)), ("attn_lrp", None)])
def test_a_gate_receives_nothing(composite, expected):
    """No relevance is sent to a sigmoid's operand where the composite tells gates from signals."""
    lines = ["q, k, u = Split <axis = 2> (h, sizes)", "g = Sigmoid(q)", "b = Mul(g, k)", "a = Add(b, u)"]
    assert columns(joint(*lines, constants=SIZES), composite) == expected


def test_a_relative_stabiliser_needs_all_columns():
    proto = joint("q, k, a = Split <axis = 2> (h, sizes)", constants=SIZES)
    plan = onnxlrp.inspect(proto, "epsilon", rules=[("MatMul", "Epsilon(relative=0.1)")])
    assert all(s.columns is None for s in plan.steps)


@pytest.mark.parametrize(
    ("tail", "found"),
    [
        ("y = Gather <axis = 1> (z, last)", True),
        ("y = Gather <axis = 1> (z, last) s = Sigmoid(z)", True),
        ("y = Gather <axis = 2> (z, last)", False),
        ("g = Gather <axis = 1> (z, last) y = Relu(g)", False),
        ("g = Gather <axis = 1> (z, last) m = ReduceMean <keepdims = 0> (z, last) y = Add(g, m)", False),
    ],
)
def test_a_single_score(tail, found):
    """The product whose row a Gather takes, where nothing else sends relevance to it."""
    text = f"g (float[N, 5, 4] x) => (y) <int64 last = {{1}}> {{ a = Relu(x) z = MatMul(a, w) {tail} }}"
    steps = onnxlrp.inspect(model(text, WEIGHTS), "epsilon").steps
    single = single_score(steps, steps[0].outputs[0], ())
    assert (single is not None) == found
    if single is not None:
        assert [*single.choice, single.product, *single.rest] == steps
        assert single.product.call.op_type == "MatMul"
