"""All facts of a graph together."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import onnx_ir as ir

from onnxlrp.analysis.layers import Layer, find_layer
from onnxlrp.analysis.maybe_infinite import hidden_rows, maybe_infinite_values
from onnxlrp.analysis.missing import missing_values
from onnxlrp.analysis.reach import (
    data_values,
    is_lookup,
    origin,
    out_of_lists,
    relevance_operands,
    spread,
    values_leading_to_input,
)
from onnxlrp.analysis.references import Background
from onnxlrp.analysis.sign import nonnegative_values
from onnxlrp.analysis.written_kernels import find_kernels
from onnxlrp.operators.rescaled_kernels import Kernel
from onnxlrp.source.constants import constants
from onnxlrp.source.explained_inputs import carries

_RECURRENT = frozenset({"LSTM", "GRU", "RNN"})
_CLASSICAL = frozenset(
    {
        "LeafFunction",
        "SVMClassifier",
        "SVMRegressor",
        "TreeEnsemble",
        "TreeEnsembleClassifier",
        "TreeEnsembleRegressor",
    }
)
LAYER_OPERATORS = _RECURRENT | _CLASSICAL
"""Operators that hold a layer's weights, or many layers', and are no convolution or dense layer."""


@dataclasses.dataclass
class Facts:
    """Facts that the plan and the emission rely on, about values of the graph and of its bodies."""

    constants: set[ir.Value]
    data: set[ir.Value]
    leads_to_input: set[ir.Value]
    nonnegative: set[ir.Value]
    maybe_infinite: set[ir.Value]
    """Data that a mask or a pad may have made infinite."""
    hidden_rows: set[ir.Value]
    """Weights of attention that are NaN where a mask hides a whole row by −∞."""
    missing: set[ir.Value]
    """Data that may be NaN where the model takes it for a missing value."""
    operands: dict[ir.Node, dict[int, ir.Value]]
    """The operands of nodes that relevance goes to, by their places."""
    layers: dict[ir.Node, Layer]
    """Layers by their own node; a MatMul's bias Add belongs to its layer."""
    layer_nodes: set[ir.Node]
    """The nodes whose output is a layer's: of convolutions and dense layers the last one, and recurrent and classical
    operators and embedding lookups."""
    behind_layer: set[ir.Value]
    """Data with a layer among its ancestors."""
    before_layer: set[ir.Value]
    """Data with a first layer among its descendants, and none among its ancestors: the input side."""
    order: dict[ir.Node, int]
    attention: bool
    kernels: dict[ir.Node, Kernel] = dataclasses.field(default_factory=dict)
    """Functions of distances to constant rows, by the node that ends them; none inside bodies."""
    background: Background | None = None
    """Rows of the model's inputs that the user gave."""
    near: set[ir.Value] = dataclasses.field(default_factory=set)
    """Values with no layer between them and the score, which the plan knows."""
    regions: dict[ir.Node, tuple[ir.Value | None, bool]] = dataclasses.field(default_factory=dict)
    """Results of `analysis.regions`, by the node where elementwise branches meet."""
    operators: dict[tuple[ir.Graph, int], frozenset[str]] = dataclasses.field(default_factory=dict)
    """The operators in graphs of so many nodes."""

    def relevance_operands(self, node: ir.Node) -> Mapping[int, ir.Value]:
        """Give the operands of a node that relevance goes to, also of one that was added since."""
        if node not in self.operands:
            self.operands[node] = relevance_operands(node, self.data)
        return self.operands[node]

    def operators_of(self, graph: ir.Graph) -> frozenset[str]:
        """Give the names of all operators in a graph, whose number of nodes tells whether some were added since."""
        key = graph, len(graph)
        if key not in self.operators:
            self.operators[key] = frozenset(node.op_type for node in graph)
        return self.operators[key]

    def frozen(self) -> Facts:
        """Give the same facts as sets that nothing can be added to."""
        fields: dict[str, Any] = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        closed: dict[str, Any] = {name: frozenset(v) for name, v in fields.items() if isinstance(v, set)}
        return dataclasses.replace(self, **closed)

    def of_copy(self, graph: ir.Graph, stands_for: Mapping[ir.Value, ir.Value]) -> Facts:
        """The facts of a copy of a body; `stands_for`: the copy's input (or what took its place) -> the body's."""

        def known(of: set[ir.Value]) -> set[ir.Value]:
            return {*of} | {new for new, old in stands_for.items() if old in of}

        return _facts(
            graph,
            constants(graph, known(self.constants)),
            data_values(graph, known(self.data)),
            known(self.leads_to_input),
            nonnegative_values(graph, known(self.nonnegative)),
            known(self.behind_layer),
            self.attention,
            {},
        )


def analyse(graph: ir.Graph, explained: Sequence[ir.Value], background: Background | None = None) -> Facts:
    """Compute every fact once; `background` holds rows that the user gave for the inputs."""
    data = data_values(graph, [*(v for v in graph.inputs if carries(v)), *out_of_lists(graph)])
    attention = any(_attends(n, data) for n in graph.all_nodes())
    constant = constants(graph)
    kernels = find_kernels(graph, data, constant)
    facts = _facts(graph, constant, data, explained, nonnegative_values(graph), set(), attention, kernels)
    facts.background = background
    return facts


def _facts(
    graph: ir.Graph,
    constant: set[ir.Value],
    data: set[ir.Value],
    explained: Collection[ir.Value],
    nonnegative: set[ir.Value],
    behind: set[ir.Value],
    attention: bool,
    kernels: dict[ir.Node, Kernel],
) -> Facts:
    nodes = list(graph.all_nodes())
    operands = {n: relevance_operands(n, data) for n in nodes}
    layers = {n: layer for n in nodes if (layer := find_layer(n, data, constant)) is not None}
    firsts: set[ir.Value] = set()

    def is_layer(node: ir.Node) -> bool:
        known = node in layers or node in kernels or node.op_type in LAYER_OPERATORS
        return bool(operands[node]) and (known or is_lookup(node, operands[node]))

    def behind_layer(node: ir.Node) -> bool:
        return any(v in behind for v in operands[node].values()) or is_layer(node)

    spread(graph, behind, behind_layer)
    for node in filter(is_layer, nodes):
        read = {d.x for d in kernels[node].distances} if node in kernels else set(operands[node].values())
        if not read & behind:
            firsts |= read
    before = set(firsts)
    for node in reversed(nodes):
        if any(v in before for v in node.outputs):
            before.update(operands[node].values())
    return Facts(
        constants=constant,
        data=data,
        leads_to_input=values_leading_to_input(graph, operands, data, explained),
        nonnegative=nonnegative,
        maybe_infinite=maybe_infinite_values(nodes, data),
        hidden_rows=hidden_rows(nodes, data),
        missing=missing_values(nodes, data),
        operands=operands,
        layers=layers,
        layer_nodes={_last_node(n, layers) for n in filter(is_layer, nodes)},
        behind_layer=behind,
        before_layer=before - behind,
        order={n: i for i, n in enumerate(nodes)},
        attention=attention,
        kernels=kernels,
    )


def _last_node(node: ir.Node, layers: Mapping[ir.Node, Layer]) -> ir.Node:
    """The node that computes a layer's output: the Add of its bias where it has one."""
    add = layers[node].add if node in layers else None
    return node if add is None else add


def _attends(node: ir.Node, data: set[ir.Value]) -> bool:
    """Decide whether a node is a product of two data operands, one of them out of a softmax."""
    if node.op_type in ("Attention", "MultiHeadAttention", "GroupQueryAttention"):
        return True
    if node.op_type not in ("MatMul", "Einsum") or sum(v in data for v in node.inputs) < 2:
        return False
    sources = (origin(v, data) for v in node.inputs)
    return any(n is not None and n.op_type == "Softmax" for n in sources)
