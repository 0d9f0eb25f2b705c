"""The readers of a value."""

from __future__ import annotations

import onnx
import onnx_ir as ir

from onnxlrp.graph.readers import is_read, read_copies, redirect, sole_reader

TEXT = """<ir_version: 10, opset_import: ["" : 21]>
g (float[2] x) => (float[2] y) {
    a = Relu (x)
    b = Add (x, a)
    unread = Neg (b)
    y = Mul (b, b)
}
"""


def test_readers():
    graph = ir.from_proto(onnx.parser.parse_model(TEXT)).graph
    values = {str(v.name): v for v in (*graph.inputs, *(v for node in graph for v in node.outputs))}
    nodes = {node.op_type: node for node in graph}
    assert [name for name, value in values.items() if not is_read(value)] == ["unread"]
    assert sole_reader(values["a"]) == (nodes["Add"], 1)
    assert sole_reader(values["x"]) is None and sole_reader(values["y"]) is None
    redirect((use for use in values["b"].uses() if use.node is nodes["Mul"]), values["a"])
    assert list(nodes["Mul"].inputs) == [values["a"]] * 2
    assert sole_reader(values["b"]) == (nodes["Neg"], 0)


def test_copies_are_read_by_other_nodes_alone():
    """Readers among the own nodes, and values that need no copy, stay as they are."""
    graph = ir.from_proto(onnx.parser.parse_model(TEXT)).graph
    relu, add, neg, mul = graph
    copied = ir.val("copy")
    own = {relu, add, neg}
    read_copies(graph, own.__contains__, lambda value: copied if value is add.outputs[0] else value)
    assert list(mul.inputs) == [copied, copied] and list(neg.inputs) == [add.outputs[0]]
    read_copies(graph, {relu}.__contains__, lambda value: value)
    assert list(add.inputs) == [graph.inputs[0], relu.outputs[0]]
