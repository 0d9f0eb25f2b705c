"""Refuse nodes that contradict what they read, such as a softmax along an axis that does not exist.

ONNX's own shape inference finds such nodes, and onnxruntime, which runs it too, refuses the model. It is run on a copy
without the weights and without the declarations of inner values and outputs, which may be wrong.
"""

from __future__ import annotations

import math
import re

import onnx
from onnx import TensorProto

from onnxlrp.errors import InvalidModelError
from onnxlrp.source.valid.inner import every_node, in_order, inner_graphs, reads
from onnxlrp.source.valid.refusal import described
from onnxlrp.source.valid.schemas import Schema, schema_of
from onnxlrp.source.valid.versions import imported

_LARGEST = 1024
"""Largest number of elements of a tensor that inference may read: sizes, axes, pads."""
_PASSED_OVER = "must not be specified for 4D inputs"
"""Words of an error that does not count: an Attention whose operands have an axis of heads also gives numbers of heads.
onnxruntime ignores these numbers, too."""
_ERROR = re.compile(
    r"\(op_type:[^,()]*(?:, node name: (?:onnxlrp:(\d+)|[^)]*))?\): (?:\[\w+\] )?((?:(?!\(op_type:).)*)"
)
"""Pattern of a node and its words in an error of onnx; a node in a body comes after the node that holds the body."""


def refuse_contradictions(proto: onnx.ModelProto) -> None:
    """Raise InvalidModelError, naming the node, if a node cannot be computed from what it reads.

    The model must have passed `check` and have no functions of its own. Nodes downstream of operators that ONNX does
    not know, or for which it infers no types, are not checked.
    """
    opsets = imported(proto.opset_import)
    opsets.setdefault("", 21)
    sketch, nodes = _sketch(proto, opsets)
    try:
        onnx.shape_inference.infer_shapes(sketch, check_type=False, strict_mode=True, data_prop=False)
    except onnx.shape_inference.InferenceError as e:
        found = _first_error(str(e))
        if found is not None:
            index, what = found
            raise InvalidModelError(
                f"{described(nodes[index], opsets)} cannot be computed from what it reads: {what}; export the model "
                "again, or repair it"
            ) from e


def _first_error(message: str) -> tuple[int, str] | None:
    """Find the innermost node that the first error names, and its words; the other errors follow from it. None for an
    error in a function body of ONNX's own, because inference does not see the attributes that such a body refers to."""
    lines = [text for text in message.splitlines() if "(op_type:" in text and _PASSED_OVER not in text]
    line = next(iter(lines), "")
    *_, (number, what) = [("", ""), *_ERROR.findall(line)]
    return (int(number), what.strip().rstrip(".")) if number else None


def _sketch(proto: onnx.ModelProto, opsets: dict[str, int]) -> tuple[onnx.ModelProto, list[onnx.NodeProto]]:
    """Copy the part of a model that ONNX knows, with small tensors only, and list its nodes; in the copy each node's
    name is its number."""
    sketch = onnx.ModelProto(ir_version=max(proto.ir_version, 4))
    for domain, version in opsets.items():
        sketch.opset_import.add(domain=domain, version=version)
    graph = sketch.graph
    graph.name = "sketch"
    known = {v.name for v in proto.graph.input}
    graph.input.extend(proto.graph.input)
    for tensor in proto.graph.initializer:
        _add_weight(graph, tensor.name, tensor, known)
    nodes: list[onnx.NodeProto] = []
    for node in in_order(proto.graph.node):
        if not reads(node) <= known or not _is_known(node, opsets):
            continue
        if node.op_type == "Constant" and node.attribute[0].HasField("t"):
            _add_weight(graph, node.output[0], node.attribute[0].t, known)
            continue
        schema = _schema(node, opsets)
        if schema is not None and schema.infers:
            known.update(node.output)
        graph.node.append(node)
        _number(graph.node[-1], nodes)
    return sketch, nodes


def _number(node: onnx.NodeProto, nodes: list[onnx.NodeProto]) -> None:
    """Name a node of the sketch, and the nodes in its bodies, by numbers."""
    kept = onnx.NodeProto(name=node.name, op_type=node.op_type, domain=node.domain, output=node.output)
    node.name = f"onnxlrp:{len(nodes)}"
    nodes.append(kept)
    for graph in inner_graphs(node):
        del graph.value_info[:]
        for value in graph.output:
            # The type stays, because inference finds none for an output that is also an input or is listed twice.
            if value.type.HasField("tensor_type"):
                value.type.tensor_type.ClearField("shape")
        for inner in graph.node:
            _number(inner, nodes)


def _add_weight(graph: onnx.GraphProto, name: str, tensor: TensorProto, known: set[str]) -> None:
    """Add a small tensor as an initializer, a large one as an input of its type and shape."""
    if math.prod(tensor.dims) <= _LARGEST and tensor.data_location != TensorProto.EXTERNAL:
        graph.initializer.append(tensor)
        graph.initializer[-1].name = name
    elif name not in known:
        graph.input.append(onnx.helper.make_tensor_value_info(name, tensor.data_type, list(tensor.dims)))
    known.add(name)


def _is_known(node: onnx.NodeProto, opsets: dict[str, int]) -> bool:
    """Decide whether ONNX knows the operators of a node and of the graphs inside it, at these versions, and infers the
    types of the values in those graphs."""
    for inner in every_node([node]):
        schema = _schema(inner, opsets)
        if schema is None or not schema.is_exact or not (inner is node or schema.infers):
            return False
    return True


def _schema(node: onnx.NodeProto, opsets: dict[str, int]) -> Schema | None:
    domain = "" if node.domain == "ai.onnx" else node.domain
    return schema_of(node.op_type, domain, opsets.get(domain, 1))
