"""Marks of provenance: kept apart from each other, and which of them a file keeps."""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.graph.provenance import (
    is_own,
    is_relevance,
    is_replaced,
    mark_own,
    mark_replaced,
    mark_rule,
    unmark,
)


def test_marks():
    node = ir.Node("", "Relu", [ir.Value(name="x")])
    assert not (is_relevance(node) or is_own(node) or is_replaced(node))
    mark_own(node)
    assert is_own(node) and not is_replaced(node)
    mark_replaced(node)
    mark_rule(node, "conv: Epsilon")
    assert is_own(node) and is_replaced(node) and is_relevance(node)
    unmark(node)
    assert dict(node.metadata_props) == {"onnxlrp.rule": "conv: Epsilon"}
