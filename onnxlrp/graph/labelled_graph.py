"""The graph that nodes are appended to, on onnxscript's GraphBuilder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx_ir as ir
from onnxscript import GraphBuilder

from onnxlrp.graph import node_inference
from onnxlrp.graph.provenance import mark_rule

_ARITHMETIC = {"Add", "Sub", "Mul", "Div"}


class LabelledGraph(GraphBuilder):
    """GraphBuilder that labels nodes with the rule that they come from."""

    label: str = ""

    def initializer(self, tensor: Any, name: str | None = None, *, qualify: bool = True) -> ir.Value:
        """Add an initializer whose name always begins with the scope, because two builders work on one graph, one after
        the other."""
        return super().initializer(tensor, name, qualify=True)

    def _partition_inputs_attributes(
        self, schema: Any, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> tuple[Sequence[Any], dict[str, Any]]:
        """Tell operands from attributes by position and name: asking the schema takes a third of a node's time."""
        return args, kwargs

    def _infer_shapes(self, node: ir.Node) -> None:
        """Infer as ONNX does, but without asking it if both operands of arithmetic have one type and one shape."""
        if node.op_type in _ARITHMETIC:
            first, second = node.inputs
            assert first is not None and second is not None
            dtype, shape = first.type, first.shape
            if dtype is not None and shape is not None and dtype == second.type and shape == second.shape:
                node.outputs[0].type, node.outputs[0].shape = dtype, shape.copy()
                return
        node_inference.infer_outputs(node)

    def _annotate_node(self, node: ir.Node) -> None:
        if self.label:
            mark_rule(node, self.label)
