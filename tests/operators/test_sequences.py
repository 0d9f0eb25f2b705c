"""Lists of tensors: relevance goes through them to the tensors they were made of."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import parser

import onnxlrp
from onnxlrp.errors import UnsupportedOperatorError
from tests.operators.case import onnxruntime, reference

HEAD = '<ir_version: 10, opset_import: ["" : 21]>\n'
CONSTANTS = "one = Constant <value: tensor = int64 {1}> () last = Constant <value: tensor = int64 {-1}> ()"
PIECES = """places = Constant <value: tensor = int64[3] {0, 1, 3}> () two = Constant <value: tensor = int64 {2}> ()
    yes = Constant <value: tensor = bool {1}> () axis = Constant <value: tensor = int64[1] {1}> () o = SequenceEmpty ()
    s = Loop (two, yes, o) <body: graph = f (int64 i, bool c, seq(double[N, M]) l) => (bool d, seq(double[N, M]) t) {
        j = Add (i, one) v = Reshape (i, axis) w = Reshape (j, axis) begin = Gather (places, v) end = Gather (places, w)
        p = Slice (x, begin, end, axis) t = SequenceInsert (l, p) d = Identity (c) }>"""
"""As torch splits a tensor into pieces of different sizes."""
BODIES = {
    "construct and at": "s = SequenceConstruct (a, x, a) e = SequenceAt (s, one)",
    "last of all": "s = SequenceConstruct (x, a) e = SequenceAt (s, last)",
    "at a place given at run time": "s = SequenceConstruct (a, x) e = SequenceAt (s, n)",
    "concatenated": "s = SequenceConstruct (a, x, a) e = ConcatFromSequence <axis: int = 1> (s)",
    "stacked": "s = SequenceConstruct (a, x) e = ConcatFromSequence <axis: int = -1, new_axis: int = 1> (s)",
    "split": "s = SplitToSequence <axis: int = 1> (x) e = SequenceAt (s, one)",
    "split unevenly": """p = Constant <value: tensor = int64[2] {1, 2}> ()
        s = SplitToSequence <axis: int = 1> (x, p) e = SequenceAt (s, n)""",
    "split without the axis": "s = SplitToSequence <axis: int = 1, keepdims: int = 0> (x) e = SequenceAt (s, n)",
    "split one by one, with an attribute that is ignored": """p = Constant <value: tensor = int64 {1}> ()
        s = SplitToSequence <axis: int = 1, keepdims: int = 0> (x, p) e = SequenceAt (s, one)""",
    "split into pieces of a size given at run time": """m = Add (n, one)
        s = SplitToSequence <axis: int = 1, keepdims: int = 0> (x, m) e = SequenceAt (s, one)""",
    "inserted and erased": """o = SequenceEmpty () i = SequenceInsert (o, a) j = SequenceInsert (i, x)
        zero = Constant <value: tensor = int64 {0}> () k = SequenceErase (j, zero) e = SequenceAt (k, zero)""",
    "inserted and erased at places given at run time": """o = SequenceEmpty () i = SequenceInsert (o, a)
        j = SequenceInsert (i, x, n) k = SequenceErase (j, n) l = SequenceInsert (k, x) e = SequenceAt (l, n)""",
    "erased, inserted in front, stacked": """o = SequenceConstruct (a, a, x) i = SequenceErase (o, one)
        minus = Neg (one) j = SequenceInsert (i, a, minus)
        e = ConcatFromSequence <axis: int = 1, new_axis: int = 1> (j)""",
    "erased at the end": "o = SequenceConstruct (a, x, a) i = SequenceErase (o) e = SequenceAt (i, last)",
    "erased at a place from the end": """o = SequenceConstruct (x, a, a) minus = Neg (one)
        i = SequenceErase (o, minus) e = ConcatFromSequence <axis: int = 1> (i)""",
    "pieces cut off by a loop": f"{PIECES} e = SequenceAt (s, n)",
    "pieces cut off by a loop, and one more": f"{PIECES} u = SequenceInsert (s, x) e = SequenceAt (u, one)",
    "pieces cut off by a loop, joined": f"{PIECES} e = ConcatFromSequence <axis: int = 1> (s)",
    "pieces cut off by a loop that counts in a vector": PIECES.replace("int64 i", "int64[1] i").replace(
        "Reshape (i, axis) w = Reshape (j, axis)", "Identity (i) w = Identity (j)"
    )
    + "e = SequenceAt (s, n)",
    "counted": "s = SequenceConstruct (a, x, a) k = SequenceLength (s) f = CastLike (k, x) e = Mul (f, x)",
    "mapped": """s = SequenceConstruct (a, x) m = SequenceMap (s, x) <body: graph = f (double[N, 3] u, double[N, 3] v)
        => (double[N, 3] o) { p = Mul (u, v) o = Exp (p) }> e = SequenceAt (m, n)""",
    "wrapped": "w = Optional (x) e = OptionalGetElement (w)",
}


NOT_BY_REFERENCE = {
    "wrapped": "of an optional value the evaluator makes a list",
    "pieces cut off by a loop that counts in a vector": "the evaluator counts in numbers, whatever the body declares",
}


def model(body: str, kind: str = "double", shape: str = "N, 3") -> onnx.ModelProto:
    body = body.replace("double", kind)
    text = f"main ({kind}[{shape}] x, int64 n) => ({kind}[] y) {{ {CONSTANTS} a = Sin (x) {body} y = Mul (e, e) }}"
    made = parser.parse_model(HEAD + text)
    made.graph.output[0].type.tensor_type.ClearField("shape")
    if kind == "double":
        for node in made.graph.node:
            if node.op_type == "SequenceEmpty":
                node.attribute.append(onnx.helper.make_attribute("dtype", onnx.TensorProto.DOUBLE))
    return made


@pytest.mark.parametrize("shape", ["2, 3", "N, M"], ids=["static", "dynamic"])
@pytest.mark.parametrize("name", [n for n in BODIES if n not in NOT_BY_REFERENCE])
def test_the_gradient_through_a_list(name, shape):
    x, n = np.random.default_rng(0).normal(size=(2, 3)), np.int64(1)
    source = model(BODIES[name], shape=shape)
    run = reference(onnxlrp.convert(source, "gradient", target="weights").to_proto())
    plain = reference(source)
    y = plain({"x": x, "n": n})["y"]
    weights, direction = np.random.default_rng(1).normal(size=y.shape), np.random.default_rng(2).normal(size=x.shape)
    gradient = run({"x": x, "n": n, "y_weights": weights})["x_relevance"]
    ends = [(plain({"x": x + sign * 1e-6 * direction, "n": n})["y"] * weights).sum() for sign in (1, -1)]
    assert np.isclose((gradient * direction).sum(), (ends[0] - ends[1]) / 2e-6, rtol=1e-6)


@pytest.mark.parametrize("name", BODIES)
def test_relevance_is_conserved(name):
    """Under a product of equal factors and an activation; an exponential keeps what it is at 0."""
    x = np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32)
    options = {"target": "weights", "ledger": True, "explain_probability": True}
    explained = onnxlrp.convert(model(BODIES[name], "float"), "epsilon", **options)
    found = onnxruntime(explained.to_proto())({"x": x, "n": np.int64(1)})
    ledger = found["relevance_ledger"]
    kept = ledger[:, 2].sum() if name == "mapped" else 0.0
    np.testing.assert_allclose(found["x_relevance"].sum() + kept, found["y"].sum(), rtol=1e-4)
    np.testing.assert_allclose(ledger[:, 0], ledger[:, 1:].sum(1), rtol=1e-4, atol=1e-5)


def test_a_list_out_of_a_branch_is_refused():
    body = """c = Constant <value: tensor = bool {1}> () yes = Identity (n)
        b = Cast <to: int = 9> (yes)
        s = If (b) <then_branch: graph = t () => (seq(double[N, 3]) p) { p = SequenceConstruct (x) },
                    else_branch: graph = f () => (seq(double[N, 3]) q) { q = SequenceConstruct (a) }>
        zero = Constant <value: tensor = int64 {0}> () e = SequenceAt (s, zero)"""
    with pytest.raises(UnsupportedOperatorError, match="list comes from a loop"):
        onnxlrp.convert(model(body), "epsilon", target="weights")
