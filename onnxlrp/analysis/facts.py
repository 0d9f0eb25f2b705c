"""The facts about a graph and its bodies, collected in one object."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import onnx_ir as ir

from onnxlrp.analysis.attention_products import weights_operand
from onnxlrp.analysis.layers import Layer, find_layer
from onnxlrp.analysis.maybe_infinite import hidden_rows, maybe_infinite_values
from onnxlrp.analysis.missing import missing_values
from onnxlrp.analysis.reach import (
    data_values,
    extend_downstream,
    is_lookup,
    out_of_lists,
    relevance_operands,
    values_leading_to_input,
)
from onnxlrp.analysis.references import Background
from onnxlrp.analysis.sign import nonnegative_values
from onnxlrp.analysis.written_kernels import find_kernels
from onnxlrp.graph.walks import mark_upstream
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
_LAYER_OPERATORS = _RECURRENT | _CLASSICAL
"""Operators that hold trained weights and count as layers, but are neither a convolution nor a dense layer."""


@dataclasses.dataclass
class Facts:
    """Facts about the values of a graph and of its bodies, on which the plan and the emission rely."""

    constants: set[ir.Value]
    data: set[ir.Value]
    leads_to_input: set[ir.Value]
    nonnegative: set[ir.Value]
    maybe_infinite: set[ir.Value]
    """Data in which a mask or a pad may have put an infinity."""
    hidden_rows: set[ir.Value]
    """Attention weights that are NaN in rows that a mask of −∞ hides completely."""
    missing: set[ir.Value]
    """Data that may be NaN because the model reads NaN as a missing value."""
    operands: dict[ir.Node, dict[int, ir.Value]]
    """Operands of each node that relevance goes to, by index."""
    layers: dict[ir.Node, Layer]
    """Layers by the node that holds the weight; the Add of a MatMul's bias belongs to its layer."""
    layer_nodes: set[ir.Node]
    """Nodes that compute the output of a layer: the last node of a convolution or dense layer, recurrent and classical
    operators, and embedding lookups."""
    downstream_of_layer: set[ir.Value]
    """Data with a layer among its ancestors."""
    input_side: set[ir.Value]
    """Data upstream of a first layer, with no layer among its ancestors."""
    order: dict[ir.Node, int]
    attention: bool
    kernels: dict[ir.Node, Kernel] = dataclasses.field(default_factory=dict)
    """Functions of distances to constant rows, by their last node; kernels inside bodies are not recognised."""
    explained: frozenset[ir.Value] = frozenset()
    """Inputs, or an inner value, that relevance is asked of; it goes no further upstream than these."""
    background: Background | None = None
    """Rows of the model's inputs that the caller passed as `background`."""
    near: set[ir.Value] = dataclasses.field(default_factory=set)
    """Values with no layer between them and the score; the plan fills this in."""
    regions: dict[ir.Node, tuple[ir.Value | None, bool]] = dataclasses.field(default_factory=dict)
    """Results of `elementwise_regions`: (entrance, whether it is nonlinear), by the node where branches meet."""
    operators: dict[tuple[ir.Graph, int], frozenset[str]] = dataclasses.field(default_factory=dict)
    """Operator types of a graph, by the graph and its number of nodes."""

    def relevance_operands(self, node: ir.Node) -> Mapping[int, ir.Value]:
        """Return the operands of a node that relevance goes to, by index, also of a node that was added later."""
        if node not in self.operands:
            self.operands[node] = relevance_operands(node, self.data)
        return self.operands[node]

    def is_layer(self, node: ir.Node) -> bool:
        """Decide whether a node holds a layer's weights: a convolution or dense layer, an embedding, a recurrent or
        classical operator."""
        return _holds_weights(node, self.layers, self.relevance_operands(node))

    def is_first(self, layer: Layer) -> bool:
        """Decide whether no other layer lies upstream of a layer."""
        return layer.x not in self.downstream_of_layer

    def operators_of(self, graph: ir.Graph) -> frozenset[str]:
        """Return the operator types of a graph; a changed number of nodes means that they are collected anew."""
        key = graph, len(graph)
        if key not in self.operators:
            self.operators[key] = frozenset(node.op_type for node in graph)
        return self.operators[key]

    def frozen(self) -> Facts:
        """Return these facts with sets to which nothing can be added."""
        fields: dict[str, Any] = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        closed: dict[str, Any] = {name: frozenset(v) for name, v in fields.items() if isinstance(v, set)}
        return dataclasses.replace(self, **closed)

    def of_copy(self, graph: ir.Graph, stands_for: Mapping[ir.Value, ir.Value]) -> Facts:
        """Derive the facts of a copy of a body.

        `stands_for` maps each input of the copy (or the value that replaces it) to the input of the body.
        """

        def known(of: set[ir.Value]) -> set[ir.Value]:
            return {*of} | {new for new, old in stands_for.items() if old in of}

        return _facts(
            graph,
            constants(graph, known(self.constants)),
            data_values(graph, known(self.data)),
            known(self.leads_to_input),
            nonnegative_values(graph, known(self.nonnegative)),
            known(self.downstream_of_layer),
            self.attention,
            {},
        )


def analyse(graph: ir.Graph, explained: Sequence[ir.Value], background: Background | None = None) -> Facts:
    """Compute all facts of a graph whose values `explained`, inputs or inner ones, receive relevance; `background` has
    rows of its inputs."""
    data = data_values(graph, [*(v for v in graph.inputs if carries(v)), *out_of_lists(graph)])
    attention = any(_attends(n, data) for n in graph.all_nodes())
    constant = constants(graph)
    kernels = find_kernels(graph, data, constant)
    facts = _facts(graph, constant, data, explained, nonnegative_values(graph), set(), attention, kernels)
    facts.background, facts.explained = background, frozenset(explained)
    return facts


def _facts(
    graph: ir.Graph,
    constant: set[ir.Value],
    data: set[ir.Value],
    explained: Collection[ir.Value],
    nonnegative: set[ir.Value],
    downstream: set[ir.Value],
    attention: bool,
    kernels: dict[ir.Node, Kernel],
) -> Facts:
    nodes = list(graph.all_nodes())
    operands = {n: relevance_operands(n, data) for n in nodes}
    layers = {n: layer for n in nodes if (layer := find_layer(n, data, constant)) is not None}
    first_operands: set[ir.Value] = set()

    def is_layer(node: ir.Node) -> bool:
        return bool(operands[node]) and (node in kernels or _holds_weights(node, layers, operands[node]))

    def is_downstream(node: ir.Node) -> bool:
        return any(v in downstream for v in operands[node].values()) or is_layer(node)

    extend_downstream(graph, downstream, is_downstream)
    for node in filter(is_layer, nodes):
        read = {d.x for d in kernels[node].distances} if node in kernels else set(operands[node].values())
        if not read & downstream:
            first_operands |= read
    upstream = set(first_operands)
    mark_upstream(nodes, upstream, lambda node: operands[node].values())
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
        downstream_of_layer=downstream,
        input_side=upstream - downstream,
        order={n: i for i, n in enumerate(nodes)},
        attention=attention,
        kernels=kernels,
    )


def _holds_weights(node: ir.Node, layers: Mapping[ir.Node, Layer], operands: Mapping[int, ir.Value]) -> bool:
    return node in layers or node.op_type in _LAYER_OPERATORS or is_lookup(node, operands)


def _last_node(node: ir.Node, layers: Mapping[ir.Node, Layer]) -> ir.Node:
    """Return the node that computes a layer's output: the Add of its bias, or else the layer's own node."""
    add = layers[node].add if node in layers else None
    return node if add is None else add


def _attends(node: ir.Node, data: set[ir.Value]) -> bool:
    """Decide whether a node is an attention operator, or a product of two data operands one of which is a softmax."""
    if node.op_type in ("Attention", "MultiHeadAttention", "GroupQueryAttention"):
        return True
    return weights_operand(node, data) is not None
