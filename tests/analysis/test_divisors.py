"""A divisor may be written as a factor: what it divides takes all relevance, however it is spelt."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import parser

import onnxlrp
from tests.operators.case import reference

HEAD = '<ir_version: 10, opset_import: ["" : 21]>\n'
NUMBERS = {"p1": np.full(1, 1.0), "most": np.array(1e6)}
NORMS = {
    "divided": "r = Sqrt (m) n = Div (x, r)",
    "times a reciprocal": "r = Sqrt (m) i = Reciprocal (r) n = Mul (x, i)",
    "times one over": "one = Constant <value: tensor = double {1}> () r = Sqrt (m) i = Div (one, r) n = Mul (i, x)",
    "times a negative power": "p = Constant <value: tensor = double {-0.5}> () i = Pow (m, p) n = Mul (x, i)",
    "times a reciprocal times a constant": "r = Sqrt (m) i = Reciprocal (r) f = Mul (i, p1) n = Mul (x, f)",
    "times a bounded reciprocal": "r = Sqrt (m) i = Reciprocal (r) f = Min (i, most) n = Mul (f, x)",
    "times a clipped reciprocal": "r = Sqrt (m) i = Reciprocal (r) f = Clip (i, , most) n = Mul (x, f)",
    "times a reciprocal in another type": "r = Sqrt (m) s = Cast <to: int = 1> (r) i = Reciprocal (s) "
    "f = Cast <to: int = 11> (i) n = Mul (x, f)",
    "times a reciprocal made larger": "r = Sqrt (m) i = Reciprocal (r) s = Shape (x) e = Expand (i, s) n = Mul (x, e)",
}


def model(norm: str) -> onnx.ModelProto:
    """A root-mean-square norm written out, and a dense layer."""
    text = f"""main (double[N, 4] x) => (double[N, 3] y) {{
        last = Constant <value: tensor = int64[1] {{-1}}> () two = Constant <value: tensor = double {{2}}> ()
        q = Pow (x, two) m = ReduceMean (q, last) {norm} g = Mul (n, gamma) y = MatMul (g, W)
    }}"""
    made = parser.parse_model(HEAD + text)
    rng = np.random.default_rng(0)
    for name, array in {"gamma": rng.normal(size=4), "W": rng.normal(size=(4, 3)), **NUMBERS}.items():
        made.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return made


@pytest.mark.parametrize("composite", ["epsilon", "attn_lrp", "epsilon_plus"])
@pytest.mark.parametrize("name", NORMS)
def test_the_numerator_takes_all(name, composite):
    x = np.random.default_rng(1).normal(size=(2, 4))
    found = reference(onnxlrp.convert(model(NORMS[name]), composite, target="weights").to_proto())({"x": x})
    plain = reference(onnxlrp.convert(model(NORMS["divided"]), composite, target="weights").to_proto())({"x": x})
    np.testing.assert_allclose(found["x_relevance"], plain["x_relevance"], rtol=1e-6)
    np.testing.assert_allclose(found["x_relevance"].sum(), found["y"].sum(), rtol=1e-4)


def test_a_sigmoid_written_out_is_a_gate_and_no_divisor():
    gate = "one = Constant <value: tensor = double {1}> () z = MatMul (x, V) k = Neg (z) e = Exp (k) d = Add (e, one)"
    text = f"main (double[N, 4] x) => (double[N, 4] y) {{ {gate} s = Div (one, d) h = MatMul (x, U) y = Mul (s, h) }}"
    made = parser.parse_model(HEAD + text)
    for name in "UV":
        made.graph.initializer.append(onnx.numpy_helper.from_array(np.eye(4), name))
    plan = onnxlrp.inspect(made, "attn_lrp")
    assert next(row.why for row in plan.rows() if row.operator == "Mul") == "product of data: half each"
