"""Passes that let relevance read copies of the model's values, so that sessions fuse the model as they do the source.

A quantised model's floats between roundings are computed a second time. onnxruntime fuses a sum with the norm
downstream of it, the nodes of a norm, or a product with its scale. If relevance read a value inside, that would no
longer be fused, its last bit would change, and the next rounding could turn this into a whole step: outputs of a MiniLM
moved by 1e-3. So relevance reads only the model's dequantised values, the results of its integer arithmetic and its
outputs, and computes all floats between these itself.

A kernel for weights of a few bits rounds its input internally. There relevance reads the input itself and computes the
product in floats, because the kernel's result is fused with the bias, norm or GELU downstream.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import onnx_ir as ir

from onnxlrp.graph.builder import Builder
from onnxlrp.graph.call import Call, captured
from onnxlrp.graph.provenance import is_own, is_relevance, is_replaced, mark_rule
from onnxlrp.graph.readers import read_copies, redirect
from onnxlrp.graph.walks import made_by, read_by, upstream
from onnxlrp.operators.control_flow import bodies
from onnxlrp.operators.quantised import has_packed_weight, is_dequantised, written_out
from onnxlrp.operators.registry import Kind, find
from onnxlrp.source.constants import constants


def copy_quantised_floats(op: Builder) -> None:
    """Let relevance read copies of the model's floats, except those that it may read directly; see `_Copies.of`."""
    op.label("apart")
    copies = _Copies(op)
    read_copies(op.graph, is_own, copies.of)
    for value in copies.multiplied:
        _shield(op.graph, value)


def _shield(graph: ir.Graph, value: ir.Value) -> None:
    """Give an activation that a single product reads one reader only: a copy, which all former readers read instead.

    By the number of readers a session decides whether to fuse the activation with the layer upstream, or that layer
    with the DequantizeLinear of its weight.
    """
    own = [use for use in value.uses() if is_own(use.node)]
    activated = made_by(value, "Clip", "Relu") is not None
    if activated and len(own) == 1 < len(value.uses()) and not value.is_graph_output():
        redirect(list(value.uses()), unfused_copy(graph, value))


class _Copies:
    """Copies of the model's values for relevance, one of each; their nodes are appended to the graph."""

    def __init__(self, op: Builder) -> None:
        self.op, graph = op, op.graph
        self.made: dict[ir.Value, ir.Value] = {}
        self.apart: dict[ir.Value, ir.Value] = {}
        self.data = {v for v in graph.inputs if not v.is_initializer()}
        for node in graph:
            if any(v in self.data or (v is not None and _is_outer(v, graph)) for v in (*node.inputs, *captured(node))):
                self.data.update(node.outputs)
        fixed = constants(graph)
        self.packed = [n for n in graph if is_own(n) and has_packed_weight(n, fixed)]
        self.multiplied = {v: None for n in self.packed for v in n.inputs if v is not None and v in self.data}
        """Values that are multiplied by weights of a few bits, in their order."""

    def of(self, value: ir.Value) -> ir.Value:
        """Return the copy of a value that relevance reads.

        It is the value itself if that is constant, integer, dequantised, an output, or multiplied by a packed weight.
        """
        if value not in self.made:
            self.made[value] = value
            node, read = value.producer(), value.is_graph_output() or value in self.multiplied
            if node is not None and value in self.data and not read and _is_copied(node):
                self._copy(node)
        return self.made[value]

    def _copy(self, node: ir.Node) -> None:
        # The weight of a copy is dequantised again, so that no session merges the two products.
        own_weight = node in self.packed
        if own_weight and node.domain:
            self.made[node.outputs[0]] = self._in_floats(Call.of(node))
            return
        operand = self.of if own_weight else self._operand
        inputs = [None if v is None else operand(v) for v in node.inputs]
        if not own_weight and all(a is b for a, b in zip(inputs, node.inputs, strict=True)):
            return
        self.made.update(zip(node.outputs, _run_again(self.op.graph, node, inputs, node.outputs, "apart"), strict=True))

    def _in_floats(self, call: Call) -> ir.Value:
        """Compute the product on unpacked weights, as relevance does: the packed ones keep their one reader."""
        entry = find(call)
        assert entry is not None and entry.layer is not None and entry.layer.dequantised is not None
        out = self.op.run(entry.layer.dequantised(self.op, call))
        bias = entry.layer.bias_of(call)
        return out if bias is None else self.op.Add(out, bias)

    def _operand(self, value: ir.Value) -> ir.Value:
        """Choose the operand of a copied node: not that of the model's own node, or sessions merge the two."""
        copy = self.of(value)
        floating = value.dtype is not None and value.dtype.is_floating_point()
        if copy is not value or not floating or not (value in self.data or _is_outer(value, self.op.graph)):
            return copy
        if value not in self.apart:
            self.apart[value] = unfused_copy(self.op.graph, value)
        return self.apart[value]


def copy_float16(graph: ir.Graph) -> None:
    """Let relevance read the model's own float16 values through copies, each by a Sum of one operand.

    Copies by a Cast would move the model's outputs (MobileNetV2: by 1.1 %): onnxruntime's CPU has a float16 kernel for
    Cast, so that operators next to it that have one too (Clip, Concat, Transpose) would no longer be computed in
    float32. It has none for Sum.
    """

    def copy(value: ir.Value) -> ir.Value:
        if value.dtype != ir.DataType.FLOAT16 or value.is_graph_output():
            return value
        norm = made_by(value, "LayerNormalization")
        if norm is None or norm.inputs[0] is None or not _begins_attention(norm):
            return unfused_copy(graph, value)
        inputs = [unfused_copy(graph, norm.inputs[0]), *norm.inputs[1:]]
        return _run_again(graph, norm, inputs, norm.outputs[:1], "same")[0]

    read_copies(graph, lambda node: not is_relevance(node), copy)


def _begins_attention(norm: ir.Node) -> bool:
    """Decide whether a norm is read by queries, keys, values and the sum downstream.

    By exactly these readers onnxruntime recognises attention. It then joins the products with their biases later, and
    until then computes the norm in float32; with one reader more the norm is rounded, and outputs moved by 2.2e-3.
    """
    readers = [use.node for use in norm.outputs[0].uses() if not is_relevance(use.node)]
    counts = [sum(reader.op_type == op_type for reader in readers) for op_type in ("Add", "MatMul", "Shape")]
    return counts[:2] == [1, 3] and sum(counts) == len(readers)


def dequantise_again(op: Builder, outputs: Collection[ir.Value]) -> None:
    """Give relevance copies of the dequantised constants that the nodes upstream of `outputs` read.

    onnxruntime fuses a product with the DequantizeLinear of its weight to one kernel (MatMulNBits, which rounds its
    input to eight bits), but only if the integers, scales and zero points each have this one reader, and the floats
    too. A second DequantizeLinear of the same integers would prevent it. So relevance reads Cast, Sub and Mul of the
    integers: these are folded when a session is created, before it looks for fusions.
    """
    own = set(upstream(outputs, read_by))
    own |= {inner for node in own for body in bodies(node) for inner in body.graph.all_nodes()}
    fixed, copies = constants(op.graph), dict[ir.Value, ir.Value]()
    op.label("a dequantised constant, as relevance reads it")

    def copy(value: ir.Value) -> ir.Value:
        return _constant_again(op, value, copies) if value in fixed and not value.is_graph_output() else value

    read_copies(op.graph, own.__contains__, copy)


def _constant_again(op: Builder, value: ir.Value, copies: dict[ir.Value, ir.Value]) -> ir.Value:
    """Compute a constant again from the integers upstream of it."""
    node = value.producer()
    if node is None or not is_dequantised(value):
        return value
    if value not in copies:
        call = Call.of(node)
        if node.op_type == "DequantizeLinear":
            copies[value] = written_out(op, call)
        else:
            inputs = {i: None if v is None else _constant_again(op, v, copies) for i, v in enumerate(node.inputs)}
            copies.update(zip(node.outputs, op.run(call.rebind(inputs), len(node.outputs)), strict=True))
    return copies[value]


def unfused_copy(graph: ir.Graph, value: ir.Value) -> ir.Value:
    """Copy a value in a way that no session optimises away: as the sum of it alone."""
    return _append(graph, ir.Node("", "Sum", [value], num_outputs=1, name=value.name), [value], "same")[0]


def _run_again(
    graph: ir.Graph, node: ir.Node, inputs: Sequence[ir.Value | None], like: Sequence[ir.Value], prefix: str
) -> Sequence[ir.Value]:
    """Copy a node with other inputs, for its first outputs, `like`."""
    kind, attributes = (node.domain, node.op_type), list(node.attributes.values())
    copy = ir.Node(*kind, inputs, attributes, num_outputs=len(like), version=node.version, name=node.name)
    return _append(graph, copy, like, prefix)


def _append(graph: ir.Graph, node: ir.Node, like: Sequence[ir.Value], prefix: str) -> Sequence[ir.Value]:
    """Append a node whose outputs have the types and shapes of `like`; all names get a prefix."""
    node.name = f"lrp.apart.{node.name}"
    mark_rule(node, "apart")
    graph.append(node)
    for value, result in zip(like, node.outputs, strict=True):
        result.name, result.type, result.shape = f"lrp.{prefix}.{value.name}", value.type, value.shape
    return node.outputs


def _is_outer(value: ir.Value, graph: ir.Graph) -> bool:
    """Decide whether a value belongs to a graph around this one, which a body reads it from."""
    producer = value.producer()
    return producer is not None and producer.graph is not graph


def _is_copied(node: ir.Node) -> bool:
    """Decide whether a node of the model computes with floats and may be run again."""
    entry, out = find(node), node.outputs[0]
    if not is_own(node) or is_replaced(node) or bodies(node):
        return False
    if entry is None or entry.rounding or entry.kind is Kind.STOP:
        return False
    return out.dtype is not None and out.dtype.is_floating_point()
