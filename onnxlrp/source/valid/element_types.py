"""Element types: what a node reads is of a type that its operator takes, and one type parameter is one type."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import onnx
from onnx import TensorProto

from onnxlrp.source.valid import tensors
from onnxlrp.source.valid.refusal import refused, refused_node
from onnxlrp.source.valid.schemas import Formal, Schema
from onnxlrp.source.valid.scope import Scope

UNKNOWN = ""
_NAMES = {number: name.lower() for name, number in TensorProto.DataType.items()}
_CONSTANTS = {
    "value_float": "tensor(float)",
    "value_floats": "tensor(float)",
    "value_int": "tensor(int64)",
    "value_ints": "tensor(int64)",
    "value_string": "tensor(string)",
    "value_strings": "tensor(string)",
}


def of_value(value: onnx.ValueInfoProto) -> str:
    """The type that a value is declared with, as onnx writes it; empty where it is not known."""
    if not value.type.HasField("tensor_type"):
        return UNKNOWN
    number = value.type.tensor_type.elem_type
    if number not in tensors.TYPES and number != TensorProto.UNDEFINED:
        raise refused(f"{value.name!r} is declared of the data type {number}, which ONNX does not know")
    return UNKNOWN if number == TensorProto.UNDEFINED else f"tensor({_NAMES[number]})"


def of_tensor(tensor: TensorProto) -> str:
    """The type of a tensor in the file."""
    return f"tensor({_NAMES[tensor.data_type]})"


def check(node: onnx.NodeProto, schema: Schema, scope: Scope, types: dict[str, str]) -> None:
    """Raise InvalidModelError where operands are of types that the operator does not take; add the types of its
    outputs to `types`."""
    bound: dict[str, str] = {}
    for name, formal in _paired(node.input, schema.inputs):
        kind = types.get(name, UNKNOWN) if name else UNKNOWN
        if kind == UNKNOWN or not schema.is_exact:
            continue
        if formal.types and kind not in formal.types:
            raise refused_node(
                node, scope.opsets, f"its input {name!r} is {kind}, and the operator takes {_shown(formal.types)}"
            )
        if formal.is_homogeneous and bound.setdefault(formal.parameter, kind) != kind:
            raise refused_node(
                node, scope.opsets, f"its input {name!r} is {kind}, and must be {bound[formal.parameter]} as another is"
            )
    for name, formal in _paired(node.output, schema.outputs):
        types[name] = _made(node, schema, formal, bound)


def _paired(names: Sequence[str], formals: Sequence[Formal]) -> Iterator[tuple[str, Formal]]:
    """Operands with what the schema says of them; the last entry of a schema may stand for many."""
    for index, name in enumerate(names):
        if index < len(formals):
            yield name, formals[index]
        elif formals and formals[-1].is_variadic:
            yield name, formals[-1]


def _made(node: onnx.NodeProto, schema: Schema, formal: Formal, bound: dict[str, str]) -> str:
    """The type of an output, where schema and operands tell it."""
    said = _said(node)
    if said is not None:
        return said if said in formal.types else UNKNOWN
    if not schema.is_exact or not formal.is_homogeneous:
        return UNKNOWN
    if formal.parameter in bound:
        return bound[formal.parameter]
    return next(iter(formal.types)) if len(formal.types) == 1 else UNKNOWN


def _said(node: onnx.NodeProto) -> str | None:
    """The type that an attribute tells; None where none does."""
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
