"""Max pools backwards without indices give relevance to the very winners that indices name, ties included."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

import onnxlrp

POOLS = {
    "overlapping": ([1, 2, 9, 8], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "stride one": ([2, 1, 6, 7], {"kernel_shape": [5, 5], "pads": [2, 2, 2, 2]}),
    "dilated": ([1, 2, 12, 11], {"kernel_shape": [3, 2], "strides": [2, 3], "dilations": [2, 3]}),
    "gaps": ([2, 1, 11, 9], {"kernel_shape": [2, 1], "strides": [4, 3]}),
    "one-sided pads": ([1, 1, 7, 7], {"kernel_shape": [3, 3], "strides": [3, 2], "pads": [0, 2, 1, 0]}),
    "size rounded up": ([1, 2, 8, 10], {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
    "same upper": ([2, 1, 7, 8], {"kernel_shape": [3, 4], "strides": [2, 3], "auto_pad": "SAME_UPPER"}),
    "same lower": ([1, 1, 7, 8], {"kernel_shape": [3, 4], "strides": [2, 3], "auto_pad": "SAME_LOWER"}),
    "one axis": ([2, 3, 13], {"kernel_shape": [4], "strides": [3], "pads": [1, 2]}),
    "three axes": ([1, 1, 5, 6, 7], {"kernel_shape": [2, 3, 3], "strides": [1, 2, 2]}),
    "tiles": ([2, 2, 6, 8], {"kernel_shape": [2, 2], "strides": [2, 2]}),
}


def pool(shape, attributes, declared=None, kind=TensorProto.FLOAT) -> onnx.ModelProto:
    """A model whose scores are the maxima of windows, each times a weight."""
    rank = len(shape)
    nodes = [
        helper.make_node("MaxPool", ["x"], ["m"], "pool", **attributes),
        helper.make_node("Mul", ["m", "w"], ["p"], "weigh"),
        helper.make_node("Flatten", ["p"], ["y"], "scores"),
    ]
    x = helper.make_tensor_value_info("x", kind, declared or shape)
    y = helper.make_tensor_value_info("y", kind, None)
    weight = helper.make_tensor("w", kind, [1] * rank, [1.5])
    graph = helper.make_graph(nodes, "pool", [x], [y], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def relevance(model: onnx.ModelProto, x: np.ndarray, **options) -> np.ndarray:
    explained = onnxlrp.convert(model, "lrp0", target="weights", **options)
    proto = explained.to_proto()
    if options.get("profile") == "portable":
        assert all(len(n.output) == 1 for n in proto.graph.node if n.op_type == "MaxPool")
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    (name,) = explained.interface.relevance.values()
    shape = session.run(["y"], {"x": x, "y_weights": np.ones([1, 1], np.float32)})[0].shape
    weights = np.random.default_rng(2).integers(1, 9, shape).astype(np.float32)
    return session.run([name], {"x": x, "y_weights": weights})[0]


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize("open_sizes", [False, True], ids=["known", "open"])
def test_winners_are_those_of_the_indices(name, open_sizes):
    shape, attributes = POOLS[name]
    declared = ["N", shape[1], *(f"d{i}" for i in range(len(shape) - 2))] if open_sizes else None
    model = pool(shape, attributes, declared)
    # Few different numbers, so that most windows have several largest elements.
    x = np.random.default_rng(1).integers(-2, 2, shape).astype(np.float32)
    expected, found = (relevance(model, x, profile=profile) for profile in ("onnxruntime", "portable"))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert np.abs(expected).sum() > 0
