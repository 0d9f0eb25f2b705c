"""Check element types: an operator accepts the types of its operands, and one type parameter stands for one type."""

from __future__ import annotations

import collections
from collections.abc import Iterator, Mapping, Sequence

import onnx
from onnx import TensorProto

from onnxlrp.source.valid import tensors
from onnxlrp.source.valid.inner import in_order, inner_graphs
from onnxlrp.source.valid.refusal import described, node_refusal, refusal
from onnxlrp.source.valid.schemas import USUAL, Formal, Schema, schema_of

Types = collections.ChainMap[str, str]
UNKNOWN = ""
_NAMES = {number: name.lower() for name, number in TensorProto.DataType.items()}
_FLOATS = frozenset({"tensor(float16)", "tensor(bfloat16)", "tensor(float)", "tensor(double)"})
_CONSTANTS = {
    "value_float": "tensor(float)",
    "value_floats": "tensor(float)",
    "value_int": "tensor(int64)",
    "value_ints": "tensor(int64)",
    "value_string": "tensor(string)",
    "value_strings": "tensor(string)",
}


def of_value(value: onnx.ValueInfoProto) -> str:
    """Give the type that a value is declared with, as onnx writes it; empty if it is not known."""
    if not value.type.HasField("tensor_type"):
        return UNKNOWN
    number = value.type.tensor_type.elem_type
    if number not in tensors.TYPES:
        raise refusal(f"{value.name!r} is declared of the data type {number}, which ONNX does not know")
    return f"tensor({_NAMES[number]})"


def of_tensor(tensor: TensorProto) -> str:
    """Give the type of a tensor in the file, as onnx writes it."""
    return f"tensor({_NAMES[tensor.data_type]})"


def check(graph: onnx.GraphProto, opsets: Mapping[str, int], wide: list[str], outer: Types | None = None) -> Types:
    """Raise InvalidModelError if an operand has a type that its operator does not accept.

    The graph must have passed the other checks. Returns the known types by name. `outer` holds the types of values in
    the graphs around, and of inputs of the graph that are not declared with a type. `wide` gets a sentence for each
    operand that is a float of another width than the operator accepts.
    """
    types = Types() if outer is None else outer
    for value in graph.input:
        types[value.name] = of_value(value) or types.get(value.name, UNKNOWN)
    for tensor in (*graph.initializer, *(s.values for s in graph.sparse_initializer)):
        types[tensor.name] = of_tensor(tensor)
    for node in in_order(graph.node):
        domain = "" if node.domain == "ai.onnx" else node.domain
        schema = schema_of(node.op_type, domain, opsets.get(domain, 1 if domain else USUAL))
        if schema is not None and schema.is_exact:
            bound = _bind(node, schema, opsets, types, wide)
            made = {name: _made(node, formal, bound) for name, formal in _paired(node.output, schema.outputs)}
            types.update(made | _from_bodies(node, opsets, types, wide))
        else:
            for inner in inner_graphs(node):
                check(inner, opsets, wide, types.new_child())
    return types


def _bind(
    node: onnx.NodeProto, schema: Schema, opsets: Mapping[str, int], types: Types, wide: list[str]
) -> dict[str, str]:
    """Find the types that the operands give to the operator's type parameters."""
    bound: dict[str, str] = {}
    for name, formal in _paired(node.input, schema.inputs):
        kind = types.get(name, UNKNOWN) if name else UNKNOWN
        if kind == UNKNOWN:
            continue
        if formal.types and kind not in formal.types:
            what = f"its input {name!r} is {kind}, and the operator takes {_shown(formal.types)}"
            if not _is_another_float(kind, formal.types):
                raise node_refusal(node, opsets, what)
            wide.append(f"{described(node, opsets)}: {what}")
        if formal.is_homogeneous and bound.setdefault(formal.parameter, kind) != kind:
            raise node_refusal(
                node,
                opsets,
                f"its input {name!r} is {kind}, and must be {bound[formal.parameter]}, as another operand is",
            )
    return bound


def _is_another_float(kind: str, types: frozenset[str]) -> bool:
    """Decide whether an operator accepts floats, but not of this width: onnx's evaluator computes with them, and later
    versions of the operator often accept them."""
    return kind in _FLOATS and not _FLOATS.isdisjoint(types)


def _from_bodies(node: onnx.NodeProto, opsets: Mapping[str, int], types: Types, wide: list[str]) -> dict[str, str]:
    """Find the types of the outputs that the graphs inside a node compute, if these graphs agree."""
    found: dict[str, str] = {}
    # The body of a Loop gives its condition first; the body of an If or Scan gives only outputs.
    condition = [""] if node.op_type == "Loop" else []
    for graph in inner_graphs(node):
        inner = types.new_child()
        if node.op_type == "Loop":
            inner.update({v.name: types.get(name, UNKNOWN) for v, name in zip(graph.input, node.input, strict=False)})
        inner = check(graph, opsets, wide, inner)
        for name, value in zip([*condition, *node.output], graph.output, strict=False):
            kind, declared = inner.get(value.name, UNKNOWN), of_value(value)
            if UNKNOWN not in (kind, declared) and kind != declared:
                raise node_refusal(node, opsets, f"its body declares {value.name!r} as {declared}, and it is {kind}")
            kind = UNKNOWN if node.op_type == "SequenceMap" else kind  # Its outputs are lists of the body's outputs.
            found[name] = kind if found.get(name, kind) == kind else UNKNOWN
    return found


def _paired(names: Sequence[str], formals: Sequence[Formal]) -> Iterator[tuple[str, Formal]]:
    """Pair names of operands or outputs with their declarations in the schema, whose last entry may stand for many."""
    for index, name in enumerate(names):
        if index < len(formals):
            yield name, formals[index]
        elif formals and formals[-1].is_variadic:
            yield name, formals[-1]


def _made(node: onnx.NodeProto, formal: Formal, bound: dict[str, str]) -> str:
    """Find the type of an output from the schema and the operands; empty if they do not determine it."""
    said = _said(node)
    if said is not None:
        return said if said in formal.types else UNKNOWN
    if not formal.is_homogeneous:
        return UNKNOWN
    if formal.parameter in bound:
        return bound[formal.parameter]
    return next(iter(formal.types)) if len(formal.types) == 1 else UNKNOWN


def _said(node: onnx.NodeProto) -> str | None:
    """Find the type that an attribute gives to the output; None if no attribute does."""
    for attribute in node.attribute:
        name = attribute.name
        if node.op_type == "Constant":
            if name == "value":
                return of_tensor(attribute.t)
            if name in _CONSTANTS:
                return _CONSTANTS[name]
        elif (name, node.op_type) == ("to", "Cast") or (name == "dtype" and attribute.type == onnx.AttributeProto.INT):
            return f"tensor({_NAMES[attribute.i]})" if attribute.i in tensors.TYPES else UNKNOWN
        elif name == "value" and node.op_type == "ConstantOfShape":
            return of_tensor(attribute.t)
    return "tensor(float)" if node.op_type == "ConstantOfShape" else None


def _shown(types: frozenset[str]) -> str:
    names = sorted(types)
    return ", ".join(names[:6]) + (" and others" if len(names) > 6 else "")
