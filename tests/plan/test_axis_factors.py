"""The axes of an input, followed downstream through every way of moving them."""

from __future__ import annotations

import numpy as np
import onnx.parser
import onnx_ir as ir
import pytest
from onnx import numpy_helper

from onnxlrp.plan.axis_factors import AxisFactor, follow_axes, run_of
from onnxlrp.plan.sized_copy import sized_copy

CONSTANTS = {
    "patches": [0, 2, 3, 4, 3, 4],
    "flat": [0, 9, 32],
    "flat9": [0, 32, 9],
    "windows": [-1, 2, 2, 8],
    "one": [1],
    "ten": [10],
    "zero": [0],
    "heads": [0, 0, 2, 4],
}


def runs(body: str, x: str, **shapes: tuple[int, ...]) -> list[AxisFactor | None] | None:
    """The run of every axis of the value y; None where its axes are lost."""
    proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": 21]> g ({x}) => (float y) {{ {body} }}')
    used = {name for node in proto.graph.node for name in node.input}
    arrays = {n: np.zeros(s, np.float32) for n, s in shapes.items()} | {n: np.array(v) for n, v in CONSTANTS.items()}
    proto.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in arrays.items() if n in used)
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    graph = sized_copy(ir.serde.deserialize_model(proto).graph)
    axes = follow_axes(graph, graph.inputs[0]).get(graph.outputs[0])
    return None if axes is None else [run_of(axis) for axis in axes]


SAMPLES, ONE = AxisFactor(3, (0,), (3,)), AxisFactor(1, (0,), (1,))
ROWS, COLUMNS = AxisFactor(4, (1,), (4,)), AxisFactor(2, (2,), (2,))
IDS, FEATURES, PICTURE = "int64[N, T] x", "float[N, 9, 8] x", "float[N, 2, 12, 12] x"
TOKENS, NINE = AxisFactor(29, (1,), (29,)), AxisFactor(9, (1,), (9,))
EIGHT = AxisFactor(8, (2,), (8,))


@pytest.mark.parametrize(
    ("body", "x", "expected"),
    [
        ("y = Gather(table, x)", IDS, [SAMPLES, TOKENS, None]),
        (
            "p = Conv<strides=[4, 4]>(x, k) f = Reshape(p, flat9) y = Transpose<perm=[0, 2, 1]>(f)",
            PICTURE,
            [SAMPLES, AxisFactor(9, (2, 3), (3, 3)), None],
        ),
        (
            "r = Reshape(x, patches) t = Transpose<perm=[0, 2, 4, 1, 3, 5]>(r) y = Reshape(t, flat)",
            PICTURE,
            [SAMPLES, AxisFactor(9, (2, 3), (3, 3)), None],
        ),
        (
            "s = Shape<end=1>(x) e = Concat<axis=0>(s, one, one) c = Expand(cls, e) y = Concat<axis=1>(c, x)",
            FEATURES,
            [SAMPLES, AxisFactor(10, (1,), (9,), 1), EIGHT],
        ),
        (
            "c = Concat<axis=1>(x, end) y = Slice(c, one, ten, one)",
            "float[1, 9, 8] x",
            [ONE, None, EIGHT],
        ),
        (
            "c = Concat<axis=1>(end, x) y = Slice(c, one, ten, one)",
            "float[1, 9, 8] x",
            [ONE, NINE, EIGHT],
        ),
        (
            "h = Reshape(x, heads) y = Transpose<perm=[0, 2, 1, 3]>(h)",
            FEATURES,
            [SAMPLES, COLUMNS, NINE, None],
        ),
        ("t = Transpose<perm=[0, 2, 1]>(x) y = MatMul(x, t)", FEATURES, [SAMPLES, NINE, NINE]),
        ("y = ReduceMean<keepdims=0>(x, one)", FEATURES, [SAMPLES, EIGHT]),
        ("y = Gather<axis=1>(x, zero)", FEATURES, [SAMPLES, None, EIGHT]),
        (
            "y = Reshape(x, windows)",
            "float[1, 4, 4, 8] x",
            [ROWS, COLUMNS, None, AxisFactor(8, (3,), (8,))],
        ),
        ("t = Transpose<perm=[1, 0, 2]>(x) y = Add(x, bias)", FEATURES, [SAMPLES, NINE, EIGHT]),
    ],
)
def test_ways(body, x, expected):
    shapes = {"table": (5, 8), "k": (32, 2, 4, 4), "cls": (1, 1, 8), "end": (1, 1, 8), "bias": (9, 8)}
    assert runs(body, x, **shapes) == expected


def test_axes_that_are_lost():
    assert runs("y = NonZero(x)", FEATURES) is None
