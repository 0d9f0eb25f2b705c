"""Note faults that ONNX does not allow or onnxruntime does not load, in models that can be explained all the same."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterator, Sequence

import onnx

from onnxlrp.source.valid.inner import every_node, inner_graphs, reads
from onnxlrp.source.valid.schemas import USUAL, is_given_up
from onnxlrp.source.valid.versions import imported

_INPUTS_ONLY = 4
"""First version of the file format in which an initializer need not be an input too."""
_SHOWN = 12
"""Largest number of notes of one kind."""


def observations(proto: onnx.ModelProto) -> list[str]:
    """Describe the faults that ONNX does not allow in a model that is read all the same."""
    kinds = (
        *(_not_imported(proto), _given_up(proto), _no_inputs(proto)),
        *(_names_twice(proto), _left_out(proto), _unsorted(proto), _from_around(proto)),
    )
    return [note for kind in kinds for note in itertools.islice(kind, _SHOWN)]


def _not_imported(proto: onnx.ModelProto) -> Iterator[str]:
    """Note the version at which operators are read if the model does not import their operator set."""
    known = imported(proto.opset_import)
    used = {"" if n.domain == "ai.onnx" else n.domain for n in every_node(proto.graph.node)}
    for domain, version in (("", USUAL), ("ai.onnx.ml", 1)):
        if domain in used and domain not in known:
            yield (
                f"the model does not import the operator set {domain or 'ai.onnx'}: its operators are read as version "
                f"{version} defines them"
            )


def _given_up(proto: onnx.ModelProto) -> Iterator[str]:
    """Name the operators that are no longer in the imported version of their set; onnxruntime does not load them."""
    known = imported(proto.opset_import)
    used = {("" if n.domain == "ai.onnx" else n.domain, n.op_type): n.name for n in every_node(proto.graph.node)}
    for (domain, op_type), name in used.items():
        if domain in known and is_given_up(op_type, domain, known[domain]):
            yield f"{domain or 'ai.onnx'}::{op_type} (node {name!r}) was given up before version {known[domain]}"


def _no_inputs(proto: onnx.ModelProto) -> Iterator[str]:
    """Name an initializer that is no input although an old version of the file format asks for that; onnxruntime does
    not find it in bodies."""
    inputs = {value.name for value in proto.graph.input}
    lacking = [tensor.name for tensor in proto.graph.initializer if tensor.name not in inputs]
    if proto.ir_version < _INPUTS_ONLY and lacking:
        yield (
            f"the model is of IR version {proto.ir_version}, where initializers must be inputs, too: "
            f"{lacking[0]!r} is none"
        )


def _names_twice(proto: onnx.ModelProto) -> Iterator[str]:
    """Count the nodes of one graph that share a name: all but the first get another name."""
    for nodes in _sequences(proto):
        for name, count in collections.Counter(node.name for node in nodes if node.name).items():
            if count > 1:
                yield f"{count} nodes are called {name!r}: all but the first get another name"


def _sequences(proto: onnx.ModelProto) -> Iterator[Sequence[onnx.NodeProto]]:
    """Yield the nodes of the graph, of each function, and of each graph inside them."""
    for nodes in (proto.graph.node, *(function.node for function in proto.functions)):
        yield nodes
        yield from (graph.node for node in every_node(nodes) for graph in inner_graphs(node))


def _left_out(proto: onnx.ModelProto) -> Iterator[str]:
    """Name the If, Loop and Scan nodes that have an output without a name; onnxruntime does not load them."""
    for node in every_node(proto.graph.node):
        if node.op_type in ("If", "Loop", "Scan") and "" in node.output:
            yield f"an output of the {node.op_type} node {node.name!r} has no name: it gets one"


def _unsorted(proto: onnx.ModelProto) -> Iterator[str]:
    """Name the nodes of bodies that are listed before a node that they read from; onnxruntime sorts the main graph
    only."""
    for graph in (graph for node in every_node(proto.graph.node) for graph in inner_graphs(node)):
        later = {name for node in graph.node for name in node.output}
        for node in graph.node:
            if not later.isdisjoint(reads(node)):
                yield f"the {node.op_type} node {node.name!r} of a body is listed before a node that it reads from"
            later.difference_update(node.output)


def _from_around(proto: onnx.ModelProto) -> Iterator[str]:
    """Name the outputs of bodies that are values of graphs around them; onnxruntime wants an Identity node there."""
    for node in every_node(proto.graph.node):
        for graph in inner_graphs(node):
            own = {*(v.name for v in graph.input), *(t.name for t in graph.initializer)}
            own.update(name for inner in graph.node for name in inner.output)
            for value in graph.output:
                if value.name not in own:
                    what = f"{value.name!r}, a value of the graph around it"
                    yield f"a body of the {node.op_type} node {node.name!r} returns {what}"
