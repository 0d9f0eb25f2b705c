"""The output side of quantised models: heads on integers are skipped as those in floats are."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import onnxlrp
from tests.operators.case import onnxruntime
from tests.source.test_explained_score import correlations

MATRIX = np.random.default_rng(3).normal(size=(4, 3)).astype(np.float32)
DRAWN = np.random.default_rng(4).normal(size=(40, 4)).astype(np.float32) / 2
X = DRAWN[np.abs(DRAWN @ MATRIX).min(1) > 0.1]
MICROSOFT = "com.microsoft"


class Integers:
    """Nodes on numbers of one quantised type, one scale and zero point for scores and one for probabilities."""

    def __init__(self, kind: type) -> None:
        top = np.iinfo(kind).max
        self.domain = "" if kind is np.uint8 else MICROSOFT
        given = {"s": 16 / top, "zero": (top + 1) // 2, "p": 1 / top, "none": 0, "one": 1.0, "w": MATRIX}
        types = {"zero": kind, "none": kind}
        arrays = {k: np.asarray(v, types.get(k, np.float32)) for k, v in given.items()}
        arrays |= {"first": np.array([0]), "second": np.array([1]), "axis": np.array([1])}
        self.constants = [numpy_helper.from_array(a, k) for k, a in arrays.items()]
        self.nodes = [helper.make_node("MatMul", ["x", "w"], ["z"])]
        self.quantise("z", "s", "zero")

    def add(self, operator: str, operands: list[str], domain: str = "", **attributes) -> str:
        name = f"{operator.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, operands, [name], name=name, domain=domain, **attributes))
        return name

    def quantise(self, value: str, scale: str = "p", zero: str = "none") -> str:
        self.q = self.add("QuantizeLinear", [value, scale, zero], self.domain)
        return self.q

    def floats(self, value: str, scale: str = "p", zero: str = "none") -> str:
        return self.add("DequantizeLinear", [value, scale, zero], self.domain)

    def model(self, output: str, classes: int) -> onnx.ModelProto:
        self.nodes.append(helper.make_node("Identity", [output], ["y"]))
        x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 4])
        y = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N", classes])
        graph = helper.make_graph(self.nodes, "integers", [x], [y], self.constants)
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid(MICROSOFT, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def on_integers(operator: str, **attributes) -> onnx.ModelProto:
    """A head as one operator on integers."""
    g = Integers(np.uint8)
    head = g.add(operator, [g.q, "s", "zero", "p", "none"], MICROSOFT, **attributes)
    return g.model(g.floats(head), 3)


def sixteen_bits() -> onnx.ModelProto:
    """A sigmoid between pairs that round to 16 bits."""
    g = Integers(np.uint16)
    return g.model(g.floats(g.quantise(g.add("Sigmoid", [g.floats(g.q, "s", "zero")]))), 3)


def pair() -> onnx.ModelProto:
    """`[1 − p, p]` of a sigmoid on integers."""
    g = Integers(np.uint8)
    z = g.quantise(g.add("Slice", [g.floats(g.q, "s", "zero"), "first", "second", "axis"]), "s", "zero")
    p = g.add("QLinearSigmoid", [z, "s", "zero", "p", "none"], MICROSOFT)
    other = g.quantise(g.add("Sub", ["one", g.floats(p)]))
    both = g.add("QLinearConcat", ["p", "none", other, "p", "none", p, "p", "none"], MICROSOFT, axis=1)
    return g.model(g.floats(both), 2)


MODELS = {
    "QLinearSigmoid": on_integers("QLinearSigmoid"),
    "QLinearSoftmax": on_integers("QLinearSoftmax", axis=-1, opset=13),
    "16 bits": sixteen_bits(),
}


def check(relevance: np.ndarray, parts: np.ndarray) -> None:
    """Every column has its part of one score, which is rounded."""
    assert correlations(relevance, parts).min() > 0.999
    np.testing.assert_allclose(relevance.sum(1), parts.sum(1), atol=0.04)


@pytest.mark.parametrize("name", MODELS)
def test_each_element_is_explained_by_its_own_score(name):
    explained = onnxlrp.convert(MODELS[name], "epsilon")
    for k in range(3):
        outputs = onnxruntime(explained.to_proto())({"x": X, "target": np.array([k])})
        np.testing.assert_array_equal(outputs["y"], onnxruntime(MODELS[name])({"x": X})["y"])
        check(outputs["x_relevance"], X * MATRIX[:, k])


def test_two_classes_of_a_sigmoid_on_integers():
    explained = onnxlrp.convert(pair(), "epsilon").to_proto()
    for k, sign in ((0, -1), (1, 1)):
        outputs = onnxruntime(explained)({"x": X, "target": np.array([k])})
        np.testing.assert_array_equal(outputs["y"], onnxruntime(pair())({"x": X})["y"])
        check(outputs["x_relevance"], sign * X * MATRIX[:, 0])


def test_the_offset_of_a_sigmoid_on_integers():
    """Where nothing is skipped, `1 − p` keeps its value at 0 of the computation in floats."""
    explained = onnxlrp.convert(pair(), "epsilon", explain_probability=True).to_proto()
    outputs = onnxruntime(explained)({"x": X, "target": np.array([0])})
    assert correlations(outputs["x_relevance"], -X * MATRIX[:, 0]).min() > 0.95
