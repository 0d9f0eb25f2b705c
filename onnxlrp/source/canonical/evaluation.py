"""Compute a part of the model for given rows while the model is read."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from onnxlrp.graph.call import content
from onnxlrp.source.evaluate import run_nodes


def evaluate_rows(
    value: ir.Value,
    rows: Mapping[ir.Value, np.ndarray],
    repeated: Mapping[ir.Value, np.ndarray],
    opsets: Mapping[str, int],
) -> np.ndarray | None:
    """Compute a value for given `rows` [n, columns] of other values; None if that is impossible, or if rows depend on
    each other.

    Every other value that it depends on must be constant, or the shape of a value with the same number of rows.
    `repeated` gives the row, [1, …], of each constant that holds the same row for every sample of a batch. Rows are
    taken to be independent if reversing their order reverses the result.
    """
    count = len(next(iter(rows.values())))
    part = _Part(2 * count, {v: np.concatenate([r, r[::-1]]) for v, r in rows.items()}, repeated)
    part.visit(value)
    nodes = [ir.serde.serialize_node(n) for n in part.nodes]
    try:
        found = run_nodes(nodes, part.feeds, part.constants, value, opsets)
    except (
        Exception
    ):  # the evaluator raises whatever its operators raise; without a result, relevance ends at the value as before
        return None
    there, back = found[:count], found[count:][::-1]
    return there if len(found) == 2 * count and np.array_equal(there, back, equal_nan=True) else None


class _Part:
    """The nodes between the fed values and a result, in order, and the constants that they read."""

    def __init__(self, count: int, feeds: dict[ir.Value, np.ndarray], repeated: Mapping[ir.Value, np.ndarray]) -> None:
        self.count, self.feeds, self.repeated = count, feeds, repeated
        self.nodes: dict[ir.Node, None] = {}
        self.constants: dict[ir.Value, np.ndarray] = {}

    def visit(self, value: ir.Value | None) -> None:
        """Add the nodes and constants that a value is computed from; feed zeros for a value of which only the shape is
        read."""
        if value is None or value in self.feeds or value in self.constants:
            return
        known, node = content(value), value.producer()
        if value in self.repeated:
            self.feeds[value] = np.repeat(self.repeated[value], self.count, axis=0)
        elif known is not None:
            self.constants[value] = known
        elif node is not None:
            x = node.inputs[0] if node.op_type == "Shape" else None
            if x is not None and x not in self.feeds:
                sizes = [d for d in list(x.shape or ())[1:] if isinstance(d, int)]
                self.feeds[x] = np.zeros([self.count, *sizes], np.float32)
            for operand in node.inputs:
                self.visit(operand)
            self.nodes[node] = None
