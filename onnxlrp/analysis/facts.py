"""All facts of a graph together."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import onnx_ir as ir

from onnxlrp.analysis.layers import Layer, find_layer
from onnxlrp.analysis.reach import alive_values, carriers, data_values
from onnxlrp.analysis.sign import nonnegative_values
from onnxlrp.operators.registry import Kind, find
from onnxlrp.source.constants import constants

_RECURRENT = frozenset({"LSTM", "GRU", "RNN"})


@dataclasses.dataclass
class Facts:
    """What the plan and the emission may rely on."""

    constants: set[ir.Value]
    data: set[ir.Value]
    alive: set[ir.Value]
    nonnegative: set[ir.Value]
    layers: dict[ir.Node, Layer]
    """Layers by their own node; a MatMul's bias Add belongs to its layer."""
    behind_layer: set[ir.Value]
    """Data with a layer among its ancestors."""
    before_layer: set[ir.Value]
    """Data with a first layer among its descendants, and none among its ancestors: the input side."""
    order: dict[ir.Node, int]
    attention: bool


def analyse(graph: ir.Graph, explained: Sequence[ir.Value]) -> Facts:
    """Compute every fact once."""
    data = data_values(graph)
    constant = constants(graph)
    layers = {n: layer for n in graph if (layer := find_layer(n, data, constant)) is not None}
    behind: set[ir.Value] = set()
    firsts: set[ir.Value] = set()
    for node in graph:
        operands = [node.inputs[i] for i in carriers(node, data)]
        marks = node in layers or node.op_type in _RECURRENT
        if any(v in behind for v in operands):
            behind.update(node.outputs)
        elif marks and operands:
            firsts.update(v for v in operands if v is not None)
            behind.update(node.outputs)
    before = set(firsts)
    for node in reversed(graph):
        if any(v in before for v in node.outputs):
            before.update(v for i in carriers(node, data) if (v := node.inputs[i]) is not None)
    return Facts(
        constants=constant,
        data=data,
        alive=alive_values(graph, data, explained),
        nonnegative=nonnegative_values(graph),
        layers=layers,
        behind_layer=behind,
        before_layer=before - behind,
        order={n: i for i, n in enumerate(graph)},
        attention=any(_attends(n, data) for n in graph),
    )


def _attends(node: ir.Node, data: set[ir.Value]) -> bool:
    """Whether a node is a product of two data operands, one of them out of a softmax."""
    if node.op_type in ("Attention", "MultiHeadAttention", "GroupQueryAttention"):
        return True
    if node.op_type not in ("MatMul", "Einsum") or sum(v in data for v in node.inputs) < 2:
        return False
    return any(_out_of_softmax(v, data) for v in node.inputs if v is not None)


def _out_of_softmax(value: ir.Value, data: set[ir.Value]) -> bool:
    """Whether a value is a softmax moved about (or guarded against NaN by a Where)."""
    while (node := value.producer()) is not None:
        entry = find(node)
        if node.op_type == "Softmax":
            return True
        operands = [node.inputs[i] for i in carriers(node, data)]
        if entry is None or entry.kind is not Kind.ROUTING or len(operands) != 1 or operands[0] is None:
            return False
        value = operands[0]
    return False
