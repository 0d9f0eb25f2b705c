"""Dense layers upstream of a kernel that is explained against a background, as a PCA in a pipeline is.

The kernel shares out what changes from the reference, so that a layer upstream must share out its change, W·(x − r):
shares of W·x + b are unbounded where W·x + b is 0 and the change is not.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from onnxlrp.analysis.facts import Facts
from onnxlrp.analysis.layers import Layer
from onnxlrp.graph.call import Call
from onnxlrp.graph.readers import sole_reader
from onnxlrp.operators.registry import find
from onnxlrp.rule_language import IN_PROPORTION
from onnxlrp.rules import Rule

_AFFINE = frozenset({"Mul", "Div", "Neg", "Identity", "Cast", "Add", "Sub"})


def layer_reference(layer: Layer, rule: Rule, facts: Facts) -> np.ndarray | None:
    """The mean of the background at a layer's input, [1, features], where the layer leads to a kernel; else None."""
    if facts.background is None or layer.kind != "dense" or rule.shares() != IN_PROPORTION:
        return None
    if layer.x.shape is None or len(layer.x.shape) != 2 or not leads_to_kernel(layer.z, facts):
        return None
    return facts.background.mean(layer.x).reshape(1, -1)


def leads_to_kernel(value: ir.Value, facts: Facts) -> bool:
    """Decide whether a value leads to a kernel that compares it with a background: directly, through steps that scale
    and shift, or through a dense layer that leads to such a kernel."""
    if facts.background is None:
        return False
    while not _is_compared(value, facts):
        reader = sole_reader(value)
        if reader is None:
            return False
        node = reader[0]
        layer = facts.layers.get(node)
        if layer is not None and layer.kind == "dense" and layer.x is value:
            value = layer.z
        elif node.op_type in _AFFINE and node.domain == "" and len(facts.relevance_operands(node)) == 1:
            value = node.outputs[0]
        else:
            return False
    return True


def _is_compared(value: ir.Value, facts: Facts) -> bool:
    if any(d.x is value for kernel in facts.kernels.values() for d in kernel.distances):
        return True
    return any(
        (entry := find(node)) is not None and node.inputs[0] is value and entry.compares(Call.of(node)) is not None
        for node in value.consumers()
    )
