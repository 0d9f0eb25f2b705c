"""What a part of the model makes of given rows, computed as the model is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator


def evaluate(value: ir.Value, rows: Mapping[ir.Value, np.ndarray], opsets: Mapping[str, int]) -> np.ndarray | None:
    """Compute a value for rows [n, columns] of others; None where the rows turn out not to be independent.

    All else that it depends on must be constant, or the shape of something with as many rows. Raises whatever the
    reference evaluator raises of nodes that it lacks.
    """
    count = len(next(iter(rows.values())))
    feeds = {v: np.concatenate([r, r[::-1]]) for v, r in rows.items()}
    nodes, constants = _needed(value, feeds, 2 * count)
    graph = onnx.helper.make_graph(
        [ir.serde.serialize_node(n) for n in nodes],
        "part",
        [onnx.helper.make_value_info(str(v.name), onnx.TypeProto()) for v in feeds],
        [onnx.helper.make_value_info(str(value.name), onnx.TypeProto())],
        [onnx.numpy_helper.from_array(v.const_value.numpy(), v.name) for v in constants if v.const_value is not None],
    )
    domains = {n.domain for n in nodes}
    imports = [onnx.helper.make_opsetid(d, v) for d, v in opsets.items() if d in domains]
    evaluator = ReferenceEvaluator(onnx.helper.make_model(graph, opset_imports=imports))
    results: list[Any] = list(evaluator.run(None, {str(v.name): r for v, r in feeds.items()}))
    found = np.asarray(results[0])
    there, back = found[:count], found[count:][::-1]
    return there if len(found) == 2 * count and np.array_equal(there, back, equal_nan=True) else None


def _needed(value: ir.Value, feeds: dict[ir.Value, np.ndarray], count: int) -> tuple[list[ir.Node], list[ir.Value]]:
    """The nodes on the way from what is fed, in order, and the constants that they read. What only its shape is read
    of is fed as zeros."""
    nodes: dict[ir.Node, None] = {}
    constants: dict[ir.Value, None] = {}

    def visit(value: ir.Value | None) -> None:
        if value is None or value in feeds:
            return
        node = value.producer()
        if value.const_value is not None or node is None:
            constants[value] = None
            return
        if node.op_type == "Shape" and (x := node.inputs[0]) is not None and x not in feeds:
            sizes = [d for d in list(x.shape or ())[1:] if isinstance(d, int)]
            feeds[x] = np.zeros([count, *sizes], np.float32)
        for operand in node.inputs:
            visit(operand)
        nodes[node] = None

    visit(value)
    return list(nodes), list(constants)
