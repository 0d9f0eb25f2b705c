"""Settle declarations that contradict each other in the way in which onnxruntime settles them."""

from __future__ import annotations

import collections

import onnx
from onnx import TensorProto, helper

from onnxlrp.source.observations import observations
from onnxlrp.source.valid.inner import every_node

_OLDEST_IR = 3
"""First version of the file format that names operator sets; onnx's converter takes no file of an older version."""
_CELLS = ("RNN", "GRU", "LSTM")


def repair(proto: onnx.ModelProto) -> list[str]:
    """Settle contradicting declarations of a model, in place; returns notes about those that do not count."""
    _write_remarks_as_text(proto)
    found = observations(proto)
    proto.ir_version = max(proto.ir_version, _OLDEST_IR)
    notes = [*_keep_latest_opsets(proto), *_keep_latest_weights(proto.graph), *_keep_first_inputs(proto.graph)]
    _type_inputs(proto.graph)
    _read_flags(proto.graph)
    return [*notes, *_type_outputs(proto.graph), *_add_hidden_sizes(proto.graph), *found]


def _write_remarks_as_text(proto: onnx.ModelProto) -> None:
    """Replace bytes that are no UTF-8 in remarks, because a model with such bytes cannot be written. No runtime reads
    remarks."""
    graph = proto.graph
    values = (*graph.input, *graph.output, *graph.value_info, *graph.initializer)
    fields = [(proto, name) for name in ("producer_name", "producer_version", "domain", "doc_string")]
    fields += [(message, "doc_string") for message in (graph, *every_node(graph.node), *values)]
    fields += [(entry, name) for entry in proto.metadata_props for name in ("key", "value")]
    for message, name in fields:
        text = getattr(message, name)
        if isinstance(text, bytes):
            setattr(message, name, text.decode("utf-8", "replace"))


def _keep_latest_opsets(proto: onnx.ModelProto) -> list[str]:
    """Keep the last of several versions of one operator set."""
    versions = {o.domain: o.version for o in proto.opset_import}
    twice = [domain for domain, count in collections.Counter(o.domain for o in proto.opset_import).items() if count > 1]
    if twice:
        del proto.opset_import[:]
        proto.opset_import.extend(helper.make_opsetid(domain, version) for domain, version in versions.items())
    return [
        f"the operator set {domain or 'ai.onnx'} is imported twice: the later version, {versions[domain]}, counts"
        for domain in twice
    ]


def _keep_latest_weights(graph: onnx.GraphProto) -> list[str]:
    """Keep the last of several initializers of one name."""
    latest = {tensor.name: tensor for tensor in graph.initializer}
    if len(latest) == len(graph.initializer):
        return []
    counts = collections.Counter(tensor.name for tensor in graph.initializer)
    kept = [TensorProto.FromString(tensor.SerializeToString()) for tensor in latest.values()]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return [f"two initializers are called {name!r}: the later one counts" for name, n in counts.items() if n > 1]


def _keep_first_inputs(graph: onnx.GraphProto) -> list[str]:
    """Keep the first of several inputs of one name; all of them stand for the same initializer."""
    counts = collections.Counter(value.name for value in graph.input)
    twice = {name for name, count in counts.items() if count > 1}
    if not twice:
        return []
    kept = {value.name: value for value in reversed(graph.input)}
    inputs = [onnx.ValueInfoProto.FromString(kept[name].SerializeToString()) for name in counts]
    del graph.input[:]
    graph.input.extend(inputs)
    return [f"two inputs are called {name!r}, which is an initializer, too: the first counts" for name in sorted(twice)]


def _type_inputs(graph: onnx.GraphProto) -> None:
    """Copy the type of an initializer to the input of its name, where that input is declared without a type."""
    weights = {tensor.name: tensor for tensor in graph.initializer}
    for value in graph.input:
        if value.name in weights and not value.type.WhichOneof("value"):
            value.CopyFrom(_declared(weights[value.name]))


def _read_flags(graph: onnx.GraphProto) -> None:
    """Read `keepdims` as runtimes do: 1 is true, every other number false."""
    for node in every_node(graph.node):
        for attribute in node.attribute:
            if attribute.name == "keepdims" and attribute.i not in (0, 1):
                attribute.i = 0


def _type_outputs(graph: onnx.GraphProto) -> list[str]:
    """Copy the type and shape of an input or initializer to its declaration as an output."""
    known = {tensor.name: _declared(tensor) for tensor in graph.initializer} | {v.name: v for v in graph.input}
    notes = []
    for value in graph.output:
        there = known.get(value.name)
        if there is not None and value.type != there.type:
            notes.append(
                f"the output {value.name!r} is an input or initializer, but is declared with another type or shape"
            )
            value.type.CopyFrom(there.type)
    return notes


def _add_hidden_sizes(graph: onnx.GraphProto) -> list[str]:
    """Set the hidden size of a recurrent cell from its weights if it is left out; onnxruntime does not load such a
    model."""
    columns = {tensor.name: tensor.dims[2] for tensor in graph.initializer if len(tensor.dims) == 3}
    notes = []
    for node in graph.node:
        is_cell = node.op_type in _CELLS and node.domain in ("", "ai.onnx") and len(node.input) > 2
        if is_cell and node.input[2] in columns and not any(a.name == "hidden_size" for a in node.attribute):
            size = columns[node.input[2]]
            node.attribute.append(helper.make_attribute("hidden_size", size))
            notes.append(
                f"the {node.op_type} node {node.name!r} does not give its hidden_size: its weights have {size}"
            )
    return notes


def _declared(tensor: TensorProto) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
