"""Walks through a graph, by what they go through."""

from __future__ import annotations

import onnx
import onnx_ir as ir

from onnxlrp.graph.walks import (
    ends_downstream,
    follow,
    follow_operators,
    made_by,
    mark_downstream,
    mark_upstream,
    read_by,
    upstream,
)

TEXT = """<ir_version: 10, opset_import: ["" : 21]>
g (float[2] x, float[2] other, bool condition) => (float[2] y, float[2] z) {
    a = Identity (x)
    b = Identity (a)
    c = Relu (b)
    d = Add (c, b)
    y = Neg (d)
    unread = Abs (b)
    z = If (condition) <then_branch = t () => (float[2] p) { p = Neg (other) },
                        else_branch = e () => (float[2] q) { q = Neg (other) }>
}
"""


def graph() -> tuple[list[ir.Node], dict[str, ir.Value]]:
    found = ir.from_proto(onnx.parser.parse_model(TEXT)).graph
    values = {str(v.name): v for v in (*found.inputs, *(v for node in found for v in node.outputs))}
    return list(found), values


def test_following_one_value():
    _, values = graph()
    assert follow_operators(values["b"], {"Identity"}) is values["x"]
    assert follow_operators(values["c"], {"Identity"}) is values["c"]
    assert follow(values["y"], lambda node: node.inputs[0] if node.op_type != "Relu" else None) is values["c"]


def test_the_node_that_makes_a_value():
    nodes, values = graph()
    assert made_by(values["c"], "Identity", "Relu") is nodes[2]
    assert made_by(values["c"], "Identity") is made_by(values["x"], "Relu") is made_by(None, "Relu") is None


def test_all_that_lies_upstream_once_and_the_nearest_first():
    _, values = graph()
    assert [node.op_type for node in upstream([values["y"]])] == ["Neg", "Add", "Relu", "Identity", "Identity"]
    assert [
        n.op_type for n in upstream([values["y"]], lambda node: node.inputs[:1] if node.op_type == "Neg" else ())
    ] == [
        "Neg",
        "Add",
    ]


def test_bodies_read_what_is_around_them():
    nodes, values = graph()
    assert set(read_by(nodes[-1])) == {values["condition"], values["other"]}


def test_marks_spread_in_both_directions():
    nodes, values = graph()
    marked = {values["c"]}
    mark_downstream(nodes, marked, lambda node: node.outputs)
    assert marked == {values[name] for name in "cdy"}
    mark_upstream(nodes, marked, lambda node: node.inputs)
    assert marked == {values[name] for name in "cdybax"}
    marked = {values["other"]}
    mark_downstream(nodes, marked, lambda node: node.outputs, read_by)
    assert marked == {values["other"], values["z"]}


def test_where_all_ways_downstream_end():
    _, values = graph()
    ends = ends_downstream(values["x"], lambda node, value: node.op_type == "Identity")
    assert ends is not None
    assert [(node.op_type, value.name) for node, value in ends] == [("Relu", "b"), ("Add", "b"), ("Abs", "b")]
    assert ends_downstream(values["c"], lambda node, value: True) is None  # It leads to an output.
    assert ends_downstream(values["unread"], lambda node, value: True) is None
