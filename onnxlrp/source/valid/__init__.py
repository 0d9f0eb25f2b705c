"""Refuse a model that contradicts itself, before any of onnx's own passes sees it.

Those passes are written in C++ and trust that a node is what its schema says; some of them end the interpreter if it is
not. All checks here read the protocol buffers in Python, and compute nothing from the weights.
"""

from __future__ import annotations

import onnx

from onnxlrp.source.valid import element_types, function_bodies, graphs, versions
from onnxlrp.source.valid.contradictions import refuse_contradictions
from onnxlrp.source.valid.scope import Scope
from onnxlrp.trees.held_columns import HeldColumns

__all__ = ["check", "refuse_contradictions"]


def check(proto: onnx.ModelProto, held: HeldColumns | None = None) -> list[str]:
    """Raise InvalidModelError, naming the node, at the first part of a model that no runtime could run.

    `held` are the columns of tree ensembles that were taken out of the model.
    Returns notes about operands that onnxruntime does not accept but onnx's own evaluator may.
    """
    versions.check(proto)
    function_bodies.check(proto)
    calls = function_bodies.signatures(proto)
    opsets = versions.imported(proto.opset_import)
    held = held or HeldColumns()
    graphs.check(proto.graph, Scope(opsets, calls, held))
    wide: list[str] = []
    element_types.check(proto.graph, opsets, wide)
    for function in proto.functions:
        own = {**opsets, **versions.imported(function.opset_import)}
        graphs.check_function(function, Scope(own, calls, held, in_function=True))
    more = f" (and {len(wide) - 1} more such operands)" if len(wide) > 1 else ""
    return [f"{wide[0]}{more}: onnxruntime does not load such a model"] if wide else []
