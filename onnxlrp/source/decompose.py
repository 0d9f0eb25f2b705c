"""Operators that are several others: written out as the model is read, by ONNX's own function body or by ours.

Done before a model is brought down to opset 21: an Attention of opset 24 becomes products and a softmax, which lower.
"""

from __future__ import annotations

from typing import Any

import onnx
import onnx_ir as ir
import onnx_ir.passes.common as passes

from onnxlrp.builder import Builder
from onnxlrp.errors import InvalidModelError
from onnxlrp.operators.registry import Call, Kind, Operator, find

_DOMAIN = "onnxlrp.bodies"


def has_decomposed(model: ir.Model) -> bool:
    """Whether any node is written out in others."""
    return any(_entry(n) is not None for n in model.graph.all_nodes())


def decompose(model: ir.Model) -> None:
    """Write out every such node once; types and shapes must be inferred. What a body holds may need another turn."""
    bodies = False
    for index, node in enumerate([n for n in model.graph.all_nodes() if _entry(n) is not None]):
        entry = _entry(node)
        assert entry is not None
        if entry.own_body:
            _name_body(model, node, index)
            bodies = True
        else:
            _write_out(model, node, entry)
    if bodies:
        passes.InlinePass()(model)
        model.functions.clear()
        del model.graph.opset_imports[_DOMAIN]
    passes.NameFixPass()(model)


def _entry(node: ir.Node) -> Operator | None:
    entry = find(node)
    return entry if entry is not None and entry.kind is Kind.DECOMPOSED else None


def _name_body(model: ir.Model, node: ir.Node, index: int) -> None:
    """Make the node a call of a function of the model's own: its operator's body, for these operands and attributes."""
    opset = model.graph.opset_imports[node.domain]
    schema = onnx.defs.get_schema(node.op_type, opset, node.domain)
    for name, default in schema.attributes.items():
        if name not in node.attributes and default.default_value.type != onnx.AttributeProto.UNDEFINED:
            node.attributes.add(ir.serde.deserialize_attribute(default.default_value))
    try:
        proto = onnx.FunctionProto.FromString(_body(schema, node, opset))
    except Exception as e:  # onnx raises what it likes
        raise InvalidModelError(
            f"{node.op_type} node {node.name!r} (opset {opset}) has no function body for these operands: {e}"
        ) from e
    proto.domain, proto.name = _DOMAIN, f"{node.op_type}_{index}"
    _only_made(proto, len(node.outputs))
    _to_opset(proto, node, opset)
    function = ir.serde.deserialize_function(proto)
    model.functions[function.identifier()] = function
    model.graph.opset_imports[_DOMAIN] = 1
    node.domain, node.op_type, node.version = _DOMAIN, proto.name, None


def _body(schema: Any, node: ir.Node, opset: int) -> bytes:
    # onnx's type stubs lack the methods that give function bodies.
    if schema.has_function:
        version = max(v for v in schema.function_opset_versions if v <= opset)
        return schema.get_function_with_opset_version(version)
    version = max(v for v in schema.context_dependent_function_opset_versions if v <= opset)
    types = [onnx.TypeProto() if v is None else ir.serde.serialize_value(v).type for v in node.inputs]
    return schema.get_context_dependent_function_with_opset_version(
        version, ir.serde.serialize_node(node).SerializeToString(), [t.SerializeToString() for t in types]
    )


def _only_made(proto: onnx.FunctionProto, count: int) -> None:
    """A body made for its context leaves out what nobody asks for, but still lists it as an output."""
    del proto.output[count:]
    made = {*proto.input, *(name for n in proto.node for name in n.output)}
    for name in proto.output:
        if name not in made:
            proto.node.add(op_type="Constant", output=[name]).attribute.add(
                name="value_ints", type=onnx.AttributeProto.INTS
            )


def _to_opset(proto: onnx.FunctionProto, node: ir.Node, opset: int) -> None:
    """A body written for an older opset is taken where its operators have the same attributes and operands today."""
    (imported,) = (o for o in proto.opset_import if o.domain == "")
    for inner in proto.node:
        old, new = (onnx.defs.get_schema(inner.op_type, v, "") for v in (imported.version, opset))
        gone = {a.name for a in inner.attribute} - set(new.attributes)
        if gone or len(inner.input) > new.max_input or (len(inner.input) > 1 and len(old.inputs) != len(new.inputs)):
            raise InvalidModelError(
                f"{node.op_type} node {node.name!r}: its function body holds {inner.op_type} of opset "
                f"{imported.version}, which is another one in opset {opset}"
            )
    imported.version = opset


def _write_out(model: ir.Model, node: ir.Node, entry: Operator) -> None:
    """Put what the entry builds in the node's place."""
    graph = node.graph
    assert isinstance(graph, ir.Graph)
    graph.opset_imports.setdefault("", model.graph.opset_imports[""])
    before = set(graph)
    outputs = entry.function(Builder(graph, str(node.name)), Call.of(node))
    made = [n for n in graph if n not in before]
    graph.remove(made, safe=False)
    graph.insert_before(node, made)
    for old, new in zip(node.outputs, outputs, strict=False):
        if new is None:
            continue
        ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
        new.name = old.name
    graph.remove(node, safe=True)
