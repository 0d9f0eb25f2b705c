"""Pass that stores the constants of the relevance part in the file, for runtimes that compute none in advance."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from onnxlrp.graph.builder import Builder
from onnxlrp.graph.call import content, graphs_of
from onnxlrp.graph.provenance import is_relevance
from onnxlrp.source.constants import constants
from onnxlrp.source.evaluate import run_nodes

_SMALL = 1 << 16
"""Bytes up to which every constant is stored; larger ones only where they are no larger than what they come from."""
_GROWTH = 4
"""Factor by which weights of eight bits grow as floats."""


def fold_weights(op: Builder) -> None:
    """Replace each constant value of the relevance part that anything but a constant reads by its content."""
    folder = _Folder(op)
    for value in [v for node in op.graph if is_relevance(node) for v in node.outputs if folder.is_wanted(v)]:
        for end in list(folder.ends(value)):
            stored = folder.content(end)
            if stored is not None:
                constant = op.constant(stored)
                ir.convenience.replace_all_uses_with(end, constant, replace_graph_outputs=False)


class _Folder:
    """Contents of a graph's constants, each computed once."""

    def __init__(self, op: Builder) -> None:
        self._op, self._fixed = op, constants(op.graph)
        self._known: dict[ir.Value, np.ndarray | None] = {}

    def is_wanted(self, value: ir.Value) -> bool:
        """Decide whether a value is constant, and read by a node that is none."""
        return value in self._fixed and any(v not in self._fixed for use in value.uses() for v in use.node.outputs)

    def ends(self, value: ir.Value) -> Iterator[ir.Value]:
        """Yield the value, or the values that it is computed from if storing it would make the file much larger."""
        array, node = self.content(value), value.producer()
        if node is None or not is_relevance(node):
            return
        if array is not None and array.nbytes <= max(_SMALL, _GROWTH * self._origin(value)):
            yield value
            return
        for operand in node.inputs:
            if operand is not None and operand in self._fixed:
                yield from self.ends(operand)

    def content(self, value: ir.Value) -> np.ndarray | None:
        """Return the content of a constant, None where it cannot be computed in advance."""
        if value not in self._known:
            self._known[value] = content(value) if value.const_value is not None else self._computed(value)
        return self._known[value]

    def _computed(self, value: ir.Value) -> np.ndarray | None:
        node = value.producer()
        if node is None or value not in self._fixed or not _is_simple(node):
            return None
        operands = {v: self.content(v) for v in node.inputs if v is not None}
        known = {v: array for v, array in operands.items() if array is not None}
        if len(known) < len(operands):
            return None
        try:
            result = run_nodes([ir.serde.serialize_node(node)], {}, known, value, self._op.graph.opset_imports)
        except Exception:  # the evaluator raises whatever its operators raise
            return None
        return result if value.dtype is None else result.astype(value.dtype.numpy(), copy=False)

    def _origin(self, value: ir.Value) -> int:
        """Count the bytes of the initializers that a constant is computed from."""
        found: set[ir.Value] = set()
        waiting = [value]
        while waiting:
            at = waiting.pop()
            node = at.producer()
            if node is None or node.op_type == "Constant":
                found.add(at)
            else:
                waiting += [v for v in node.inputs if v is not None]
        return sum(v.const_value.nbytes for v in found if v.const_value is not None)


def _is_simple(node: ir.Node) -> bool:
    """Decide whether a node computes one value from its operands alone, by an operator of ONNX's own."""
    return node.domain == "" and len(node.outputs) == 1 and not graphs_of(node)
