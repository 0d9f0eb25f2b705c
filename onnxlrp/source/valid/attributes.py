"""Check attributes: each declares its type, holds a value of that type and nothing else, and is known to the
operator."""

from __future__ import annotations

import onnx
from onnx import AttributeProto

from onnxlrp.source.valid import tensors
from onnxlrp.source.valid.refusal import Refuse
from onnxlrp.source.valid.schemas import Schema

_A = AttributeProto
_ONE = {"f": _A.FLOAT, "i": _A.INT, "s": _A.STRING, "t": _A.TENSOR, "g": _A.GRAPH, "tp": _A.TYPE_PROTO}
_ONE = {**_ONE, "sparse_tensor": _A.SPARSE_TENSOR}
_MANY = {"floats": _A.FLOATS, "ints": _A.INTS, "strings": _A.STRINGS, "tensors": _A.TENSORS, "graphs": _A.GRAPHS}
_MANY = {**_MANY, "sparse_tensors": _A.SPARSE_TENSORS, "type_protos": _A.TYPE_PROTOS}
_FIELDS = {**_ONE, **_MANY}
_NAMES = {kind: kind_name for kind_name, kind in _A.AttributeType.items()}
_NEEDED = {_A.TENSOR: "t", _A.GRAPH: "g", _A.SPARSE_TENSOR: "sparse_tensor", _A.TYPE_PROTO: "tp"}
"""Types whose value cannot be left out, with the field that holds it; a number or text that is left out is 0 or
empty."""


def check(node: onnx.NodeProto, schema: Schema | None, refuse: Refuse, *, in_function: bool) -> None:
    """Raise the error that `refuse` makes at the first attribute of a node that is wrong, or that is missing."""
    seen: set[str] = set()
    for attribute in node.attribute:
        name = attribute.name
        if not isinstance(name, str) or not name:
            raise refuse("one of its attributes has no name")
        if name in seen:
            raise refuse(f"it has two attributes {name!r}")
        seen.add(name)
        _check_one(attribute, refuse, in_function)
        if schema is not None:
            _check_known(attribute, schema, refuse)
    if schema is not None:
        missing = [name for name, (_, required) in schema.attributes.items() if required and name not in seen]
        if missing:
            raise refuse(f"it lacks the attribute {missing[0]!r}, which the operator needs")


def _check_known(attribute: AttributeProto, schema: Schema, refuse: Refuse) -> None:
    """Raise an error if the operator has no such attribute, or has it with another type."""
    name = attribute.name
    if name.startswith("__"):
        return  # an attribute of onnxruntime's own, which every operator may have
    if name not in schema.attributes:
        known = ", ".join(sorted(schema.attributes)) or "none"
        raise refuse(f"it has the attribute {name!r}, which the operator does not know (it knows {known})")
    wanted = schema.attributes[name][0]
    if attribute.type != wanted:
        raise refuse(f"its attribute {name!r} is of type {_NAMES[attribute.type]}, and must be {_NAMES[wanted]}")


def _check_one(attribute: AttributeProto, refuse: Refuse, in_function: bool) -> None:
    """Raise an error if an attribute's own parts contradict each other."""
    name, kind = attribute.name, attribute.type
    if kind not in _NAMES or kind == _A.UNDEFINED:
        raise refuse(f"its attribute {name!r} does not say what type it is")
    filled = [field.name for field, _ in attribute.ListFields() if field.name in _FIELDS]
    if attribute.ref_attr_name:
        if filled or not in_function:
            raise refuse(
                f"its attribute {name!r} refers to an attribute of a function, but lies in none or has a value, too"
            )
        return
    wrong = [field for field in filled if _FIELDS[field] != kind]
    if wrong or len(filled) > 1:
        raise refuse(f"its attribute {name!r} says that it is {_NAMES[kind]}, and holds {' and '.join(filled)}")
    if kind in _NEEDED and not filled:
        raise refuse(f"its attribute {name!r} holds nothing")
    _check_content(attribute, refuse)


def _check_content(attribute: AttributeProto, refuse: Refuse) -> None:
    """Raise an error if tensors or texts that an attribute holds are damaged; graphs are checked with the names around
    them."""
    name, kind = attribute.name, attribute.type
    if kind in (_A.STRING, _A.STRINGS):
        _check_texts(attribute, refuse)
    elif kind in (_A.TENSOR, _A.TENSORS):
        for tensor in (attribute.t,) if kind == _A.TENSOR else attribute.tensors:
            tensors.check(tensor, f"its attribute {name!r}", refuse)
    elif kind in (_A.SPARSE_TENSOR, _A.SPARSE_TENSORS):
        for sparse in (attribute.sparse_tensor,) if kind == _A.SPARSE_TENSOR else attribute.sparse_tensors:
            tensors.check_sparse(sparse, f"its attribute {name!r}", refuse)


def _check_texts(attribute: AttributeProto, refuse: Refuse) -> None:
    for text in (attribute.s,) if attribute.type == _A.STRING else attribute.strings:
        try:
            text.decode()
        except UnicodeDecodeError:
            raise refuse(f"its attribute {attribute.name!r} is no UTF-8 text") from None
