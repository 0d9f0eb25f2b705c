"""Explain what a model computes in integers through the same computation in floats.

`q = Quantize(f(Dequantize(a), Dequantize(b)))`, which the runtime fuses into one operator on integers, becomes
`Deployed(q, f(a', b'))`. Its value is q, and relevance continues at the copy of f. The copy reads outputs of
DequantizeLinear only, so that the runtime still fuses the original and the outputs keep their bits. An operator on
integers is rewritten in the same way, with its computation in floats as `f`. Nodes that are never read are removed when
the model is finished.

A constant that is added to an output after it was rounded is not made a bias of the layer: where `f(x; w, b)` is near 0
although the rounded output is not, relevance of a real transformer vanished (correlation with the float model 0.0
instead of 0.97).
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.graph.misses import attempt, miss
from onnxlrp.graph.provenance import mark_own, mark_replaced
from onnxlrp.operators.control_flow import bodies
from onnxlrp.operators.quantised import DEPLOYED, has_packed_weight, written_out
from onnxlrp.operators.quantised_products import integer_product
from onnxlrp.operators.registry import Kind, find
from onnxlrp.source.canonical.common import Rewriter

_SOURCES = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "Deployed")
_INTEGERS = ("ConvInteger", "MatMulInteger")


def rewrite(rewriter: Rewriter) -> None:
    """Put a computation in floats beside every computation that is deployed in integers."""
    copies: dict[ir.Node, ir.Node] = {}
    nodes = list(rewriter.graph)
    if any(_rounds_activations(rewriter, n) or has_packed_weight(n, rewriter.constants) for n in nodes):
        for node in nodes:
            mark_own(node)
    for node in nodes:
        entry = find(node)
        if entry is None or rewriter.is_constant(node.outputs[0]):
            continue
        if node.op_type == "QuantizeLinear":
            x = node.inputs[0]
            what = "is explained without the computation upstream in floats"
            copy = None if x is None else attempt(what, node, _copy, rewriter, x, copies)
            if copy is not None:
                deploy(rewriter, [node], [copy])
        elif entry.in_floats is not None and entry.refuse(Call.of(node)) is None:
            made = entry.in_floats(rewriter.op, Call.of(node))
            deploy(rewriter, [node], made if isinstance(made, list) else [made])
        elif node.op_type in _INTEGERS:
            found = integer_product(rewriter.op, node, rewriter.is_constant)
            if found is not None:
                deploy(rewriter, found[0], [found[1]])


def _rounds_activations(rewriter: Rewriter, node: ir.Node) -> bool:
    entry = find(node)
    rounds = node.op_type in ("QuantizeLinear", "DynamicQuantizeLinear") or (entry is not None and entry.in_floats)
    return bool(rounds) and not rewriter.is_constant(node.outputs[0])


def _copy(rewriter: Rewriter, value: ir.Value, copies: dict[ir.Node, ir.Node]) -> ir.Value | None:
    """Copy the node that computes the quantised value, and the layer upstream of it if the node is an activation.
    Returns None if the value needs no copy because other nodes read it too, or if it cannot be copied."""
    node = value.producer()
    if node is None or node.graph is not rewriter.graph or len(node.outputs) != 1 or bodies(node):
        return miss(f"{value.name!r} comes from no node of this graph, or from one of several outputs or with bodies")
    entry, readers = find(node), {u.node for u in value.uses()}
    # Only the model's own readers count: copied nodes read copies.
    alone = all(n.op_type == "QuantizeLinear" or n in copies for n in readers if n not in copies.values())
    if entry is None or entry.kind in (Kind.STOP, Kind.REFUSED) or node.op_type in _SOURCES:
        return miss(f"{node.op_type} {node.name!r} has no rule, or quantises itself")
    if node.domain == DEPLOYED or value.is_graph_output() or rewriter.is_constant(value) or not alone:
        return miss(f"{value.name!r} is an output or a constant, or is read by other nodes too")
    if node not in copies:
        inputs = [None if v is None else _operand(rewriter, v) for v in node.inputs]
        copy = ir.Node(
            node.domain, node.op_type, inputs, list(node.attributes.values()), num_outputs=1, version=node.version
        )
        copies[node] = copy
        rewriter.graph.append(copy)
        name, result = node.name, node.outputs[0]
        copy.name, node.name = name, f"{name}_deployed"
        copy.outputs[0].name, result.name = result.name, f"{result.name}_deployed"
        copy.outputs[0].type, copy.outputs[0].shape = result.type, result.shape
        mark_replaced(node)
        if entry.kind is Kind.ELEMENTWISE and (before := node.inputs[0]) is not None:
            layer = _copy(rewriter, before, copies)
            if layer is not None:
                copy.replace_input_with(0, layer)
    return copies[node].outputs[0]


def _operand(rewriter: Rewriter, value: ir.Value) -> ir.Value:
    """Write out the dequantisation of a constant as arithmetic, so that it folds; return any other value unchanged."""
    node = value.producer()
    if node is None or node.op_type != "DequantizeLinear" or not rewriter.is_constant(value):
        return value
    return rewriter.made(written_out(rewriter.op, Call.of(node)))


def _layer(value: ir.Value) -> ir.Node | None:
    """Find the node that computes a value; if that node adds a bias to a layer, find the layer."""
    node = value.producer()
    if node is None or node.op_type != "Add":
        return node
    makers = [v.producer() for v in node.inputs if v is not None]
    layers = [n for n in makers if n is not None and (entry := find(n)) is not None and entry.layer is not None]
    return layers[0] if len(layers) == 1 else node


def deploy(rewriter: Rewriter, own: list[ir.Node], copies: Sequence[ir.Value]) -> None:
    """Let all readers of the last of the model's own nodes read a `Deployed` node, which holds that node's value and
    the copy of it in floats."""
    names, maker = [n.name for n in own], _layer(copies[0])
    for node in own:
        mark_replaced(node)
        node.name = f"{node.name}_deployed"
    name = names[-1]
    if maker is not None and str(maker.name).startswith("canonical"):
        # Rules find the layer by the name of the model's own node.
        maker.name, name = names[0], f"{names[-1]}_rounded" if len(own) == 1 else names[-1]
    for index, (result, copy) in enumerate(zip(own[-1].outputs, copies, strict=True)):
        node = ir.Node(DEPLOYED, "Deployed", [result, copy], num_outputs=1, version=1)
        node.name = f"{name}_{index}" if index else name
        rewriter.stand_in(node, "deployed")
