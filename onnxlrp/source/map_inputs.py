"""Put vectors, under the same names, in the place of inputs that are maps, because onnx_ir has no map type.

A vectoriser (DictVectorizer, CastMap) is removed when the model is read and put back on emission. The vector is
explained: it has an element for each key of the vocabulary.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import onnx
from onnx import TensorProto, helper

from onnxlrp.errors import InvalidModelError

_ML = "ai.onnx.ml"
_CASTS = {"TO_FLOAT": TensorProto.FLOAT, "TO_STRING": TensorProto.STRING, "TO_INT64": TensorProto.INT64}


@dataclasses.dataclass(frozen=True)
class MapInput:
    """A map input, and the node that converts it to a vector."""

    declared: onnx.ValueInfoProto
    node: onnx.NodeProto
    version: int
    """The version of the node's domain."""


def take_map_inputs(proto: onnx.ModelProto) -> list[MapInput]:
    """Replace map inputs by vectors, in place; raises InvalidModelError unless exactly one vectoriser reads a map."""
    taken = []
    version = next((o.version for o in proto.opset_import if o.domain == _ML), 1)
    for position, declared in enumerate(list(proto.graph.input)):
        if not declared.type.HasField("map_type"):
            continue
        readers = [n for n in proto.graph.node if declared.name in n.input]
        if [(n.domain, n.op_type) in ((_ML, "DictVectorizer"), (_ML, "CastMap")) for n in readers] != [True]:
            names = ", ".join(f"{n.op_type} {n.name!r}" for n in readers) or "nothing"
            raise InvalidModelError(
                f"the input {declared.name!r} is a map that {names} reads: one DictVectorizer or CastMap is supported"
            )
        (node,) = readers
        map_input = MapInput(onnx.ValueInfoProto.FromString(declared.SerializeToString()), _copy(node), version)
        taken.append(map_input)
        proto.graph.node.remove(node)
        _rename(proto.graph, node.output[0], declared.name)
        proto.graph.input[position].CopyFrom(_vector(declared, node))
    return taken


def put_map_inputs_back(proto: onnx.ModelProto, taken: list[MapInput]) -> None:
    """Put back, in place, the map inputs and the nodes that read them."""
    for map_input in taken:
        name = map_input.declared.name
        position = next(i for i, v in enumerate(proto.graph.input) if v.name == name)
        proto.graph.input[position].CopyFrom(map_input.declared)
        _rename(proto.graph, name, map_input.node.output[0])
        proto.graph.node.insert(0, _copy(map_input.node))
        if not any(o.domain == _ML for o in proto.opset_import):
            proto.opset_import.append(helper.make_opsetid(_ML, map_input.version))


def _copy(node: onnx.NodeProto) -> onnx.NodeProto:
    return onnx.NodeProto.FromString(node.SerializeToString())


def _vector(declared: onnx.ValueInfoProto, node: onnx.NodeProto) -> onnx.ValueInfoProto:
    """Declare the vector that replaces a map, of shape [1, size]: a DictVectorizer gives one element for each key of
    its vocabulary, a CastMap the map's values cast to another type."""
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    size: int | None
    if node.op_type == "DictVectorizer":
        kind = declared.type.map_type.value_type.tensor_type.elem_type
        size = len(given.get("string_vocabulary", ())) or len(given.get("int64_vocabulary", ()))
    else:
        kind = _CASTS[given.get("cast_to", b"TO_FLOAT").decode()]
        size = given.get("max_map", 1) if given.get("map_form", b"DENSE") == b"SPARSE" else None
    return helper.make_tensor_value_info(declared.name, kind, [1, size])


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in _nodes(graph):
        for index, name in enumerate(node.input):
            if name == old:
                node.input[index] = new
    for output in graph.output:
        if output.name == old:
            raise InvalidModelError(f"the output {old!r} is the vector of a map input, which nothing explains")


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _nodes(attribute.g)
