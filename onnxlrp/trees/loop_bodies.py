"""Bodies of Loops whose values have names of their own.

ONNX's inference propagates what it knows of a value by its name, and takes values of one name in two bodies for one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import onnx_ir as ir

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder

_OWN = "trees_"
"""Prefix of the names of these bodies: a graph whose name has it is such a body, and bodies inside it extend its
name."""
Kinds = Mapping[str, tuple[ir.DataType, ir.Shape | None]]


def loop_body(op: Builder, name: str, kinds: Kinds) -> tuple[ir.Graph, Builder]:
    """Make an empty body for the next Loop of a graph, with inputs of these types and shapes, and its builder."""
    loops = sum(node.op_type == "Loop" for node in op.graph)
    outer = op.graph.name or ""
    scope = f"{outer}_{name}" if outer.startswith(_OWN) else f"{_OWN}{name}"
    scope = f"{scope}_{loops}" if loops else scope
    inputs = [
        ir.Value(name=f"{scope}_{key}", type=ir.TensorType(dtype), shape=shape) for key, (dtype, shape) in kinds.items()
    ]
    body = ir.Graph(inputs, [], nodes=[], name=scope, opset_imports=op.graph.opset_imports)
    return body, op.inside(body, scope)
