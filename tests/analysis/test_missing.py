"""Missing values that a model fills in itself: relevance 0 where they are, and no NaN anywhere else."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, parser

import onnxlrp

CONSTANTS = """<float[3] mean = {1, 2, 3}, float zero = {0}, float[3,2] w = {1, 2, 3, -4, 5, 6},
    float[2] b = {0.1, 0.2}, float[3,3] v = {1, 2, 3, -4, 5, 6, 2, 2, 1}, int64[2] column = {-1, 1},
    int64[2] rows = {-1, 3}>"""
FILLED = {
    "tested": "m = IsNaN(x) f = Where(m, mean, x)",
    "compared with itself": "e = Equal(x, x) f = Where(e, x, mean)",
    "scaled, then tested": "s = Sub(x, mean) m = IsNaN(s) f = Where(m, zero, s)",
    "tested, then scaled": "m = IsNaN(x) s = Sub(x, mean) f = Where(m, zero, s)",
    "an activation, then tested": "s = Sigmoid(x) m = IsNaN(s) f = Where(m, zero, s)",
    "a logarithm, then tested": "s = Log(x) m = IsNaN(s) f = Where(m, zero, s)",
    "moved": "m = IsNaN(x) r = Reshape(x, column) n = Reshape(m, column) s = Where(n, zero, r) f = Reshape(s, rows)",
    "a layer, then tested": "s = Gemm(x, v, mean) m = IsNaN(s) f = Where(m, zero, s)",
}
X = np.array([[1, np.nan, 2], [1.5, 1, 1]], np.float32)


def model(body: str) -> onnx.ModelProto:
    graph = f"g (float[N,3] x) => (float[N,2] y) {CONSTANTS} {{ {body} y = Gemm(f, w, b) }}"
    return parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]>\n{graph}')


@pytest.mark.parametrize("composite", ["auto", "lrp0", "epsilon_plus", "deep_taylor", "gradient_x_input"])
@pytest.mark.parametrize("how", FILLED)
@pytest.mark.filterwarnings("ignore::onnxlrp.errors.ExplanationWarning")
def test_a_missing_value_has_no_relevance(how, composite):
    ledger = composite != "gradient_x_input"
    explainer = onnxlrp.Explainer(onnxlrp.convert(model(FILLED[how]), composite, ledger=ledger))
    found = explainer({"x": X}, target=0)
    assert np.isfinite(found.relevance["x"]).all() and found.relevance["x"][0, 1] == 0
    assert found.ledger is None or np.isfinite(found.ledger.values).all()


@pytest.mark.filterwarnings("ignore::onnxlrp.errors.ExplanationWarning")
def test_the_others_have_what_they_contribute():
    explainer = onnxlrp.Explainer(onnxlrp.convert(model(FILLED["tested"]), "lrp0"))
    np.testing.assert_allclose(explainer({"x": X}, target=0).relevance["x"], [[1, 0, 10], [1.5, 3, 5]], rtol=1e-6)


def test_a_choice_between_functions():
    """A power transform takes one of two functions, each no number for the numbers that are left to the other."""
    mask = helper.make_tensor("half", onnx.TensorProto.FLOAT, [], [0.5])
    nodes = [
        helper.make_node("Less", ["x", "zero"], ["low"]),
        helper.make_node("Cast", ["low"], ["below"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Not", ["low"], ["high"]),
        helper.make_node("Cast", ["high"], ["above"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Pow", ["x", "half"], ["root"]),
        helper.make_node("Imputer", ["root"], ["r"], domain="ai.onnx.ml", imputed_value_floats=[0.0] * 3),
        helper.make_node("Neg", ["x"], ["minus"]),
        helper.make_node("Log", ["minus"], ["log"]),
        helper.make_node("Imputer", ["log"], ["l"], domain="ai.onnx.ml", imputed_value_floats=[0.0] * 3),
        helper.make_node("Mul", ["r", "above"], ["one"]),
        helper.make_node("Mul", ["l", "below"], ["other"]),
        helper.make_node("Add", ["one", "other"], ["f"]),
        helper.make_node("ReduceSum", ["f"], ["y"]),
    ]
    for node in nodes[5], nodes[8]:
        node.attribute.append(helper.make_attribute("replaced_value_float", float("nan")))
    ends = [helper.make_tensor_value_info("x", 1, ["N", 3])], [helper.make_tensor_value_info("y", 1, [1, 1])]
    zero = helper.make_tensor("zero", onnx.TensorProto.FLOAT, [], [0.0])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    proto = helper.make_model(helper.make_graph(nodes, "g", *ends, [mask, zero]), opset_imports=opsets, ir_version=8)
    found = onnxlrp.Explainer(onnxlrp.convert(proto))({"x": np.float32([[4, -2, 9]])})
    assert np.isfinite(found.relevance["x"]).all() and (found.relevance["x"] != 0).all()
