"""Small models as other tools write them, and running them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import onnxlrp
from onnxlrp.interface import Interface
from tests.operators.case import onnxruntime

FLOAT = TensorProto.FLOAT


def info(name: str, shape: Sequence[int | str | None] | None, kind: int = FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    weights: Mapping[str, np.ndarray] | None = None,
    opset: int = 21,
    ir_version: int = 10,
    **options,
) -> onnx.ModelProto:
    """A model of these parts."""
    tensors = [numpy_helper.from_array(np.asarray(v), k) for k, v in (weights or {}).items()]
    opsets = [helper.make_opsetid("", opset), *options.pop("opsets", [])]
    functions = options.pop("functions", [])
    graph = helper.make_graph(list(nodes), "net", list(inputs), list(outputs), tensors, **options)
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version, functions=functions)


def weights(seed: int = 0) -> dict[str, np.ndarray]:
    """Of the convolutional network."""
    rng = np.random.default_rng(seed)
    shapes = {"w": (4, 2, 3, 3), "b": (4,), "v": (4, 3), "c": (3,)}
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def nodes() -> list[onnx.NodeProto]:
    """Convolution, ReLU, max pool, average, dense, softmax: the same text in every opset."""
    return [
        helper.make_node("Conv", ["x", "w", "b"], ["h0"], "conv", pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        helper.make_node("Relu", ["h0"], ["h1"], "relu"),
        helper.make_node("MaxPool", ["h1"], ["h2"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["h2"], ["h3"], "average"),
        helper.make_node("Flatten", ["h3"], ["h4"], "flatten"),
        helper.make_node("Gemm", ["h4", "v", "c"], ["y"], "dense"),
        helper.make_node("Softmax", ["y"], ["p"], "softmax", axis=1),
    ]


IMAGE = [info("x", ["N", 2, 6, 6])]
SCORES = [info("y", ["N", 3])]


def network(opset: int = 21, ir_version: int = 10) -> onnx.ModelProto:
    """The convolutional network; its softmax is a second output."""
    return model(nodes(), IMAGE, [*SCORES, info("p", ["N", 3])], weights(), opset, ir_version)


def unchanging() -> onnx.ModelProto:
    """y = x · w, where w is the identity."""
    node = helper.make_node("MatMul", ["x", "w"], ["y"], "dense")
    ends = [info("x", ["N", 2])], [info("y", ["N", 2])]
    return model([node], *ends, {"w": np.eye(2, dtype=np.float32)}, 17, 8)


def image(batch: int = 2) -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(9).normal(size=(batch, 2, 6, 6)).astype(np.float32)}


def run(proto: onnx.ModelProto, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return onnxruntime(proto)(feeds)


def interface(proto: onnx.ModelProto) -> Interface:
    found = Interface.from_metadata({p.key: p.value for p in proto.metadata_props})
    assert found is not None
    return found


def explain(proto: onnx.ModelProto, feeds: dict | None = None, **options) -> dict[str, np.ndarray]:
    """All outputs of the converted model."""
    options = {"composite": "epsilon", "output": "y", **options}
    given = {k: np.asarray(v) for k, v in (feeds or {}).items()}
    return run(onnxlrp.convert(proto, **options).to_proto(), {**image(), **given})


def dense(inputs=(("x", ["N", 4]),), names=("y",), **options) -> onnx.ModelProto:
    """y = (the sum of the inputs) · v, and as many more outputs 2y, 3y as there are names."""
    nodes = [
        helper.make_node("Sum", [n for n, _ in inputs], ["s"], "sum"),
        helper.make_node("Gemm", ["s", "v"], [names[0]], "dense"),
    ]
    for index, name in enumerate(names[1:], 2):
        nodes.append(helper.make_node("Mul", [names[0], f"k{index}"], [name], f"times{index}"))
    factors = {f"k{i}": np.float32(i) for i in range(2, len(names) + 1)}
    outputs = [info(n, ["N", 3]) for n in names]
    return model(nodes, [info(n, s) for n, s in inputs], outputs, {"v": weights()["v"], **factors}, **options)
