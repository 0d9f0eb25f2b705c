"""Write out an operator that is a composition of others, by ONNX's own function body or by the registry's.

This runs before a model is lowered to opset 21: an Attention of opset 24 becomes products and a softmax, which the
library can lower.
"""

from __future__ import annotations

from typing import Any

import onnx
import onnx_ir as ir
import onnx_ir.passes.common as passes

from onnxlrp.errors import InvalidModelError
from onnxlrp.graph.builder import Builder
from onnxlrp.graph.call import Call
from onnxlrp.operators.registry import Kind, Operator, find, function_body
from onnxlrp.source.inference import infer, infer_forward

_DOMAIN = "onnxlrp.bodies"
_FUSED = ("com.microsoft", "com.microsoft.nchwc")
"""Domains of operators that only onnxruntime knows; the model imports them only if such an operator is left."""


def has_decomposed(model: ir.Model) -> bool:
    """Decide whether any node can be written out as others."""
    return any(_entry(n) is not None for n in model.graph.all_nodes())


def decompose(model: ir.Model) -> None:
    """Write out every node that is a composition of others once, in the order of the graph, so that each sees the types
    and shapes of its operands (ONNX infers none for the outputs of onnxruntime's own operators). A body may hold nodes
    that need another call."""
    for node in model.graph.all_nodes():
        if _entry(node) is not None:
            for value in node.outputs:
                value.shape = None
    infer(model)
    called: list[str] = []

    def visit(node: ir.Node) -> None:
        entry = _entry(node)
        if entry is None:
            return
        if entry.function is function_body:
            called.append(_name_body(model, node, len(called)))
        else:
            _write_out(model, node, entry)

    infer_forward(model, visit)
    if called:
        passes.InlinePass()(model)
        model.functions.clear()
        del model.graph.opset_imports[_DOMAIN]
    for domain in _FUSED:
        if all(n.domain != domain for n in model.graph.all_nodes()):
            model.graph.opset_imports.pop(domain, None)
    passes.NameFixPass()(model)


def _entry(node: ir.Node) -> Operator | None:
    """Find the registry's entry of a node that can be written out; None for others. A node that cannot be written out
    stays, and is refused if relevance reaches it."""
    entry = find(node)
    if entry is None or entry.kind is not Kind.DECOMPOSED:
        return None
    return entry if entry.refuse(Call.of(node)) is None else None


def _name_body(model: ir.Model, node: ir.Node, index: int) -> str:
    """Make the node a call of a new local function, which holds the operator's body for these operands and attributes;
    returns its name."""
    opset = model.graph.opset_imports[node.domain]
    schema = onnx.defs.get_schema(node.op_type, opset, node.domain)
    for name, default in schema.attributes.items():
        if name not in node.attributes and default.default_value.type != onnx.AttributeProto.UNDEFINED:
            node.attributes.add(ir.serde.deserialize_attribute(default.default_value))
    try:
        proto = onnx.FunctionProto.FromString(_body(schema, node, opset))
        if not proto.opset_import:
            # onnx gives an empty body if it finds the operands invalid.
            raise ValueError("they do not fit its attributes")
    except Exception as e:  # onnx raises exceptions of many kinds
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
    return str(proto.name)


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
    """Make a Constant for each output that the body lists but does not compute, and drop the outputs beyond `count`.
    Bodies that depend on context leave out outputs that nobody reads, but still list them."""
    del proto.output[count:]
    made = {*proto.input, *(name for n in proto.node for name in n.output)}
    for name in proto.output:
        if name not in made:
            proto.node.add(op_type="Constant", output=[name]).attribute.add(
                name="value_ints", type=onnx.AttributeProto.INTS
            )


def _to_opset(proto: onnx.FunctionProto, node: ir.Node, opset: int) -> None:
    """Accept a body written for an older opset if its operators have the same attributes and operands in the model's
    opset; else raise InvalidModelError."""
    (imported,) = (o for o in proto.opset_import if o.domain == "")
    for inner in proto.node:
        old, new = (onnx.defs.get_schema(inner.op_type, v, "") for v in (imported.version, opset))
        gone = {a.name for a in inner.attribute} - set(new.attributes)
        if gone or len(inner.input) > new.max_input or (len(inner.input) > 1 and len(old.inputs) != len(new.inputs)):
            raise InvalidModelError(
                f"{node.op_type} node {node.name!r}: its function body holds {inner.op_type} of opset "
                f"{imported.version}, which differs in opset {opset}"
            )
    imported.version = opset


def _write_out(model: ir.Model, node: ir.Node, entry: Operator) -> None:
    """Replace the node by the nodes that the registry's entry builds."""
    graph = node.graph
    assert isinstance(graph, ir.Graph)
    graph.opset_imports.setdefault("", model.graph.opset_imports[""])
    before = set(graph)
    op = Builder(graph, str(node.name))
    outputs = entry.function(op, Call.of(node))
    pairs = [(old, new) for old, new in zip(node.outputs, outputs, strict=False) if new is not None and old.name]
    taken: set[ir.Value] = set()
    for index, (old, new) in enumerate(pairs):
        # A value that existed before, or that is two outputs, keeps its name: an alias takes the other name.
        if new in taken or new.producer() is None or new.producer() in before:
            pairs[index] = old, op.alias(new, str(old.name))
        taken.add(new)
    made = [n for n in graph if n not in before]
    graph.remove(made, safe=False)
    graph.insert_before(node, made)
    for old, new in pairs:
        ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
        new.name = old.name
    graph.remove(node, safe=True)
