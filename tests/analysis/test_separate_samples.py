"""Proof that a model computes each sample from the same sample of its inputs."""

from __future__ import annotations

import onnx.parser
import pytest

from onnxlrp.analysis.separate_samples import are_separate
from onnxlrp.source.read import read

SEPARATE = {
    "convolution": "y = Conv (x, k)",
    "pool": "y = MaxPool <kernel_shape = [2, 2]> (x)",
    "whole pool": "y = GlobalAveragePool (x)",
    "norm": "y = BatchNormalization (x, two, two, two, two)",
    "activation": "y = Relu (x)",
    "broadcast": "y = Mul (x, one_row)",
    "residual": "h = Conv <pads = [1, 1, 1, 1]> (x, k)\n z = Add (h, x)\n y = Concat <axis = 1> (z, x)",
    "transpose": "y = Transpose <perm = [0, 2, 3, 1]> (x)",
    "slice": "y = Slice (x, zero, three, one)",
    "pad": "y = Pad (x, pads)",
    "softmax": "y = Softmax <axis = 1> (x)",
    "rows": "r = Flatten (x)\n h = Gemm (r, w)\n y = MatMul (h, v)",
    "layer norm": "y = LayerNormalization <axis = 1> (x, scale)",
    "reduction": "y = ReduceMean <keepdims = 0> (x, one)",
    "heads": "r = Reshape (x, heads)\n t = Transpose <perm = [0, 2, 1]> (r)\n y = MatMul (r, t)",
    "token": "y = Gather <axis = 1> (x, zero)",
    "reshaped by sizes": """n = Shape <start = 0, end = 1> (x)
        to = Concat <axis = 0> (n, rest, minus)
        y = Reshape (x, to)""",
    "halves": "a, b = Split <axis = 2, num_outputs = 2> (x)\n y = Mul (a, b)",
    "class token": """n = Shape <start = 0, end = 1> (x)
        to = Concat <axis = 0> (n, rest)
        all = Expand (one_row, to)
        p = GlobalMaxPool (x)
        y = Concat <axis = 1> (all, p)""",
}
JOINED = {
    "mean of samples": "m = ReduceMean <keepdims = 1> (x, zero)\n y = Sub (x, m)",
    "softmax over samples": "y = Softmax <axis = 0> (x)",
    "norm of a batch": "y, m, v1 = BatchNormalization <training_mode = 1> (x, two, two, two, two)",
    "concatenation": "y = Concat <axis = 0> (x, x)",
    "other order": "y = Transpose <perm = [1, 0, 2, 3]> (x)",
    "slice of samples": "y = Slice (x, zero, three, zero)",
    "pad of samples": "y = Pad (x, more)",
    "product of samples": "r = Flatten (x)\n t = Transpose (r)\n s = MatMul (r, t)\n y = MatMul (s, r)",
    "gather": "y = Gather <axis = 0> (x, zero)",
    "transposed rows": "r = Flatten (x)\n y = Gemm <transA = 1> (r, r)",
    "count of samples": """n = Shape <start = 0, end = 1> (x)
        c = Cast <to = 1> (n)
        y = Div (x, c)""",
    "repeated data": """n = Shape <start = 0, end = 1> (x)
        c = Cast <to = 1> (n)
        to = Concat <axis = 0> (n, rest)
        y = Expand (c, to)""",
    "rows in another order": "r = Reshape (x, half)\n y = Relu (r)",
    "matrices of all samples": "t = Transpose <perm = [1, 2, 3, 0]> (x)\n u = Transpose <perm = [1, 2, 0, 3]> (x)\n"
    " y = MatMul (u, t)",
    "running sum": "c = CumSum (x, first)\n y = Relu (c)",
}
CONSTANTS = """<ir_version: 10, opset_import: ["": 18]>
net (float[N, 2, 6, 6] x) => (float y)
<float[2, 2, 3, 3] k = {%s}, float[2] two = {1, 2}, float[1, 2, 1, 1] one_row = {1, 2}, int64[1] zero = {0},
 int64[1] one = {1}, int64[3] rest = {2, 1, 1}, int64[3] heads = {0, 2, 36}, int64[2] half = {-1, 36},
 int64[1] three = {3}, int64[1] minus = {-1}, int64 first = {0}, int64[8] pads = {0, 0, 1, 1, 0, 0, 1, 1},
 int64[8] more = {1, 0, 0, 0, 1, 0, 0, 0}, float[72, 3] w = {%s}, float[3, 2] v = {1, 2, 3, 4, 5, 6},
 float[2, 6, 6] scale = {%s}> {
    %s
}"""


def decided(body: str) -> bool:
    ones = [", ".join(["1"] * count) for count in (36, 216, 72)]
    model = onnx.parser.parse_model(CONSTANTS % (*ones, body))
    model.graph.output[0].type.tensor_type.ClearField("shape")
    graph = read(model).model.graph
    return are_separate(list(graph), [graph.inputs[0]], graph.outputs)


@pytest.mark.parametrize("body", SEPARATE.values(), ids=SEPARATE)
def test_samples_stay_apart(body: str) -> None:
    assert decided(body)


@pytest.mark.parametrize("body", JOINED.values(), ids=JOINED)
def test_samples_that_meet_are_never_called_separate(body: str) -> None:
    assert not decided(body)
