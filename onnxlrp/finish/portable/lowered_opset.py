"""Pass that writes the finished model in opset 17, which more runtimes know, where all of its operators exist there."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import onnx
import onnx_ir as ir

from onnxlrp.finish.portable.older_forms import FORMS
from onnxlrp.graph.builder import Builder
from onnxlrp.graph.names import unused_scope

TARGET = 17
"""The version of ONNX's default domain that portable models are written in."""
_IR_VERSION = 8
"""The version of the file format that belongs to opset 17."""
_NEWEST = 21


def lower_opset(model: ir.Model) -> list[str]:
    """Lower the model to opset 17 in place; returns a note where it keeps its opset, which names the first reason."""
    opset = model.graph.opset_imports[""]
    if opset <= TARGET:
        return []
    reason = _obstacle(model) if opset <= _NEWEST else f"it is written in opset {opset}"
    if reason is not None:
        return [f"the portable model stays at opset {opset}, not {TARGET}: {reason}"]
    for graph in (model.graph, *model.graph.subgraphs()):
        op = Builder(graph, unused_scope(graph, "lowered"))
        op.label("portable")
        for node in _changed(graph):
            why = FORMS[node.op_type](op, node)
            assert why is None, why
        graph.sort()
    model.graph.opset_imports[""], model.ir_version = TARGET, _IR_VERSION
    for node in model.graph.all_nodes():
        node.version = None
    return []


def _changed(graph: ir.Graph) -> list[ir.Node]:
    return [n for n in graph if n.domain == "" and n.op_type in FORMS and _since(n.op_type, _NEWEST) > TARGET]


@functools.cache
def _schema(op_type: str, version: int) -> onnx.defs.OpSchema | None:
    if not onnx.defs.has(op_type, max_inclusive_version=version, domain=""):
        return None
    return onnx.defs.get_schema(op_type, version, "")


def _since(op_type: str, version: int) -> int:
    schema = _schema(op_type, version)
    return 0 if schema is None else schema.since_version


def _obstacle(model: ir.Model) -> str | None:
    """Find the first node that opset 17 cannot have, and say why."""
    for node in model.graph.all_nodes():
        reason = None if node.domain else next(_reasons(node), None)
        if reason is not None:
            return f"{node.op_type} node {node.name!r} {reason}"
    return None


def _reasons(node: ir.Node) -> Iterator[str]:
    schema = _schema(node.op_type, TARGET)
    if schema is None and node.op_type not in FORMS:
        yield f"does not exist before opset {_since(node.op_type, _NEWEST)}"
    if schema is not None and schema.since_version != _since(node.op_type, _NEWEST):
        yield from _foreign_types(node, schema)
    if node.op_type in FORMS:
        why = _tried(node)
        if why is not None:
            yield why


def _tried(node: ir.Node) -> str | None:
    """Try the older form of a node on a copy of it."""
    copy = ir.Graph([], [], nodes=[], name="tried", opset_imports={"": _NEWEST})
    attributes, count = list(node.attributes.values()), len(node.outputs)
    again = ir.Node(node.domain, node.op_type, node.inputs, attributes, num_outputs=count)
    again.metadata_props.update(node.metadata_props)
    for mine, value in zip(again.outputs, node.outputs, strict=True):
        mine.type, mine.shape = value.type, value.shape
    copy.append(again)
    why = FORMS[node.op_type](Builder(copy, "tried"), again)
    for left in list(copy):
        for index in range(len(left.inputs)):
            left.replace_input_with(index, None)
    return why


def _foreign_types(node: ir.Node, schema: onnx.defs.OpSchema) -> Iterator[str]:
    """Name the types of operands and outputs that the older operator does not take."""
    for values, ports in ((node.inputs, schema.inputs), (node.outputs, schema.outputs)):
        for index, value in enumerate(values):
            if value is None or value.dtype is None or not ports:
                continue
            port = ports[min(index, len(ports) - 1)]
            kind = f"tensor({_word(value.dtype)})"
            if isinstance(value.type, ir.TensorType) and kind not in port.types:
                yield f"takes or gives {_word(value.dtype)}"


def _word(dtype: ir.DataType) -> str:
    """The name of a type in ONNX's schemas."""
    return dtype.name.lower()
