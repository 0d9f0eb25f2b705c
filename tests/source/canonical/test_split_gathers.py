"""Gathers that take a value apart are a Split, and their transpose is one Concat."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest

import onnxlrp
from tests.operators.case import reference

X = np.random.default_rng(3).normal(size=(2, 3, 4))
APART = "a = Gather <axis = 1> (x, zero) b = Gather <axis = -2> (x, one) c = Gather <axis = 1> (x, last) "
JOIN = "p = Mul(a, b) y = Sub(p, c)"


def model(body: str) -> onnx.ModelProto:
    head = '<ir_version: 8, opset_import: ["" : 17]> g (double[N, 3, 4] x) => (double[N, 4] y)'
    proto = onnx.parser.parse_model(f"{head} {{ {body} }}")
    numbers = {
        "zero": np.array(0),
        "one": np.array(1),
        "last": np.array(-1),
        "row": np.array([2]),
        "one_axis": np.array([1]),
    }
    read = {name for node in proto.graph.node for name in node.input}
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(v, k) for k, v in numbers.items() if k in read)
    for node in proto.graph.node:
        node.name = f"at_{node.output[0]}"
    return proto


def explained(body: str) -> tuple[list[str], dict[str, np.ndarray]]:
    found = onnxlrp.convert(model(body), "epsilon").to_proto()
    return [node.op_type for node in found.graph.node], reference(found)({"x": X})


@pytest.mark.parametrize("more", ["", "d = Gather <axis = 1> (x, one) e = Add(c, d) "], ids=["once", "one part twice"])
def test_parts_are_joined_on_the_way_back(more):
    join = JOIN.replace("c)", "e)") if more else JOIN
    kinds, found = explained(APART + more + join)
    assert kinds.count("Split") == kinds.count("Concat") == 1
    assert {"Gather", "Pad"}.isdisjoint(kinds)
    parts = APART.replace("x, last", "x, row").replace("c =", "c3 =") + "c = Squeeze(c3, one_axis) "
    other, expected = explained(parts + more + join)
    assert "Split" not in other
    for name in ("y", "x_relevance"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-12, atol=1e-15)


def test_parts_keep_their_names():
    plan = onnxlrp.inspect(model(APART + JOIN), "epsilon")
    assert {"at_a", "at_b", "at_c"} <= {row.node for row in plan.rows()}


def test_a_part_that_nobody_takes_leaves_all_as_they_are():
    kinds, _ = explained("a = Gather <axis = 1> (x, zero) c = Gather <axis = 1> (x, last) y = Sub(a, c)")
    assert "Split" not in kinds
    missing = onnxlrp.inspect(model("a = Gather <axis = 1> (x, zero) y = Neg(a)"), "epsilon", why_not="at_a").why_not
    assert any("1 of 3 places" in sentence for sentence in missing)
