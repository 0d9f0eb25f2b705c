"""Layer normalisation in the spellings of exporters: one operator, one relevance, the same outputs."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import parser

import onnxlrp
from onnxlrp.source.canonical import canonicalise
from onnxlrp.source.read import read
from tests.operators.case import reference

HEAD = '<ir_version: 10, opset_import: ["" : 21]>\n'
MEAN = "last = Constant <value: tensor = int64[1] {-1}> () m = ReduceMean (h, last) d = Sub (h, m)"
TWO = "two = Constant <value: tensor = double {2}> () eps = Constant <value: tensor = double {1e-5}> ()"
ROOT = "v = ReduceMean (q, last) s = Add (v, eps) r = Sqrt (s)"
TAIL = "a = Mul (n, gamma) b = Add (a, beta)"
START = f"{MEAN} {TWO}"
SPELLINGS = {
    "powers, as torch writes it": f"{START} q = Pow (d, two) {ROOT} n = Div (d, r) {TAIL}",
    "products, the constant first": f"{START} q = Mul (d, d) v = ReduceMean (q, last) s = Add (eps, v) r = Sqrt (s) "
    "n = Div (d, r) a = Mul (gamma, n) b = Add (beta, a)",
    "times a reciprocal": f"{START} q = Mul (d, d) {ROOT} i = Reciprocal (r) n = Mul (d, i) {TAIL}",
    "times a power": f"{START} half = Constant <value: tensor = double {{-0.5}}> () q = Pow (d, two) "
    f"v = ReduceMean (q, last) s = Add (v, eps) i = Pow (s, half) n = Mul (i, d) {TAIL}",
    "one operator": "b = LayerNormalization <axis: int = -1, epsilon: float = 1e-5> (h, gamma, beta)",
}
BOTH = START.replace("int64[1] {-1}", "int64[2] {-2, -1}")
PARTS = {
    "no scale": f"{START} q = Mul (d, d) {ROOT} n = Div (d, r) b = Add (n, beta)",
    "nothing behind": f"{START} q = Mul (d, d) {ROOT} b = Div (d, r)",
    "two axes": f"{BOTH} q = Mul (d, d) {ROOT} b = Div (d, r)",
}
OTHERS = {
    "another square": f"{START} q = Mul (h, h) {ROOT} b = Div (d, r)",
    "over the first axis": f"{START.replace('{-1}', '{0}')} q = Mul (d, d) {ROOT} b = Div (d, r)",
    "no centre": f"{START} q = Mul (h, h) {ROOT} b = Div (h, r)",
}


def model(body: str) -> onnx.ModelProto:
    text = f"main (double[N, 3, 4] x) => (double[N, 3, 5] y) {{ h = MatMul (x, V) {body} y = MatMul (b, W) }}"
    made = parser.parse_model(HEAD + text)
    rng = np.random.default_rng(0)
    for name, shape in {"gamma": (4,), "beta": (4,), "V": (4, 4), "W": (4, 5)}.items():
        made.graph.initializer.append(onnx.numpy_helper.from_array(rng.normal(size=shape), name))
    return made


def operators(proto: onnx.ModelProto) -> list[str]:
    source = read(proto)
    canonicalise(source.model)
    return [n.op_type for n in source.model.graph]


@pytest.mark.parametrize("body", {**SPELLINGS, **PARTS}.values(), ids={**SPELLINGS, **PARTS})
def test_it_is_one_operator_with_the_same_outputs(body):
    x = np.random.default_rng(1).normal(size=(2, 3, 4))
    proto = model(body)
    assert operators(proto).count("LayerNormalization") == 1 and "ReduceMean" not in operators(proto)
    explained = onnxlrp.convert(proto, "epsilon", target="weights").to_proto()
    # ε is an attribute of single precision.
    np.testing.assert_allclose(reference(explained)({"x": x})["y"], reference(proto)({"x": x})["y"], rtol=1e-8)


@pytest.mark.parametrize("composite", ["epsilon", "attn_lrp", "gradient"])
@pytest.mark.parametrize("name", SPELLINGS)
def test_relevance_does_not_depend_on_the_spelling(name, composite):
    x = np.random.default_rng(1).normal(size=(2, 3, 4))
    found = [
        reference(onnxlrp.convert(model(SPELLINGS[n]), composite, target="weights").to_proto())({"x": x})["x_relevance"]
        for n in (name, "one operator")
    ]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("body", OTHERS.values(), ids=OTHERS)
def test_what_only_looks_like_one_stays(body):
    assert "LayerNormalization" not in operators(model(body))
